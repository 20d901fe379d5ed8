"""What gains do to the waveforms, and that the reconstruction undoes it with the constants of the run."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.calorimeter import CalorimeterSettings, FillDigits, digitise_fill, digitise_light
from detectors.channels import CHANNELS, ChannelConstants, ChannelStatus
from detectors.digitizer import DigitizerSettings
from detectors.gain import GainSettings, saturated
from detectors.shower import deposit
from detectors.sipm import Light, SipmSettings, with_gains
from detectors.transport import Hits
from gm2sim.calibration import Calibration
from gm2sim.reco import Clusters, CrystalPulses, FillWaveforms, cluster, fit_fill
from gpu.rng import FillKey

Floats = NDArray[np.float64]
KEY = FillKey(3, 7, 0, 0)
PLAIN = CalorimeterSettings(digitizer=DigitizerSettings(q_method=False))
GAINS = GainSettings(sag=True, double_pulse=True, temperature=True)
ALL_ON = CalorimeterSettings(
    sipm=SipmSettings(light_yield_spread=0.1, shape_spread=0.02),
    digitizer=replace(PLAIN.digitizer, calo_offset_spread=2e-9, xtal_offset_spread=0.5e-9),
    gain=GAINS,
)


def waves_of(digits: FillDigits) -> FillWaveforms:
    """What the reconstruction takes from a raw file, without the file."""
    length = np.concatenate([i.length for i in digits.islands]).astype(np.int64)
    return FillWaveforms(
        samples=np.concatenate([i.samples for i in digits.islands]),
        first=54 * (np.cumsum(length) - length),
        length=length,
        time=np.concatenate([i.start for i in digits.islands]).astype(np.int64),
        calo=np.repeat(np.arange(24), [len(i.start) for i in digits.islands]),
        pedestal=digits.pedestals.astype(np.float64),
    )


# --- pulse by pulse

ENERGY = 2.0  # [GeV]
A_CHANNEL = 20


def equal_light(constants: ChannelConstants) -> Light:
    """2 GeV in every channel now and then from 30 to 690 us, in no two channels of a calorimeter at once."""
    rng = np.random.default_rng(2)
    slots = 54 * A_CHANNEL
    width = 660e-6 / slots
    slot = np.concatenate([rng.permutation(slots) for _ in range(24)])
    time = 30e-6 + width * (slot + rng.uniform(0.0, 0.6, slot.size))
    channel = np.repeat(np.arange(24), slots) * 54 + np.tile(np.repeat(np.arange(54), A_CHANNEL), 24)
    light = np.full(channel.size, ENERGY)
    full = SipmSettings().pixels / constants.light_yield.ravel()
    at_rest = np.array([saturated(ENERGY, one) for one in full[channel]])
    electrons = np.rint(light * constants.light_yield.ravel()[channel]).astype(np.int64)
    return Light(channel, time, at_rest, electrons, light, np.zeros(channel.size, np.int64))


@pytest.fixture(scope="module")
def pulses() -> tuple[Light, ChannelConstants, FillWaveforms]:
    """A fill of equal pulses; its sag after 30 us is larger than real, so that a percent of it can be seen."""
    gain = replace(GAINS, flash_amplitude=0.2, flash_time=60e-6, drop_per_gev=2e-3)
    settings = replace(ALL_ON, gain=gain, digitizer=replace(ALL_ON.digitizer, noise=2.0))
    constants = settings.constants(0.5)
    light = equal_light(constants)
    seen = with_gains(light, constants.gains(settings.sipm.pixels))
    return light, constants, waves_of(digitise_light(seen, KEY, settings, constants))


def known(constants: ChannelConstants) -> Calibration:
    return Calibration.of(replace(ALL_ON, digitizer=replace(ALL_ON.digitizer, noise=2.0)), constants)


def seen(waves: FillWaveforms, calibration: Calibration) -> CrystalPulses:
    """The fitted pulses; of noise in 40 million samples a few are found as well."""
    found = fit_fill(waves, calibration)
    return CrystalPulses(*(column[found.energy > 0.5 * ENERGY] for column in found))


def by_time(found: CrystalPulses, edges: Floats) -> tuple[Floats, Floats]:
    """Mean energy in slices of time and its error [GeV]."""
    means = [found.energy[(found.time >= a) & (found.time < b)] for a, b in pairwise(edges)]
    return np.array([m.mean() for m in means]), np.array([m.std() / np.sqrt(len(m)) for m in means])


def test_corrections_from_the_same_conditions_leave_the_energy_flat_to_1e_4(
    pulses: tuple[Light, ChannelConstants, FillWaveforms],
) -> None:
    light, constants, waves = pulses
    found = seen(waves, known(constants))
    assert len(found.energy) == len(light.channel)
    mean, error = by_time(found, np.linspace(30e-6, 650e-6, 6))
    # 2 counts of noise on 1200: 1.4e-3 a pulse, 2e-5 in a slice of 5000
    assert error.max() / ENERGY < 3e-5
    assert np.abs(mean / mean.mean() - 1.0).max() < 1e-4
    assert mean.mean() == pytest.approx(ENERGY, rel=2e-4)  # shape in whole counts, clipped tails


def test_times_come_back_without_the_offsets_of_the_channels(
    pulses: tuple[Light, ChannelConstants, FillWaveforms],
) -> None:
    light, constants, waves = pulses
    calibration = known(constants)
    found = seen(waves, calibration)
    order = np.lexsort((found.time, 54 * found.calo + found.crystal))
    true = light.time[np.lexsort((light.time, light.channel))]
    off = found.time[order] - true + calibration.delay
    assert np.abs(off).max() < 30e-12
    assert abs(off.mean()) < 1e-12


def test_without_corrections_the_sag_is_as_configured_to_a_percent(
    pulses: tuple[Light, ChannelConstants, FillWaveforms],
) -> None:
    """Pulses and drops as they were put in, summed by the formula; double pulses are far apart here."""
    light, constants, waves = pulses
    calibration = replace(known(constants).without_gain(), out_of_fill=constants.out_of_fill)
    found = seen(waves, calibration)
    gains = constants.gains(SipmSettings().pixels)
    c, t = light.channel, light.time
    sag = gains.flash_amplitude[c] * np.exp(-t / gains.flash_time[c])
    mine = t.reshape(CHANNELS, A_CHANNEL)
    for k in range(A_CHANNEL):
        before = mine < mine[:, k : k + 1]
        past = np.where(before, np.exp(-np.abs(mine[:, k : k + 1] - mine) / gains.drop_time[:, None]), 0.0)
        sag.reshape(CHANNELS, A_CHANNEL)[:, k] += gains.drop_per_gev * ENERGY * past.sum(axis=1)
    for low, high in ((30e-6, 60e-6), (60e-6, 120e-6), (120e-6, 200e-6)):
        true = sag[(t >= low) & (t < high)].mean()
        energy = found.energy[(found.time >= low) & (found.time < high)]
        # The height at rest is saturated: its relative sag is that of the light less 2.5 %, undone as if it were light.
        share = 1.0 + 0.5 * ENERGY * 1400.0 / SipmSettings().pixels
        error = energy.std() / np.sqrt(len(energy)) / ENERGY
        assert 1.0 - energy.mean() / ENERGY == pytest.approx(true * share, rel=0.01, abs=4 * error)


# --- positrons


def clusters(settings: CalorimeterSettings, constants: ChannelConstants, hits: Hits) -> Clusters:
    digits = digitise_fill(deposit(hits, KEY), KEY, settings, constants=constants)
    waves, calibration = waves_of(digits), Calibration.of(settings, constants)
    return cluster(fit_fill(waves, calibration), waves, calibration, 0)


def positrons(n: int = 6000) -> Hits:
    """Positrons of 2 GeV over the faces, from 30 to 650 us."""
    rng = np.random.default_rng(5)
    number = np.arange(n)
    zero = np.zeros(n)
    return Hits(
        number % 24, rng.uniform(-0.09, 0.09, n), rng.uniform(-0.05, 0.05, n), zero, zero, np.full(n, 2.0),
        30e-6 + 620e-6 * (number + rng.uniform(0, 0.5, n)) / n, number, zero, np.zeros(n, np.int64),
    )  # fmt: skip


def test_positrons_have_the_energy_that_they_have_without_any_effect() -> None:
    """The same showers with and without gains: what differs is rounding, and the noise by what the gain is short."""
    hits = positrons()
    plain = clusters(PLAIN, PLAIN.constants(), hits)
    settings = replace(PLAIN, gain=GAINS)
    corrected = clusters(settings, settings.constants(0.5), hits)
    a, b = (np.argsort(c.time) for c in (plain, corrected))
    assert len(a) == len(b) == len(hits.number)
    ratio = corrected.energy[b] / plain.energy[a]
    assert np.abs(corrected.time[b] - plain.time[a]).max() < 0.1e-9
    for part in np.array_split(ratio, 4):
        error = part.std() / np.sqrt(len(part))
        assert error < 1e-4
        assert part.mean() == pytest.approx(1.0, abs=1e-4 + 2 * error)


def test_positrons_have_the_energy_and_time_that_they_have_in_equal_channels() -> None:
    """Shapes, offsets, light yields and gains of each channel at once: the mean is that of equal channels."""
    hits = positrons(3000)
    plain = clusters(PLAIN, PLAIN.constants(), hits)
    other = clusters(ALL_ON, ALL_ON.constants(0.5), hits)
    a, b = (np.argsort(c.time) for c in (plain, other))
    assert len(a) == len(b) == len(hits.number)
    ratio = other.energy[b] / plain.energy[a]
    # other photoelectrons: sqrt(2) / sqrt(2800), and noise twice
    assert ratio.std() < 0.04
    assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / np.sqrt(len(a)))
    assert np.std(other.time[b] - plain.time[a]) < 50e-12


def test_dead_channels_are_left_out_and_noisy_ones_seen_above_their_noise() -> None:
    digitizer = replace(PLAIN.digitizer, dead_channels=100, noisy_channels=100)
    settings = replace(PLAIN, digitizer=digitizer)
    constants = settings.constants()
    digits = digitise_fill(deposit(positrons(1000), KEY), KEY, settings, constants=constants)
    found = fit_fill(waves_of(digits), Calibration.of(settings, constants))
    status = constants.status[found.calo, found.crystal]
    assert not (status == ChannelStatus.DEAD).any()
    noisy = found.energy[status == ChannelStatus.NOISY]
    # 5 standard deviations of 12 counts; fitted heights lie down to half of it
    assert 0 < len(noisy) < 0.3 * len(found.energy)
    assert (noisy * constants.counts_per_gev[found.calo, found.crystal][status == ChannelStatus.NOISY] > 29.0).all()


def test_clipped_pulses_are_fitted_to_a_percent() -> None:
    """6.4 to 7.4 GeV in one crystal: beyond the 12 bits, where the highest samples say nothing."""
    rng = np.random.default_rng(8)
    constants = PLAIN.constants()._replace(counts_per_gev=np.full((24, 54), 612.0))
    n = 24 * 40
    energy = rng.uniform(6.4, 7.4, n)
    time = 30e-6 + 0.5e-6 * (np.arange(n) // 24) + rng.uniform(0, 1.25e-9, n)
    channel = (np.arange(n) % 24) * 54 + 22
    full = SipmSettings().pixels / 1400.0
    at_rest = np.array([saturated(e, full) for e in energy])
    light = Light(channel, time, at_rest, np.rint(1400 * energy).astype(int), energy, np.zeros(n, np.int64))
    waves = waves_of(digitise_light(light, KEY, PLAIN, constants))
    assert waves.samples.min() == -2048
    found = fit_fill(waves, Calibration.of(PLAIN, constants))
    assert len(found.energy) == n
    order, true = np.lexsort((found.time, found.calo)), np.lexsort((time, channel))
    ratio = found.energy[order] / energy[true]
    # With the rise and the top clipped the tail alone tells height and time: worst where its samples lie badly.
    assert ratio.std() < 0.005
    assert np.abs(ratio - 1.0).max() < 0.03
    assert abs(ratio.mean() - 1.0) < 4 * 0.005 / np.sqrt(n)


def test_the_clock_is_undone_by_who_knows_it() -> None:
    settings = replace(PLAIN, digitizer=replace(PLAIN.digitizer, clock_ppm=20.0))
    constants = settings.constants()
    hits = positrons(240)
    digits = digitise_fill(deposit(hits, KEY), KEY, settings, constants=constants)
    waves, blinded = waves_of(digits), Calibration.of(settings, constants)
    times = [np.sort(cluster(fit_fill(waves, c), waves, c, 0).time) for c in (blinded, blinded.with_true_clock())]
    np.testing.assert_allclose(times[0] / times[1] - 1.0, 20e-6, rtol=1e-3)
    assert np.std(times[1] - hits.time) < 50e-12


def test_calibration_reads_back_from_the_numbers_of_the_run_database() -> None:
    constants = ALL_ON.constants(1.0)
    made = Calibration.of(ALL_ON, constants)
    back = Calibration.from_odb({"Simulation": {"calibration": made.as_tree()}})
    for name, value in vars(made).items():
        np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)
    plain = Calibration.of(PLAIN).as_tree()
    old = {key: value for key, value in plain.items() if key in _OLD}
    before = Calibration.from_odb({"Simulation": {"calibration": old}})
    for mine, neutral in zip(before.gains, Calibration.of(PLAIN).gains, strict=True):
        assert mine.shape == neutral.shape
    assert (before.gains.out_of_fill == 1.0).all()
    assert before.clock_ppm == 0.0
    assert isinstance(plain["pulse_rise_time_s"], float)


_OLD = (
    "counts_per_gev", "pulse_rise_time_s", "pulse_fall_time_s", "sample_period_s", "zero_sample", "noise_counts",
    "saturation_gev", "delay_s", "energy_scale",
)  # fmt: skip
