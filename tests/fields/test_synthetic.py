"""Synthetic maps show the averages and spreads asked for."""

import numpy as np
import pytest
from scipy import constants

from fields.synthetic import POLES, SPECS, MapSpec, dipole_from_proton_frequency, synthesise


@pytest.mark.parametrize("name", list(SPECS))
def test_averages_and_spreads_are_those_of_the_specification(name: str) -> None:
    spec = SPECS[name]
    field = synthesise(name)
    ppm = 1e6 * field.c / spec.b0
    assert field.b0 == pytest.approx(spec.b0, rel=1e-14)
    # exact by construction; rounding of 1e6 ppm numbers
    np.testing.assert_allclose(ppm[:, 0].real.std(), spec.dipole_spread, rtol=1e-7)
    for n in range(1, spec.order + 1):
        for values, averages, spreads in (
            (ppm[:, n].real, spec.normal, spec.normal_spread),
            (-ppm[:, n].imag, spec.skew, spec.skew_spread),
        ):
            average = averages[n - 1] if n <= len(averages) else 0.0
            spread = spreads[n - 1] if n <= len(spreads) else 0.0
            assert values.mean() == pytest.approx(average, abs=1e-9)
            assert values.std() == pytest.approx(spread, abs=1e-9)


def test_published_60h_averages_are_in_the_e989_map() -> None:
    # TR notebooks, ppm at 45 mm: n-quad 0.03..0.17, s-quad 0.15..0.37, s-sext 0.29..0.36, n-sext -0.95..-0.89
    average = 1e6 * synthesise("e989").mean_field() / SPECS["e989"].b0
    assert 0.03 < average[1].real < 0.17
    assert 0.15 < -average[1].imag < 0.37
    assert -0.95 < average[2].real < -0.89
    assert 0.29 < -average[2].imag < 0.36


def test_poles_show_in_the_dipole() -> None:
    spectrum = np.abs(np.fft.rfft(synthesise("e989").c[:, 0].real))
    assert spectrum[POLES] > 3.0 * spectrum[POLES - 3 : POLES].max()


def test_same_seed_same_map_other_seed_other_map() -> None:
    np.testing.assert_array_equal(synthesise("e989", 5).c, synthesise("e989", 5).c)
    assert np.abs(synthesise("e989", 5).c - synthesise("e989", 6).c).max() > 1e-6
    assert "synthetic" in synthesise("e989").label


def test_first_value_of_the_default_map_never_changes() -> None:
    # guards the order of the draws and the generator
    first = 1e6 * (synthesise("e989").c[0, 0].real / SPECS["e989"].b0 - 1.0)
    assert first == pytest.approx(16.982135, abs=1e-6)


def test_a_map_without_spreads_and_multipoles_is_uniform() -> None:
    assert synthesise(MapSpec("ideal", 1.45)).c.shape[0] == 1


def test_proton_frequency_gives_the_field() -> None:
    # 34.7 C water: 61.7918712 MHz; the published omega_a of the same dataset gives 1.451318 T
    assert dipole_from_proton_frequency(61_791_871.2) == pytest.approx(1.451318, abs=2e-6)
    at_25 = 61_791_871.2 / (1e6 * constants.value("shielded proton gyromag. ratio in MHz/T"))
    assert dipole_from_proton_frequency(61_791_871.2) / at_25 - 1.0 == pytest.approx(1.0e-7, abs=1e-8)


def test_unknown_map_and_negative_spread_are_refused() -> None:
    with pytest.raises(ValueError, match="field map 'run9' is not known: choose one of e989"):
        synthesise("run9")
    with pytest.raises(ValueError, match=r"spread -1\.0 ppm is negative"):
        MapSpec("bad", 1.45, dipole_spread=-1.0)
