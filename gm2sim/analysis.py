"""From the raw files of a folder to the anomalous precession frequency, without a look at the truth."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gm2sim.config import Config, ConfigError
from gm2sim.machine import layout, quad_settings
from gm2sim.methods import Method, closed_form_asymmetry, event_histogram
from gm2sim.outputs import configuration, raw_files
from gm2sim.pileup import PileupSettings
from gm2sim.reco import Clusters, reconstruct
from gm2sim.wiggle import (
    REFERENCE_FREQUENCY,
    WiggleFit,
    WiggleHistogram,
    fit_wiggle,
)
from tracking.muon import LIGHT_SPEED, MASS, RIGIDITY, Reference, reference

_UNITS = {"tau_us": "us", "r_ppm": "ppm", "phase_rad": "rad", "cbo_tau_us": "us", "cbo_khz": "kHz",
          "cbo_phase_rad": "rad"}  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """What the raw files of a run gave.

    Attributes
    ----------
    clusters : Clusters
        None of the Q method.
    histogram : WiggleHistogram
        Of the T method unless said otherwise: positrons above the configured threshold, times randomised by one
        cyclotron period.
    fit : WiggleFit or None
        None when there are too few positrons; ``verdict`` then says so.
    verdict : str
        One line for people.
    """

    clusters: Clusters
    histogram: WiggleHistogram
    fit: WiggleFit | None
    verdict: str


def analyse(
    folder: Path,
    config: Config | None = None,
    method: Method | str = Method.T,
    pileup: bool = False,
    quality: Path | str | None = None,
) -> Analysis:
    """Reconstruct all raw files of a folder and fit the wiggle.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    config : Config, optional
        In place of the folder's config.toml: its [fit] says which energies and times are used.
    method : Method or str
        T, A or Q, see :mod:`gm2sim.methods`.
    pileup : bool
        Subtract pileup by the shadow window (T and A).
    quality : path or address, optional
        Database of data quality: fills with a flag are left out (T and A).

    Raises
    ------
    ConfigError
        If the folder holds no raw file or no configuration, the method is not known, or the Q method has no histograms
        or is to be corrected for pileup.
    RawFormatError
        If a raw file is damaged.
    """
    chosen = named_method(method)
    if pileup and chosen is Method.Q:
        raise ConfigError("--pileup has nothing to act on in the Q method, which sums energy: leave it out")
    config, raw = config or configuration(folder), raw_files(folder)
    clusters, data = _histogram(
        raw, config, chosen, PileupSettings() if pileup else None, _skipped(raw, quality, chosen)
    )
    try:
        fitted = fit_wiggle(data, cbo_frequency=cbo_frequency(config), reference_frequency=reference_frequency(config))
    except ValueError as err:
        return Analysis(clusters, data, None, str(err))
    return Analysis(clusters, data, fitted, _verdict(fitted, chosen))


def named_method(method: Method | str) -> Method:
    """The method of a name, in small letters or large ones.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    try:
        return Method(str(method).upper())
    except ValueError:
        raise ConfigError(f"--method {method} is not known: choose T, A or Q") from None


def _skipped(raw: list[Path], quality: Path | str | None, method: Method) -> Collection[int]:
    """Events that data quality leaves out."""
    if quality is None:
        return ()
    if method is Method.Q:
        raise ConfigError("--quality cannot act on the Q method, whose histograms sum several fills: leave it out")
    from gm2sim.quality.folder import events_to_skip

    return events_to_skip(raw, quality)


def _histogram(
    raw: list[Path], config: Config, method: Method, pileup: PileupSettings | None, skip: Collection[int]
) -> tuple[Clusters, WiggleHistogram]:
    """Clusters, where the method wants them, and the wiggle of all calorimeters."""
    start, stop, reference = config.fit.start_us * 1e-6, config.fit.stop_us * 1e-6, reference_frequency(config)
    if method is Method.Q:
        from gm2sim.q_method import energy_histogram

        try:
            found = energy_histogram(raw, start=start, stop=stop, reference_frequency=reference)
        except ValueError as err:
            raise ConfigError(f"'{raw[0].parent}': {err}") from None
        return Clusters.empty(), found.total
    clusters = reconstruct(raw, skip=skip)
    weight = closed_form_asymmetry(design_reference(config).gamma0) if method is Method.A else None
    made = event_histogram(
        clusters,
        method=method,
        threshold=config.fit.threshold_gev,
        start=start,
        stop=stop,
        seed=config.run.seed,
        pileup=pileup,
        weight=weight,
        reference_frequency=reference,
    )
    return clusters, made.total


def fit(
    folder: Path, method: Method | str = Method.T, pileup: bool = False, quality: Path | str | None = None
) -> dict[str, Any]:
    """Reconstruct the raw files of a run and fit the anomalous precession frequency.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    method : Method or str
        T, A or Q.
    pileup : bool
        Subtract pileup by the shadow window.
    quality : path or address, optional
        Database of data quality: fills with a flag are left out.

    Returns
    -------
    dict
        ``parameters``: name, value, error, unit of each; ``verdict``; ``method``; and what
        :meth:`WiggleFit.summary` has.

    Raises
    ------
    ConfigError
        If there is nothing to fit, or too few positrons.
    """
    found = analyse(Path(folder), method=method, pileup=pileup, quality=quality)
    if found.fit is None:
        raise ConfigError(f"'{folder}': {found.verdict}")
    rows = [(name, *found.fit[name], _UNITS.get(name, "")) for name in found.fit.names]
    omega, error = found.fit.omega_a
    rows.insert(0, ("omega_a", omega, error, "rad/s"))
    return found.fit.summary() | {
        "method": str(named_method(method)), "pileup_subtracted": pileup, "verdict": found.verdict, "parameters": rows,
    }  # fmt: skip


def design_reference(config: Config) -> Reference:
    """The muon that circles at the design radius in the configured field."""
    return reference(config.magnet.field_t, layout(config).radius)


def field_index(config: Config) -> float:
    """Field index that the configured quad voltage makes."""
    beta = design_reference(config).beta0
    return quad_settings(config).field_index(layout(config), config.magnet.field_t, beta)


def cbo_frequency(config: Config) -> float:
    """Frequency of the coherent radial oscillation of a smooth ring, f_c [1 - sqrt(1 - n)] [Hz]."""
    return (1 - math.sqrt(1 - min(field_index(config), 0.9))) / design_reference(config).period


def precession_frequency(config: Config) -> float:
    """Anomalous precession frequency put in, a_mu e B / (2 pi m) [Hz], before beam dynamics corrections."""
    cyclotron_at_rest = RIGIDITY * config.magnet.field_t / MASS * LIGHT_SPEED
    return config.physics.anomaly * cyclotron_at_rest / (2 * math.pi)


def reference_frequency(config: Config) -> float:
    """The published 0.2291 MHz, or the frequency put in where that differs by more than 1 % [Hz]."""
    expected = precession_frequency(config)
    return REFERENCE_FREQUENCY if abs(expected / REFERENCE_FREQUENCY - 1) < 0.01 else expected


def _verdict(found: WiggleFit, method: Method) -> str:
    r, error = found.r_ppm
    trust = "" if found.valid else ", but the minimum is not to be trusted"
    what = {Method.T: "positrons", Method.A: "positrons by effect (A)", Method.Q: "positrons by effect (Q)"}[method]
    return (
        f"R = {r:.2f} +- {error:.2f} ppm from {found.positrons} {what}, chi2/ndf = "
        f"{found.chi2:.1f}/{found.ndf}, "
        f"probability {found.probability:.3f}{trust}"
    )
