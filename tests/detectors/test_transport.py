"""Positrons from birth to calorimeter."""

import importlib.util
import math

import numpy as np
import pytest

from decay.positron import Positrons, decay
from detectors.geometry import Geometry
from detectors.straws import Stations
from detectors.transport import Ends, Fate, TransportSettings, fly_positrons, transport
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, reference

REFERENCE = reference(1.4513, 7.112)
KEY = FillKey(11, 1, 0, 0)
GEOMETRY = Geometry()
BARE = TransportSettings(material=False)


@pytest.fixture(scope="module")
def fields() -> FieldTables:
    return field_tables(StorageField.uniform(1.4513), QuadSettings.ideal())


@pytest.fixture(scope="module")
def born() -> Positrons:
    """Positrons of 40 000 muons spread over the ring and the aperture, unpolarised."""
    n = 40_000
    rng = np.random.default_rng(8)
    bunch = Bunch.empty(n).with_momentum(rng.normal(0.0, 1.1e-3, n), REFERENCE)
    bunch.state[:] = State.DECAYED
    bunch.theta[:] = rng.uniform(0.0, 2 * math.pi, n)
    radius, angle = 0.040 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * math.pi, n)
    bunch.x[:], bunch.y[:] = radius * np.cos(angle), radius * np.sin(angle)
    return decay(bunch, REFERENCE, KEY, 0.0)


@pytest.fixture(scope="module")
def flown(born: Positrons, fields: FieldTables) -> Ends:
    return transport(born, fields, GEOMETRY, KEY)[1]


def pick(positrons: Positrons, which: np.ndarray) -> Positrons:
    return Positrons._make(column[which].copy() for column in positrons)


def test_every_positron_has_a_fate(born, flown):
    counts = np.bincount(flown.fate, minlength=len(Fate))
    assert counts.sum() == born.n
    # In flight after 30 m: the few that the ring could store, and the slowest, which circle within the chamber.
    assert counts[Fate.OUT] < 20
    left = born.energy[flown.fate == Fate.OUT]
    assert ((left > 3.0) | (left < 0.06)).all()
    slow = np.sqrt(born.px**2 + born.py**2 + born.ps**2) < 0.05
    np.testing.assert_array_equal(flown.fate == Fate.SLOW, slow)


def test_hits_lie_on_the_faces_and_carry_what_the_ends_say(born, flown):
    hit = flown.fate == Fate.HIT
    hits = flown.hits(born.number)
    assert hits.u.size == hit.sum()
    box = GEOMETRY.calorimeter
    assert (abs(hits.u) <= 0.5 * box.width).all()
    assert (abs(hits.v) <= 0.5 * box.height).all()
    place = np.stack([flown.x, flown.y, flown.z], axis=1)[hit]
    rebuilt = (
        GEOMETRY.face_centres[hits.calo]
        + hits.u[:, None] * GEOMETRY.face_along[hits.calo]
        + hits.v[:, None] * np.array([0.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(place, rebuilt, atol=1e-12)
    np.testing.assert_array_equal(hits.number, born.number[hit])


def test_positrons_curl_inwards_and_enter_the_face_from_outside(flown):
    hits = flown.hits(np.zeros(flown.fate.size, np.int64))
    fast = hits.energy > 1.5
    # A circle of radius p / (0.3 B) from the beam to the face, 0.1 to 0.32 m further in: at most 0.5 rad at 1.5 GeV,
    # less the 0.06 rad that the face is turned; outwards only those near the endpoint, that run along the beam.
    assert (np.arctan(hits.du[fast]) > -0.5).mean() > 0.995
    assert (hits.du[fast] < 0.0).mean() > 0.95


def test_time_of_flight_is_path_over_speed(born, fields):
    ends = transport(born, fields, GEOMETRY, KEY, BARE)[1]
    flew = ends.fate != Fate.SLOW
    beta = np.sqrt(1 - (POSITRON_MASS / born.energy[flew]) ** 2)
    np.testing.assert_allclose((ends.time - born.time)[flew], ends.path[flew] / (beta * LIGHT_SPEED), rtol=1e-6)
    # The quads give or take 20 keV at each of their ends, as their edges are hard: a slow positron feels many.
    assert abs(ends.energy - born.energy)[flew].max() < 1e-3
    assert np.percentile(abs(ends.energy - born.energy)[flew], 99) < 30e-6


def test_shorter_steps_end_in_the_same_place(born, fields):
    some = pick(born, np.flatnonzero(born.energy > 0.3)[:3000])
    coarse = transport(some, fields, GEOMETRY, KEY, BARE)[1]
    fine = transport(some, fields, GEOMETRY, KEY, TransportSettings(step=0.01, material=False))[1]
    same = (coarse.fate == fine.fate) & (coarse.calo == fine.calo)
    # Differences at the edges of walls and faces, and where a step of 60 mm cuts a corner of the wall.
    assert same.mean() > 0.995
    both = same & (fine.fate == Fate.HIT)
    # Kinks of the piecewise linear fall-off: tens of micrometres at most (test_path), against 25 mm crystals.
    assert np.percentile(abs(coarse.u - fine.u)[both], 99) < 1e-4
    assert np.percentile(abs(coarse.v - fine.v)[both], 99) < 1e-4


def test_shorter_steps_meet_the_same_metal(born, fields):
    some = pick(born, np.flatnonzero(born.energy > 1.0)[:4000])
    coarse = transport(some, fields, GEOMETRY, KEY)[1]
    fine = transport(some, fields, GEOMETRY, KEY, TransportSettings(step=0.015))[1]
    # Scattering happens at the end of a step, so paths part by a little behind a plate; sheets must not be missed.
    assert (coarse.sheets == fine.sheets).mean() > 0.97
    assert abs((coarse.sheets - fine.sheets).mean()) < 0.01
    assert abs((coarse.fate == Fate.HIT).mean() - (fine.fate == Fate.HIT).mean()) < 0.005


def test_up_and_down_are_alike(born, fields):
    some = pick(born, np.arange(2000))
    mirrored = some._replace(y=-some.y, py=-some.py)
    up, down = (transport(p, fields, GEOMETRY, KEY, BARE)[1] for p in (some, mirrored))
    np.testing.assert_array_equal(up.fate, down.fate)
    np.testing.assert_allclose(up.v, -down.v, atol=1e-12)
    np.testing.assert_allclose(up.u, down.u, atol=1e-12)


def test_ring_is_the_same_every_15_degrees_without_quads_and_metal(born):
    empty = field_tables(StorageField.uniform(1.4513), QuadSettings(voltage=0.0))
    some = pick(born, np.arange(2000))
    turned = some._replace(theta=some.theta + math.radians(75.0))
    here, there = (transport(p, empty, GEOMETRY, KEY, BARE)[1] for p in (some, turned))
    same = here.fate == there.fate
    # Rounding may decide for a positron that grazes an edge.
    assert same.mean() > 0.998
    hit = same & (here.fate == Fate.HIT)
    np.testing.assert_array_equal((here.calo[hit] + 5) % 24, there.calo[hit])
    # A wall met or missed by rounding changes the steps after it, and so the kinks of the table that they see.
    assert (abs(here.u - there.u)[hit] < 1e-8).mean() > 0.99


def test_results_do_not_depend_on_the_other_positrons(born, fields, flown):
    which = np.flatnonzero(born.number % 37 == 3)
    alone = transport(pick(born, which), fields, GEOMETRY, KEY)[1]
    for column, name in zip(alone, alone._fields, strict=True):
        np.testing.assert_array_equal(column, getattr(flown, name)[which], err_msg=name)


def test_acceptance_rises_to_three_quarters_at_2_35_gev(born, flown):
    # The toy of nkinnaird/PrecessionFrequencyAnalysis: 0.75 E / 2.35 GeV up to 2.35, hits over decays of that energy.
    edges = np.array([0.9, 1.2, 1.5, 1.8, 2.1, 2.4])
    decays, _ = np.histogram(born.energy, edges)
    hits, _ = np.histogram(flown.hits(born.number).energy, edges)
    toy = 0.75 * 0.5 * (edges[:-1] + edges[1:]) / 2.35
    # Ours differs by up to 0.05 (nothing is tuned); five standard deviations of 1500 decays a bin are 0.06.
    np.testing.assert_allclose(hits / decays, toy, atol=0.05 + 5 * 0.5 / math.sqrt(decays.min()))
    assert (np.diff(hits / decays) > 0).all()


@pytest.mark.parametrize(("energy", "milliradian"), [(1.0, 5.3), (1.7, 8.5), (2.0, 10.5), (2.8, 21.6), (3.0, 36.0)])
def test_drift_time_explains_the_phase_of_omega_a_by_energy(born, flown, energy, milliradian):
    # Phase against energy of the same toy and of hongran/QMethodUtilities, fitted to the experiment's simulation.
    near = (flown.fate == Fate.HIT) & (abs(born.energy - energy) < 0.1)
    phase = 2 * math.pi * 229.08e3 * (flown.time - born.time)[near]
    spread = 5 * phase.std() / math.sqrt(near.sum())
    assert phase.mean() * 1e3 == pytest.approx(milliradian, rel=0.08, abs=spread * 1e3)


def test_metal_takes_energy_from_those_it_meets_and_from_nobody_else(born, fields, flown):
    bare = transport(born, fields, GEOMETRY, KEY, BARE)[1]
    assert (bare.sheets == 0).all()
    both = (flown.fate == Fate.HIT) & (bare.fate == Fate.HIT)
    free = both & (flown.sheets == 0)
    np.testing.assert_array_equal(flown.energy[free], bare.energy[free])
    met = both & (flown.sheets > 0)
    assert 0.1 < met.sum() / both.sum() < 0.6
    assert (flown.energy[met] < bare.energy[met]).all()


def test_positron_aimed_at_a_face_hits_its_centre():
    # No field: a straight line. The fall-off scales with the storage field, so a tiny field does.
    dark = field_tables(StorageField.uniform(1e-9), QuadSettings(voltage=0.0))
    target, along = GEOMETRY.face_centres[3], GEOMETRY.face_along[3]
    origin = target - 0.9 * GEOMETRY.face_normals[3] + 0.215 * along
    theta, rho = math.atan2(origin[2], origin[0]), math.hypot(origin[0], origin[2])
    direction = (target - origin) / np.linalg.norm(target - origin)
    c, s = math.cos(theta), math.sin(theta)
    one = [np.array([value]) for value in (rho - 7.112, 0.0, theta)]
    radial, forward = direction[0] * c + direction[2] * s, direction[2] * c - direction[0] * s
    momentum = [np.array([2.0 * v]) for v in (radial, 0.0, forward)]
    positron = Positrons(*one, *momentum, np.zeros(1), np.zeros(1, np.int64))
    hits, ends = transport(positron, dark, GEOMETRY, KEY, BARE)
    assert ends.fate[0] == Fate.HIT
    assert hits.calo[0] == 3
    assert hits.u[0] == pytest.approx(0.0, abs=1e-9)
    assert hits.du[0] == pytest.approx(-0.215 / 0.9, abs=1e-9)
    assert ends.path[0] == pytest.approx(math.hypot(0.9, 0.215), abs=1e-9)


def straight(place, direction, momentum=2.0) -> Positrons:
    """One positron of a momentum [GeV/c] at a place of the global frame."""
    theta, rho = math.atan2(place[2], place[0]), math.hypot(place[0], place[2])
    direction = np.asarray(direction) / np.linalg.norm(direction)
    c, s = math.cos(theta), math.sin(theta)
    local = direction[0] * c + direction[2] * s, direction[1], direction[2] * c - direction[0] * s
    one = [np.array([value]) for value in (rho - 7.112, place[1], theta)]
    return Positrons(*one, *(np.array([momentum * v]) for v in local), np.zeros(1), np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("depth", "v", "du", "dv"), [(0.07, 0.01, -0.2, 0.0), (0.002, -0.03, -0.3, 0.05), (0.13, 0.0, -0.15, -0.02)]
)
def test_side_facing_the_beam_is_entered_where_a_straight_line_meets_it(depth, v, du, dv):
    dark = field_tables(StorageField.uniform(1e-9), QuadSettings(voltage=0.0))
    centre, along, normal = GEOMETRY.face_centres[5], GEOMETRY.face_along[5], GEOMETRY.face_normals[5]
    half = 0.5 * GEOMETRY.calorimeter.width
    target = centre + half * along + np.array([0.0, v, 0.0]) + depth * normal
    direction = normal + du * along + np.array([0.0, dv, 0.0])
    positron = straight(target - 0.25 * direction, direction)
    settings = TransportSettings(material=False, side_entry=True)
    hits, ends = transport(positron, dark, GEOMETRY, KEY, settings)
    assert ends.fate[0] == Fate.HIT
    found = [hits.calo[0], hits.depth[0], hits.u[0], hits.v[0], hits.du[0], hits.dv[0]]
    # 20 halvings of a step of 60 mm.
    np.testing.assert_allclose(found, [5, depth, half, v, du, dv], atol=2e-7)
    assert ends.path[0] == pytest.approx(0.25 * math.sqrt(1 + du * du + dv * dv), abs=2e-7)
    closed = transport(positron, dark, GEOMETRY, KEY, BARE)[1]
    assert closed.calo[0] != 5
    assert closed.depth[0] == 0.0


def test_positron_from_behind_stops_in_the_calorimeter():
    dark = field_tables(StorageField.uniform(1e-9), QuadSettings(voltage=0.0))
    normal = GEOMETRY.face_normals[5]
    positron = straight(GEOMETRY.face_centres[5] + 0.5 * normal, -normal)
    ends = transport(positron, dark, GEOMETRY, KEY, TransportSettings(material=False, side_entry=True))[1]
    assert ends.fate[0] == Fate.LOST_CALORIMETER


def test_side_entries_add_hits_and_leave_those_of_the_faces(born, fields, flown):
    ends = transport(born, fields, GEOMETRY, KEY, TransportSettings(side_entry=True))[1]
    side = (ends.fate == Fate.HIT) & (ends.depth > 0.0)
    face = (ends.fate == Fate.HIT) & ~side
    # Some of those that enter a side would have come out of it and met the next calorimeter, or a plate, later.
    assert (flown.fate[face] == Fate.HIT).all()
    for name in ("u", "v", "energy", "time"):
        np.testing.assert_array_equal(getattr(ends, name)[face], getattr(flown, name)[face])
    assert 0.05 < side.sum() / face.sum() < 0.2
    # The side that looks at the beam: positrons curl inwards.
    half = 0.5 * GEOMETRY.calorimeter.width
    assert (abs(ends.u[side] - half) < 1e-6).mean() > 0.9
    assert ends.depth[side].max() <= GEOMETRY.calorimeter.crystals + 1e-9
    np.testing.assert_array_equal(ends.fate == Fate.SLOW, flown.fate == Fate.SLOW)


ON_A_SIMULATED_GPU = """
import sys
import numpy as np
from decay.positron import Positrons
from detectors.straws import Stations
from detectors.transport import TransportSettings, fly_positrons
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import field_tables
from gpu.rng import FillKey

with np.load(sys.argv[1]) as born:
    positrons = Positrons(**born)
fields = field_tables(StorageField.uniform(1.4513), QuadSettings.ideal())
settings = TransportSettings(longest_path=4.0, photons=True, side_entry=True)
stations = Stations()
flight = fly_positrons(positrons, fields, stations.geometry, FillKey(11, 1, 0, 0), settings, stations, backend="gpu")
np.savez(sys.argv[2], **flight.ends._asdict(), **{f"hit_{k}": v for k, v in flight.hits._asdict().items()})
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_the_simulated_gpu_ends_the_same_paths(born, fields, run_python, tmp_path):
    # Plain Python, which also refuses an index out of bounds.
    some = pick(born, np.arange(30))
    np.savez(tmp_path / "born.npz", **some._asdict())
    files = str(tmp_path / "born.npz"), str(tmp_path / "ends.npz")
    run_python(ON_A_SIMULATED_GPU, *files, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    settings = TransportSettings(longest_path=4.0, photons=True, side_entry=True)
    flight = fly_positrons(some, fields, GEOMETRY, KEY, settings, Stations())
    assert flight.secondaries.charge.size > 5
    columns = flight.ends._asdict() | {f"hit_{k}": v for k, v in flight.hits._asdict().items()}
    with np.load(files[1]) as on_gpu:
        for name, expected in columns.items():
            # Rounding differs by fused multiply-adds; the loss in metal is solved to 1e-10.
            np.testing.assert_allclose(on_gpu[name], expected, rtol=1e-9, atol=1e-10, err_msg=name)


def test_no_positrons_give_no_hits(fields):
    none = Positrons(*(np.zeros(0) for _ in range(7)), np.zeros(0, np.int64))
    hits, ends = transport(none, fields, GEOMETRY, KEY)
    assert hits.u.size == 0
    assert ends.fate.size == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 0.0},
        {"step": 0.5},
        {"bend": 0.0},
        {"least_momentum": 0.0},
        {"longest_path": 0.0},
        {"photon_threshold": 0.0},
    ],
)
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TransportSettings(**wrong)
