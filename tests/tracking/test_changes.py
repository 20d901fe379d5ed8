"""What changes from turn to turn: voltages, transient fields, kickers, the entry."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch import Bunch, State
from tracking.changes import Changes, DipoleChange, timed_table
from tracking.muon import P_MAGIC, RIGIDITY, reference
from tracking.pulses import KickerPulses
from tracking.stations import RingTables, ring_tables
from tracking.turns import track

RING = Ring.e989()
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)
IDEAL = QuadSettings.ideal()
UNIFORM = StorageField.uniform(B0)
N = 300


def bunch(n: int = N) -> Bunch:
    rng = np.random.default_rng(3)
    made = Bunch.empty(n).with_momentum(rng.normal(0, 1e-3, n), REF)
    for column, sigma in ((made.x, 8e-3), (made.y, 8e-3), (made.px, 1e-3), (made.py, 4e-4)):
        column[:] = rng.normal(0, sigma, n)
    made.time[:] = rng.normal(0, 35e-9, n)
    return made


def timed_quads(scale: float = 1.0) -> RingTables:
    return ring_tables(RING, replace(IDEAL, voltage=scale * IDEAL.voltage), UNIFORM, electric_order=3)


def potential(factor):  # type: ignore[no-untyped-def]
    return lambda name, t: factor(t)[:, None] * IDEAL.coefficients(name)[None, :]


def assert_same_motion(a: Bunch, b: Bunch, tolerance: float) -> None:
    # tolerance in m; that of time is a hundred times larger: 13 km of path are rounded to 2e-12 m, again and again
    for name, unit in (("x", 1.0), ("y", 1.0), ("px", 7.0), ("py", 7.0), ("sx", 1.0), ("time", 3e6)):
        assert np.abs(getattr(a, name) - getattr(b, name)).max() * unit < tolerance, name


def test_voltages_that_stay_are_those_of_the_static_ring() -> None:
    tables = timed_quads()
    constant = Changes(math.inf, potential(np.ones_like))
    static = track(bunch(), tables, 300, collimators=False).bunch
    timed = track(bunch(), tables, 300, collimators=False, changes=constant).bunch
    assert_same_motion(static, timed, 1e-12)


def test_a_voltage_step_is_one_ring_after_the_other() -> None:
    tables = timed_quads()
    half = 150.0 * REF.period
    step = Changes(math.inf, potential(lambda t: np.where(t < half, 0.8, 1.0)))
    both = track(bunch(), tables, 300, collimators=False, changes=step).bunch
    first = track(bunch(), timed_quads(0.8), 150, collimators=False).bunch
    then = track(first, tables, 150, collimators=False).bunch
    assert_same_motion(both, then, 1e-12)


def test_changes_are_over_after_their_end_and_begin_where_the_bunch_is() -> None:
    tables = timed_quads()
    fades = Changes(256.0 * REF.period, potential(lambda t: 1.0 - 0.2 * np.exp(-t / 2e-6)))
    asked: list[float] = []

    def noted(name, t):  # type: ignore[no-untyped-def]
        asked.append(t.max())
        return potential(np.ones_like)(name, t)

    once = track(bunch(), tables, 600, collimators=False, changes=fades).bunch
    a = track(bunch(), tables, 100, collimators=False, changes=fades).bunch
    b = track(a, tables, 500, collimators=False, changes=fades).bunch
    assert_same_motion(once, b, 1e-8)  # 1 - 0.2 exp(-19) is cut at other turns: 1e-9 of the gradient
    track(bunch(), tables, 600, collimators=False, changes=replace(fades, potential=noted))
    assert max(asked) < 264.0 * REF.period


def test_a_dipole_moves_the_orbit_by_its_response() -> None:
    ring = Ring.continuous()
    tables = ring_tables(ring, QuadSettings.ideal(0.108, ring), UNIFORM, magnetic_order=1)
    relative = 1e-6
    changes = Changes(math.inf, dipoles=(DipoleChange(0.0, 2.0 * math.pi, lambda t: np.full(t.size, relative * B0)),))
    muon = Bunch.empty(2).with_momentum(0.0, REF)
    seen = track(muon, tables, 2000, observers=[0.0], collimators=False, changes=changes).samples
    assert seen is not None
    # (1 - n) x / R0 = -dB/B0 to first order; the mean over whole oscillations to 1/2000 of its amplitude
    mean = seen.x[0, :, 0].mean()
    assert math.isclose(mean, -RING.radius * relative / (1.0 - 0.108), rel_tol=2e-3)


def kicked(pulses: KickerPulses) -> RingTables:
    """Every order has room, as for the kickers of Run-1a: the loop compiled for an injected fill serves here too."""
    filled = replace(pulses, shape=(*pulses.shape, *[0.0] * (11 - len(pulses.shape))))
    return ring_tables(RING, replace(IDEAL, voltage=0.0), UNIFORM, kickers=filled, electric_order=10, magnetic_order=6)


def test_a_kick_turns_the_muon_by_field_times_length() -> None:
    field = -1e-4
    flat = KickerPulses((1.0,), np.full((3, 2), field), -1e-6, 1e-3)
    muon = Bunch.empty(1).with_momentum(0.0, REF)
    after = track(muon, kicked(flat), 1, observers=[math.radians(112.0)], collimators=False).samples
    assert after is not None
    # px = sum of B L cos(angle to the observer) / (B0 R0), each kicker's field even about its centre; the field of
    # the curved sector is weaker by the orbit it makes itself, (B/B0)^2
    expected = 0.0
    for kicker in RING.kickers:
        low, high = math.radians(112.0) - kicker.theta_end, math.radians(112.0) - kicker.theta_start
        expected += -field / B0 * (math.sin(high) - math.sin(low))
    assert math.isclose(after.px[0, 0, 0], expected, rel_tol=1e-4)


def test_each_muon_is_kicked_at_its_own_time() -> None:
    ramp = KickerPulses((1.0,), np.outer(np.ones(3), [0.0, -1e-4, -2e-4]), 0.0, 1e-7)
    muons = Bunch.empty(3).with_momentum(0.0, REF)
    muons.time[:] = [0.0, 2e-8, -2e-7]  # the last passes all kickers before the pulse
    seen = track(muons, kicked(ramp), 1, observers=[math.radians(112.0)], collimators=False).samples
    assert seen is not None
    early, late, never = seen.px[0, 0]
    slope = 1e-4 / 1e-7
    per_field = 0.0
    for kicker in RING.kickers:
        low, high = math.radians(112.0) - kicker.theta_end, math.radians(112.0) - kicker.theta_start
        per_field += (math.sin(high) - math.sin(low)) / B0
    assert math.isclose(late - early, slope * 2e-8 * per_field, rel_tol=1e-4)
    assert abs(never) < 1e-14  # rounding of the free bends, some hundred steps of 1e-16; the kicks are of 1e-5


def test_the_kick_of_a_shape_follows_the_shape() -> None:
    quadratic = KickerPulses((1.0, 0.0, 0.1), np.full((3, 2), -1e-4), -1e-6, 1e-3)
    plain = replace(quadratic, shape=(1.0,))
    # Normalised position where the kick is: the muons of x = 30 mm move by less than 1 mm through the kickers at
    # zero gradient when they run parallel there.
    muons = Bunch.empty(2).with_momentum(0.0, REF)
    angle = math.radians(88.0)
    muons.x[:] = [0.03 * math.cos(angle), 0.0]
    muons.px[:] = [0.03 / RING.radius * math.sin(angle), 0.0]
    end = [math.radians(112.0)]
    with_shape = track(muons, kicked(quadratic), 1, observers=end, collimators=False).samples
    without = track(muons, kicked(plain), 1, observers=end, collimators=False).samples
    assert with_shape is not None
    assert without is not None
    extra = with_shape.px[0, 0] - without.px[0, 0]
    kick = without.px[0, 0, 1]
    theta = np.concatenate([np.linspace(k.theta_start, k.theta_end, 100) for k in RING.kickers])
    weight = np.cos(end[0] - theta)
    expected = 0.1 * np.average((0.03 / 0.045 * np.cos(theta - angle)) ** 2, weights=weight)
    assert math.isclose(extra[0] / kick, expected, rel_tol=0.01)  # 0.03/7 of curvature, and the change of its orbit
    assert abs(extra[1]) < 1e-3 * kick


def test_spin_and_momentum_turn_alike_but_for_the_anomaly() -> None:
    strong = KickerPulses((1.0,), np.full((3, 2), -0.03), -1e-6, 1e-3)
    muon = Bunch.empty(1).with_momentum(0.0, REF)
    end = [math.radians(112.0)]
    kick = track(muon, kicked(strong), 1, observers=end, collimators=False).samples
    free = track(muon, kicked(replace(strong, field=0.0 * strong.field)), 1, observers=end, collimators=False).samples
    assert kick is not None
    assert free is not None

    def ahead(seen) -> float:  # type: ignore[no-untyped-def]
        return float(np.arcsin(seen.px[0, 0, 0]) - np.arctan2(seen.sx[0, 0, 0], seen.ss[0, 0, 0]))

    # In magnetic fields the spin gains a gamma of every angle by which the momentum turns.
    turned = math.asin(kick.px[0, 0, 0])
    assert math.isclose(ahead(free) - ahead(kick), kicked(strong).anomaly * REF.gamma0 * turned, rel_tol=1e-5)
    assert turned > 0.009


def test_a_muon_that_enters_inside_the_ring_goes_on_as_if_it_had_come_around() -> None:
    border = RING.quads[1].theta_end
    tables = timed_quads()
    start = bunch(80)
    seen = track(start, tables, 1, observers=[border], collimators=False).samples
    assert seen is not None
    entering = start._replace(**{name: getattr(seen, name)[0, 0].copy() for name in ("x", "px", "y", "py", "time")})
    entering = entering._replace(
        sx=seen.sx[0, 0].copy(), sy=seen.sy[0, 0].copy(), ss=seen.ss[0, 0].copy(), theta=np.full(80, border)
    )
    around = track(start, tables, 40, observers=[1.0, 2.0]).bunch
    entered = track(entering, tables, 40, observers=[1.0, 2.0])
    assert np.array_equal(around.state, entered.bunch.state)
    assert_same_motion(around, entered.bunch, 1e-12)
    assert entered.samples is not None
    assert not entered.samples.alive[0, 0].any()  # it entered behind the first observer
    assert entered.samples.alive[1, 0].any()


def test_muons_at_two_azimuths_are_refused() -> None:
    start = bunch(4)
    start.theta[1] = 0.1
    with pytest.raises(ValueError, match="one azimuth"):
        track(start, timed_quads(), 2)


def test_muons_stop_in_time_in_a_ring_that_changes() -> None:
    tables = timed_quads()
    start = bunch(200)
    start.stop_time[:] = start.time + np.random.default_rng(1).exponential(6e-6, 200)
    fades = Changes(math.inf, potential(lambda t: 1.0 - 0.2 * np.exp(-t / 2e-6)))
    result = track(start, tables, 300, changes=fades).bunch
    decayed = result.state == State.DECAYED
    assert decayed.sum() > 120
    assert np.array_equal(result.time[decayed], start.stop_time[decayed])
    turns = result.turn[decayed] + result.theta[decayed] / (2 * math.pi)
    assert np.abs(turns / ((result.time - start.time)[decayed] / REF.period) - 1.0).max() < 0.007


def test_table_of_turns_holds_a_row_for_each() -> None:
    tables = timed_quads()
    table = timed_table(tables, Changes(math.inf, potential(np.ones_like)), 5, 7)
    assert table.rows.shape[0] == 7 * tables.stations.kinds.size
    assert (table.turns, table.first) == (7, 5)
    assert np.allclose(table.rows[: tables.stations.kinds.size], tables.stations.rows, rtol=0, atol=1e-15)
