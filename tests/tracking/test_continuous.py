"""The ring with quads all around: tunes and circular orbits are known in closed form."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch import Bunch
from tracking.frequency import smooth_window, tune
from tracking.muon import LIGHT_SPEED, MASS, RIGIDITY, magic_momentum, reference
from tracking.stations import RingTables, ring_tables
from tracking.turns import track

N = 0.108
ANOMALY = 0.00116592059
RING = Ring.continuous()
B0 = magic_momentum(ANOMALY) / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)


@cache
def tables(refine: int, n: float = N) -> RingTables:
    quads = QuadSettings.ideal(n, RING, B0, REF.beta0)
    return ring_tables(RING, quads, StorageField.uniform(B0), refine=refine, anomaly=ANOMALY)


def circular_orbit(delta: float, n: float = N) -> tuple[float, float]:
    """Radius offset [m] and omega_a [rad/s] of the circular orbit with kinetic momentum p0 (1 + delta).

    Force balance p v / r = e v B0 - e E with E = kappa (r - R0), and the T-BMT rate for beta, B, E at
    right angles: omega_a = (e/m)[a B0 - (a - 1/(gamma^2 - 1)) beta E/c] (Jackson eq. 11.171 in the plane).
    """
    mass = MASS / REF.p0_gev
    p = 1.0 + delta
    energy = math.hypot(p, mass)
    beta, gamma = p / energy, energy / mass
    kappa = n * REF.beta0  # units of c B0 / R0
    u = brentq(lambda u: p / (1.0 + u) - 1.0 + kappa * u / beta, -0.02, 0.02, xtol=1e-17, rtol=1e-15)
    rate = (ANOMALY - (ANOMALY - 1.0 / (gamma**2 - 1.0)) * beta * kappa * u) / mass
    return u * RING.radius, rate * LIGHT_SPEED / RING.radius


def test_closed_form_is_the_published_comparison() -> None:
    # The same orbits were computed by two independent codes with 1e-13 m and 1e-10 ppm printed.
    for delta, x_mm, ppm in ((-1e-3, -7.9720133549, -0.2422006355), (5e-3, 39.892535365, -6.0058206117)):
        x, rate = circular_orbit(delta)
        assert math.isclose(1e3 * x, x_mm, abs_tol=2e-9)
        assert math.isclose(1e6 * (rate / circular_orbit(0.0)[1] - 1.0), ppm, abs_tol=2e-9)


def _on_orbits(deltas: tuple[float, ...], refine: int, n: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean radius [m] and omega_a [rad/s] of muons started on the circular orbits."""
    bunch = Bunch.empty(len(deltas))
    kappa = n * REF.beta0
    for k, delta in enumerate(deltas):
        x, _ = circular_orbit(delta, n)
        bunch.x[k] = x
        # total energy: kinetic at the orbit plus potential -kappa x^2/2
        bunch.energy[k] = REF.p0_gev * (
            math.hypot(1.0 + delta, MASS / REF.p0_gev) - 0.5 * kappa * (x / RING.radius) ** 2
        )
    turns = 600
    seen = track(bunch, tables(refine, n), turns + 1, observers=[0.0], collimators=False).samples
    assert seen is not None
    ps = np.sqrt(1.0 - seen.px**2 - seen.py**2)
    sine, cosine = seen.px * seen.ss - seen.sx * ps, seen.ss * ps + seen.sx * seen.px
    phase = np.unwrap(np.arctan2(sine, cosine), axis=1)[0]
    weights = smooth_window(turns)
    rate = (weights @ np.diff(phase, axis=0)) / (weights @ np.diff(seen.time[0], axis=0))
    return smooth_window(turns + 1) @ seen.x[0], rate


@pytest.mark.parametrize("n", [0.05, 0.108, 0.15])
def test_equilibrium_radius_and_precession_are_those_of_circular_orbits(n: float) -> None:
    deltas = (0.0, -5e-3, -1e-3, 1e-3, 5e-3)
    x, rate = _on_orbits(deltas, 8, n)
    for k, delta in enumerate(deltas):
        x_true, rate_true = circular_orbit(delta, n)
        assert abs(x[k] - x_true) < 1e-9
        shift, true = rate[k] / rate[0] - 1.0, rate_true / circular_orbit(0.0, n)[1] - 1.0
        assert abs(shift - true) < 1e-11  # 1e-5 ppm
        assert abs(rate[k] / rate_true - 1.0) < 1e-11


@pytest.mark.parametrize(("refine", "limit"), [(1, 1e-7), (4, 1e-9)])
def test_tunes_are_sqrt_of_1_minus_n_and_of_n(refine: int, limit: float) -> None:
    bunch = Bunch.empty(1)._replace(x=np.array([1e-3]), y=np.array([1e-3])).with_momentum(0.0, REF)
    seen = track(bunch, tables(refine), 4000, observers=[0.0], collimators=False).samples
    assert seen is not None
    # At 1 mm the amplitude detuning is below 1e-9.
    assert abs(1.0 - tune(seen.x[0, :, 0]).tune - math.sqrt(1.0 - N)) < limit
    assert abs(tune(seen.y[0, :, 0]).tune - math.sqrt(N)) < limit
