from dataclasses import replace

import numpy as np
import pytest

from detectors.digitizer import NOISE_BOUND, DigitizerSettings, Pulses, channel_constants, noise4, synthesise
from detectors.shower import CrystalDeposits, deposit
from detectors.sipm import SipmSettings, pulse_shape
from detectors.windows import Windows, rows_of
from gpu.rng import FillKey, Stage
from tests.detectors.fills import CONSTANTS, SHAPE, SHORT, every_waveform, pulse, pulses_of
from tests.detectors.showers import KEY, spread_hits

NOTHING = pulse(0, 0, -100.0, 0.0)
SILENT = replace(SHORT, noise=0.0)


def test_noise_has_the_stated_mean_and_rms_and_no_memory():
    noise = every_waveform(NOTHING, KEY) - CONSTANTS.pedestal[..., None]
    sigma = np.sqrt(SHORT.noise**2 + 1 / 12)
    noise[..., 0::2] -= 0.5 * CONSTANTS.even_odd[..., None]
    noise[..., 1::2] += 0.5 * CONSTANTS.even_odd[..., None]
    n = noise.size
    assert noise.mean() == pytest.approx(0.0, abs=4 * sigma / np.sqrt(n))
    assert noise.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))
    assert ((noise / sigma) ** 4).mean() == pytest.approx(3.0, abs=4 * np.sqrt(96 / n))
    for lag in (1, 2, 3, 4, 8):
        correlation = (noise[..., lag:] * noise[..., :-lag]).mean() / sigma**2
        assert correlation == pytest.approx(0.0, abs=4 / np.sqrt(n))
    assert (noise[:, :-1] * noise[:, 1:]).mean() / sigma**2 == pytest.approx(0.0, abs=4 / np.sqrt(n))


def test_no_noise_passes_the_bound():
    # the largest radius comes from the word 0, of which 24 bits are taken
    assert np.sqrt(-2.0 * np.log(0.5 * 2.0**-24)) == pytest.approx(NOISE_BOUND, rel=2e-6)


def test_samples_do_not_depend_on_the_window_they_are_made_in():
    pulses = pulses_of(deposit(spread_hits(40, 1, (0.0, 6e-6)), KEY), KEY)
    whole = every_waveform(pulses, KEY)
    windows = Windows(np.array([3, 3, 17]), np.array([801, 1003, 5990]), np.array([877, 1004, 6002]))
    rows, blocks, touching = rows_of(windows, pulses, SHORT, SHAPE)
    samples = synthesise(rows, blocks, touching, SHAPE, CONSTANTS, SHORT, KEY)
    ends = 4 * np.cumsum(blocks)
    for r, (calo, first, last) in enumerate(zip(*windows, strict=True)):
        for crystal in range(54):
            row = r * 54 + crystal
            piece = samples[4 * rows.offset[row] : ends[row]][first % 4 :][: last - first + 1]
            assert np.array_equal(piece, whole[calo, crystal, first : last + 1])


def test_waveform_is_pedestal_plus_noise_less_pulses():
    starts, heights = np.array([100.25, 104.9, 150.0, 151.37]), np.array([500.0, 80.0, 1200.0, 33.3])
    channel = np.full(4, 7 * 54 + 31)
    pulses = Pulses(channel, starts, heights, channel)
    waveform = every_waveform(pulses, KEY)[7, 31, :200]
    time = np.arange(200)
    expected = CONSTANTS.pedestal[7, 31] + np.where(time % 2, -0.5, 0.5) * CONSTANTS.even_odd[7, 31]
    for start, height in zip(starts, heights, strict=True):
        expected -= height * pulse_shape((time - start) * SHORT.sample_period, SipmSettings())
    noise = np.concatenate([noise4(*KEY, 7 * 54 + 31, b, int(Stage.NOISE)) for b in range(50)])
    expected += SHORT.noise * noise
    # single precision around 1750 is good to 1e-4 counts: a sample may round the other way once in 10^4
    assert (waveform != np.rint(expected)).sum() <= 1
    assert np.abs(waveform - expected).max() < 0.501


def test_two_pulses_in_a_crystal_add_up():
    one, two = pulse(4, 10, 300.2, 900.0), pulse(4, 10, 301.1, 700.0)
    both = Pulses(*(np.concatenate(columns) for columns in zip(one, two, strict=True)))
    a, b, ab, empty = (every_waveform(p, KEY, SILENT)[4, 10].astype(int) for p in (one, two, both, NOTHING))
    # three roundings of half a count on one side, one on the other
    assert np.abs((a - empty) + (b - empty) - (ab - empty)).max() <= 2
    assert (ab - empty).min() < -1000


def test_samples_stay_in_twelve_bits():
    waveform = every_waveform(pulse(2, 53, 300.0, 5000.0), KEY)[2, 53]
    assert waveform.min() == SHORT.minimum
    assert (waveform == SHORT.minimum).sum() >= 2


def test_two_positrons_of_3_gev_fit_the_range_at_the_nominal_scale():
    settings = DigitizerSettings()
    depth = settings.pedestal - settings.minimum
    assert 2 * 3.1 * settings.counts_per_gev < depth


def test_threshold_is_fifty_mev_at_the_nominal_scale():
    settings = DigitizerSettings()
    assert settings.threshold / settings.counts_per_gev == pytest.approx(0.05, rel=0.02)


def test_constants_have_the_stated_spreads_and_stay_as_they_are():
    n = CONSTANTS.counts_per_gev.size
    scale = CONSTANTS.counts_per_gev / SHORT.counts_per_gev
    assert scale.mean() == pytest.approx(1.0, abs=4 * 0.17 / np.sqrt(n))
    # kurtosis of a log-normal of 17 % raises the error of the RMS by a quarter
    assert scale.std() == pytest.approx(0.17, rel=1.25 * 4 / np.sqrt(2 * n))
    again = channel_constants(DigitizerSettings())
    assert all(np.array_equal(a, b) for a, b in zip(CONSTANTS, again, strict=True))
    with pytest.raises(ValueError, match="read-only"):
        CONSTANTS.pedestal[0, 0] = 0.0
    assert not np.array_equal(again.pedestal, channel_constants(replace(SHORT, constants_seed=1)).pedestal)


def test_time_zero_lies_at_sample_800():
    deposits = CrystalDeposits(*(np.array([k]) for k in (0, 0, 5, 20)), np.array([1.0]), np.array([0.0]), np.array([0]))
    pulses = pulses_of(deposits, FillKey(1, 1, 1, 1))
    assert pulses.start[0] == pytest.approx(800.0, abs=0.1)
    waveform = every_waveform(pulses, KEY)[5, 20]
    assert 800 + waveform[800:820].argmin() == pytest.approx(800 + SipmSettings().peak_time / 1.25e-9, abs=1)


def test_threshold_within_the_noise_is_refused():
    with pytest.raises(ValueError, match=r"threshold = 20.0 counts is within reach of the noise"):
        DigitizerSettings(threshold=20.0)


def test_histogram_longer_than_the_fill_is_refused():
    with pytest.raises(ValueError, match=r"q_last_sample = 252000 lies behind the last of 1000 samples"):
        DigitizerSettings(samples=1000)


def test_decimation_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"sum_decimation = 0 is out of bounds: give a positive number"):
        DigitizerSettings(sum_decimation=0)
