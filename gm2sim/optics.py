"""What ``gm2sim optics`` measures: the optics of a configuration around the ring, its beam, and losses over n."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gm2sim.config import Config, ConfigError
from gm2sim.machine import Ring, stored_beam
from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.coherent import CoherentMotion, coherent_motion
from tracking.detuning import Detuning, detuning
from tracking.optics import Optics
from tracking.optics import optics as measure
from tracking.resonance import Scan, matched, scan
from tracking.source import sample
from tracking.stations import ring_tables

AZIMUTHS = 360
_FEWEST, _MOST = 1, 7200  # azimuths: 20 to a degree take 4 s
_MUONS, _TURNS = 2048, 2000  # of the beam: 300 us, errors of some per cent on the CBO's amplitude
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
            detuning=detuning(ring.tables),
            beam=coherent_motion(beam_of(ring), ring.tables, _TURNS, math.radians(config.tracking.observer_deg))
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


def beam_of(ring: Ring) -> Bunch:
    """2048 muons of the configured beam, with a small vertical swing and breathing where it has none."""
    beam = stored_beam(ring.config)
    beam = replace(beam, y_offset=beam.y_offset or _PROBE_OFFSET, breathing_y=beam.breathing_y or _PROBE_BREATHING)
    run = ring.config.run
    return sample(beam, FillKey(run.seed, run.run, 0, 0), _MUONS, ring.optics())
