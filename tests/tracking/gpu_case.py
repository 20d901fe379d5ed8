"""A few muons for three or four turns, printed; run as a script on the CPU or on the CUDA simulator."""

import json
import sys
from dataclasses import replace

import numpy as np

from fields.quads import QuadSettings
from fields.ring import Ring, fibre_harps
from fields.storage import StorageField
from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.changes import Changes, DipoleChange
from tracking.muon import reference
from tracking.pulses import KickerPulses
from tracking.stations import RingTables, ring_tables
from tracking.turns import track


def tables() -> RingTables:
    """Quads and a map of order 6, with room for every order as in Run-1a: every kind of station."""
    c = np.array([1.4513, 2e-6 + 1e-6j, 1e-6j, 1e-6, 1e-6j, 1e-6, 1e-6j])
    field = StorageField.from_coefficients(c)
    return ring_tables(Ring.e989(), QuadSettings.ideal(), field, map_stations=8, electric_order=10)


def kicked_tables(wide: bool = False) -> RingTables:
    """With kickers that pulse in the first turn, plates of every order, and harps in the beam.

    Where `wide`, map and kickers have room for the orders of Run-1a: the loop compiled for its fills serves here too.
    """
    shape = (1.0, 0.0, 0.2, *([0.0] * 8 if wide else []))
    pulses = KickerPulses(shape, np.outer(np.ones(3), [0.0, -1e-4, -2e-4, 0.0]), 0.0, 4e-8)
    field = StorageField.uniform(1.4513)
    ring = replace(Ring.e989(), harps=fibre_harps())
    return ring_tables(ring, QuadSettings(), field, kickers=pulses, magnetic_order=6 if wide else 1)


def changes() -> Changes:
    """Voltages that rise and a field that fades."""
    quads = QuadSettings()

    def potential(name: str, t: np.ndarray) -> np.ndarray:
        return (1.0 - 0.2 * np.exp(-t / 1e-6))[:, None] * quads.coefficients(name)

    return Changes(np.inf, potential, (DipoleChange(1.0, 2.0, lambda t: 1e-6 * np.exp(-t / 1e-6)),))


def bunch() -> Bunch:
    """One muon stays, one stops inside a quad, one is off momentum, one hits a collimator."""
    made = Bunch.empty(4).with_momentum(np.array([0, 1e-3, -1e-3, 0]), reference(1.4513, 7.112))
    made.x[:] = [0.01, 0.02, -0.01, 0.044]
    made.y[:] = [0.01, -0.01, 0.02, 0.03]
    made.stop_time[:] = [np.inf, 2.4e-7, np.inf, np.inf]
    return made


def main(backend: str, case: str) -> None:
    """Track and print everything as JSON."""
    ring = tables() if case == "static" else kicked_tables(wide=True)
    more = {}
    if case != "static":
        key = FillKey(1, 1, 0, 0)
        more = {"changes": changes(), "metal_key": key, "harp_key": key, "plates": True}
    muons, turns = bunch(), 3 if case == "static" else 4
    if case != "static":
        muons.x[3], muons.y[3] = 0.049, 0.0  # between the plates, and in the copper of C3 in the fourth turn
    seen = track(muons, ring, turns, observers=[0.9], backend=backend, **more)
    moments = track(muons, ring, turns, observers=[0.9], moments=True, backend=backend, **more).moments
    columns = {name: getattr(seen.bunch, name) for name in Bunch._fields}
    columns |= {"seen_x": seen.samples.x, "seen_time": seen.samples.time, "alive": seen.samples.alive}
    if seen.crossings is not None:
        columns |= {f"crossed_{name}": column for name, column in seen.crossings._asdict().items()}
    columns |= {"count": moments.count, "mean_x": moments.mean_x}
    print(json.dumps({name: column.tolist() for name, column in columns.items()}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
