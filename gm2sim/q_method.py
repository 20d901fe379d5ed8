"""The Q method: energy in the calorimeters against time, without looking for positrons.

From the histograms of the front end, sums of samples in each crystal over some fills (CQ banks). In each crystal the
pedestal of a bin is the mean of bins on both sides, a gap away; a bin counts with what it is below that pedestal where
that is more than a threshold, and bins that count are left out of the pedestals of others. Settings are those of the
experiment's analyser of May 2022 (facts in docs/physics/reconstruction.md): 8 bins, gap of one bin, five standard
deviations. Energy below the threshold is lost, and so is what pulses of one bin lack by saturation and by the drop of
the gain behind other pulses; the sag behind the flash and the out-of-fill gain are undone, dead crystals left out.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.geometry import N_CALORIMETERS
from detectors.shower import CRYSTALS
from gm2sim.calibration import Calibration
from gm2sim.methods import Method, MethodHistogram, smooth_variance
from gm2sim.raw import open_run
from gm2sim.raw.decode import QHistogram
from gm2sim.reco import LASER_CRYSTALS
from gm2sim.wiggle import REFERENCE_FREQUENCY, WiggleHistogram

Floats = NDArray[np.float64]

_MUON_FILL = 1  # fill type in the trigger's mask


@dataclass(frozen=True)
class QSettings:
    """How energy is taken from Q-method histograms.

    Attributes
    ----------
    window : int
        Bins of the pedestal on each side.
    gap : int
        Bins left out between a bin and its pedestal.
    threshold : float
        Standard deviations of the noise of a bin.
    rebin : int
        Bins joined: two of 75 ns are nearly a cyclotron period, in which the fast rotation averages out.
    """

    window: int = 8
    gap: int = 1
    threshold: float = 5.0
    rebin: int = 2

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("gap", 0), ("rebin", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give {least} or more.")
        if not self.threshold > 0.0:
            raise ValueError(f"threshold = {self.threshold:g} is out of bounds: give a positive number.")


def pulse_area(calibration: Calibration) -> Floats:
    """Sum of the samples of a pulse over its height, (24, 54): the integral of (1 - exp(-t/rise))^3 exp(-t/fall)."""
    shape = calibration.templates
    whole = sum(math.comb(3, k) * (-1) ** k / (k / shape.rise + 1.0 / shape.fall) for k in range(4))
    return np.asarray(whole / shape.height).reshape(N_CALORIMETERS, -1)


def bin_energies(counts: NDArray[np.int32], noise: Floats | float, settings: QSettings | None = None) -> Floats:
    """What each bin is below its rolling pedestal, where that is above threshold.

    Parameters
    ----------
    counts : array (crystals, bins) [ADC counts]
    noise : float, or array (crystals, 1) [ADC counts]
        Standard deviation of a bin.
    settings : QSettings, optional

    Returns
    -------
    array (crystals, bins) [ADC counts]
        Zero where nothing is above threshold.
    """
    chosen = settings or QSettings()
    values = counts.astype(np.float64)
    level = values.mean(axis=1, keepdims=True)
    free = np.ones(values.shape)
    for _ in range(2):
        pedestal = _rolling(values - level, free, chosen) + level
        below = pedestal - values
        free = (below < chosen.threshold * noise).astype(np.float64)
    return np.where(free == 0.0, below, 0.0)


def energy_histogram(
    paths: Path | str | Iterable[Path | str],
    *,
    start: float = 30.2876e-6,
    stop: float = 650.0644e-6,
    settings: QSettings | None = None,
    reference_frequency: float = REFERENCE_FREQUENCY,
) -> MethodHistogram:
    """Energy [GeV] against time from the Q-method histograms of raw files, of all calorimeters and of each.

    The variance of a bin is the scatter of its energy among calorimeters and flushes, made smooth.

    Parameters
    ----------
    paths : path or several
        Raw files.
    start, stop : float [s]
        Whole bins between.
    settings : QSettings, optional
    reference_frequency : float [Hz]
        Of the smooth variance.

    Raises
    ------
    RawFormatError
        If a raw file is damaged.
    ValueError
        If no file has a Q-method histogram, or a bin does not fit between start and stop.
    """
    each, squares, edges = np.zeros((N_CALORIMETERS, 0)), np.zeros(0), np.zeros(0)
    parts = np.zeros(N_CALORIMETERS, np.int64)
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    for calo, bins, energy in _crates(listed, settings or QSettings(), start, stop):
        if not edges.size:
            each, squares, edges = np.zeros((N_CALORIMETERS, energy.size)), np.zeros(energy.size), bins
        each[calo] += energy
        squares += energy**2
        parts[calo] += 1
    n, total = int(parts.sum()), each.sum(axis=0)
    if not n:
        raise ValueError("no Q-method histogram in the raw files: simulate with daq.q_method = true and more fills")
    scatter = (squares - total**2 / n) * n / max(n - 1, 1)
    smooth = smooth_variance(scatter, edges, reference_frequency, noise=True)
    return MethodHistogram(
        Method.Q,
        WiggleHistogram(total, edges, smooth),
        tuple(WiggleHistogram(row, edges, smooth * k / n) for row, k in zip(each, parts, strict=True)),
    )


def _crates(
    paths: list[Path | str], settings: QSettings, start: float, stop: float
) -> Iterator[tuple[int, Floats, Floats]]:
    """Calorimeter, edges and energies of each histogram."""
    for path in paths:
        run = open_run(path)
        known = Calibration.from_odb(run.odb)
        fills = 0
        for event in run:
            fills += event.fill_type == _MUON_FILL
            for calo in range(N_CALORIMETERS):
                bank = event.q_histogram(calo + 1)
                if bank is not None:
                    energy = _energy(bank, known, calo, fills, settings)
                    yield calo, *_joined(energy, _edges(bank, known), settings.rebin, start, stop)
            fills = 0 if event.q_histogram(1) is not None else fills


def _energy(bank: QHistogram, known: Calibration, calo: int, fills: int, settings: QSettings) -> Floats:
    """Energy of a calorimeter in each bin [GeV]; none in bins with a pulse of the laser, which lights all crystals."""

    def of(values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(-1, CRYSTALS)[calo, :, None]

    noise = np.sqrt(bank.samples_per_bin * max(fills, 1) * (of(known.channels("noise")) ** 2 + 1.0 / 12.0))
    below = bin_energies(bank.counts, noise, settings) * of(known.alive)
    edges = _edges(bank, known)
    time = np.maximum(0.5 * (edges[1:] + edges[:-1]), 0.0)
    gain = 1.0 - of(known.channels("flash_amplitude")) * np.exp(-time / of(known.channels("flash_time")))
    height = of(known.counts_per_gev) * of(known.channels("out_of_fill")) * of(pulse_area(known)) * gain
    energy = (below / height).sum(axis=0) * known.energy_scale
    laser = np.count_nonzero(below, axis=0) >= LASER_CRYSTALS
    return np.asarray(np.where(laser, 0.0, energy))


def _rolling(values: Floats, free: Floats, settings: QSettings) -> Floats:
    """Mean of the free bins in the windows on both sides; 0 where there is none."""
    reach = settings.gap + settings.window

    def around(what: Floats) -> Floats:
        padded = np.pad(what, ((0, 0), (reach + 1, reach)))
        total = np.cumsum(padded, axis=1)
        n, inner = what.shape[1], settings.window
        width = 2 * settings.gap + 1
        whole = total[:, 2 * reach + 1 :] - total[:, :n]
        return np.asarray(whole - (total[:, inner + width : inner + width + n] - total[:, inner : inner + n]))

    return around(values * free) / np.maximum(around(free), 1.0)


def _edges(bank: QHistogram, known: Calibration) -> Floats:
    """Edges of the bins [s]."""
    sample = bank.first_sample - 1 - known.zero_sample + bank.samples_per_bin * np.arange(bank.counts.shape[1] + 1)
    return np.asarray(sample * known.sample_period, np.float64)


def _joined(energy: Floats, edges: Floats, rebin: int, start: float, stop: float) -> tuple[Floats, Floats]:
    """Edges and energies of joined bins between two times."""
    least = 1e-6 * (edges[1] - edges[0])
    begin, end = np.searchsorted(edges, start - least), np.searchsorted(edges, stop + least, side="right") - 1
    count = (int(end) - int(begin)) // rebin
    if count < 1:
        raise ValueError(
            f"no bin of {rebin * (edges[1] - edges[0]) * 1e9:g} ns fits between {start * 1e6:g} and {stop * 1e6:g} us: "
            "give a later stop"
        )
    chosen = slice(int(begin), int(begin) + count * rebin + 1, rebin)
    return edges[chosen], energy[begin : begin + count * rebin].reshape(count, rebin).sum(axis=1)
