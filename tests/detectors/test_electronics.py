"""Offsets, clock, noise and state of the channels, and the shapes of their pulses, in the waveforms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detectors.calorimeter import CalorimeterSettings, digitise_fill, light_of, whole_waveforms
from detectors.channels import CHANNELS, ChannelConstants, ChannelStatus
from detectors.digitizer import NOISE_BOUND, DigitizerSettings, digitiser_pulses, opens_islands, pulse_table
from detectors.shower import deposit
from detectors.sipm import LASER, Light, SipmSettings, pulse_shape
from detectors.sums import add_q_histograms, calorimeter_sums, q_bins
from detectors.template import fit_template, read_template
from detectors.waveforms import waveforms_of
from tests.detectors.fills import CONSTANTS, SAMPLES, SETTINGS, SHAPE, SHORT, every_waveform, pulse
from tests.detectors.showers import KEY, spread_hits, straight_hits

NOTHING = pulse(0, 0, -100.0, 0.0)
NO_LIGHT = deposit(straight_hits(0, 1.0), KEY)


def with_digitizer(**changed: float) -> CalorimeterSettings:
    return replace(SETTINGS, digitizer=replace(SHORT, **changed))


def light(channel: int, time: float, energy: float, kind: int = 0) -> Light:
    one = np.array([energy])
    return Light(np.array([channel]), np.array([time]), one, np.rint(one * 1400).astype(int), one, np.array([kind]))


def empty(settings: CalorimeterSettings, constants: ChannelConstants) -> np.ndarray:
    """Whole waveforms without a pulse, pedestals taken off, (24, 54, samples)."""
    whole = whole_waveforms(NO_LIGHT, KEY, settings, constants, np.arange(CHANNELS)).reshape(24, 54, SAMPLES)
    level = np.where(np.arange(SAMPLES) % 2, -0.5, 0.5) * constants.even_odd[..., None]
    return np.asarray(whole - constants.pedestal[..., None] - level)


# --- time


def test_offsets_move_the_pulses_of_their_channels() -> None:
    settings = with_digitizer(calo_offset_spread=3e-9, xtal_offset_spread=1e-9)
    constants = settings.constants()
    deposits = deposit(spread_hits(60, 1, (0.0, 6e-6)), KEY)
    shape = pulse_table(settings.sipm, SHORT)
    plain, moved = (
        digitiser_pulses(light_of(deposits, KEY, settings, c), c, settings.digitizer, shape)
        for c in (CONSTANTS, constants)
    )
    late = constants.time_offset.ravel()[plain.channel] / SHORT.sample_period
    order = np.lexsort((plain.height, plain.channel))
    np.testing.assert_array_equal(moved.channel[order], plain.channel[order])
    other = np.lexsort((moved.height, moved.channel))
    np.testing.assert_allclose(moved.start[other], (plain.start + late)[order], rtol=1e-12)
    assert np.ptp(constants.calo_offset, axis=1).max() == 0.0
    assert constants.calo_offset[:, 0].std() == pytest.approx(3e-9, rel=4 / np.sqrt(2 * 24))
    assert constants.xtal_offset.std() == pytest.approx(1e-9, rel=4 / np.sqrt(2 * CHANNELS))


def test_a_fast_clock_counts_more_samples() -> None:
    settings = DigitizerSettings(clock_ppm=25.0)
    shape = pulse_table(SipmSettings(), settings)
    seen = digitiser_pulses(light(7, 600e-6, 1.0), CONSTANTS, settings, shape)
    assert seen.start[0] - settings.zero_sample == pytest.approx(600e-6 / 1.25e-9 * (1 + 25e-6), rel=1e-12)
    assert shape.rise[0] == pytest.approx(0.846 / 1.25 * (1 + 25e-6), rel=1e-12)


# --- noise and state


def test_common_noise_is_shared_by_the_channels_of_a_calorimeter_alone() -> None:
    settings = with_digitizer(noise=3.0, common_noise=1.0)
    noise = empty(settings, CONSTANTS)
    mean = noise.mean(axis=1)  # over the channels of a calorimeter
    n = mean.size
    own = (9.0 + 1 / 12) / 54
    assert mean.var() == pytest.approx(1.0 + own, rel=4 * np.sqrt(2 / n))
    assert noise.var() == pytest.approx(10.0 + 1 / 12, rel=4 * np.sqrt(2 / n))
    assert (mean[:, 1:] * mean[:, :-1]).mean() == pytest.approx(0.0, abs=4 * (1 + own) / np.sqrt(n))
    assert (mean[1:] * mean[:-1]).mean() == pytest.approx(0.0, abs=4 * (1 + own) / np.sqrt(n))
    # Its own stage: the noise of each channel is as it was.
    plain = empty(with_digitizer(noise=3.0), CONSTANTS)
    shared = noise - plain
    assert np.abs(shared - shared.mean(axis=1, keepdims=True)).max() < 2.0  # two roundings


def test_sums_hold_the_common_noise_of_their_samples() -> None:
    settings = replace(SHORT, noise=3.0, common_noise=1.0)
    pedestals = CONSTANTS.pedestal.astype(np.float32)
    sums = calorimeter_sums(NOTHING, SHAPE, CONSTANTS, pedestals, settings, KEY).view(np.int32).astype(float)
    expected = 32 * (54 * (9.0 + 1 / 12) + 54**2)
    assert sums.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / sums.size) + 1e-4)
    histograms = np.zeros((24, 54, q_bins(SHORT)), np.int32)
    add_q_histograms(histograms, NOTHING, SHAPE, CONSTANTS, settings, KEY)
    bins = histograms - 16 * CONSTANTS.pedestal[..., None]
    assert bins.mean(axis=1).var() == pytest.approx(16 * (1 + 9.1 / 54), rel=4 * np.sqrt(2 / (bins.size / 54)) + 0.01)
    assert bins.var() == pytest.approx(16 * (10 + 1 / 12), rel=5 * np.sqrt(2 / (bins.size / 54)))


def test_noisy_channels_are_louder_and_open_no_island() -> None:
    settings = with_digitizer(noisy_channels=40, noisy_factor=3.0)
    constants = settings.constants()
    noisy = constants.status == ChannelStatus.NOISY
    assert noisy.sum() == 40
    rms = empty(settings, constants).std(axis=2)
    np.testing.assert_allclose(rms[noisy], np.sqrt(144 + 1 / 12), rtol=5 / np.sqrt(2 * SAMPLES))
    np.testing.assert_allclose(rms[~noisy], np.sqrt(16 + 1 / 12), rtol=5 / np.sqrt(2 * SAMPLES))
    assert sum(len(i.start) for i in digitise_fill(NO_LIGHT, KEY, settings, constants=constants).islands) == 0
    np.testing.assert_array_equal(opens_islands(constants, settings.digitizer), ~noisy)


def test_a_good_channel_whose_noise_reaches_the_threshold_is_masked() -> None:
    factor = np.ones((24, 54))
    factor[2, 3] = 1.5
    assert NOISE_BOUND * 1.5 * SHORT.noise > SHORT.threshold
    masked = ~opens_islands(CONSTANTS._replace(noise_factor=factor), SHORT)
    assert np.argwhere(masked).tolist() == [[2, 3]]


def test_dead_channels_show_their_pedestal_alone() -> None:
    settings = with_digitizer(dead_channels=500)
    constants = settings.constants()
    dead = np.flatnonzero(constants.status.ravel() == ChannelStatus.DEAD)
    assert len(dead) == 500
    deposits = deposit(spread_hits(200, 5, (0.0, 6.5e-6)), KEY)
    found, plain = (whole_waveforms(deposits, KEY, settings, c, np.arange(CHANNELS)) for c in (constants, CONSTANTS))
    np.testing.assert_array_equal(found[dead], whole_waveforms(NO_LIGHT, KEY, settings, constants, dead))
    others = np.setdiff1d(np.arange(CHANNELS), dead)
    np.testing.assert_array_equal(found[others], plain[others])
    assert not np.array_equal(found[dead], plain[dead])


# --- shapes


def test_each_channel_and_kind_has_its_own_shape() -> None:
    settings = CalorimeterSettings(sipm=SipmSettings(shape_spread=0.1), digitizer=replace(SHORT, noise=0.0))
    constants = settings.constants()
    shape = pulse_table(settings.sipm, SHORT, constants)
    time = (np.arange(40) - 10.3) * 1.25e-9
    for channel in (0, 700, 1295):
        for kind, rise, fall in (
            (0, constants.rise_time, constants.fall_time),
            (LASER, constants.laser_rise_time, constants.laser_fall_time),
        ):
            pulses = digitiser_pulses(light(channel, (10.3 + 800 - 800) * 1.25e-9, 1.0, kind), constants, SHORT, shape)
            samples = waveforms_of(np.array([channel]), pulses, shape, constants, settings.digitizer, KEY).samples[
                0, 800:840
            ]
            own = SipmSettings(rise_time=rise.flat[channel], fall_time=fall.flat[channel])
            level = (
                constants.pedestal.flat[channel]
                + np.where(np.arange(800, 840) % 2, -0.5, 0.5) * constants.even_odd.flat[channel]
            )
            expected = level - constants.counts_per_gev.flat[channel] * pulse_shape(time, own)
            assert np.abs(samples - expected).max() < 0.502


def test_whole_waveforms_are_the_same_in_any_company() -> None:
    deposits = deposit(spread_hits(60, 1, (0.0, 6e-6)), KEY)
    wanted = np.array([1000, 3, 700, 54, 53, 2, 1, 0, 1295, 64, 900, 4])
    whole = every_waveform(
        digitiser_pulses(light_of(deposits, KEY, SETTINGS, CONSTANTS), CONSTANTS, SHORT, SHAPE), KEY
    ).reshape(CHANNELS, SAMPLES)
    np.testing.assert_array_equal(whole_waveforms(deposits, KEY, SETTINGS, CONSTANTS, wanted), whole[wanted])
    digits = digitise_fill(deposits, KEY, SETTINGS, constants=CONSTANTS, waveform_channels=wanted)
    assert digits.waveforms is not None
    np.testing.assert_array_equal(digits.waveforms.samples, whole[wanted])
    np.testing.assert_array_equal(digits.waveforms.channel, wanted)
    assert digitise_fill(deposits, KEY, SETTINGS, constants=CONSTANTS).waveforms is None
    with pytest.raises(ValueError, match="channel 1296 does not exist"):
        whole_waveforms(deposits, KEY, SETTINGS, CONSTANTS, [3, 1296])


# --- the file of an average pulse


def pulse_file(path: Path, sipm: SipmSettings, noise: float = 0.0, comma: bool = False) -> Path:
    time = np.arange(-10.0, 40.0, 0.1)
    height = pulse_shape(1e-9 * (time - 3.3), replace(sipm, duration=1.0))
    height = height + np.random.default_rng(1).normal(0.0, noise, len(time))
    height /= height.max()
    between = ", " if comma else "  "
    path.write_text("# time [ns], height\n" + "".join(f"{t}{between}{h}\n" for t, h in zip(time, height, strict=True)))
    return path


@pytest.mark.parametrize("comma", [False, True])
def test_an_average_pulse_of_our_shape_gives_back_its_times(tmp_path: Path, comma: bool) -> None:
    sipm = SipmSettings(rise_time=1.1e-9, fall_time=2.2e-9)
    rise, fall = fit_template(*read_template(pulse_file(tmp_path / "p.txt", sipm, comma=comma)))
    # the highest of points 0.1 ns apart is 1e-3 below the peak
    assert rise == pytest.approx(1.1e-9, rel=0.01)
    assert fall == pytest.approx(2.2e-9, rel=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, h: (t, 0.5 * h), "has its peak at 0.5"),
        (lambda t, h: (t, np.maximum(h, 0.1)), "begins at 0.1, not near zero"),
        (lambda t, h: (t[: len(t) // 2 - 80], h[: len(h) // 2 - 80]), "ends at"),
        (lambda t, h: (t[::-1], h), "its times do not rise"),
        (lambda t, h: (t[:5], h[:5]), "at least 8 rows"),
        (lambda t, h: (t, np.where(t > 0, np.nan, h)), "at least 8 rows"),
    ],
)
def test_a_pulse_that_is_none_is_refused(tmp_path: Path, change, words: str) -> None:
    path = pulse_file(tmp_path / "p.txt", SipmSettings())
    table = np.loadtxt(path)
    np.savetxt(path, np.transpose(change(*table.T)))
    with pytest.raises(ValueError, match=words):
        read_template(path)


def test_a_square_pulse_is_no_template(tmp_path: Path) -> None:
    time = 1e-9 * np.arange(0.0, 60.0, 0.5)
    with pytest.raises(ValueError, match="misses the average pulse"):
        fit_template(time, ((time > 10e-9) & (time < 30e-9)).astype(float))
    with pytest.raises(ValueError, match=r"cannot read the average pulse '.*none.txt'"):
        read_template(tmp_path / "none.txt")
