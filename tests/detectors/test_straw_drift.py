"""From crossed straws to hits: clusters, drift, electronics."""

import dataclasses
import math

import numpy as np
import pytest

from detectors.straw_crossings import Crossings
from detectors.straw_drift import Source, StrawHits, StrawSettings, cluster_size, drift_distance, straw_hits
from detectors.straws import CHANNELS, LAYERS, WIRES, channel_of
from gpu.rng import FillKey

KEY = FillKey(5, 2, 0, 1)
RADIUS = 2.535e-3
QUIET = StrawSettings(crosstalk=0.0, noise_rate=0.0)
EXACT = dataclasses.replace(QUIET, diffusion=0.0, jitter=0.0, tdc_bin=1e-12)


def crossed(distance, time=None, channel=None) -> Crossings:
    """Straight crossings at right angles to the wires, each of another muon, spread over straws and fill."""
    distance = np.asarray(distance, float)
    n = distance.size
    rng = np.random.default_rng(3)
    return Crossings.empty(n)._replace(
        channel=rng.integers(0, CHANNELS, n) if channel is None else np.asarray(channel),
        number=np.arange(n),
        distance=distance,
        path=2.0 * np.sqrt(RADIUS**2 - distance**2),
        time=rng.uniform(10e-6, 600e-6, n) if time is None else np.asarray(time, float),
        momentum=np.full(n, 1.5),
    )


N = 40_000
CROSSED = crossed(np.random.default_rng(1).uniform(-RADIUS, RADIUS, N))


def of_tracks(hits: StrawHits):
    """Rows of the hits that tracks made, in the order of the crossings."""
    rows = np.flatnonzero(hits.source == Source.TRACK)
    return rows[np.argsort(hits.crossing[rows])]


def drift_times(hits: StrawHits, crossings: Crossings):
    rows = of_tracks(hits)
    return hits.time[rows] - crossings.time[hits.crossing[rows]], np.abs(crossings.distance[hits.crossing[rows]])


@pytest.fixture(scope="module")
def hits() -> StrawHits:
    return straw_hits(CROSSED, KEY)


def test_residual_of_a_hit_is_110_micrometres(hits):
    # arXiv 2111.02076: 110 +- 20 um on average.
    times, truth = drift_times(hits, CROSSED)
    residual = drift_distance(times, StrawSettings()) - truth
    assert 90e-6 < residual.std() < 130e-6
    # Not all of it is noise: the threshold waits for clusters beyond the nearest, most of all for tracks near the wire.
    assert 0.0 < residual.mean() < 70e-6
    assert 90e-6 < residual[truth > 0.5e-3].std() < 130e-6


def test_straws_are_more_than_97_percent_efficient(hits):
    # All paths through the gas, also those that only graze it.
    assert of_tracks(hits).size / N > 0.97


def test_drift_times_lie_between_0_and_70_nanoseconds(hits):
    times, _ = drift_times(hits, CROSSED)
    settings = StrawSettings()
    # Not before the track but for jitter, diffusion near the wire and half a bin: five standard deviations.
    assert times.min() > -5.0 * math.hypot(settings.jitter, 0.1e-9) - 0.5 * settings.tdc_bin
    assert times.max() < 70e-9
    # 2.535 mm at 54.6 um/ns.
    assert 44e-9 < np.percentile(times, 99) < 50e-9


def test_without_threshold_a_straw_is_missed_only_when_no_cluster_is_made():
    settings = dataclasses.replace(QUIET, threshold=1, clusters=400.0, dead_time=0.0)
    found = np.zeros(N)
    hits = straw_hits(CROSSED, KEY, settings)
    found[hits.crossing] = 1.0
    chance = 1.0 - np.exp(-400.0 * CROSSED.path)
    assert found.sum() == pytest.approx(chance.sum(), abs=5.0 * math.sqrt((chance * (1 - chance)).sum()))
    short = CROSSED.path < np.median(CROSSED.path)
    error = 5.0 * math.sqrt((chance * (1 - chance))[short].sum())
    assert found[short].sum() == pytest.approx(chance[short].sum(), abs=error)


def test_through_the_wire_the_first_cluster_is_exponentially_near():
    through = crossed(np.zeros(20_000))
    settings = dataclasses.replace(EXACT, threshold=1, dead_time=0.0)
    times, _ = drift_times(straw_hits(through, KEY, settings), through)
    # Two sides: mean 1 / (2 n), cut at the radius, where exp(-18) are left.
    expected = 0.5 / settings.clusters / settings.drift_velocity
    assert times.mean() == pytest.approx(expected, rel=5.0 / math.sqrt(times.size))
    assert times.std() == pytest.approx(expected, rel=5.0 * math.sqrt(2.0 / times.size))


def test_without_spread_no_hit_comes_earlier_than_the_nearest_approach_or_later_than_the_wall():
    times, truth = drift_times(straw_hits(CROSSED, KEY, EXACT), CROSSED)
    r = times * EXACT.drift_velocity
    assert (r > truth - 1e-7).all()  # a bin of 1 ps is 0.05 um, and time itself is exact to 1e-19 s
    assert r.max() < RADIUS + 1e-7


def test_diffusion_grows_with_the_root_of_the_drift():
    one = dataclasses.replace(EXACT, dead_time=0.0)
    for distance in (0.5e-3, 2.0e-3):
        same = crossed(np.full(20_000, distance))
        pure, _ = drift_times(straw_hits(same, KEY, one), same)
        spread, _ = drift_times(straw_hits(same, KEY, dataclasses.replace(one, diffusion=1.9e-3)), same)
        pull = (spread - pure) * one.drift_velocity / (1.9e-3 * np.sqrt(pure * one.drift_velocity))
        assert pull.mean() == pytest.approx(0.0, abs=5.0 / math.sqrt(pull.size))
        assert pull.std() == pytest.approx(1.0, rel=5.0 / math.sqrt(2.0 * pull.size))


def test_cluster_sizes_are_those_measured_in_argon():
    # H. Fischle et al., NIM A 301 (1991) 202: 65.6, 15.0, 6.4, 3.5 % have 1, 2, 3, 4 electrons.
    u = (np.arange(100_000) + 0.5) / 100_000
    size = np.array([cluster_size(v) for v in u])
    for electrons, share in ((1, 0.656), (2, 0.150), (3, 0.064), (4, 0.035)):
        assert (size == electrons).mean() == pytest.approx(share, rel=0.1)
    assert size.max() <= 1000


def test_tdc_rounds_to_the_nearest_bin():
    fine = straw_hits(CROSSED, KEY, dataclasses.replace(QUIET, tdc_bin=1e-12, dead_time=0.0))
    coarse = straw_hits(CROSSED, KEY, dataclasses.replace(QUIET, dead_time=0.0))
    np.testing.assert_array_equal(fine.crossing, coarse.crossing)
    difference = coarse.time - fine.time
    assert abs(difference).max() <= 0.5 * 625e-12 + 1e-12
    assert difference.std() == pytest.approx(625e-12 / math.sqrt(12.0), rel=0.02)
    np.testing.assert_array_equal(coarse.time, coarse.tdc * 625e-12)


@pytest.mark.parametrize(
    "off", [{"noise_rate": 0.0}, {"crosstalk": 0.0}, {"diffusion": 0.0}, {"jitter": 0.0}, {"tdc_bin": 1e-12}]
)
def test_an_effect_switched_off_leaves_all_other_random_numbers(off):
    base = StrawSettings(dead_time=0.0)
    everything, without = straw_hits(CROSSED, KEY, base), straw_hits(CROSSED, KEY, dataclasses.replace(base, **off))

    def of(hits, source):
        chosen = hits.source == source
        order = np.lexsort((hits.channel[chosen], hits.time[chosen], hits.crossing[chosen]))
        return [column[chosen][order] for column in hits]

    name = next(iter(off))
    for source in Source:
        if (name, source) in (("noise_rate", Source.NOISE), ("crosstalk", Source.CROSSTALK)):
            assert (without.source != source).all()
            continue
        a, b = of(everything, source), of(without, source)
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[4], b[4])
        if name in ("noise_rate", "crosstalk"):
            np.testing.assert_array_equal(a[1], b[1])
        else:
            assert abs(a[2] - b[2]).max() < 12e-9  # the longest drift spreads by 1.8 ns, the jitter by 0.8 ns


def test_dead_time_only_takes_hits_away():
    alive = straw_hits(CROSSED, KEY, StrawSettings(dead_time=0.0))
    dead = straw_hits(CROSSED, KEY, StrawSettings(dead_time=1e-6))
    assert 0 < dead.tdc.size < alive.tdc.size
    assert set(zip(*map(list, (dead.channel, dead.tdc, dead.source)), strict=True)) <= set(
        zip(*map(list, (alive.channel, alive.tdc, alive.source)), strict=True)
    )


def test_second_track_in_the_dead_time_is_lost():
    times = np.array([1e-6, 1e-6 + 20e-9, 1e-6 + 150e-9])
    three = crossed(np.full(3, 1e-4), time=times, channel=np.full(3, 77))
    both = straw_hits(three, KEY, dataclasses.replace(QUIET, dead_time=50e-9))
    np.testing.assert_array_equal(both.crossing, [0, 2])
    np.testing.assert_array_equal(straw_hits(three, KEY, dataclasses.replace(QUIET, dead_time=0.0)).crossing, [0, 1, 2])


def test_crosstalk_goes_to_neighbours_in_the_layer_with_the_chance_given():
    hits = straw_hits(CROSSED, KEY, StrawSettings(crosstalk=0.05, noise_rate=0.0, dead_time=0.0))
    talk = hits.source == Source.CROSSTALK
    from_channel = CROSSED.channel[hits.crossing[talk]]
    np.testing.assert_array_equal(abs(hits.channel[talk] - from_channel), 1)
    np.testing.assert_array_equal(hits.channel[talk] // WIRES, from_channel // WIRES)
    wire = CROSSED.channel[hits.crossing[hits.source == Source.TRACK]] % WIRES
    neighbours = 2 * wire.size - (wire == 0).sum() - (wire == WIRES - 1).sum()
    assert talk.sum() == pytest.approx(0.05 * neighbours, abs=5.0 * math.sqrt(0.05 * neighbours))


def test_noise_is_poisson_and_even_in_time_and_straws():
    rate, window = 2e4, (1e-6, 501e-6)
    hits = straw_hits(Crossings.empty(0), KEY, StrawSettings(noise_rate=rate, window=window, dead_time=0.0))
    expected = rate * 500e-6 * CHANNELS
    assert hits.tdc.size == pytest.approx(expected, abs=5.0 * math.sqrt(expected))
    assert (hits.source == Source.NOISE).all()
    assert (hits.crossing == -1).all()
    counts = np.bincount(hits.channel, minlength=CHANNELS)
    assert counts.var() == pytest.approx(counts.mean(), rel=5.0 * math.sqrt(2.0 / CHANNELS))
    assert hits.time.mean() == pytest.approx(251e-6, abs=5.0 * 500e-6 / math.sqrt(12.0 * expected))


def test_hits_are_ordered_by_channel_and_time(hits):
    order = np.lexsort((hits.tdc, hits.channel))
    np.testing.assert_array_equal(hits.channel[order], hits.channel)
    np.testing.assert_array_equal(hits.tdc[order], hits.tdc)


def test_dead_channels_are_silent_and_change_nothing_else():
    working = np.ones(CHANNELS, bool)
    dead = channel_of(1, 2, LAYERS - 1, 7)
    working[dead] = False
    some, every = straw_hits(CROSSED, KEY, working=working), straw_hits(CROSSED, KEY)
    left = every.channel != dead
    assert not left.all()
    for column, whole in zip(some, every, strict=True):
        np.testing.assert_array_equal(column, whole[left])


def test_what_comes_outside_the_window_is_not_read_out():
    hits = straw_hits(CROSSED, KEY, StrawSettings(window=(100e-6, 200e-6)))
    assert hits.time.min() >= 100e-6 - 625e-12
    assert hits.time.max() <= 200e-6 + 625e-12


def test_hits_do_not_depend_on_other_crossings():
    settings = dataclasses.replace(QUIET, dead_time=0.0)
    which = np.arange(3, N, 11)
    alone = straw_hits(Crossings._make(column[which] for column in CROSSED), KEY, settings)
    together = straw_hits(CROSSED, KEY, settings)
    chosen = np.isin(together.crossing, which)
    np.testing.assert_array_equal(together.tdc[chosen], alone.tdc)
    np.testing.assert_array_equal(together.crossing[chosen], which[alone.crossing])


def test_no_crossings_and_no_noise_give_no_hits():
    assert straw_hits(Crossings.empty(0), KEY, QUIET).tdc.size == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"gas_radius": 0.0}, {"clusters": -1.0}, {"threshold": 0}, {"drift_velocity": 0.0}, {"diffusion": -1.0},
        {"jitter": 1.0}, {"dead_time": -1e-9}, {"tdc_bin": 0.0}, {"crosstalk": 1.5}, {"crosstalk_delay": -1.0},
        {"noise_rate": math.nan}, {"window": (1.0, 0.0)},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        StrawSettings(**wrong)


def test_working_channels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="working"):
        straw_hits(CROSSED, KEY, working=np.ones(5, bool))
