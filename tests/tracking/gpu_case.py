"""A few muons for three turns, printed; run as a script on the CPU or on the CUDA simulator."""

import json
import sys

import numpy as np

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch import Bunch
from tracking.muon import reference
from tracking.stations import RingTables, ring_tables
from tracking.turns import track


def tables() -> RingTables:
    """Quads and a map of order 5: every kind of station."""
    c = np.array([1.4513, 2e-6 + 1e-6j, 1e-6j, 1e-6, 1e-6j, 1e-6])
    return ring_tables(Ring.e989(), QuadSettings.ideal(), StorageField.from_coefficients(c), map_stations=8)


def bunch() -> Bunch:
    """One muon stays, one stops inside a quad, one is off momentum, one hits a collimator."""
    made = Bunch.empty(4).with_momentum(np.array([0, 1e-3, -1e-3, 0]), reference(1.4513, 7.112))
    made.x[:] = [0.01, 0.02, -0.01, 0.044]
    made.y[:] = [0.01, -0.01, 0.02, 0.03]
    made.stop_time[:] = [np.inf, 2.4e-7, np.inf, np.inf]
    return made


def main(backend: str) -> None:
    """Track and print everything as JSON."""
    seen = track(bunch(), tables(), 3, observers=[0.9], backend=backend)
    moments = track(bunch(), tables(), 3, observers=[0.9], moments=True, backend=backend).moments
    columns = {name: getattr(seen.bunch, name) for name in Bunch._fields}
    columns |= {"seen_x": seen.samples.x, "seen_time": seen.samples.time, "alive": seen.samples.alive}
    columns |= {"count": moments.count, "mean_x": moments.mean_x}
    print(json.dumps({name: column.tolist() for name, column in columns.items()}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
