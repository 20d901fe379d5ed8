"""Fibre harps in the tracker: who meets which fibre, what it does to the muon, and that nothing else feels it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Ring, fibre_harps
from fields.storage import StorageField
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.crossings import Crossings
from tracking.matter import metal
from tracking.muon import P_MAGIC, RIGIDITY, reference
from tracking.stations import ring_tables
from tracking.turns import TrackResult, track

HARPS = fibre_harps()
RING = replace(Ring.e989(), harps=HARPS)
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)
TABLES = ring_tables(RING, QuadSettings.ideal(), StorageField.uniform(B0))
KEY = FillKey(3, 1, 0, 0)
PLASTIC = metal("polystyrene", P_MAGIC)
WATCH = [harp.theta for harp in HARPS]


def beam(n: int = 3000) -> Bunch:
    rng = np.random.default_rng(5)
    made = Bunch.empty(n).with_momentum(rng.normal(0, 5e-4, n), REF)
    for column, sigma in ((made.x, 12e-3), (made.y, 12e-3), (made.px, 1e-3), (made.py, 5e-4)):
        column[:] = rng.normal(0, sigma, n)
    return made


@pytest.fixture(scope="module")
def tracked() -> TrackResult:
    return track(beam(), TABLES, 20, observers=WATCH, harp_key=KEY)


def expected_crossings(result: TrackResult) -> dict[tuple[int, int, int], tuple[int, float, float]]:
    """(turn, harp, number) -> (fibre, path, time), from what observers at the azimuths of the harps saw."""
    found = {}
    seen = result.samples
    assert seen is not None
    for h, harp in enumerate(HARPS):
        across, along = (seen.x[h], seen.y[h]) if harp.upright else (seen.y[h], seen.x[h])
        away = np.abs(across[:, :, None] - harp.places)
        hit = (away < 0.5 * harp.diameter) & (np.abs(along) <= 0.045)[:, :, None] & seen.alive[h][:, :, None]
        for turn, muon, fibre in zip(*np.nonzero(hit), strict=True):
            path = 2.0 * math.sqrt(0.25 * harp.diameter**2 - away[turn, muon, fibre] ** 2)
            found[int(turn), h, int(muon)] = (int(fibre), path, float(seen.time[h][turn, muon]))
    return found


def as_table(crossings: Crossings) -> dict[tuple[int, int, int], tuple[int, float, float]]:
    keys = zip(crossings.turn.tolist(), crossings.harp.tolist(), crossings.number.tolist(), strict=True)
    values = zip(crossings.fibre.tolist(), crossings.path.tolist(), crossings.time.tolist(), strict=True)
    return dict(zip(keys, values, strict=True))


def test_muons_cross_the_fibres_that_observers_see_them_at(tracked: TrackResult) -> None:
    assert tracked.crossings is not None
    theirs, ours = expected_crossings(tracked), as_table(tracked.crossings)
    assert len(ours) > 3000
    assert ours.keys() == theirs.keys()
    for key, (fibre, path, time) in ours.items():
        assert fibre == theirs[key][0]
        # a place that is off by the 1e-16 of a bend of 7 m moves the end of a chord by sqrt(d 1e-15)
        assert abs(path - theirs[key][1]) < 1e-9
        assert abs(time - theirs[key][2]) < 1e-18


def test_a_muon_crosses_a_fibre_in_one_turn_of_six(tracked: TrackResult) -> None:
    # uniform over the pitch: four harps of 0.5 mm every 13 mm; a wide Gaussian is uniform to exp(-2 (pi s/p)^2)
    assert tracked.crossings is not None
    muon_turns = tracked.muon_turns
    expected = 4 * 0.5 / 13.0
    # the same muons come again: their crossings of neighbouring turns are not independent, by a few at most
    assert abs(tracked.crossings.turn.size / muon_turns / expected - 1.0) < 5.0 * math.sqrt(5 / (muon_turns * expected))
    assert abs(tracked.crossings.path.mean() / (0.25 * math.pi * 0.5e-3) - 1.0) < 0.02


def test_energy_lost_is_that_of_bethe_along_the_paths(tracked: TrackResult) -> None:
    assert tracked.crossings is not None
    start = beam()
    path = np.bincount(tracked.crossings.number, tracked.crossings.path, start.n)
    lost = start.energy - tracked.bunch.energy
    assert np.array_equal(tracked.bunch.energy[path == 0.0], start.energy[path == 0.0])
    assert np.all(lost[path > 0.0] > 0.0)
    # Those that a hard collision threw out of the ring are among them: what they lost is known to the end.
    assert (tracked.bunch.state != State.STORED).any()
    spread = np.std(lost - PLASTIC.mean * path) * math.sqrt(lost.size)
    assert abs(lost.sum() - PLASTIC.mean * path.sum()) < 5.0 * spread
    # 1.94 MeV cm^2/g at the minimum (review of particle physics), and less than a quarter more here
    assert 1.94 < PLASTIC.mean * 1e3 / 106.0 < 2.4


def test_angles_in_a_fibre_have_the_width_of_highland() -> None:
    after = [theta + 1e-4 for theta in WATCH]
    bare = track(beam(6000), TABLES, 1, observers=after).samples
    result = track(beam(6000), TABLES, 1, observers=after, harp_key=KEY)
    assert bare is not None
    assert result.samples is not None
    assert result.crossings is not None
    crossed, pulls = result.crossings, []
    for pair in (0, 2):  # the lying fibres of a place come after the upright ones
        once = np.bincount(crossed.number[crossed.harp <= pair + 1], minlength=6000) == 1
        mine = (crossed.harp >= pair) & (crossed.harp <= pair + 1) & once[crossed.number]
        who, t = crossed.number[mine], crossed.path[mine] / PLASTIC.radiation_length
        width = 0.0136 / P_MAGIC * np.sqrt(t) * (1.0 + 0.038 * np.log(t))
        good = t > 1e-5
        pulls.append(((result.samples.py - bare.py)[pair, 0, who] / width)[good])
    pull = np.concatenate(pulls)
    assert pull.size > 500
    assert abs(pull.std() - 1.0) < 5.0 / math.sqrt(2 * pull.size)
    assert abs(pull.mean()) < 5.0 / math.sqrt(pull.size)


def test_muon_alone_and_in_a_lane_cross_the_same_fibres(tracked: TrackResult) -> None:
    start = beam()
    stopping = start._replace(stop_time=np.full(start.n, 2.998 * REF.period))
    alone = track(stopping, TABLES, 20, harp_key=KEY)
    assert alone.crossings is not None
    assert tracked.crossings is not None
    early = tracked.crossings.turn < 2
    singly = alone.crossings.turn < 2
    for one, other in zip(tracked.crossings, alone.crossings, strict=True):
        np.testing.assert_allclose(one[early], other[singly], rtol=1e-7, atol=1e-12)


def test_who_meets_no_fibre_keeps_every_bit_and_others_do_not_matter(tracked: TrackResult) -> None:
    assert tracked.crossings is not None
    bare = track(beam(), TABLES, 20).bunch
    free = np.ones(3000, bool)
    free[tracked.crossings.number] = False
    for one, other in zip(bare, tracked.bunch, strict=True):
        assert np.array_equal(one[free], other[free])
    some = track(beam().select(np.arange(3000) % 3 == 0), TABLES, 20, harp_key=KEY)
    assert some.crossings is not None
    mine = tracked.crossings.number % 3 == 0
    for one, other in zip(some.crossings, tracked.crossings, strict=True):
        assert np.array_equal(one, other[mine])


def test_turns_in_two_calls_give_the_same_crossings(tracked: TrackResult) -> None:
    first = track(beam(), TABLES, 8, harp_key=KEY)
    second = track(first.bunch, TABLES, 12, harp_key=KEY)
    assert first.crossings is not None
    assert second.crossings is not None
    assert tracked.crossings is not None
    for one, a, b in zip(tracked.crossings, first.crossings, second.crossings, strict=True):
        # the clock is written down in seconds between the calls, which rounds it
        np.testing.assert_allclose(one, np.concatenate([a, b]), rtol=1e-6, atol=1e-12)


def test_harp_inside_a_slice_of_a_quad_is_refused() -> None:
    quad = RING.quads[3]
    moved = replace(RING, harps=(replace(HARPS[0], theta=quad.theta_start + 0.3 * quad.length),))
    tables = ring_tables(moved, QuadSettings.ideal(), StorageField.uniform(B0))
    with pytest.raises(ValueError, match=r"the harp at .* stands inside a slice of a quad"):
        track(beam(10), tables, 1, harp_key=KEY)


def test_fibres_that_touch_are_refused() -> None:
    with pytest.raises(ValueError, match="do not touch"):
        replace(HARPS[0], diameter=0.02)
