"""Light reconstruction: decoded islands to pulses, pulses to positrons, with the file's own calibration.

No truth is used. As in the experiment (N. Kinnaird, dissertation 2020, nkinnaird/Dissertation @8f8e9eb): each
crystal of an island is fitted with a pulse template, crystals within 2.5 ns make one positron, its time is
that of the highest crystal, its place the mean of the crystals weighted by the logarithm of their energy
share.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.gain import flash_sag, gain_factor, undo_gains
from detectors.shower import COLUMNS, CRYSTALS, ROWS
from gm2sim.calibration import Calibration
from gm2sim.clusters import Clusters as Clusters
from gm2sim.clusters import load_clusters as load_clusters
from gm2sim.clusters import save_clusters as save_clusters
from gm2sim.pulsefit import Found, Templates, Waveforms, fit_pulses, height_at, template_of
from gm2sim.raw import Event, open_run
from gpu.kernel import Kernel, read_only, scalar

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIME_WINDOW = 2.5e-9
"""Crystals of one positron are within this time of its highest crystal [s]."""
LASER_CRYSTALS = 40
"""So many crystals at once are a pulse of the laser: no positron lights half as many."""
_CRYSTAL_SIZE = 0.2264 / COLUMNS  # [m], lyon-fnal/gm2geom @17163ed
_LOG_WEIGHT = 4.0  # crystals below exp(-4) of the positron's energy have no say in its place
_NEAR = 8.0  # samples: a crystal with a pulse so close is not read at another's time
_LASER_TIME = 25e-9  # [s] around a pulse of the laser in which a calorimeter shows nothing else: length of an island
_SEED_ENERGY = 0.05  # [GeV], the threshold that opens an island


class CrystalPulses(NamedTuple):
    """Fitted pulses of a fill, sorted by calorimeter, island and crystal: arrays (n,).

    Attributes
    ----------
    calo, island, crystal : int64 arrays
        Calorimeter 0..23, island counted through all calorimeters of the fill, crystal 0..53.
    start : array [samples]
        Start of the pulse after the island's first sample.
    time : array [s]
        Since injection.
    energy : array [GeV]
    chi2 : array
        Per degree of freedom of the fit.
    """

    calo: Ints
    island: Ints
    crystal: Ints
    start: Floats
    time: Floats
    energy: Floats
    chi2: Floats


class FillWaveforms(NamedTuple):
    """The islands of all calorimeters of a fill behind one another.

    Attributes
    ----------
    samples : int16 array
        In the order island, crystal, sample [ADC counts].
    first, length, time, calo : int64 arrays (k,)
        Of each island: place of its first sample in ``samples``, samples a crystal, number of its first
        sample in the fill, calorimeter 0..23.
    pedestal : array (24, 54) [ADC counts]
    """

    samples: NDArray[np.int16]
    first: Ints
    length: Ints
    time: Ints
    calo: Ints
    pedestal: Floats


class _Candidates(NamedTuple):
    energy: Floats
    time: Floats
    x: Floats
    y: Floats
    multiplicity: Ints
    used: Ints
    share: Floats


class _Channels(NamedTuple):
    """What reading a quiet crystal at another's time needs: flat arrays over the channels."""

    alive: NDArray[np.bool_]
    counts_per_gev: Floats
    late: Floats  # [samples]
    flash_amplitude: Floats
    flash_time: Floats
    out_of_fill: Floats

    @classmethod
    def of(cls, known: Calibration) -> "_Channels":
        """Taken from a calibration."""
        return cls(
            known.alive, known.channels("counts_per_gev"), known.channels("time_offset") / known.sample_period,
            known.channels("flash_amplitude"), known.channels("flash_time"), known.channels("out_of_fill"),
        )  # fmt: skip


@scalar
def _quiet_neighbours(
    seed: int,
    begin: int,
    end: int,
    pulses: CrystalPulses,
    waves: FillWaveforms,
    channels: _Channels,
    t: Templates,
) -> float:
    """Energy in those of the eight crystals around the highest that have no pulse of their own [GeV]."""
    total = 0.0
    island, centre, calo = pulses.island[seed], pulses.crystal[seed], pulses.calo[seed]
    for crystal in range(CRYSTALS):
        near = abs(crystal % COLUMNS - centre % COLUMNS) <= 1 and abs(crystal // COLUMNS - centre // COLUMNS) <= 1
        for j in range(begin, end):
            if pulses.crystal[j] == crystal and abs(pulses.start[j] - pulses.start[seed]) < _NEAR:
                near = False
        k = CRYSTALS * calo + crystal
        if near and channels.alive[k]:
            first = waves.first[island] + crystal * waves.length[island]
            height = height_at(
                waves.samples,
                first,
                waves.length[island],
                waves.pedestal[calo, crystal],
                pulses.start[seed] + channels.late[k] - channels.late[CRYSTALS * calo + centre],
                template_of(t, k),
            )
            sag = flash_sag(pulses.time[seed], channels.flash_amplitude[k], channels.flash_time[k])
            total += height / (channels.counts_per_gev[k] * gain_factor(0.0, sag, channels.out_of_fill[k]))
    return total


@Kernel
def _cluster(
    i: int,
    bounds: Ints,
    pulses: CrystalPulses,
    waves: FillWaveforms,
    channels: _Channels,
    t: Templates,
    window: float,
    out: _Candidates,
) -> None:
    """Cluster the pulses of island i around the highest, then the highest of the rest, and so on."""
    begin, end = bounds[i], bounds[i + 1]
    for _ in range(end - begin):
        seed = -1
        highest = _SEED_ENERGY
        for j in range(begin, end):
            if out.used[j] == 0 and pulses.energy[j] > highest:
                seed, highest = j, pulses.energy[j]
        if seed < 0:
            break
        time, total, count = pulses.time[seed], 0.0, 0
        for j in range(begin, end):
            if out.used[j] == 0 and abs(pulses.time[j] - time) < window:
                total += pulses.energy[j]
                count += 1
        weight = x = y = 0.0
        for j in range(begin, end):
            if out.used[j] == 0 and abs(pulses.time[j] - time) < window:
                w = max(0.0, _LOG_WEIGHT + math.log(pulses.energy[j] / total))
                weight += w
                x += w * (pulses.crystal[j] % COLUMNS)
                y += w * (pulses.crystal[j] // COLUMNS)
                out.used[j] = 1
        quiet = _quiet_neighbours(seed, begin, end, pulses, waves, channels, t)
        out.energy[seed], out.time[seed], out.multiplicity[seed] = total + quiet, time, count
        out.share[seed] = highest / total
        out.x[seed] = (x / weight - 0.5 * (COLUMNS - 1)) * _CRYSTAL_SIZE
        out.y[seed] = (y / weight - 0.5 * (ROWS - 1)) * _CRYSTAL_SIZE


def fit_fill(waves: FillWaveforms, calibration: Calibration) -> CrystalPulses:
    """Fit all pulses of one fill and undo their gains, pulse by pulse in each channel.

    Dead channels are left out; noisy ones have a threshold of their own.

    Parameters
    ----------
    waves : FillWaveforms
    calibration : Calibration
    """
    if not len(waves.length):
        none, no = np.zeros(0), np.zeros(0, np.int64)
        return CrystalPulses(no, no, no, none, none, none, none)
    rows = np.repeat(waves.length, CRYSTALS)
    first = np.cumsum(rows) - rows
    lowest = np.minimum.reduceat(waves.samples, first)
    island = np.repeat(np.arange(len(waves.length)), CRYSTALS)
    crystal = np.tile(np.arange(CRYSTALS), len(waves.length))
    level = waves.pedestal[waves.calo[island], crystal]
    channel = CRYSTALS * waves.calo[island] + crystal
    templates = calibration.templates
    seen = np.flatnonzero((level - lowest > templates.threshold[channel]) & calibration.alive[channel])
    found = Found.empty(len(seen))
    rows_seen = Waveforms(waves.samples, first[seen], rows[seen], level[seen], channel[seen])
    fit_pulses(len(seen), read_only(rows_seen), read_only(templates), found)
    row, slot = np.nonzero(found.height > 0)
    of = seen[row]
    start, channel = found.start[row, slot], channel[of]
    height = found.height[row, slot] / calibration.channels("counts_per_gev")[channel]
    sample = waves.time[island[of]] + start - calibration.zero_sample
    time = sample * calibration.sample_period - calibration.channels("time_offset")[channel]
    return CrystalPulses(
        calo=waves.calo[island[of]],
        island=island[of],
        crystal=crystal[of],
        start=start,
        time=time - calibration.delay,
        energy=undo_gains(channel, time, height, calibration.gains),
        chi2=found.chi2[row, slot],
    )


def cluster(
    pulses: CrystalPulses,
    waves: FillWaveforms,
    calibration: Calibration,
    fill: int,
    window: float = TIME_WINDOW,
) -> Clusters:
    """Join the crystals of each positron; quiet crystals beside the highest are read at its time.

    Parameters
    ----------
    pulses : CrystalPulses
        Of one fill.
    waves : FillWaveforms
        Where the pulses were found.
    calibration : Calibration
    fill : int
        Event serial, copied to every cluster.
    window : float [s]
        Largest distance in time from the highest crystal.
    """
    n = len(pulses.time)
    islands, first = np.unique(pulses.island, return_index=True)
    bounds = np.append(first, n).astype(np.int64)
    energy, time, x, y, share = np.zeros((5, n))
    out = _Candidates(energy, time, x, y, np.zeros(n, np.int64), np.zeros(n, np.int64), share)
    channels, templates = _Channels.of(calibration), calibration.templates
    _cluster(
        len(islands), bounds, pulses, read_only(waves), read_only(channels), read_only(templates), float(window), out
    )
    seeds = np.flatnonzero(out.multiplicity)
    return Clusters(
        fill=np.full(len(seeds), fill, np.int64),
        calo=pulses.calo[seeds],
        energy=calibration.true_energy(energy[seeds]),
        time=time[seeds],
        x=x[seeds],
        y=y[seeds],
        multiplicity=out.multiplicity[seeds],
        share=share[seeds],
    )


def reconstruct_fill(event: Event, calibration: Calibration) -> Clusters:
    """Positron candidates of one muon fill of a raw file, pulses of the laser left out; none in other fills."""
    waves = gather(event)
    found = cluster(fit_fill(waves, calibration), waves, calibration, event.serial)
    laser = np.flatnonzero(found.multiplicity >= LASER_CRYSTALS)
    # What the fits of its 54 pulses leave would be taken for positrons some nanoseconds later.
    beside = (found.calo[:, None] == found.calo[laser]) & (
        np.abs(found.time[:, None] - found.time[laser]) < _LASER_TIME
    )
    return found.select(~beside.any(axis=1))


def reconstruct(
    paths: Path | str | Iterable[Path | str],
    calibration: Calibration | None = None,
    save: Path | None = None,
    *,
    true_clock: bool = False,
    skip: Collection[int] = (),
) -> Clusters:
    """Find the positrons of raw files.

    Parameters
    ----------
    paths : path or several
        Raw files, in the order wanted.
    calibration : Calibration, optional
        In place of the one in each file.
    save : Path, optional
        HDF5 file to write the clusters to.
    true_clock : bool
        Undo the detuning of the clock; without it times are those of the nominal clock, as in the experiment
        before unblinding.
    skip : collection of int
        Serial numbers of events that are left out, for data quality.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ValueError
        A file without calibration.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    clusters = Clusters.concatenate(part for path in listed for part in _fills(path, calibration, true_clock, skip))
    if save is not None:
        save_clusters(save, clusters)
    return clusters


def _fills(
    path: Path | str, calibration: Calibration | None, true_clock: bool, skip: Collection[int]
) -> Iterator[Clusters]:
    run = open_run(path)
    known = calibration or Calibration.from_odb(run.odb)
    if true_clock:
        known = known.with_true_clock()
    for event in run:
        if event.serial not in skip:
            yield reconstruct_fill(event, known)


def gather(event: Event) -> FillWaveforms:
    """Put the islands of all calorimeters of a decoded fill behind one another."""
    pieces: list[NDArray[np.int16]] = []
    length: list[int] = []
    time: list[int] = []
    calo: list[int] = []
    pedestal = np.zeros((24, CRYSTALS))
    for crate in event.crates:
        islands = event.islands(crate)
        pedestal[crate - 1] = event.pedestals(crate)
        pieces += [island.samples.ravel() for island in islands]
        length += islands.length.tolist()
        time += islands.time.tolist()
        calo += [crate - 1] * len(islands)
    lengths = np.array(length, np.int64)
    return FillWaveforms(
        samples=np.concatenate([np.zeros(0, np.int16), *pieces]),
        first=CRYSTALS * (np.cumsum(lengths) - lengths),
        length=lengths,
        time=np.array(time, np.int64),
        calo=np.array(calo, np.int64),
        pedestal=pedestal,
    )
