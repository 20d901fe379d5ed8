"""What changes the height of a pulse, and that the same functions undo it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors.calorimeter import CalorimeterSettings, light_of
from detectors.channels import CHANNELS, ChannelConstants
from detectors.digitizer import digitiser_pulses, pulse_table
from detectors.gain import GainConstants, GainSettings, apply_gains, saturated, undo_gains
from detectors.shower import CrystalDeposits
from detectors.sipm import SipmSettings, detect
from tests.detectors.fills import CROWD
from tests.detectors.showers import KEY

ALL_ON = GainSettings(sag=True, double_pulse=True, temperature=True)
PIXELS = SipmSettings().pixels


def neutral(**changed: float) -> GainConstants:
    """Constants without any effect but those named, the same for all channels."""
    values = dict.fromkeys(GainConstants._fields, 0.0) | {
        "flash_time": 1.0, "drop_time": 1.0, "recovery_time": 1.0, "out_of_fill": 1.0, "saturation": np.inf,
    } | changed  # fmt: skip
    return GainConstants(**{name: np.full(CHANNELS, value) for name, value in values.items()})


def heights(light: np.ndarray, time: np.ndarray, gains: GainConstants, channel: int = 0) -> np.ndarray:
    """Heights of pulses of one channel."""
    at_rest = np.array([saturated(one, gains.saturation[channel]) for one in light])
    return apply_gains(np.full(len(light), channel), time, at_rest, light, gains)


# --- each effect against its formula


def test_flash_alone_leaves_an_exponential_sag_and_none_before_the_injection() -> None:
    time = np.array([-5e-6, 0.0, 8e-6, 30e-6, 300e-6])
    seen = heights(np.ones(5), time, neutral(flash_amplitude=0.03, flash_time=8e-6))
    np.testing.assert_allclose(seen, 1.0 - np.array([0.0, *(0.03 * np.exp(-time[1:] / 8e-6))]), rtol=1e-14)


def test_every_pulse_adds_its_drop_to_all_later_ones() -> None:
    rng = np.random.default_rng(1)
    time, light = np.sort(rng.uniform(0, 100e-6, 40)), rng.exponential(0.5, 40)
    seen = heights(light, time, neutral(drop_per_gev=4e-4, drop_time=18e-6))
    drop = [
        sum(4e-4 * light[j] * np.exp(-(time[i] - time[j]) / 18e-6) for j in range(i)) for i in range(40)
    ]  # the sum of the formula, pulse by pulse
    np.testing.assert_allclose(seen / light, 1.0 - np.array(drop), rtol=1e-13)


def test_second_pulse_is_smaller_by_what_the_first_has_taken() -> None:
    amplitude, tau = 0.0244, 15e-9
    for dt in (1e-9, 5e-9, 20e-9, 80e-9):
        seen = heights(np.array([1.5, 0.8]), np.array([0.0, dt]), neutral(missing_per_gev=amplitude, recovery_time=tau))
        np.testing.assert_allclose(seen, [1.5, 0.8 * (1.0 - amplitude * 1.5 * np.exp(-dt / tau))], rtol=1e-14)


def test_pulses_at_one_time_saturate_like_one_of_their_summed_light() -> None:
    full = 40.0  # GeV
    gains = neutral(missing_per_gev=1.0 / full, recovery_time=15e-9, saturation=full)
    light = np.array([2.0, 7.0, 1.0, 30.0])
    seen = heights(light, np.full(4, 1e-6), gains)
    assert seen.sum() == pytest.approx(full * (1.0 - np.exp(-light.sum() / full)), rel=1e-13)


def test_recovering_pixels_agree_with_pixels_drawn_one_by_one() -> None:
    """Each pixel gives 1 - exp(-dt/tau) of its charge: the model of the official simulation's digitiser."""
    rng = np.random.default_rng(3)
    pixels, tau, times, photoelectrons = 57344, 15e-9, [0.0, 6e-9, 14e-9, 40e-9], [9000, 14000, 5000, 12000]
    missing, last, charge = np.zeros(pixels), 0.0, []
    for time, n in zip(times, photoelectrons, strict=True):
        missing *= np.exp(-(time - last) / tau)
        last = time
        hit = np.unique(rng.integers(0, pixels, n))
        charge.append((1.0 - missing[hit]).sum())
        missing[hit] = 1.0
    light = np.array(photoelectrons) / 1400.0
    full = pixels / 1400.0
    gains = neutral(missing_per_gev=1.0 / full, recovery_time=tau, saturation=full)
    seen = heights(light, np.array(times), gains) * 1400.0
    # fired pixels fluctuate less than Poisson: sqrt(n^2 / 2 N) and what they carry, below sqrt(n)/2
    np.testing.assert_allclose(seen, charge, atol=4 * 0.5 * np.sqrt(max(photoelectrons)))


def test_temperature_changes_all_pulses_by_four_percent_a_kelvin() -> None:
    warm = replace(ALL_ON, per_kelvin_spread=0.0)
    constants = CalorimeterSettings(gain=warm).constants(0.7)
    np.testing.assert_allclose(constants.out_of_fill, 1.0 - 0.04 * 0.7, rtol=1e-13)
    assert warm.kelvin(0.0) == warm.kelvin_at_begin
    day = warm.kelvin(86400.0) - warm.kelvin_at_begin
    assert day == pytest.approx(24 * warm.kelvin_per_hour, rel=1e-9)
    assert replace(warm, temperature=False).kelvin(1e4) == 0.0


def test_built_in_flash_leaves_a_per_mille_at_30_us() -> None:
    constants = CalorimeterSettings(gain=ALL_ON).constants()
    assert (constants.flash_time > 5e-6).all()
    assert (constants.flash_time < 20e-6).all()
    left = (constants.flash_amplitude * np.exp(-30e-6 / constants.flash_time)).mean()
    assert 0.5e-3 < left < 2e-3


# --- undone


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 700e-6), st.floats(1e-3, 4.0)), min_size=1, max_size=40),
    st.floats(-3.0, 3.0),
)
def test_the_same_constants_undo_all_gains_to_rounding(rows: list[tuple[int, float, float]], kelvin: float) -> None:
    constants = CalorimeterSettings(sipm=SipmSettings(light_yield_spread=0.1), gain=ALL_ON).constants(kelvin)
    gains = constants.gains(PIXELS)
    channel, time, light = (np.array(column) for column in zip(*rows, strict=True))
    at_rest = np.array([saturated(e, gains.saturation[c]) for e, c in zip(light, channel, strict=True)])
    seen = apply_gains(channel, time, at_rest, light, gains)
    # Pulses at one time are told apart by their heights alone: their order must not have changed.
    assume(np.array_equal(np.lexsort((at_rest, time, channel)), np.lexsort((seen, time, channel))))
    np.testing.assert_allclose(undo_gains(channel, time, seen, gains), light, rtol=1e-12)


def test_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    n = 3000
    channel, time, light = rng.integers(0, CHANNELS, n), rng.uniform(0, 1e-4, n), rng.exponential(0.5, n)
    gains = CalorimeterSettings(gain=ALL_ON).constants(1.0).gains(PIXELS)
    order = rng.permutation(n)
    seen = apply_gains(channel, time, light, light, gains)
    np.testing.assert_array_equal(
        seen[order], apply_gains(channel[order], time[order], light[order], light[order], gains)
    )


# --- in the digitiser


def crowd(n: int = 20_000, channels: int = 30) -> CrystalDeposits:
    """Deposits all over the fill in some channels, as dense as at its begin."""
    rng = np.random.default_rng(6)
    number = np.arange(n)
    time = np.minimum(rng.exponential(60e-6, n), 690e-6)
    return CrystalDeposits(
        number,
        number,
        np.full(n, 3),
        rng.integers(0, channels, n),
        rng.exponential(0.4, n) + 0.05,
        time,
        np.zeros(n, np.int64),
    )


def pulses_by_row(deposits: CrystalDeposits, config: CalorimeterSettings, constants: ChannelConstants) -> tuple:
    """Light of a fill and the heights that the digitiser gets, in the order of its pulses [GeV]."""
    light = light_of(deposits, KEY, config, constants)
    pulses = digitiser_pulses(light, constants, config.digitizer, pulse_table(config.sipm, config.digitizer, constants))
    return light, pulses, pulses.height / constants.counts_per_gev.ravel()[pulses.channel]


def test_without_corrections_the_sag_of_a_fill_is_as_configured_to_a_percent() -> None:
    """From pulses in the digitiser, by their light: the mean sag in slices of time against the formula."""
    config = CalorimeterSettings(gain=GainSettings(sag=True))
    constants = config.constants()
    deposits = crowd(200_000)
    light, pulses, seen = pulses_by_row(deposits, config, constants)
    order = np.lexsort((light.time, light.channel))
    rest = np.array([saturated(one, PIXELS / 1400.0) for one in light.light[order]])
    np.testing.assert_array_equal(pulses.channel, light.channel[order])
    sag = 1.0 - seen / rest
    time, channel = light.time[order], light.channel[order]
    flash = constants.flash_amplitude.ravel()[channel] * np.exp(-time / constants.flash_time.ravel()[channel])
    # What the rate adds: dE/dt of a channel folded with its exponential, as a smooth function of time. n pulses of
    # mean energy e and spread e: the energy within one time constant, 200000/30 x 0.4 GeV/60 us x 18 us, is good to 3 %
    # a channel and to 0.5 % over 30 channels.
    rate = 200_000 / 30 / 60e-6
    drops, taus = constants.drop_per_gev.ravel()[:][channel], constants.drop_time.ravel()[channel]
    slope = 1.0 / taus - 1.0 / 60e-6
    by_rate = drops * deposits.energy.mean() * rate * (np.exp(-time / 60e-6) - np.exp(-time / taus)) / slope
    for low, high in ((0, 5), (5, 15), (15, 30), (30, 60), (60, 120)):
        inside = (time > low * 1e-6) & (time < high * 1e-6)
        assert sag[inside].mean() == pytest.approx((flash + by_rate)[inside].mean(), rel=0.01)
    early = time < 10e-6
    assert flash[early].mean() == pytest.approx(0.03 * np.exp(-time[early] / 8.8e-6).mean(), rel=0.15)


def test_switching_gains_changes_no_photoelectron_and_no_time() -> None:
    deposits = crowd(3000)
    off = CalorimeterSettings()
    plain = light_of(deposits, KEY, off, off.constants())
    everything = replace(off, gain=ALL_ON)
    for one in (
        everything,
        replace(off, gain=GainSettings(sag=True)),
        replace(off, gain=GainSettings(double_pulse=True)),
        replace(off, gain=GainSettings(temperature=True)),
    ):
        light = light_of(deposits, KEY, one, one.constants(0.5))
        for name in ("channel", "time", "photoelectrons", "light"):
            np.testing.assert_array_equal(getattr(light, name), getattr(plain, name), err_msg=name)
        assert not np.array_equal(light.energy, plain.energy)
    np.testing.assert_array_equal(plain.energy, detect(deposits, KEY).energy)


def test_an_effect_that_is_switched_leaves_all_other_constants() -> None:
    plain = CalorimeterSettings().constants()
    one = CROWD.constants(1.0)
    changed = {
        name for name in plain._fields if not np.array_equal(getattr(plain, name), getattr(one, name))
    }  # recovery_time, flash_time and drop_time are drawn always
    assert changed == {
        "flash_amplitude", "drop_per_gev", "missing_per_gev", "out_of_fill", "light_yield", "rise_time", "fall_time",
        "laser_rise_time", "laser_fall_time", "calo_offset", "xtal_offset", "status", "noise_factor",
    }  # fmt: skip


def test_light_yields_have_the_stated_spread_and_do_not_move_the_mean_height() -> None:
    config = CalorimeterSettings(sipm=SipmSettings(light_yield_spread=0.1))
    constants = config.constants()
    n = CHANNELS
    assert constants.light_yield.mean() == pytest.approx(1400.0, abs=4 * 140 / np.sqrt(n))
    assert constants.light_yield.std() == pytest.approx(140.0, rel=1.1 * 4 / np.sqrt(2 * n))
    number = np.arange(n)
    deposits = CrystalDeposits(number, number, number // 54, number % 54, np.full(n, 1.0), np.full(n, 1e-6), number * 0)
    light = detect(deposits, KEY, config.sipm, constants.light_yield)
    counts = light.photoelectrons
    expected = constants.light_yield.ravel()
    assert (((counts - expected) ** 2 / expected).mean()) == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))
    assert light.light.mean() == pytest.approx(1.0, abs=4 / np.sqrt(1400 * n))


@pytest.mark.parametrize(
    ("wrong", "words"), [({"flash_time": 0.0}, "flash_time = 0.0 s"), ({"flash_amplitude": 1.0}, "flash_amplitude = 1")]
)
def test_impossible_gains_are_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GainSettings(**wrong)
