"""Stop times, collimators, observers: what happens to a muon, and that nothing else does."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Collimator, Ring
from fields.storage import StorageField
from gpu import threads
from tracking.bunch import Bunch, State, momentum
from tracking.muon import LIGHT_SPEED, MASS, P_MAGIC, RIGIDITY, reference
from tracking.stations import RingTables, ring_tables
from tracking.turns import track

RING = Ring.e989()
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)
N = 600


@cache
def tables(scheme: str = "saba2c", refine: int = 1) -> RingTables:
    return ring_tables(RING, QuadSettings.ideal(), StorageField.uniform(B0), scheme=scheme, refine=refine)


def bunch(n: int = N, seed: int = 1, size: float = 8e-3) -> Bunch:
    rng = np.random.default_rng(seed)
    made = Bunch.empty(n).with_momentum(rng.normal(0, 1e-3, n), REF)
    for column, sigma in ((made.x, size), (made.y, size), (made.px, size / 7.112), (made.py, size / 21)):
        column[:] = rng.normal(0, sigma, n)
    angle = rng.uniform(0, 2 * math.pi, n)
    made.sx[:], made.ss[:] = np.sin(angle), np.cos(angle)
    made.time[:] = rng.normal(0, 35e-9, n)
    made.stop_time[:] = made.time + rng.exponential(6e-6, n)  # 40 turns
    return made


def same(a: Bunch, b: Bunch) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in Bunch._fields)


@pytest.fixture(scope="module")
def tracked() -> Bunch:
    return track(bunch(), tables(), 60).bunch


def test_muons_stop_at_their_time_or_are_stored_or_lost(tracked: Bunch) -> None:
    start = bunch()
    decayed = tracked.state == State.DECAYED
    assert np.array_equal(tracked.time[decayed], start.stop_time[decayed])
    stored = tracked.state == State.STORED
    assert np.all(tracked.turn[stored] == 60)
    assert np.all(tracked.theta[stored] == 0.0)
    assert np.all(tracked.time[stored] < start.stop_time[stored])
    assert decayed.sum() > 400
    assert stored.sum() > 50
    assert np.isfinite(np.array([getattr(tracked, name) for name in Bunch._fields[:9]])).all()
    # turn and azimuth agree with the clock: the period varies by 0.6 % at most
    turns = tracked.turn[decayed] + tracked.theta[decayed] / (2 * math.pi)
    elapsed = (tracked.time - start.time)[decayed] / REF.period
    assert np.abs(turns / elapsed - 1.0).max() < 0.007


def test_spin_keeps_its_length(tracked: Bunch) -> None:
    # 60 turns of 49 rotations, each with rounding 1e-16: below 1e-14 even if all add up in step.
    assert np.abs(tracked.sx**2 + tracked.sy**2 + tracked.ss**2 - 1.0).max() < 1e-13


def test_stop_inside_a_slice_has_the_accuracy_of_the_step(tracked: Bunch) -> None:
    # The reference cuts quads into 192 kicks, so its stops fall elsewhere in its slices. The muons have gone at most
    # 60 turns: the tune error of 3e-8 moves them by 60 * 2 pi * 3e-8 * 3 cm = 0.3 um.
    fine = track(bunch(), tables("pefrl", 4), 60).bunch
    decayed = (tracked.state == State.DECAYED) & (fine.state == State.DECAYED)
    assert np.all(tracked.turn[decayed] == fine.turn[decayed])
    for name, limit in (("x", 1e-6), ("y", 1e-6), ("px", 2e-7), ("py", 2e-7), ("sx", 1e-7), ("ss", 1e-7)):
        assert np.abs(getattr(tracked, name) - getattr(fine, name))[decayed].max() < limit
    assert np.abs(tracked.theta - fine.theta)[decayed].max() < 1e-6 / 7.112
    inside = decayed & (tracked.potential != 0.0)
    assert 0.3 < inside.sum() / decayed.sum() < 0.6  # quads cover 43 % of the ring
    assert np.abs(tracked.potential - fine.potential)[inside].max() < 1.0  # volts, of 1e4


def test_kinetic_energy_and_potential_add_up_to_the_energy(tracked: Bunch) -> None:
    px, py, ps = momentum(tracked, REF)
    kinetic = np.sqrt(px**2 + py**2 + ps**2 + MASS**2)
    assert np.abs((kinetic + 1e-9 * tracked.potential) / tracked.energy - 1.0).max() < 1e-14
    assert np.array_equal(tracked.energy, bunch().energy)


def test_muon_that_stops_at_an_observer_stands_there() -> None:
    theta = 0.9  # inside Q1 long, inside a slice
    start = bunch(70)._replace(stop_time=np.full(70, np.inf))
    seen = track(start, tables(), 30, observers=[theta], collimators=False).samples
    assert seen is not None
    stopped = track(start._replace(stop_time=seen.time[0, 20]), tables(), 30, collimators=False).bunch
    # the clock resolves 1e-16 of 3e-6 s, the azimuth then 1e-14
    assert np.abs(stopped.theta - theta).max() < 1e-12
    assert np.all(stopped.turn == 20)
    assert np.abs(stopped.x - seen.x[0, 20]).max() < 1e-13
    assert np.abs(stopped.sx - seen.sx[0, 20]).max() < 1e-13


def test_observer_changes_nothing_and_sees_every_muon(tracked: Bunch) -> None:
    azimuths = [0.0, 0.5, 3.0, 2 * math.pi - 1e-3]
    result = track(bunch(), tables(), 60, observers=azimuths, every=7)
    assert same(result.bunch, tracked)
    seen = result.samples
    assert seen is not None
    assert seen.x.shape == (4, 9, N)
    assert np.abs(seen.x[0, 0] - bunch().x).max() < 1e-15  # a bend by no angle, and units
    # A muon is seen in a turn exactly if it passes the observer before it ends.
    end = tracked.turn + tracked.theta / (2 * math.pi)
    for o, theta in enumerate(azimuths):
        passed = result.turns[:, None] + theta / (2 * math.pi) <= end
        assert np.array_equal(seen.alive[o], passed)
    moments = track(bunch(), tables(), 60, observers=azimuths, every=7, moments=True).moments
    assert moments is not None
    assert np.array_equal(moments.count, seen.alive.sum(axis=2))
    x = np.where(seen.alive, seen.x, np.nan)
    # sums are kept in units of 2^-40 R0
    assert np.abs(moments.mean_x - np.nanmean(x, axis=2)).max() < 1e-11
    assert np.abs(moments.variance_x - np.nanvar(x, axis=2)).max() < 1e-10


def test_result_depends_neither_on_order_nor_on_company_nor_on_threads(tracked: Bunch) -> None:
    shuffled = np.random.default_rng(3).permutation(N)
    assert same(track(bunch().select(shuffled), tables(), 60).bunch, tracked.select(shuffled))
    few = np.arange(0, N, 37)
    assert same(track(bunch().select(few), tables(), 60).bunch, tracked.select(few))
    before = threads.count()
    many = Bunch.concatenate([bunch()] * 4)  # enough blocks to wake several threads
    try:
        threads.set_count(1)
        alone = track(many, tables(), 60).bunch
        threads.set_count(3)
        assert same(track(many, tables(), 60).bunch, alone)
    finally:
        threads.set_count(before)


def test_collimator_freezes_a_muon_where_it_hits() -> None:
    start = bunch(300, seed=5, size=16e-3)._replace(stop_time=np.full(300, np.inf))
    result = track(start, tables(), 40).bunch
    lost = result.state == State.LOST_COLLIMATOR
    assert 30 < lost.sum() < 300
    azimuths = np.array([c.theta for c in RING.collimators])
    assert np.abs(result.theta[lost, None] - azimuths).min(axis=1).max() == 0.0
    assert np.all(np.hypot(result.x, result.y)[lost] > 0.045)
    # Those that pass are inside at all collimators of all turns.
    seen = track(start, tables(), 40, observers=list(azimuths), collimators=False).samples
    assert seen is not None
    outside = np.hypot(seen.x, seen.y) > 0.045
    assert np.array_equal(outside.any(axis=(0, 1)), lost)
    first = np.where(outside, np.arange(40)[None, :, None], 99).min(axis=1)
    assert np.array_equal(first.min(axis=0)[lost], result.turn[lost])
    elapsed = (result.time - start.time)[lost] / REF.period
    assert np.abs(elapsed - result.turn[lost] - result.theta[lost] / (2 * math.pi)).max() < 0.007 * 40


@pytest.mark.parametrize("stop", [math.inf, 1e-9], ids=["in a lane", "alone"])
@pytest.mark.parametrize(("side", "taken"), [(0, [1, 1, 1, 1]), (-1, [1, 0, 1, 0]), (1, [0, 1, 0, 1])])
def test_half_collimator_takes_muons_on_its_side_only(side: int, taken: list[int], stop: float) -> None:
    # At a collimator at theta = 0 the muons stand where they start: 46 mm from the axis, grazing and well inside.
    one = replace(RING.collimators[0], theta=0.0, side=side)
    ring = replace(RING, collimators=(one,))
    made = Bunch.empty(6).with_momentum(0.0, REF)
    made.x[:] = [-46e-3, 46e-3, -1e-6, 1e-6, -44.999e-3, 44.999e-3]
    made.y[2:4] = 45.001e-3
    made.stop_time[:] = stop
    made = made._replace(stop_time=made.stop_time)
    found = track(made, ring_tables(ring, QuadSettings.ideal(), StorageField.uniform(B0)), 1).bunch
    lost = found.state == State.LOST_COLLIMATOR
    assert lost.tolist() == [bool(k) for k in taken] + [False, False]
    assert np.array_equal(found.x[lost], made.x[lost])


def test_halves_take_together_what_a_full_collimator_takes() -> None:
    start = bunch(300, seed=5, size=16e-3)._replace(stop_time=np.full(300, np.inf))

    def lost(collimators: tuple[Collimator, ...]) -> np.ndarray:
        ring = replace(RING, collimators=collimators)
        return track(start, ring_tables(ring, QuadSettings.ideal(), StorageField.uniform(B0)), 40).bunch.turn

    full = RING.collimators[2]
    inner, outer = (lost((replace(full, side=side),)) for side in (-1, 1))
    assert np.array_equal(np.minimum(inner, outer), lost((full,)))
    assert np.array_equal(lost((replace(full, side=-1), replace(full, side=1))), lost((full,)))
    assert np.all(lost(()) == 40)
    assert 0 < (inner < 40).sum() < 300
    assert not np.array_equal(inner, outer)


def test_muon_far_outside_is_lost_without_a_warning() -> None:
    start = bunch(64)
    start.x[:8], start.stop_time[:8] = 3.0, np.inf  # overflows within a turn
    result = track(start, tables(), 5).bunch
    assert np.all(result.state[:8] >= State.LOST_COLLIMATOR)
    assert np.isfinite(result.x).all()


def test_turns_continue_where_they_ended() -> None:
    start = bunch(80)._replace(stop_time=np.full(80, np.inf))
    once = track(start, tables(), 40, collimators=False).bunch
    twice = track(track(start, tables(), 20, collimators=False).bunch, tables(), 20, collimators=False).bunch
    assert np.array_equal(twice.turn, once.turn)
    # Units are converted once more: rounding, amplified by the shear of the ring, 1e-16 * 20 turns * 2 pi.
    assert np.abs(twice.x - once.x).max() < 1e-13
    assert np.abs(twice.time - once.time).max() < 1e-19


def test_progress_is_told_and_orbit_alone_is_the_same_orbit(tracked: Bunch) -> None:
    told: list[tuple[int, int]] = []
    result = track(bunch(), tables(), 60, spin=False, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(60, 60)]
    assert np.array_equal(result.bunch.state, tracked.state)
    assert np.abs(result.bunch.x - tracked.x).max() < 1e-13
    assert np.array_equal(result.bunch.sx, bunch().sx)
    assert result.muon_turns == int(tracked.turn.sum())


@pytest.mark.parametrize("wrong", [{"every": 0}, {"turns": -1}, {"backend": "fpga"}])
def test_wrong_requests_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        track(bunch(8), tables(), **({"turns": 5} | wrong))


def test_time_runs_with_the_speed_of_light_and_the_orbit() -> None:
    start = Bunch.empty(1).with_momentum(0.0, REF)
    result = track(start, tables(), 1000).bunch
    assert math.isclose(result.time[0], 1000 * REF.period, rel_tol=1e-13)
    assert math.isclose(REF.period, 2 * math.pi * 7.112 / (REF.beta0 * LIGHT_SPEED), rel_tol=1e-15)
