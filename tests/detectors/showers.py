"""Hits on the calorimeter faces for the tests of showers and digitisation."""

import numpy as np

from detectors.shower import CALORIMETERS, ShowerSettings
from detectors.transport import Hits
from gpu.rng import FillKey

KEY = FillKey(seed=11, run=15921, subrun=2, fill=3)
PITCH = ShowerSettings().pitch_u


def straight_hits(n: int, energy: float, *, u: float = 0.0, v: float | None = None) -> Hits:
    """Return n positrons square to the face, by default into the middle of a crystal near the centre."""
    v = 0.5 * ShowerSettings().pitch_v if v is None else v
    zero = np.zeros(n)
    number, order = np.arange(n), np.zeros(n, np.int64)
    return Hits(number % CALORIMETERS, zero + u, zero + v, zero, zero, zero + energy, zero, number, zero, order)


def spread_hits(n: int, seed: int, times: tuple[float, float], mean_energy: float = 0.8) -> Hits:
    """Return n sloping positrons all over the faces with an exponential spectrum, in a range of times [s]."""
    generator = np.random.default_rng(seed)
    return Hits(
        generator.integers(0, CALORIMETERS, n),
        generator.uniform(-0.12, 0.12, n),
        generator.uniform(-0.08, 0.08, n),
        generator.normal(0.0, 0.1, n),
        generator.normal(0.0, 0.02, n),
        generator.exponential(mean_energy, n) + 0.003,
        generator.uniform(*times, n),
        generator.permutation(n),
        np.zeros(n),
        np.zeros(n, np.int64),
    )
