"""Positrons of decayed muons in the lab."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from decay import michel
from decay.positron import around, decay
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import MASS, POSITRON_MASS, reference

REFERENCE = reference(1.4513, 7.112)
# chi2 probabilities over 100 fills are flat (Kolmogorov 0.8): this seed stays inside the 0.1 % tails.
KEY = FillKey(seed=7, run=1, subrun=0, fill=0)


def muons(n: int, spin: tuple[float, float, float]) -> Bunch:
    bunch = Bunch.empty(n).with_momentum(0.0, REFERENCE)
    bunch.state[:] = State.DECAYED
    bunch.sx[:], bunch.sy[:], bunch.ss[:] = spin
    return bunch


def expected(edges: np.ndarray, gamma: float, projection: float) -> np.ndarray:
    """Fraction of decays in each energy bin: Gauss integral of the closed form, a cubic but for one kink."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    n, na = michel.lab_spectrum(edges[:-1, None] + half * (1 + nodes), gamma)
    return ((n + projection * na) * weights * half).sum(axis=1)


def chi2_probability(counts: np.ndarray, expectation: np.ndarray) -> float:
    return float(chi2.sf(((counts - expectation) ** 2 / expectation).sum(), counts.size - 1))


@pytest.mark.parametrize(("spin_s", "polarization"), [(1.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, 0.95)])
def test_lab_energies_follow_the_closed_form(spin_s, polarization):
    n = 400_000
    gamma = REFERENCE.gamma0
    edges = np.linspace(0.0, michel.lab_energy_end(gamma), 101)
    energies = decay(muons(n, (0.0, 0.0, spin_s)), REFERENCE, KEY, polarization).energy
    counts, _ = np.histogram(energies, edges)
    assert counts.sum() == n
    assert 1e-3 < chi2_probability(counts, n * expected(edges, gamma, spin_s * polarization)) < 0.999


def test_asymmetry_by_energy_follows_the_closed_form():
    n = 400_000
    gamma = REFERENCE.gamma0
    edges = np.linspace(0.0, michel.lab_energy_end(gamma), 61)
    with_spin, _ = np.histogram(decay(muons(n, (0, 0, 1.0)), REFERENCE, KEY).energy, edges)
    other = KEY._replace(fill=1)
    against, _ = np.histogram(decay(muons(n, (0, 0, -1.0)), REFERENCE, other).energy, edges)
    both = with_spin + against
    a = expected(edges, gamma, 1.0) / expected(edges, gamma, 0.0) - 1.0
    residual = (with_spin - against) / both - a
    probability = float(chi2.sf((residual**2 * both / (1 - a**2)).sum(), a.size))
    assert 1e-3 < probability < 0.999


def test_unpolarised_muons_give_no_asymmetry_in_any_direction():
    n = 400_000
    for axis in range(3):
        spin = tuple(float(k == axis) for k in range(3))
        with_spin = decay(muons(n, spin), REFERENCE, KEY, 0.0)
        against = decay(muons(n, tuple(-s for s in spin)), REFERENCE, KEY._replace(fill=2), 0.0)
        for name in ("px", "py", "ps"):
            a, b = getattr(with_spin, name), getattr(against, name)
            assert abs(a.mean() - b.mean()) < 5 * math.hypot(a.std(), b.std()) / math.sqrt(n)


@pytest.mark.parametrize("spin", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (0.6, 0.0, 0.8)])
def test_rest_frame_directions_follow_the_spin(spin):
    n = 200_000
    positrons = decay(muons(n, spin), REFERENCE, KEY)
    # Back to the rest frame: the muon runs along s.
    gamma, u = REFERENCE.gamma0, REFERENCE.p0_gev / MASS
    energy = gamma * positrons.energy - u * positrons.ps
    ps = gamma * positrons.ps - u * positrons.energy
    momentum = np.sqrt(energy**2 - POSITRON_MASS**2)
    cosine = (spin[0] * positrons.px + spin[1] * positrons.py + spin[2] * ps) / momentum
    x = energy / michel.ENERGY_END
    assert x.max() < 1 + 1e-12
    bound = np.sqrt(x**2 - michel.X0**2) * (2 * x - 2 + math.sqrt(1 - michel.X0**2))
    a = bound / (3 * x - 2 * x**2 - michel.X0**2)
    # Density (1 + a c) / 2: mean a/3, variance below 1/3.
    assert abs((cosine - a / 3).mean()) < 5 / math.sqrt(3 * n)
    transverse = np.cross(spin, (0.36, 0.48, 0.8))
    other = transverse[0] * positrons.px + transverse[1] * positrons.py + transverse[2] * ps
    assert abs((other / momentum).mean()) < 5 / math.sqrt(3 * n)


@pytest.mark.parametrize("axis", [(0, 0, 1.0), (0, 0, -1.0), (1.0, 0, 0), (0, -0.6, 0.8), (0.48, 0.6, -0.64)])
def test_direction_about_an_axis_has_the_asked_angle_and_unit_length(axis):
    total = np.zeros(3)
    for k in range(8):
        v = np.array(around(*map(float, axis), 0.3, 2 * math.pi * k / 8))
        assert np.linalg.norm(v) == pytest.approx(1.0, abs=1e-15)
        assert v @ axis == pytest.approx(0.3, abs=1e-15)
        total += v
    # Evenly spread azimuths cancel: only the part along the axis remains.
    np.testing.assert_allclose(total / 8, 0.3 * np.array(axis), atol=1e-15)


def test_potential_energy_is_not_given_to_the_positron():
    low = muons(1000, (0.0, 0.0, 1.0))
    high = low.copy()
    high.potential[:] = 20e3
    high.energy[:] += 20e-6
    a, b = decay(low, REFERENCE, KEY), decay(high, REFERENCE, KEY)
    # Total energies differ by e Phi = 20 keV: rounding of 3 GeV sums remains.
    np.testing.assert_allclose(b.energy, a.energy, rtol=1e-14)


def test_only_decayed_muons_give_positrons_which_do_not_depend_on_the_others():
    bunch = muons(10, (0.0, 0.0, 1.0))
    bunch.state[::2] = State.STORED
    some, everyone = decay(bunch, REFERENCE, KEY), decay(muons(10, (0.0, 0.0, 1.0)), REFERENCE, KEY)
    assert some.number.tolist() == [1, 3, 5, 7, 9]
    np.testing.assert_array_equal(some.ps, everyone.ps[1::2])


def test_positron_stands_where_the_muon_decayed():
    bunch = muons(3, (0.0, 0.0, 1.0))
    bunch.x[:], bunch.y[:], bunch.theta[:], bunch.time[:] = 0.01, -0.02, 1.5, 3e-5
    positrons = decay(bunch, REFERENCE, KEY)
    assert positrons.x[0] == 0.01
    assert positrons.y[1] == -0.02
    assert positrons.theta[2] == 1.5
    assert positrons.time[0] == 3e-5


def test_empty_bunch_gives_no_positrons():
    assert decay(Bunch.empty(0), REFERENCE, KEY).n == 0


@pytest.mark.parametrize("polarization", [-0.1, 1.1, math.nan])
def test_polarisation_out_of_bounds_is_refused(polarization):
    with pytest.raises(ValueError, match="polarization"):
        decay(muons(1, (0.0, 0.0, 1.0)), REFERENCE, KEY, polarization)
