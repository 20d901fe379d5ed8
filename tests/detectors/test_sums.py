import numpy as np
import pytest

from detectors.calorimeter import digitise_fill
from detectors.shower import deposit
from detectors.sums import add_q_histograms, calorimeter_sums, q_bins
from tests.detectors.fills import (
    CONSTANTS,
    SAMPLES,
    SETTINGS,
    SHAPE,
    SHORT,
    every_waveform,
    pulse,
    pulses_of,
)
from tests.detectors.showers import KEY, spread_hits

ROUNDED = SHORT.noise**2 + 1 / 12


@pytest.fixture(scope="module")
def fill():
    """Return digits and whole waveforms of the same fill."""
    deposits = deposit(spread_hits(300, 5, (0.0, 6.5e-6)), KEY)
    return digitise_fill(deposits, KEY, SETTINGS), every_waveform(pulses_of(deposits, KEY), KEY)


def test_calorimeter_sum_differs_from_the_summed_waveforms_by_noise_alone(fill):
    digits, whole = fill
    bins = SAMPLES // 32
    below = (whole - digits.pedestals[..., None].astype(np.float64)).sum(axis=1)
    dense = below[:, : bins * 32].reshape(24, bins, 32).sum(axis=2)
    assert dense.min() < -3000
    difference = digits.calo_sum.view(np.int32) - dense
    sigma = np.sqrt(2 * 54 * 32 * ROUNDED)
    n = difference.size
    assert difference.mean() == pytest.approx(0.0, abs=4 * sigma / np.sqrt(n))
    assert difference.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))


def test_q_histogram_differs_from_the_summed_waveforms_by_noise_alone(fill):
    digits, whole = fill
    bins = q_bins(SHORT)
    dense = whole[..., : bins * 16].astype(int).reshape(24, 54, bins, 16).sum(axis=3)
    difference = digits.q_histogram - dense
    sigma = np.sqrt(2 * 16 * ROUNDED)
    n = difference.size
    assert difference.mean() == pytest.approx(0.0, abs=4 * sigma / np.sqrt(n))
    assert difference.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))


def test_sums_have_independent_noise_in_neighbouring_bins():
    pulses = pulse(0, 0, -100.0, 0.0)
    pedestals = CONSTANTS.pedestal.astype(np.float32)
    sums = calorimeter_sums(pulses, SHAPE, CONSTANTS, pedestals, SHORT, KEY).view(np.int32).astype(float)
    n = sums.size
    sigma = np.sqrt(54 * 32 * ROUNDED)
    assert sums.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))
    assert (sums[:, 1:] * sums[:, :-1]).mean() / sigma**2 == pytest.approx(0.0, abs=4 / np.sqrt(n))
    assert (sums[1:] * sums[:-1]).mean() / sigma**2 == pytest.approx(0.0, abs=4 / np.sqrt(n))


@pytest.mark.parametrize("start", [1599.3, 1590.0, 1581.7, 1600.0])
def test_pulse_across_bins_keeps_its_area(start):
    height = 1000.0
    histograms = np.zeros((24, 54, q_bins(SHORT)), np.int32)
    empty = histograms.copy()
    add_q_histograms(histograms, pulse(6, 7, start, height), SHAPE, CONSTANTS, SHORT, KEY)
    add_q_histograms(empty, pulse(6, 7, -100.0, 0.0), SHAPE, CONSTANTS, SHORT, KEY)
    taken = (empty - histograms)[6, 7]
    # sampled every 1.25 ns, the sum of the shape is its area within 2.6 %, depending on the phase
    assert taken.sum() == pytest.approx(height * SETTINGS.sipm.area / SHORT.sample_period, rel=0.026)
    assert set(np.flatnonzero(taken)) <= {98, 99, 100, 101}
    assert np.count_nonzero(empty - histograms) == np.count_nonzero(taken)


def test_histograms_add_fill_after_fill():
    deposits = deposit(spread_hits(30, 5, (0.0, 6.5e-6)), KEY)
    other = KEY._replace(fill=9)
    first = digitise_fill(deposits, KEY, SETTINGS).q_histogram
    second = digitise_fill(deposits, other, SETTINGS).q_histogram
    both = first.copy()
    digits = digitise_fill(deposits, other, SETTINGS, q_histogram=both)
    assert digits.q_histogram is both
    assert np.array_equal(both, first + second)


def test_histograms_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"q_histogram has shape \(2, 3, 4\)"):
        add_q_histograms(np.zeros((2, 3, 4), np.int32), pulse(0, 0, 10.0, 1.0), SHAPE, CONSTANTS, SHORT, KEY)
