"""Pictures of the optics of a ring and its beam, and the files they are written to."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from gm2sim.atomic import write_bytes
from gm2sim.config import ConfigError
from gm2sim.machine import Ring
from gm2sim.optics import RingOptics, beam_of
from gm2sim.plots.beam import beam_profiles, turn_by_turn
from gm2sim.plots.optics import cbo, closed_orbit, detuning, lattice_functions, loss_scan, tune_diagram
from gm2sim.plots.style import Plot
from tracking.bunch import Bunch
from tracking.detuning import first_order, tracked_tunes, tunes_of
from tracking.optics import Lattice, Optics

FORMATS = ("png", "svg")
_FOOTPRINT = 400  # muons whose tunes are drawn
_LARGEST = 0.030  # amplitude of the picture of the detuning [m]
_SWING = 9  # turns: half a CBO period at n = 0.108, for three pictures of the cross-section


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
        write_bytes(path, plot.picture(kind, dpi=130, metadata={"Title": plot.alt}), replace=True)
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
        bunch = beam_of(ring)
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
