"""What ``gm2sim optics`` does: the optics of a configuration around the ring, its beam, and pictures of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.atomic import atomic_path
from gm2sim.config import Config, ConfigError
from gm2sim.machine import Ring, stored_beam
from gm2sim.plots.beam import beam_profiles, turn_by_turn
from gm2sim.plots.optics import cbo, closed_orbit, detuning, lattice_functions, loss_scan, tune_diagram
from gm2sim.plots.style import Plot
from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.coherent import CoherentMotion, coherent_motion
from tracking.detuning import Detuning, first_order, tracked_tunes, tunes_of
from tracking.detuning import detuning as measure_detuning
from tracking.optics import Lattice, Optics
from tracking.optics import optics as measure
from tracking.resonance import Scan, matched, scan
from tracking.source import sample
from tracking.stations import ring_tables

AZIMUTHS = 360
FORMATS = ("png", "svg")
_FEWEST, _MOST = 1, 7200  # azimuths: 20 to a degree take 4 s
_MUONS, _TURNS = 2048, 2000  # of the beam: 300 us, errors of some per cent on the CBO's amplitude
_FOOTPRINT = 400  # muons whose tunes are drawn
_LARGEST = 0.030  # amplitude of the picture of the detuning [m]
_SWING = 9  # turns: half a CBO period at n = 0.108, for three pictures of the cross-section
# A vertical oscillation that shows f_y and f_VW where the configured beam has none.
_PROBE_OFFSET, _PROBE_BREATHING = 1e-3, 0.05
_SCAN_INDEX = (0.098, 0.144)  # field indices of the scan: from below 3 nu_y = 1 to above nu_x + 3 nu_y = 2
_SCAN_MUONS, _SCAN_TURNS = 2000, 1000

_FUNCTIONS = {
    "x": "x_co_m", "px": "px_co", "y": "y_co_m", "py": "py_co", "beta_x": "beta_x_m", "alpha_x": "alpha_x",
    "beta_y": "beta_y_m", "alpha_y": "alpha_y", "phase_x": "phase_x_cycles", "phase_y": "phase_y_cycles",
    "dispersion": "dispersion_m", "dispersion_px": "dispersion_px",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RingOptics:
    """The optics of a configured ring."""

    ring: Ring
    around: Optics  # lattice at equal steps of azimuth
    detuning: Detuning
    beam: CoherentMotion | None = None
    scan: Scan | None = None

    def rows(self) -> list[tuple[str, float, float | None, str, str]]:
        """(name, value, error or None, unit, meaning) of every number."""
        rows: list[tuple[str, float, float | None, str, str]] = [
            (name, value, None, unit, meaning) for name, value, unit, meaning in self.around.rows()
        ]
        rows += self.detuning.rows()
        if self.beam is not None:
            rows += [(f"beam {name}", *rest) for name, *rest in self.beam.rows()]  # type: ignore[misc]
        return rows

    def content(self) -> dict[str, Any]:
        """Every number by name, errors under ``errors``, the functions of azimuth under ``functions``."""
        rows = self.rows()
        lattice = self.around.lattice
        found: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value, *_ in rows}
        found["errors"] = {name: error for name, _, error, *_ in rows if error is not None and math.isfinite(error)}
        found["functions"] = {"theta_deg": np.degrees(lattice.theta).tolist()} | {
            title: getattr(lattice, name).tolist() for name, title in _FUNCTIONS.items()
        }
        if self.scan is not None:
            columns = ("field_index", "nu_x", "nu_y", "lost", "lost_error", "growth_x", "growth_y")
            found["scan"] = {"voltage_v": self.scan.voltage.tolist()} | {
                name: getattr(self.scan, name).tolist() for name in columns
            }
            found["resonances"] = {line.name: place for line, place in self.scan.positions(5)}
        return found


def optics(
    config: Config,
    azimuths: int = AZIMUTHS,
    *,
    beam: bool = False,
    scan_steps: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RingOptics:
    """Optics of a configuration, from the tracker itself.

    Parameters
    ----------
    config : Config
    azimuths : int
        Places around the ring, in equal steps from the inflector exit.
    beam : bool
        Also follow a beam of 2048 muons for 2000 turns.
    scan_steps : int
        Also scan the losses over this many voltages; 0 for none.
    progress : callable, optional
        Called with (voltages done, voltages).

    Raises
    ------
    ConfigError
        A number is out of bounds, or the ring of this configuration has no stable orbit.
    """
    if not _FEWEST <= azimuths <= _MOST:
        raise ConfigError(f"--azimuths {azimuths} is out of bounds: give {_FEWEST} to {_MOST} places around the ring")
    if scan_steps < 0 or scan_steps == 1:
        raise ConfigError(f"--scan {scan_steps} is no number of voltages: give 2 or more, or 0 for no scan")
    ring = Ring(config)
    try:
        around = measure(ring.tables, azimuths)
        return RingOptics(
            ring=ring,
            around=around,
            detuning=measure_detuning(ring.tables),
            beam=coherent_motion(_bunch(ring), ring.tables, _TURNS, math.radians(config.tracking.observer_deg))
            if beam
            else None,
            scan=loss_over_voltage(ring, scan_steps, progress) if scan_steps else None,
        )
    except ValueError as err:
        raise ConfigError(f"quads.voltage_kv = {config.quads.voltage_kv}: {err}") from err


def loss_over_voltage(
    ring: Ring, steps: int, progress: Callable[[int, int], None] | None = None, muons: int = _SCAN_MUONS
) -> Scan:
    """Losses of a matched beam over quad voltages that give n = 0.098 to 0.144 (:func:`tracking.resonance.scan`).

    Raises
    ------
    ValueError
        If the quads of the ring are off.
    """
    if not ring.tables.field_index > 0.0:
        raise ValueError("the quads are off: set a voltage to scan about.")
    voltages = np.linspace(*_SCAN_INDEX, steps) / ring.tables.field_index * ring.quads.voltage
    tracking = ring.config.tracking
    return scan(
        lambda voltage: ring_tables(
            ring.layout, replace(ring.quads, voltage=voltage), ring.storage, scheme=tracking.scheme,
            refine=tracking.refine, spin=False,
        ),
        voltages, matched(stored_beam(ring.config)), muons=muons, turns=_SCAN_TURNS, progress=progress,
    )  # fmt: skip


def write_plots(found: RingOptics, folder: Path, kind: str = "png") -> list[Path]:
    """Draw all that was found into a folder, each file whole or not at all.

    Parameters
    ----------
    found : RingOptics
    folder : Path
        Made if it is not there.
    kind : str
        "png" or "svg".

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ConfigError
        The kind is not known.
    """
    if kind not in FORMATS:
        raise ConfigError(f"--format {kind} is not known: choose {' or '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, plot in plots(found).items():
        path = folder / f"{name}.{kind}"
        with atomic_path(path) as temporary:
            plot.savefig(temporary, format=kind, dpi=130, facecolor="white", metadata={"Title": plot.alt})
        paths.append(path)
    return paths


def plots(found: RingOptics) -> dict[str, Plot]:
    """Every picture of what was found, by name."""
    ring, lattice = found.ring, _closed(found.around.lattice, found.around)
    drawn = {
        "lattice": lattice_functions(lattice, ring.layout),
        "closed_orbit": closed_orbit(lattice, ring.layout),
        "detuning": _detuning(found),
    }
    if found.beam is None:
        drawn["tunes"] = tune_diagram(found.around.nu_x, found.around.nu_y)
    else:
        bunch = _bunch(ring)
        _, footprint, _ = tracked_tunes(ring.tables, found.around, bunch.select(np.arange(_FOOTPRINT)))
        drawn["tunes"] = tune_diagram(found.around.nu_x, found.around.nu_y, footprint)
        drawn["cbo"] = cbo(found.beam.windows, found.beam.lifetime, found.around.f_cbo)
        seen = found.beam
        rms_x, rms_y = np.sqrt(seen.variance_x), np.sqrt(seen.variance_y)
        drawn["turn_by_turn"] = turn_by_turn(seen.time, seen.passed, seen.mean_x, rms_x, seen.mean_y, rms_y)
        drawn["cross_section"] = _cross_section(ring, bunch)
    if found.scan is not None:
        drawn["losses"] = loss_scan(found.scan)
    return drawn


def _bunch(ring: Ring) -> Bunch:
    """The configured beam, with a small vertical swing and breathing where it has none."""
    beam = stored_beam(ring.config)
    beam = replace(beam, y_offset=beam.y_offset or _PROBE_OFFSET, breathing_y=beam.breathing_y or _PROBE_BREATHING)
    run = ring.config.run
    return sample(beam, FillKey(run.seed, run.run, 0, 0), _MUONS, ring.optics())


def _closed(lattice: Lattice, around: Optics) -> Lattice:
    """The same with theta = 2 pi at the end, for a curve all around."""
    columns = {name: np.append(column, column[0]) for name, column in lattice._asdict().items()}
    columns["theta"][-1] = 2.0 * math.pi
    columns["phase_x"][-1], columns["phase_y"][-1] = around.nu_x, around.nu_y
    return Lattice(**columns)


def _detuning(found: RingOptics) -> Plot:
    """Tune shifts along both amplitudes, up to 30 mm, beside first-order perturbation."""
    tables, quads = found.ring.tables, found.ring.quads
    mean_beta = found.detuning.mean_beta
    amplitude = np.linspace(0.002, _LARGEST, 15)
    small = np.full_like(amplitude, 1e-3)
    shifts, expected = [], []
    for pair in ((amplitude, small), (small, amplitude)):
        actions, tunes, _ = tunes_of(tables, found.around, np.stack(pair, axis=1) ** 2 / (2.0 * mean_beta))
        shifts.append(tunes - found.detuning.nu)
        expected.append(first_order(tables, quads, actions, storage=found.ring.storage))
    return detuning(amplitude, shifts[0], shifts[1], expected[0], expected[1])


def _cross_section(ring: Ring, bunch: Bunch) -> Plot:
    """The beam at the inflector exit in the first turn and half a CBO period later, twice."""
    forever = bunch._replace(stop_time=np.full(bunch.n, np.inf))
    seen = ring.track(forever, 2 * _SWING + 1, every=_SWING, progress=False).samples
    assert seen is not None
    return beam_profiles(
        [
            (
                max(float(seen.time[0, k][seen.alive[0, k]].mean()), 0.0),
                *(v[0, k][seen.alive[0, k]] for v in (seen.x, seen.y)),
            )
            for k in range(seen.x.shape[1])
        ]
    )
