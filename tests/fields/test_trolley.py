"""From 17 probes to multipoles."""

import math

import numpy as np
import pytest

from fields.maps import load_multipole_map
from fields.ring import TWO_PI
from fields.storage import StorageField
from fields.synthetic import synthesise
from fields.trolley import (
    TERM_NAMES,
    TERMS,
    TrolleyRun,
    design_matrix,
    fit_multipoles,
    probe_positions,
    simulate_run,
)

AZIMUTHS = 2000
TRUTH = synthesise("e989")
RUN = simulate_run(TRUTH, AZIMUTHS, seed=11)
FIT = fit_multipoles(RUN)


def _true_coefficients(field: StorageField, theta: np.ndarray) -> np.ndarray:
    c = field.multipoles(theta)
    columns = []
    for n, skew in TERMS:
        part = -c[:, n].imag if skew else c[:, n].real
        columns.append(part if n <= field.order else np.zeros_like(part))
    return np.stack(columns, axis=1)


def _truth_at_fit() -> np.ndarray:
    padded = np.zeros((TRUTH.c.shape[0], 7), dtype=complex)
    padded[:, : TRUTH.order + 1] = TRUTH.c
    return _true_coefficients(StorageField(padded), FIT.theta)


def test_probes_are_at_the_published_places() -> None:
    x, y = probe_positions()
    np.testing.assert_allclose(np.hypot(x, y), [0.0] + 4 * [0.0175] + 12 * [0.035], atol=1e-15)
    # probe 1 of each ring is at the bottom, the next one further out
    assert (x[1], y[1]) == pytest.approx((0.0, -0.0175))
    assert (x[2], y[2]) == pytest.approx((0.0175, 0.0), abs=1e-15)
    assert len(TERMS) == len(TERM_NAMES) == 12


def test_fit_without_noise_returns_the_truth() -> None:
    quiet = TrolleyRun(RUN.theta, simulate_run(TRUTH, AZIMUTHS, noise=1e-30, seed=11).readings, 1e-9)
    fit = fit_multipoles(quiet)
    # condition of the design matrix (6) times rounding of 1.45 T
    np.testing.assert_allclose(fit.coefficients, _truth_at_fit(), rtol=0, atol=2e-14)


def test_pulls_of_the_multipoles_are_normal() -> None:
    pulls = (FIT.coefficients - _truth_at_fit()) / FIT.errors
    # 5 standard errors of a mean and of a standard deviation
    assert np.abs(pulls.mean(axis=0)).max() < 5.0 / math.sqrt(AZIMUTHS)
    assert np.abs(pulls.std(axis=0) - 1.0).max() < 5.0 / math.sqrt(2 * AZIMUTHS)


def test_chi2_has_five_degrees_of_freedom() -> None:
    assert FIT.degrees_of_freedom == 5
    assert abs(FIT.chi2.mean() - 5.0) < 5.0 * math.sqrt(2 * 5 / AZIMUTHS)


def test_averages_agree_with_the_map_within_their_errors() -> None:
    average, error = FIT.average()
    padded = np.zeros(7, dtype=complex)
    padded[: TRUTH.order + 1] = TRUTH.mean_field()
    truth = [-padded[n].imag if skew else padded[n].real for n, skew in TERMS]
    assert np.abs((average - truth) / error).max() < 5.0


@pytest.mark.parametrize("order", [3, 4, 5])
def test_errors_grow_as_45_over_35_to_the_order(order: int) -> None:
    # twelve probes at 35 mm alone: sigma sqrt(2/12) (45/35)^n; the inner four add (1/2)^(2n) of information
    expected = RUN.noise * math.sqrt(2.0 / 12.0) * (45.0 / 35.0) ** order
    for k, (n, _) in enumerate(TERMS):
        if n == order:
            assert FIT.errors[k] == pytest.approx(expected, rel=4.0 / 12.0 * 0.5 ** (2 * order) + 1e-3)


def test_field_error_grows_beyond_the_probes() -> None:
    inside = FIT.field_error(0.0, 0.030).item()
    edge = FIT.field_error(0.0, 0.035).item()
    outside = FIT.field_error(0.0, 0.045).item()
    assert inside < edge < outside
    assert edge < RUN.noise < outside


def test_probes_do_not_see_a_skew_14_pole_and_take_a_22_pole_for_a_quadrupole() -> None:
    x, y = probe_positions()
    rows = design_matrix(x, y)
    z = (x + 1j * y) / 0.045
    np.testing.assert_allclose((z**6).imag, 0.0, atol=1e-14)
    leaked = np.linalg.lstsq(rows, (z**8).real, rcond=None)[0]
    # on the outer ring cos 8 phi equals cos 4 phi: the decupole takes (35/45)^4
    decupole = TERM_NAMES.index("normal decupole")
    assert leaked[decupole] == pytest.approx((35.0 / 45.0) ** 4, rel=0.02)


def test_storage_field_from_the_fit_is_the_true_one() -> None:
    field = FIT.storage_field(harmonics=80)
    theta = np.linspace(0.0, TWO_PI, 97)
    difference = field.multipoles(theta)[:, : TRUTH.order + 1] - TRUTH.multipoles(theta)
    errors = np.array([FIT.errors[k] for n in range(6) for k, term in enumerate(TERMS) if term == (n, False)])
    # noise left: sqrt(161 of 2000 modes); linear resampling: (36 pi/2000)^2/2 of the 6 ppm in the poles, 72: 4x
    noise = 5.0 * math.sqrt(161 / AZIMUTHS) * errors
    resampling = 0.5 * (36 * math.pi / AZIMUTHS) ** 2 * 2e-5 * 1.45 + 0.5 * (72 * math.pi / AZIMUTHS) ** 2 * 1e-5
    assert np.all(np.abs(difference).max(axis=0) < 2.0 * noise + resampling)


def test_measured_map_goes_through_the_trolley(measured) -> None:
    truth = load_multipole_map(measured("g2StorageMultipoleField.dat"), multipoles_in_tesla=True)
    run = simulate_run(truth, 3000, noise=30e-9 * truth.b0, seed=2)
    fit = fit_multipoles(run)
    c = truth.multipoles(run.theta)
    for k, (n, skew) in enumerate(TERMS):
        true = (-c[:, n].imag if skew else c[:, n].real) if n <= truth.order else np.zeros(3000)
        pulls = (fit.coefficients[:, k] - true) / fit.errors[k]
        assert abs(pulls.mean()) < 5.0 / math.sqrt(3000)
        assert pulls.std() == pytest.approx(1.0, abs=5.0 / math.sqrt(6000))


def test_impossible_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="give \\(10 azimuths, 17\\)"):
        TrolleyRun(np.zeros(10), np.zeros((10, 16)), 1e-9)
    with pytest.raises(ValueError, match=r"noise = 0\.0 T is out of bounds"):
        TrolleyRun(np.zeros(10), np.zeros((10, 17)), 0.0)
