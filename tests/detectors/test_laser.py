"""The laser: what is bright stays bright, monitors know the rest, pulses inside fills step through the fill."""

import dataclasses

import numpy as np
import pytest

from detectors.laser import (
    FIRST_PULSE,
    HEADS,
    LaserSettings,
    crystal_light,
    fire,
    in_fill_times,
    laser_deposits,
    monitor_brightness,
    monitor_waveforms,
)
from gpu.rng import FillKey

KEY = FillKey(3, 1, 0, 7)
PERIOD = 1.25e-9
DELAY = 250e-9


def test_the_light_of_the_crystals_has_the_mean_and_spread_of_the_settings() -> None:
    settings = LaserSettings()
    light = crystal_light(settings)
    n = light.size
    assert light.shape == (24, 54)
    assert light.min() > 0.0
    # Five standard errors of mean and spread; the log-normal's excess kurtosis of 0.65 widens the second by 15 %.
    assert light.mean() == pytest.approx(2.0, abs=5 * 0.4 / np.sqrt(n))
    assert light.std() == pytest.approx(0.4, rel=5 * 1.15 / np.sqrt(2 * n))
    np.testing.assert_array_equal(light, crystal_light(settings))
    assert crystal_light(dataclasses.replace(settings, spread=0.0)) == pytest.approx(2.0)


def test_pulses_step_through_the_fill_in_sixteen_fills() -> None:
    settings = LaserSettings()
    all_times = np.concatenate([in_fill_times(settings, k, 700e-6) for k in range(16)])
    assert np.diff(np.sort(all_times)) == pytest.approx(20e-6)
    assert all_times.min() == settings.start == 5e-6
    assert all_times.max() == pytest.approx(685e-6)
    np.testing.assert_array_equal(in_fill_times(settings, 16, 700e-6), in_fill_times(settings, 0, 700e-6))


def test_four_calorimeters_share_a_head() -> None:
    settings = LaserSettings(spread=0.0, jitter=0.1)
    pulses = fire([1e-6, 5e-6, 9e-6], settings, KEY)
    deposits = laser_deposits(pulses, crystal_light(settings))
    assert deposits.energy.size == 3 * 24 * 54
    seen = deposits.energy.reshape(3, HEADS, 4 * 54) / settings.energy
    np.testing.assert_allclose(seen, np.broadcast_to(pulses.brightness[:, :, None], seen.shape))
    assert np.unique(pulses.brightness).size == 3 * HEADS
    assert set(deposits.number - FIRST_PULSE) == {0, 1, 2}
    assert (deposits.hit < 0).all()
    np.testing.assert_array_equal(np.unique(deposits.time), pulses.time)


def test_a_pulse_does_not_depend_on_the_others() -> None:
    settings = LaserSettings(jitter=0.1)
    one, three = fire([1e-6], settings, KEY), fire([1e-6, 2e-6, 3e-6], settings, KEY)
    np.testing.assert_array_equal(one.brightness[0], three.brightness[0])
    other = fire([1e-6], settings, KEY._replace(fill=8))
    assert not np.array_equal(one.brightness, other.brightness)


def test_monitors_know_the_brightness_to_their_noise() -> None:
    settings = LaserSettings(jitter=0.05)
    pulses = fire(np.arange(200) * 1e-6, settings, KEY)
    found = monitor_brightness(monitor_waveforms(pulses, DELAY, 800, PERIOD, KEY), DELAY, PERIOD)
    # Least squares: sigma / sqrt(sum (s - mean)^2), three monitors; noise of 2 counts and 1/sqrt(12) of rounding.
    age = np.maximum(PERIOD * np.arange(800) - DELAY, 0.0) / 160e-9
    shape = age * np.exp(1.0 - age)
    error = np.sqrt(4.0 + 1.0 / 12.0) / 2500.0 / np.sqrt(np.sum((shape - shape.mean()) ** 2)) / np.sqrt(3.0)
    assert error < 4e-4  # what the experiment's monitors reach (arXiv:1906.08432)
    difference = found - pulses.brightness
    n = difference.size
    assert difference.mean() == pytest.approx(0.0, abs=5 * error / np.sqrt(n))
    assert difference.std() == pytest.approx(error, rel=5 / np.sqrt(2 * n))


@pytest.mark.parametrize(
    "change", [{"energy": 0.0}, {"spread": -0.1}, {"jitter": 2.0}, {"steps": 0}, {"spacing": -1.0}]
)
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give"):
        LaserSettings(**change)  # type: ignore[arg-type]
