"""From the raw files of a folder to the anomalous precession frequency, without a look at the truth."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gm2sim.config import Config, ConfigError, load
from gm2sim.machine import layout, quad_settings
from gm2sim.reco import Clusters, reconstruct
from gm2sim.wiggle import (
    REFERENCE_FREQUENCY,
    WiggleFit,
    WiggleHistogram,
    fit_wiggle,
    histogram,
    randomise_times,
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
    histogram : WiggleHistogram
        Positrons above the configured threshold, times randomised by one cyclotron period.
    fit : WiggleFit or None
        None when there are too few positrons; ``verdict`` then says so.
    verdict : str
        One line for people.
    """

    clusters: Clusters
    histogram: WiggleHistogram
    fit: WiggleFit | None
    verdict: str


def analyse(folder: Path, config: Config | None = None) -> Analysis:
    """Reconstruct all raw files of a folder and fit the wiggle.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    config : Config, optional
        In place of the folder's config.toml: its [fit] says which energies and times are used.

    Raises
    ------
    ConfigError
        If the folder holds no raw file or no configuration.
    RawFormatError
        If a raw file is damaged.
    """
    config = config or configuration(folder)
    clusters = reconstruct(raw_files(folder))
    time = randomise_times(clusters.time, clusters.fill, config.run.seed)
    data = histogram(
        time,
        clusters.energy,
        threshold=config.fit.threshold_gev,
        start=config.fit.start_us * 1e-6,
        stop=config.fit.stop_us * 1e-6,
    )
    try:
        fitted = fit_wiggle(data, cbo_frequency=cbo_frequency(config), reference_frequency=reference_frequency(config))
    except ValueError as err:
        return Analysis(clusters, data, None, str(err))
    return Analysis(clusters, data, fitted, _verdict(fitted))


def fit(folder: Path) -> dict[str, Any]:
    """Reconstruct the raw files of a run and fit the anomalous precession frequency.

    Parameters
    ----------
    folder : Path
        Output folder of a run.

    Returns
    -------
    dict
        ``parameters``: name, value, error, unit of each; ``verdict``; and what :meth:`WiggleFit.summary` has.

    Raises
    ------
    ConfigError
        If there is nothing to fit, or too few positrons.
    """
    found = analyse(Path(folder))
    if found.fit is None:
        raise ConfigError(f"'{folder}': {found.verdict}")
    rows = [(name, *found.fit[name], _UNITS.get(name, "")) for name in found.fit.names]
    omega, error = found.fit.omega_a
    rows.insert(0, ("omega_a", omega, error, "rad/s"))
    return found.fit.summary() | {"verdict": found.verdict, "parameters": rows}


def configuration(folder: Path) -> Config:
    """The configuration that a run left in its folder."""
    path = Path(folder) / "config.toml"
    if not path.is_file():
        raise ConfigError(f"'{folder}' holds no run (no config.toml): name the folder given to --out")
    return load(path)


def raw_files(folder: Path) -> list[Path]:
    """Raw files of a run in order of subrun."""
    found = sorted(Path(folder).glob("gm2_run*.mid"))
    if not found:
        raise ConfigError(f"'{folder}' holds no raw file gm2_run*.mid: simulate with gm2sim run first")
    return found


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


def _verdict(found: WiggleFit) -> str:
    r, error = found.r_ppm
    trust = "" if found.valid else ", but the minimum is not to be trusted"
    return (
        f"R = {r:.2f} +- {error:.2f} ppm from {found.positrons} positrons, chi2/ndf = "
        f"{found.chi2:.1f}/{found.ndf}, "
        f"probability {found.probability:.3f}{trust}"
    )
