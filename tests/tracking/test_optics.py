"""Optics of analytic one-turn maps whose tunes, dispersion and chromaticity are known in closed form."""

import math

import numpy as np
import pytest

from tracking.muon import LIGHT_SPEED, MASS
from tracking.optics import closed_orbits, measure

R0 = 7.112
FIELD_INDEX = 0.108


@pytest.fixture(scope="module")
def smooth_optics(linear_turn, magic):
    azimuths = np.radians([50.0, 180.0, 340.0])
    return measure(linear_turn(azimuths, chromaticity=(-0.13, 0.2), orbit=(1e-3, 2e-3)), magic)


def test_tunes_of_the_smooth_ring(smooth_optics) -> None:
    # Differences of a linear map round at eps * 1 m / 5e-4 m: below 1e-12 in the matrix and the tune.
    assert abs(smooth_optics.nu_x - math.sqrt(1 - FIELD_INDEX)) < 1e-12
    assert abs(smooth_optics.nu_y - math.sqrt(FIELD_INDEX)) < 1e-12
    assert abs(smooth_optics.field_index - FIELD_INDEX) < 1e-12


def test_beta_functions_and_phase_of_the_smooth_ring(smooth_optics) -> None:
    lattice = smooth_optics.lattice
    assert np.allclose(lattice.beta_x, R0 / smooth_optics.nu_x, rtol=1e-10)
    assert np.allclose(lattice.beta_y, R0 / smooth_optics.nu_y, rtol=1e-10)
    assert np.allclose(lattice.alpha_x, 0.0, atol=1e-10)
    assert np.allclose(lattice.phase_x, smooth_optics.nu_x * lattice.theta / (2 * math.pi), atol=1e-11)
    assert np.allclose(lattice.phase_y, smooth_optics.nu_y * lattice.theta / (2 * math.pi), atol=1e-11)


def test_dispersion_and_momentum_compaction_of_the_smooth_ring(smooth_optics) -> None:
    # delta is exact in the momentum while the test map is linear in the energy: dp/de changes by delta /
    # gamma^2, cubic terms 1e-7 of D remain after the fourth-order difference.
    assert np.allclose(smooth_optics.lattice.dispersion, R0 / (1 - FIELD_INDEX), rtol=1e-8)
    assert abs(smooth_optics.momentum_compaction - 1 / (1 - FIELD_INDEX)) < 1e-8
    assert abs(smooth_optics.mean_dispersion - R0 / (1 - FIELD_INDEX)) < 1e-7


def test_chromaticity_of_a_map_with_known_tune_slope(smooth_optics) -> None:
    # Rounding 1e-13 of the tune over the step 5e-4.
    assert abs(smooth_optics.chromaticity_x + 0.13) < 1e-8
    assert abs(smooth_optics.chromaticity_y - 0.2) < 1e-8


def test_second_chromaticity_of_a_slope_in_energy_is_the_bend_of_energy_with_momentum(smooth_optics, magic) -> None:
    # The test map turns in proportion to the energy, beta0 p0 (delta + delta^2 / (2 gamma^2)).
    # Rounding 1e-12 of the tune over (5e-4)^2.
    assert abs(smooth_optics.second_chromaticity_x + 0.13 / magic.gamma0**2) < 1e-5
    assert abs(smooth_optics.second_chromaticity_y - 0.2 / magic.gamma0**2) < 1e-5


def test_closed_orbit_follows_an_offset_ring(smooth_optics) -> None:
    assert np.allclose(smooth_optics.lattice.x, 1e-3, atol=1e-15)
    assert np.allclose(smooth_optics.lattice.y, 2e-3, atol=1e-15)


def test_beam_frequencies_of_the_smooth_ring(smooth_optics, magic) -> None:
    f_c = magic.beta0 * LIGHT_SPEED / (2 * math.pi * R0)
    assert abs(smooth_optics.f_c / f_c - 1) < 1e-12
    assert abs(smooth_optics.f_cbo / (f_c * (1 - math.sqrt(1 - FIELD_INDEX))) - 1) < 1e-10
    assert abs(smooth_optics.f_vw / (f_c * (1 - 2 * math.sqrt(FIELD_INDEX))) - 1) < 1e-10


def test_one_turn_matrix_of_a_hamiltonian_map_is_symplectic(linear_turn, magic) -> None:
    turn = linear_turn()
    optics = measure(turn, magic)
    assert np.allclose(optics.matrix, turn.matrix(2 * math.pi), atol=1e-9)
    # ct runs to 45 m: its differences round at 7e-15 / 5e-4 = 1.4e-11, times the largest element of the
    # matrix.
    assert optics.symplectic_error < 1e-8


def test_discrete_ring_has_the_published_tunes_and_dispersion(linear_turn, magic) -> None:
    # Linear matrices of the same ring in RF-Track 2.7.3 and MAD-NG 1.1.14; dispersion also pyAT 0.9, xtrack
    # 0.118.
    optics = measure(linear_turn(discrete=True), magic)
    assert abs(optics.nu_x - 0.94487823899) < 2e-11
    assert abs(optics.nu_y - 0.32960377314) < 2e-11
    assert abs(optics.lattice.dispersion[0] - 8.0381046) < 1e-7


def test_rows_name_value_unit_and_meaning(smooth_optics) -> None:
    rows = smooth_optics.rows()
    assert all(math.isfinite(value) and meaning for _, value, _, meaning in rows)
    assert {"nu_x", "nu_y", "f_CBO", "D", "chromaticity_x"} <= {name for name, *_ in rows}


def test_unstable_plane_is_refused(linear_turn, magic) -> None:
    with pytest.raises(ValueError, match="unstable"):
        measure(linear_turn(n=1.02), magic)


def test_ring_without_focusing_is_refused(linear_turn, magic) -> None:
    with pytest.raises(ValueError, match="unstable"):
        measure(linear_turn(n=0.0), magic)


def test_ring_that_loses_the_muon_has_no_closed_orbit(linear_turn, magic) -> None:
    turn = linear_turn()

    class Leaking:
        azimuths = turn.azimuths

        def __call__(self, state: np.ndarray) -> np.ndarray:
            return np.where(state[5] > magic.energy0 * 1.001, np.nan, turn(state))

    with pytest.raises(ValueError, match=r"no closed orbit at delta = 0\.002"):
        closed_orbits(Leaking(), magic, [0.0, 0.002])


def test_energy_outside_the_quads_belongs_to_delta(linear_turn, magic) -> None:
    orbits = closed_orbits(linear_turn(), magic, [1e-3])
    energy = math.hypot(1.001 * magic.p0_gev, MASS)
    expected = R0 / (1 - FIELD_INDEX) * (energy - magic.energy0) / (magic.beta0 * magic.p0_gev)
    assert abs(orbits[0, 0] - expected) < 1e-14
