"""The phase map against closed forms: no calorimeter is needed for what is tested here."""

import numpy as np
import pytest

from decay.michel import lab_spectrum
from gm2sim.config import Config
from gm2sim.studies.case import Case
from gm2sim.studies.phase_map import _smooth, isotropic_decays


def test_asymmetry_vector_of_all_decays_is_the_closed_form(ideal: Config) -> None:
    decays = 200_000
    case = Case(ideal, 16)
    born, vector = isotropic_decays(case, decays, ideal.fit.threshold_gev)
    energies = np.linspace(ideal.fit.threshold_gev, 3.1, 20_001)
    number, polarised = (np.trapezoid(part, energies) for part in lab_spectrum(energies, case.reference.gamma0))
    assert born.n / decays == pytest.approx(number, abs=5 * np.sqrt(number / decays))
    # W(alpha) = 1 + a (n_s cos alpha + n_x sin alpha): along the momentum it is the lab asymmetry, across it nothing.
    error = vector.std() / np.sqrt(vector.size)
    assert vector.mean().real == pytest.approx(polarised / number, abs=5 * error + 5e-5)  # of p0 and magic momentum
    assert abs(vector.mean().imag) < 5 * error


def test_smooth_map_gives_back_a_polynomial() -> None:
    side = np.arange(-4, 5) * 0.01
    x, y = (axis.ravel() for axis in np.meshgrid(side, side[4:]))
    wanted = 1000.0 * np.exp(-1j * (0.01 * x / 0.045 + 0.03 * (y / 0.045) ** 2))
    found = _smooth(x, y, np.stack([0.25 * wanted, 0.75 * wanted]), np.ones(x.size, np.int64))
    # What the polynomial leaves out: terms of sixth order of a phase of 40 mrad, below 1e-6 rad.
    assert found.phase(x, y) == pytest.approx(0.01 * x / 0.045 + 0.03 * (y / 0.045) ** 2, abs=1e-5)
    assert found.without(0)(x, y) == pytest.approx(0.75 * found(x, y))
