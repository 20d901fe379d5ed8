"""Sources at the laser's monitors: Poisson in time, heights of one line, pulses that begin where they should."""

import dataclasses

import numpy as np
import pytest

from detectors.americium import AmericiumSettings, source_pulses
from detectors.laser import HEADS, MONITOR_LEVEL
from gpu.rng import FillKey

KEY = FillKey(3, 1, 0, 7)
PERIOD = 1.25e-9
LONG = 400.0  # s: 2000 decays a head
SETTINGS = AmericiumSettings()


def test_decays_are_poisson_in_time_in_every_head() -> None:
    found = source_pulses(LONG, PERIOD, SETTINGS, KEY)
    numbers = np.bincount(found.head, minlength=HEADS)
    mean = SETTINGS.rate * LONG
    assert np.abs(numbers - mean).max() < 5 * np.sqrt(mean)
    for head in range(HEADS):
        time = found.time[found.head == head] * PERIOD
        assert (np.diff(time) > 0).all()
        # Uniform in the interval: mean within five standard errors; gaps have the spread of an exponential.
        assert time.mean() == pytest.approx(LONG / 2, abs=5 * LONG / np.sqrt(12 * time.size))
        gaps = np.diff(time)
        assert gaps.std() * SETTINGS.rate == pytest.approx(1.0, abs=5 * np.sqrt(2.0 / gaps.size))


def test_heights_are_one_line_of_the_configured_spread() -> None:
    found = source_pulses(LONG, PERIOD, SETTINGS, KEY)
    age = (np.arange(SETTINGS.samples) - SETTINGS.presamples + 0.5) * PERIOD / SETTINGS.decay
    # The triggers' places within a sample are even; the peak is broad: 20 ns against samples of 1.25 ns.
    height = found.samples[:, np.abs(age - 1.0).argmin()] - MONITOR_LEVEL
    n = height.size
    assert height.mean() == pytest.approx(SETTINGS.height, rel=5 * SETTINGS.spread / np.sqrt(n) + 1e-3)
    assert height.std() / height.mean() == pytest.approx(SETTINGS.spread, rel=5 / np.sqrt(2 * n) + 0.01)


def test_pulses_begin_behind_their_presamples() -> None:
    found = source_pulses(LONG, PERIOD, SETTINGS, KEY)
    before = found.samples[:, : SETTINGS.presamples].astype(np.float64) - MONITOR_LEVEL
    n = before.size
    # Noise of two counts and rounding: nothing of the pulse is in the samples before its trigger.
    assert before.mean() == pytest.approx(0.0, abs=5 * 2.1 / np.sqrt(n))
    assert before.std() == pytest.approx(np.sqrt(4.0 + 1.0 / 12.0), rel=5 / np.sqrt(2 * n))
    assert (found.samples[:, 20] - MONITOR_LEVEL > 0.8 * SETTINGS.height).all()


def test_readout_does_not_change_what_the_sources_do() -> None:
    short, long = (source_pulses(duration, PERIOD, SETTINGS, KEY) for duration in (1.4, 14.0))
    inside = long.time < 1.4 / PERIOD
    np.testing.assert_array_equal(short.time, long.time[inside])
    np.testing.assert_array_equal(short.head, long.head[inside])


def test_pulses_are_a_function_of_the_event_alone() -> None:
    one, same, other = (source_pulses(1.4, PERIOD, SETTINGS, KEY._replace(fill=fill)) for fill in (7, 7, 8))
    np.testing.assert_array_equal(one.samples, same.samples)
    assert one.time.tolist() != other.time.tolist()


def test_a_board_is_blind_while_it_takes_a_pulse() -> None:
    crowded = dataclasses.replace(SETTINGS, rate=1000.0, samples=80)
    found = source_pulses(2.0, 1e-5, crowded, KEY)  # samples so long that pulses of 80 would overlap
    assert found.head.size > 100
    for head in range(HEADS):
        assert (np.diff(found.time[found.head == head]) >= 80).all()


@pytest.mark.parametrize(("duration", "rate"), [(0.0, 5.0), (1.4, 0.0)])
def test_without_time_or_source_there_is_no_pulse(duration: float, rate: float) -> None:
    found = source_pulses(duration, PERIOD, dataclasses.replace(SETTINGS, rate=rate), KEY)
    assert found.samples.shape == (0, 80)


@pytest.mark.parametrize("change", [{"rate": -1.0}, {"spread": 0.5}, {"samples": 81}, {"presamples": 80}])
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        dataclasses.replace(SETTINGS, **change)
