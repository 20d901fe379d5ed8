"""Asymmetry of what the calorimeters see, with trackers, photons and entry through sides, and without.

python -m benchmarks.asymmetry [DECAYS]

Muons of the stored beam of run1a decay with their spins evenly over all directions in the plane of the ring; what
reaches one calorimeter of one decay is added up. Of n sums above threshold the asymmetry is 2 |mean exp(i alpha)|, with
an error of sqrt(2/n), alpha the angle of the spin.
"""

import math
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from decay.positron import decay
from detectors.transport import fly_positrons
from gm2sim.config import load
from gm2sim.setup import Setup
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.source import sample

_AT_ONCE = 100_000
_THRESHOLD = 1.7  # [GeV]
_BARE = {"transport.photons": False, "transport.side_entry": False, "transport.trackers": False}


def _decayed(setup: Setup, n: int, fill: int) -> tuple[Bunch, NDArray[np.float64]]:
    """Muons of the stored beam that decay where they are, evenly around the ring, and the angles of their spins."""
    rng = np.random.default_rng([7, fill])
    muons = sample(setup.beam, FillKey(7, 1, 0, fill), n, setup.ring.optics())
    angle = rng.uniform(0.0, 2.0 * math.pi, muons.n)
    muons.state[:], muons.theta[:] = State.DECAYED, rng.uniform(0.0, 2.0 * math.pi, muons.n)
    muons.sx[:], muons.sy[:], muons.ss[:] = np.sin(angle), 0.0, np.cos(angle)
    return muons, angle


def measure(changes: dict[str, object], decays: int) -> tuple[float, float, float]:
    """Sums above threshold for each decay, their asymmetry, and its error."""
    setup = Setup.of(load("run1a", changes))
    seen, vector, born = 0, 0.0j, 0
    for fill in range(-(-decays // _AT_ONCE)):
        muons, angle = _decayed(setup, min(_AT_ONCE, decays), fill)
        key = FillKey(7, 1, 0, fill)
        positrons = decay(muons, setup.ring.reference, key, setup.config.beam.polarization)
        hits = fly_positrons(positrons, setup.fields, setup.geometry, key, setup.transport, setup.stations).hits
        place, row = np.unique(hits.number * 24 + hits.calo, return_inverse=True)
        above = np.bincount(row, hits.energy) > _THRESHOLD
        of = np.zeros(int(muons.number.max()) + 1)
        of[muons.number] = angle
        vector += complex(np.exp(1j * of[place[above] // 24]).sum())
        seen, born = seen + int(above.sum()), born + muons.n
    return seen / born, 2.0 * abs(vector) / seen, math.sqrt(2.0 / seen)


def main(decays: int = 600_000, say: Callable[[str], None] = print) -> None:
    """Print both."""
    for name, changes in (("everything", {}), ("positrons at front faces alone", _BARE)):
        share, asymmetry, error = measure(dict(changes), decays)
        say(f"{name}: {share:.4f} above {_THRESHOLD} GeV a decay, asymmetry {asymmetry:.4f} +- {error:.4f}")


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 600_000)
