"""Lost muons: flight against an independent integration, losses in metal and crystals, light along a path."""

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from detectors.geometry import CELL, Geometry
from detectors.lost_muons import FlightSettings, LostMuons, Way, crystal_material, first_metal, fly
from detectors.mip import CONTAINED, MipSettings, MuonHits, box_path, deposit_muons, most_probable_loss, together
from detectors.path import global_field
from detectors.shower import ShowerSettings, deposit
from fields.quads import QuadSettings
from fields.ring import RING
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu.kernel import Kernel
from gpu.rng import FillKey
from tests.detectors.showers import straight_hits
from tracking.bunch import Bunch, State
from tracking.matter import energy_loss, metal
from tracking.muon import LIGHT_SPEED, MASS, P_MAGIC, RIGIDITY, reference

GEOMETRY = Geometry()
KEY = FillKey(5, 1, 0, 0)
REFERENCE = reference(1.4513, 7.112)
BARE = FlightSettings(material=False)
LENGTH = ShowerSettings().length
CRYSTAL = crystal_material()
BOX = GEOMETRY.calorimeter


@pytest.fixture(scope="module")
def fields() -> FieldTables:
    return field_tables(StorageField.uniform(1.4513), QuadSettings(voltage=0.0))


def muons(n: int, **columns: object) -> LostMuons:
    """Muons of the magic momentum that leave inwards at x = -57 mm, changed as wanted."""
    rng = np.random.default_rng(4)
    zero = np.zeros(n)
    made = LostMuons(
        x=rng.uniform(-0.060, -0.056, n), y=rng.normal(0.0, 0.012, n), theta=rng.uniform(0.0, 2.0 * math.pi, n),
        px=P_MAGIC * rng.normal(-4e-3, 2e-3, n), py=P_MAGIC * rng.normal(0.0, 5e-4, n), ps=zero + 0.985 * P_MAGIC,
        time=rng.uniform(0.0, 1e-4, n), state=np.full(n, int(State.LOST_MAP)), number=np.arange(n),
        crossings=np.zeros(n, np.int64),
    )  # fmt: skip
    return made._replace(**columns)


def before_a_face(n: int, gap: float = 0.02) -> LostMuons:
    """Muons a little upstream of the middle of the face of calorimeter 7, square to it."""
    x, z = np.array(BOX.centre) - gap * np.array(BOX.normal)
    phi = math.atan2(z, x)
    slant = BOX.face_angle - phi
    theta = (GEOMETRY.cell_azimuths[7] + phi) % (2.0 * math.pi)
    return muons(
        n, x=np.full(n, math.hypot(x, z) - RING.radius), y=np.zeros(n), theta=np.full(n, theta), py=np.zeros(n),
        px=np.full(n, -P_MAGIC * math.sin(slant)), ps=np.full(n, P_MAGIC * math.cos(slant)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def through_one(fields: FieldTables) -> MuonHits:
    """Twenty thousand muons in the middle of a calorimeter."""
    return fly(before_a_face(20_000), fields, GEOMETRY, KEY, FlightSettings(calorimeters=1))[0]


def mode(values: np.ndarray, near: float, half: float) -> float:
    """Most probable value: top of the parabola through the logarithm of the histogram around a place."""
    counts, edges = np.histogram(values, np.linspace(near - half, near + half, 17))
    middle = 0.5 * (edges[1:] + edges[:-1])
    a, b, _ = np.polyfit(middle - near, np.log(counts), 2, w=np.sqrt(counts))
    return near - 0.5 * b / a


def test_loss_in_lead_fluoride_is_that_of_its_elements() -> None:
    """Bragg's rule with the elements' own constants, R. M. Sternheimer et al., At. Data Nucl. Data Tables 30, 261."""

    def stopping(z_over_a: float, excitation: float, c: float, x0: float, x1: float, a: float, k: float) -> float:
        energy = math.hypot(P_MAGIC, MASS) * 1e3
        mass, electron, boost = MASS * 1e3, 0.51099895, P_MAGIC / MASS
        beta2, x = (P_MAGIC * 1e3 / energy) ** 2, math.log10(boost)
        most = 2.0 * electron * boost**2 / (1.0 + 2.0 * energy / mass * electron / mass + (electron / mass) ** 2)
        density = 2.0 * math.log(10.0) * x - c + (a * (x1 - x) ** k if x < x1 else 0.0)
        inside = 0.5 * math.log(2.0 * electron * boost**2 * most / (excitation * 1e-6) ** 2)
        return 0.307075 * z_over_a / beta2 * (inside - beta2 - 0.5 * (density if x > x0 else 0.0))

    lead = stopping(82 / 207.2, 823.0, 6.2018, 0.3776, 3.8073, 0.09359, 3.1608)
    fluorine = stopping(9 / 18.998, 115.0, 10.9653, 1.8433, 4.4096, 0.11083, 3.2962)
    bragg = (207.2 * lead + 2 * 18.998 * fluorine) / (207.2 + 2 * 18.998)
    # Fluorine, 16 % of the mass, is tabulated as a gas, whose density effect is weaker: 1 % of the sum.
    assert CRYSTAL.mean * 1e3 / 777.0 == pytest.approx(bragg, rel=0.015)
    # Minimum ionisation 9.4 MeV/cm: review of particle physics, table of inorganic crystals.
    assert metal("lead fluoride", 3.5 * MASS).mean * 10.0 == pytest.approx(9.4, rel=0.02)


def test_muon_loses_the_mean_of_bethe_and_most_often_that_of_landau(through_one: MuonHits) -> None:
    lost = through_one.lost
    assert lost.size == 20_000
    assert lost.mean() == pytest.approx(CRYSTAL.mean * LENGTH, abs=5.0 * lost.std() / math.sqrt(lost.size))
    # 8000 losses within 6 MeV of the top of a peak of 12 MeV spread fix its place to 0.4 MeV; its skewness adds 0.5.
    expected = most_probable_loss(CRYSTAL, LENGTH)
    assert expected == pytest.approx(0.1438, abs=2e-4)
    assert mode(lost, expected, 6e-3) == pytest.approx(expected, abs=2e-3)


def test_light_peaks_where_the_experiment_has_its_muons(through_one: MuonHits) -> None:
    light = np.bincount(-1 - (deposits := deposit_muons(through_one, CRYSTAL)).hit, deposits.energy)
    assert mode(light, 0.170 * CONTAINED, 7e-3) == pytest.approx(0.170 * CONTAINED, abs=2.5e-3)
    twice = deposit_muons(through_one, CRYSTAL, mip=MipSettings(peak=0.340))
    np.testing.assert_allclose(twice.energy, 2.0 * deposits.energy, rtol=1e-12)


def test_flight_without_matter_keeps_the_energy_and_the_speed(fields: FieldTables) -> None:
    some = muons(500)
    hits, flights = fly(some, fields, GEOMETRY, KEY, BARE)
    np.testing.assert_allclose(flights.end_energy, some.energy, rtol=1e-12)
    beta = np.sqrt(1.0 - (MASS / some.energy) ** 2)
    np.testing.assert_allclose(flights.end_time - some.time, flights.path / (beta * LIGHT_SPEED), rtol=1e-9)
    np.testing.assert_allclose(hits.energy, some.energy[hits.number], rtol=1e-12)
    assert hits.calo.size == flights.calorimeters.sum() > 300


def test_flight_to_the_first_face_agrees_with_an_independent_integration(fields: FieldTables) -> None:
    some = muons(60)
    hits, _ = fly(some, fields, GEOMETRY, KEY, FlightSettings(material=False, calorimeters=1))
    tables = GEOMETRY.tables()
    assert hits.calo.size > 20
    for j in range(0, hits.calo.size, 8):
        i = hits.number[j]
        c, s = math.cos(some.theta[i]), math.sin(some.theta[i])
        rho = RING.radius + some.x[i]
        p = np.array([some.px[i] * c - some.ps[i] * s, some.py[i], some.px[i] * s + some.ps[i] * c])
        size = float(np.linalg.norm(p))

        def motion(_: float, state: np.ndarray, size: float = size) -> np.ndarray:
            b = np.array(global_field(*state[:3], 0.0, RING.radius, fields)[3:])
            return np.concatenate([state[3:], RIGIDITY / size * np.cross(state[3:], b)])

        length = (hits.time[j] - some.time[i]) * LIGHT_SPEED * size / some.energy[i]
        start = np.concatenate([[rho * c, some.y[i], rho * s], p / size])
        # The table of the fall-off is bilinear in cells of 5 mm: kinks keep any method from its order.
        end = solve_ivp(motion, (0.0, length), start, method="RK45", rtol=1e-7, atol=1e-9, max_step=0.02).y[:, -1]
        k = hits.calo[j]
        place = GEOMETRY.face_centres[k] + hits.u[j] * GEOMETRY.face_along[k] + hits.v[j] * np.array([0.0, 1.0, 0.0])
        np.testing.assert_allclose(end[:3], place, atol=1e-4)
        into = end[3:] @ GEOMETRY.face_normals[k]
        assert hits.du[j] == pytest.approx(end[3:] @ GEOMETRY.face_along[k] / into, abs=1e-4)
        assert hits.dv[j] == pytest.approx(end[4] / into, abs=1e-4)
    assert tables.radius == RING.radius


def test_neighbouring_calorimeters_are_six_nanoseconds_apart(fields: FieldTables) -> None:
    hits, _ = fly(muons(2000), fields, GEOMETRY, KEY, BARE)
    next_one = (np.diff(hits.number) == 0) & (np.diff(hits.calo) % 24 == 1)
    place = GEOMETRY.face_centres[hits.calo] + hits.u[:, None] * GEOMETRY.face_along[hits.calo]
    place[:, 1] += hits.v
    chord = np.linalg.norm(np.diff(place, axis=0), axis=1)[next_one]
    flight = np.diff(hits.time)[next_one] * LIGHT_SPEED * P_MAGIC / math.hypot(P_MAGIC, MASS)
    assert next_one.sum() > 500
    # The arc of a circle of at least 7 m over a chord of 1.8 m is longer by less than chord^2 / 24 r^2 = 0.28 %.
    assert (flight >= chord * (1.0 - 1e-4)).all()
    assert (flight <= chord * 1.0032).all()
    # 15 degrees at 6.79 to 7.01 m.
    assert (np.diff(hits.time)[next_one] > 0.99 * CELL * 6.79 / LIGHT_SPEED).all()
    assert np.median(np.diff(hits.time)[next_one]) == pytest.approx(6.1e-9, abs=0.1e-9)


def test_up_and_down_are_alike(fields: FieldTables) -> None:
    some = muons(300)
    up, _ = fly(some, fields, GEOMETRY, KEY, BARE)
    down, _ = fly(some._replace(y=-some.y, py=-some.py), fields, GEOMETRY, KEY, BARE)
    np.testing.assert_array_equal(up.calo, down.calo)
    np.testing.assert_allclose(up.v, -down.v, atol=1e-9)


def test_shorter_steps_hit_the_same_places(fields: FieldTables) -> None:
    some = muons(300)
    coarse, c = fly(some, fields, GEOMETRY, KEY, BARE)
    fine, f = fly(some, fields, GEOMETRY, KEY, FlightSettings(step=0.01, material=False))
    same = c.calorimeters == f.calorimeters  # others graze a corner
    assert same.mean() > 0.98
    both = same[coarse.number], same[fine.number]
    np.testing.assert_allclose(coarse.u[both[0]], fine.u[both[1]], atol=5e-4)


def test_draws_go_on_where_the_tracker_left_off(fields: FieldTables) -> None:
    some = before_a_face(50)._replace(crossings=np.full(50, 3))
    hits, _ = fly(some, fields, GEOMETRY, KEY, FlightSettings(calorimeters=1))

    @Kernel
    def lose(i, path, material, crossing, key, out):
        out[i] = energy_loss(path, material, i, crossing, key)

    window, crystal = np.empty(50), np.empty(50)
    # Square to the face is 4 mrad from square to the window's mean normal: its path is 5.2 mm in each direction near.
    lose(50, LENGTH, CRYSTAL, 4, KEY, crystal)
    np.testing.assert_allclose(hits.lost, crystal, rtol=2e-3)
    lose(50, 5.2e-3, metal("aluminium", P_MAGIC), 3, KEY, window)
    np.testing.assert_allclose(some.energy - hits.energy, window, rtol=0.03)


def test_a_muon_does_not_depend_on_the_others(fields: FieldTables) -> None:
    some = muons(400)
    order = np.random.default_rng(0).permutation(400)
    hits, flights = fly(some, fields, GEOMETRY, KEY)
    other, turned = fly(LostMuons._make(column[order] for column in some), fields, GEOMETRY, KEY)
    np.testing.assert_array_equal(flights.path[order], turned.path)
    back = np.argsort(other.number, kind="stable")
    for one, two in zip(hits, other, strict=True):
        np.testing.assert_array_equal(one, two[back])


def test_most_muons_that_leave_inwards_meet_calorimeters_and_go_away(fields: FieldTables) -> None:
    _, flights = fly(muons(500), fields, GEOMETRY, KEY)
    assert (flights.calorimeters > 0).mean() > 0.6
    assert (flights.way == Way.AWAY).mean() > 0.95


def test_a_muon_in_front_of_copper_or_behind_a_plate_goes_through_it() -> None:
    tables = GEOMETRY.tables()
    one, quad = RING.collimators[0], RING.quads[0]
    hit = (0.0, 0.0, P_MAGIC)
    assert first_metal(0.050, 0.0, one.theta, *hit, int(State.LOST_COLLIMATOR), tables)[1] == one.thickness
    assert first_metal(0.056, 0.0, one.theta, *hit, int(State.LOST_COLLIMATOR), tables) == (0.0, 0.0)
    slanted = (0.01, 0.0, P_MAGIC)
    aluminium, _ = first_metal(-0.051, 0.0, quad.theta_end, *slanted, int(State.LOST_PLATE), tables)
    assert aluminium == pytest.approx(0.5e-3 / 0.01, rel=0.05)
    assert first_metal(-0.051, 0.0, quad.theta_start, *slanted, int(State.LOST_PLATE), tables)[0] == 0.0


ON_A_SIMULATED_GPU = """
import sys

import numpy as np

from detectors.geometry import Geometry
from detectors.lost_muons import FlightSettings, LostMuons, fly
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import field_tables
from gpu.rng import FillKey

with np.load(sys.argv[1]) as lost:
    muons = LostMuons(**lost)
fields = field_tables(StorageField.uniform(1.4513), QuadSettings(voltage=0.0))
hits, flights = fly(muons, fields, Geometry(), FillKey(5, 1, 0, 0), FlightSettings(longest_path=6.0), backend="gpu")
np.savez(sys.argv[2], **hits._asdict(), **{"flight_" + name: values for name, values in flights._asdict().items()})
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_the_simulated_gpu_flies_the_same_ways(fields: FieldTables, run_python: Callable[..., object], tmp_path: Path):
    some = muons(6)
    np.savez(tmp_path / "lost.npz", **some._asdict())
    files = str(tmp_path / "lost.npz"), str(tmp_path / "hits.npz")
    run_python(ON_A_SIMULATED_GPU, *files, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    hits, flights = fly(some, fields, GEOMETRY, KEY, FlightSettings(longest_path=6.0))
    assert hits.calo.size > 0
    with np.load(files[1]) as on_gpu:
        for name, expected in (hits._asdict() | {f"flight_{n}": v for n, v in flights._asdict().items()}).items():
            # Plain Python fuses no multiply-adds; where a step ends on a wall or face is solved to nanometres.
            np.testing.assert_allclose(on_gpu[name], expected, rtol=1e-9, atol=1e-10, err_msg=name)


def one_hit(**columns: float) -> MuonHits:
    values = {"calo": 3, "number": 7, "enter": 0.0, "leave": LENGTH, "lost": 0.15, "energy": 3.0} | columns
    whole = {"calo", "number"}
    return MuonHits._make(
        np.array([values.get(name, 0)], np.int64 if name in whole else np.float64) for name in MuonHits._fields
    )


def test_light_is_shared_by_the_length_in_each_crystal() -> None:
    pitch = ShowerSettings().pitch_u
    # From 5 mm inside the border between columns 4 and 5, height of row 3, across it at a depth of 50 mm.
    deposits = deposit_muons(one_hit(u=0.5 * pitch - 0.005, du=0.1, v=0.01), CRYSTAL)
    whole = 0.15 * MipSettings().light_per_loss(CRYSTAL, LENGTH)
    np.testing.assert_array_equal(deposits.crystal, [31, 32])
    np.testing.assert_allclose(deposits.energy, whole * np.array([50.0, 90.0]) / 140.0, rtol=1e-6)
    np.testing.assert_array_equal(deposits.hit, [-1, -1])
    np.testing.assert_array_equal(deposits.number, [7, 7])
    # Light from the middle of each piece: the muon comes with c, its light goes on with c/1.8.
    np.testing.assert_allclose(deposits.time, -0.8 * np.array([0.025, 0.095]) / LIGHT_SPEED, rtol=1e-6)


def test_a_path_through_the_side_is_cut_at_the_crystals() -> None:
    half_u, half_v = 0.1132, 0.07555
    assert box_path(0.0, 0.0, 0.0, 0.0, half_u, half_v, LENGTH) == (0.0, LENGTH)
    enter, leave = box_path(0.1182, 0.0, -0.1, 0.0, half_u, half_v, LENGTH)
    assert enter == pytest.approx(0.050, rel=1e-9)
    assert leave == LENGTH
    enter, leave = box_path(0.12, 0.0, 0.0, 0.0, half_u, half_v, LENGTH)
    assert enter >= leave
    enter, leave = box_path(0.0, 0.0755, 0.0, 0.01, half_u, half_v, LENGTH)
    assert leave == pytest.approx(0.005, rel=1e-6)


def test_deposits_of_positrons_come_first_and_stay_as_they_are() -> None:
    of_positrons = deposit(straight_hits(3, 1.0), KEY)
    nothing = deposit_muons(one_hit().__class__._make(c[:0] for c in one_hit()), CRYSTAL)
    for one, two in zip(together(of_positrons, nothing), of_positrons, strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype
    both = together(of_positrons, deposit_muons(one_hit(), CRYSTAL))
    assert (both.hit[:-1] >= 0).all()
    assert both.hit[-1] == -1


def test_muons_without_a_place_are_left_out() -> None:
    bunch = Bunch.empty(4).with_momentum(0.0, REFERENCE)
    bunch.state[:] = [State.STORED, State.LOST_WALL, State.LOST_PLATE, State.DECAYED]
    bunch.x[2], bunch.crossings[2] = -0.052, 2
    lost = LostMuons.of(bunch, REFERENCE)
    np.testing.assert_array_equal(lost.number, [2])
    np.testing.assert_array_equal(lost.crossings, [2])
    assert lost.energy[0] == pytest.approx(bunch.energy[2], rel=1e-12)


@pytest.mark.parametrize("bad", [{"step": 0.0}, {"calorimeters": 25}, {"longest_path": 0.0}])
def test_settings_out_of_bounds_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is out of bounds: give"):
        FlightSettings(**bad)


def test_mip_peak_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="MIP peak = 170"):
        MipSettings(peak=170.0)
