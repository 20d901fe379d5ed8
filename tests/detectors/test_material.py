"""Loss and scattering in metal."""

import math

import numpy as np
import pytest
from scipy.stats import gamma

from detectors.geometry import ALUMINIUM
from detectors.material import gamma_deviate, path_in_sheet, radiated, scatter
from gpu.rng import FillKey

KEY = FillKey(5, 1, 0, 0)


@pytest.mark.parametrize("shape", [0.003, 0.01, 0.1, 0.5, 0.999])
def test_gamma_deviate_is_the_quantile(shape):
    for v in (0.05, 0.3, 0.7, 0.95, 0.999):
        exact = gamma.ppf(v, shape)
        # Values below 1e-8 are 0 on purpose.
        assert gamma_deviate(shape, v) == pytest.approx(exact, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("thickness", [0.02, 0.4, 0.9, 3.0])
def test_mean_energy_kept_falls_as_exp_of_radiation_lengths(thickness):
    n = 20_000
    kept = np.array([radiated(thickness, i, 3, KEY) for i in range(n)])
    variance = 3.0 ** (-thickness / math.log(2)) - math.exp(-2 * thickness)  # <z^2> = (1 + 2)^-shape
    assert abs(kept.mean() - math.exp(-thickness)) < 5 * math.sqrt(variance / n)
    assert abs((kept**2).mean() - 3.0 ** (-thickness / math.log(2))) < 5 / math.sqrt(n) * kept.std()
    assert (kept >= 0).all()
    assert (kept <= 1).all()


def test_ten_ln2_radiation_lengths_keep_nothing():
    assert radiated(7.0, 1, 0, KEY) == 0.0


def test_scattering_angle_is_highlands_in_both_planes():
    n, thickness, momentum = 20_000, 0.1, 1.5
    direction = np.array([0.36, 0.48, 0.8])
    turned = np.array([scatter(*direction, momentum, thickness, i, 0, KEY) for i in range(n)])
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1.0, atol=1e-15)
    horizontal = np.array([direction[2], 0.0, -direction[0]])
    horizontal /= np.linalg.norm(horizontal)
    highland = 0.0136 / momentum * math.sqrt(thickness) * (1 + 0.038 * math.log(thickness))
    for axis in (horizontal, np.cross(direction, horizontal)):
        angles = turned @ axis
        assert abs(angles.mean()) < 5 * highland / math.sqrt(n)
        # Angles against sines and the normalisation differ by highland^2 = 7e-6.
        assert angles.std() == pytest.approx(highland, rel=5 / math.sqrt(2 * n))


def test_path_in_a_sheet_is_the_chord_of_a_parabola():
    for sine, bend in ((0.1, 0.0), (0.05, 0.3), (0.2, -0.1)):
        s = path_in_sheet(0.002, sine, bend)
        # The floor on the discriminant, 1e-6, is below sine^2 / 1000 here.
        assert sine * s + 0.5 * bend * s * s == pytest.approx(0.002, rel=1e-9)


def test_aluminium_takes_4_4_mev_per_centimetre():
    assert ALUMINIUM.ionisation * 0.01 == pytest.approx(4.36e-3, rel=1e-3)
