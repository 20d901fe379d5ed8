from dataclasses import replace

import numpy as np
import pytest

from detectors.calorimeter import (
    CalorimeterSettings,
    chop_windows,
    digitise_fill,
    measure_pedestals,
    whole_waveforms,
)
from detectors.digitizer import CHANNELS, Pulses, opens_islands
from detectors.islands import Islands
from detectors.shower import deposit
from detectors.windows import every_calorimeter, find_windows
from tests.detectors.fills import (
    CONSTANTS,
    CROWD,
    SAMPLES,
    SETTINGS,
    SHAPE,
    SHORT,
    every_waveform,
    pulse,
    pulses_of,
)
from tests.detectors.showers import KEY, spread_hits, straight_hits

PRE, POST = SHORT.presamples, SHORT.postsamples


def crowded():
    """Return deposits of many small and large showers from before the first sample to behind the last."""
    hits = spread_hits(700, 8, (-1.05e-6, 6.6e-6), mean_energy=0.06)
    return deposit(hits._replace(energy=np.where(hits.number % 5, hits.energy, 20 * hits.energy)), KEY)


def islands_of(pulses: Pulses, settings=SHORT) -> tuple[list[Islands], np.ndarray]:
    pedestals = measure_pedestals(pulses, SHAPE, CONSTANTS, settings, KEY)
    windows = find_windows(pulses, CONSTANTS, pedestals, settings, SHAPE)
    return chop_windows(windows, pulses, SHAPE, CONSTANTS, pedestals, settings, KEY)


def chopped_by_hand(waveforms: np.ndarray, pedestals: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, length) of the islands of one calorimeter, sample by sample."""
    over = (waveforms < pedestals[:, None].astype(np.float64) - SHORT.threshold).any(axis=0)
    kept = np.zeros(SAMPLES, bool)
    for s in np.flatnonzero(over):
        kept[max(0, s - PRE) : s + POST + 1] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]


def same(a: list[Islands], b: list[Islands]) -> bool:
    return all(np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


def test_islands_are_those_of_the_whole_waveforms_chopped_by_hand():
    digits = digitise_fill(crowded(), KEY, SETTINGS)
    whole = every_waveform(pulses_of(crowded(), KEY), KEY)
    found = 0
    for calo, islands in enumerate(digits.islands):
        expected = chopped_by_hand(whole[calo], digits.pedestals[calo])
        assert expected == list(zip(islands.start.tolist(), islands.length.tolist(), strict=True))
        for j, (start, length) in enumerate(expected):
            assert np.array_equal(islands.waveforms(j), whole[calo, :, start : start + length])
        found += len(expected)
    assert found > 100


def test_islands_with_every_effect_on_are_those_of_the_whole_waveforms() -> None:
    """Common noise, noisy and dead channels, offsets, clock, shapes and gains: nothing is missed in a window."""
    constants = CROWD.constants(1.0)
    deposits = crowded()
    digits = digitise_fill(deposits, KEY, CROWD, constants=constants)
    every = np.arange(CHANNELS)
    whole = whole_waveforms(deposits, KEY, CROWD, constants, every).reshape(24, 54, SAMPLES)
    opening = opens_islands(constants, CROWD.digitizer)
    assert (~opening).sum() == 50
    found = 0
    for calo, islands in enumerate(digits.islands):
        good = opening[calo]
        expected = chopped_by_hand(whole[calo][good], digits.pedestals[calo][good])
        assert expected == list(zip(islands.start.tolist(), islands.length.tolist(), strict=True))
        for j, (start, length) in enumerate(expected):
            assert np.array_equal(islands.waveforms(j), whole[calo, :, start : start + length])
        found += len(expected)
    assert found > 100
    np.testing.assert_array_equal(digits.pedestals, whole[..., :100].mean(axis=2).astype(np.float32))


def test_islands_and_tags_equal_those_from_the_whole_fill_as_one_window():
    tag_all = replace(SHORT, ctag_sample=0, ctag_energy=0.1)
    pulses = pulses_of(crowded(), KEY)
    pedestals = measure_pedestals(pulses, SHAPE, CONSTANTS, SHORT, KEY)
    sparse, sparse_tags = islands_of(pulses, tag_all)
    whole = every_calorimeter(0, SAMPLES - 1)
    dense, dense_tags = chop_windows(whole, pulses, SHAPE, CONSTANTS, pedestals, tag_all, KEY)
    assert same(sparse, dense)
    assert np.array_equal(sparse_tags, dense_tags)
    assert dense_tags.sum() > 50


def test_digits_do_not_depend_on_the_order_of_deposits_and_repeat():
    deposits = crowded()
    order = np.random.default_rng(1).permutation(len(deposits.energy))
    shuffled = type(deposits)(*(column[order] for column in deposits))
    first, again, other = (digitise_fill(d, KEY, SETTINGS) for d in (deposits, deposits, shuffled))
    for digits in (again, other):
        assert same(first.islands, digits.islands)
        assert np.array_equal(first.pedestals, digits.pedestals)
        assert np.array_equal(first.calo_sum, digits.calo_sum)
        assert np.array_equal(first.q_histogram, digits.q_histogram)
        assert np.array_equal(first.ctag, digits.ctag)


def test_one_pulse_is_kept_with_samples_before_and_after():
    islands, _ = islands_of(pulse(9, 40, 2000.4, 800.0))
    assert [len(i.start) for i in islands] == [int(calo == 9) for calo in range(24)]
    waveforms = islands[9].waveforms(0)
    over = np.flatnonzero(waveforms[40] < CONSTANTS.pedestal[9, 40] - SHORT.threshold - 0.5)
    assert over[0] == PRE
    assert waveforms.shape == (54, PRE + over[-1] - over[0] + 1 + POST)


@pytest.mark.parametrize(("gap", "islands"), [(12.0, 1), (30.0, 1), (60.0, 2)])
def test_neighbouring_pulses_share_an_island_when_their_windows_meet(gap, islands):
    start = np.array([2000.4, 2000.4 + gap])
    channel = np.array([9 * 54 + 40, 9 * 54 + 2])
    pulses = Pulses(channel, start, np.array([800.0, 800.0]), channel)
    pulses = Pulses(*(column[np.argsort(pulses.channel)] for column in pulses))
    found, _ = islands_of(pulses)
    assert len(found[9].start) == islands


def test_island_stops_at_the_ends_of_the_fill():
    islands, _ = islands_of(pulse(0, 0, 2.0, 900.0))
    assert islands[0].start[0] == 0
    islands, _ = islands_of(pulse(23, 53, SAMPLES - 6.0, 900.0))
    assert islands[23].start[0] + islands[23].length[0] == SAMPLES


def test_tail_of_a_pulse_from_before_the_fill_opens_no_island():
    settings = replace(SHORT, postsamples=1)
    islands, _ = islands_of(pulse(5, 5, -18.5, 60.0), settings)
    assert sum(len(i.start) for i in islands) == 0


def test_pulse_below_threshold_opens_no_island():
    islands, _ = islands_of(pulse(3, 3, 3000.0, SHORT.threshold - 28.0))
    assert sum(len(i.start) for i in islands) == 0


def test_empty_fill_has_pedestals_and_no_islands():
    digits = digitise_fill(deposit(straight_hits(0, 1.0), KEY), KEY, SETTINGS)
    assert sum(len(i.start) for i in digits.islands) == 0
    assert all(len(i.samples) == 0 and i.offsets.tolist() == [0] for i in digits.islands)
    # mean of 100 samples of noise 4; 5 standard deviations over 1296 channels
    np.testing.assert_allclose(digits.pedestals, CONSTANTS.pedestal, atol=5 * 0.4)


def test_pedestal_is_the_mean_of_the_first_hundred_samples():
    digits = digitise_fill(crowded(), KEY, SETTINGS)
    first = every_waveform(pulses_of(crowded(), KEY), KEY)[..., :100]
    assert np.array_equal(digits.pedestals, first.mean(axis=2).astype(np.float32))


@pytest.mark.parametrize(("energy", "time", "tags"), [(2.6, 5e-6, 24), (2.6, 1e-6, 0), (0.9, 5e-6, 0)])
def test_tags_count_late_positrons_of_high_energy(energy, time, tags):
    late = replace(SHORT, ctag_sample=3000)
    hits = straight_hits(24, energy)._replace(time=np.full(24, time))
    uniform = CONSTANTS._replace(counts_per_gev=np.full((24, 54), SHORT.counts_per_gev))
    digits = digitise_fill(deposit(hits, KEY), KEY, CalorimeterSettings(digitizer=late), constants=uniform)
    assert digits.ctag.sum() == tags


def test_energy_is_found_again_in_the_samples():
    hits = straight_hits(240, 2.0)._replace(time=np.arange(240) // 24 * 0.5e-6 + np.arange(240) * 0.11e-9)
    deposits = deposit(hits, KEY)
    digits = digitise_fill(deposits, KEY, SETTINGS)
    area = SETTINGS.sipm.area / SHORT.sample_period
    found = []
    for calo, islands in enumerate(digits.islands):
        for j in range(len(islands.start)):
            below = digits.pedestals[calo][:, None] - islands.waveforms(j)
            found.append((below.sum(axis=1) / CONSTANTS.counts_per_gev[calo]).sum() / area)
    assert len(found) == 240
    # saturation takes about 2 %; noise and pedestals put an island off by 0.25 GeV, 240 of them by 0.02 GeV
    assert np.mean(found) == pytest.approx(0.98 * deposits.energy.sum() / 240, rel=0.02)
