"""Positrons on their way to the trackers and through them."""

import importlib.util
import math

import numpy as np
import pytest

from decay.positron import Positrons, decay
from detectors.straw_approach import approach
from detectors.straw_crossings import Crossings, CrossingSettings, Way, cross_straws
from detectors.straw_drift import straw_hits
from detectors.straw_entrances import Entrances
from detectors.straws import (
    LAYERS,
    MODULES,
    PLANES,
    STATION_CHANNELS,
    STATIONS,
    WIRES,
    Misalignment,
    Stations,
    to_global,
)
from detectors.transport import TransportSettings
from fields.falloff import FalloffTable
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, RIGIDITY, reference

B0 = 1.4513
REFERENCE = reference(B0, 7.112)
KEY = FillKey(11, 1, 0, 0)
STATION = Stations()
GAS = STATION.gas_radius
BARE = CrossingSettings(scattering=False, loss=False)


@pytest.fixture(scope="module")
def fields() -> FieldTables:
    return field_tables(StorageField.uniform(B0), QuadSettings.ideal())


@pytest.fixture(scope="module")
def uniform() -> FieldTables:
    """The same field everywhere, so that paths are helices."""
    tables = field_tables(StorageField.uniform(B0), QuadSettings(voltage=0.0))
    shape = tables.falloff.by.shape
    flat = FalloffTable(np.zeros(shape), np.full(shape, B0), tables.falloff.r_min, tables.falloff.step)
    return tables._replace(falloff=flat)


@pytest.fixture(scope="module")
def born() -> Positrons:
    """Positrons of 120 000 muons spread over the ring and the aperture, unpolarised."""
    n = 120_000
    rng = np.random.default_rng(8)
    bunch = Bunch.empty(n).with_momentum(rng.normal(0.0, 1.1e-3, n), REFERENCE)
    bunch.state[:] = State.DECAYED
    bunch.theta[:] = rng.uniform(0.0, 2 * math.pi, n)
    radius, angle = 0.040 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * math.pi, n)
    bunch.x[:], bunch.y[:] = radius * np.cos(angle), radius * np.sin(angle)
    return decay(bunch, REFERENCE, KEY, 0.0)


@pytest.fixture(scope="module")
def arrived(born: Positrons, fields: FieldTables) -> Entrances:
    return approach(born, fields, STATION, KEY)


@pytest.fixture(scope="module")
def crossed(arrived: Entrances, fields: FieldTables):
    return cross_straws(arrived, fields, STATION, KEY)


def planes_of(crossings: Crossings, passages) -> np.ndarray:
    """How many different layers each positron crossed."""
    owner = np.repeat(np.arange(passages.straws.size), passages.straws)
    both = np.unique(np.stack([owner, crossings.channel % STATION_CHANNELS // WIRES]), axis=1)
    return np.bincount(both[0], minlength=passages.straws.size)


def started(station, place, direction, momentum) -> Entrances:
    """One positron with place [m] and direction in the frame of a station."""
    frame = STATION.frames[station]
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    x, y, z = to_global(np.asarray(place, float), frame)
    dx, dy, dz = to_global(direction, frame, vectors=True)
    one = Entrances.empty(1)
    for name, value in {
        "station": station, "x": x, "y": y, "z": z, "dx": dx, "dy": dy, "dz": dz,
        "energy": math.hypot(momentum, POSITRON_MASS), "time": 1e-6, "number": 4,
    }.items():  # fmt: skip
        getattr(one, name)[0] = value
    return one


def brute_force(path, wires, directions, half):
    """Least distance of a path, given as a function of its length, from every wire, by sampling; in metres."""
    found = {}
    coarse = np.arange(0.0, 1.4, 2.5e-4)
    points = path(coarse)
    for k in range(len(wires)):
        offset = points - wires[k]
        along = offset @ directions[k]
        distance = np.sqrt(np.maximum((offset**2).sum(axis=1) - along**2, 0.0))
        best = int(np.argmin(distance))
        if distance[best] > 4e-3:
            continue
        fine = coarse[best] + np.arange(-3e-4, 3e-4, 2e-7)
        offset = path(fine) - wires[k]
        along = offset @ directions[k]
        distance = np.sqrt(np.maximum((offset**2).sum(axis=1) - along**2, 0.0))
        best = int(np.argmin(distance))
        if abs(along[best]) < half:
            found[k] = distance[best], along[best], fine[best]
    return found


@pytest.mark.parametrize(
    ("station", "place", "direction", "momentum"),
    [
        (0, (0.20, 0.005, 0.28), (-0.13, 0.01, 1.0), 2.6),
        (1, (0.16, -0.02, 0.28), (-0.05, 0.02, 1.0), 1.1),
        (0, (0.18, 0.03, 0.60), (-0.10, -0.05, 1.0), 0.7),
        (1, (0.22, 0.00, 0.75), (-0.20, 0.00, 1.0), 0.3),
        (0, (0.21, 0.01, 0.90), (-0.70, 0.03, 1.0), 0.45),
    ],
)
def test_every_straw_that_a_helix_crosses_is_found_at_its_distance(uniform, station, place, direction, momentum):
    """Independent of the search and of the step: the exact helix, sampled, against all 1024 wires."""
    rng = np.random.default_rng(6)
    modules = rng.normal(0.0, 1e-4, (STATIONS, MODULES, 6))
    modules[..., 3:] *= 10.0
    bent = Stations(misalignment=Misalignment(modules=modules))
    entrance = started(station, place, direction, momentum)
    crossings, passages = cross_straws(entrance, uniform, bent, KEY, BARE)
    frame = STATION.frames[station]
    start = to_global(np.array(place), frame)
    d = to_global(np.asarray(direction) / np.linalg.norm(direction), frame, vectors=True)
    across = momentum / (RIGIDITY * B0)

    def path(s):
        # A positive charge in B along +y: dp/ds = c d x B.
        sin, cos = np.sin(s / across), np.cos(s / across)
        x = start[0] + across * (sin * d[0] - (1 - cos) * d[2])
        z = start[2] + across * (sin * d[2] + (1 - cos) * d[0])
        return np.stack([x, start[1] + s * d[1], z], axis=1)

    centre, along = bent.wires_in_ring()
    half = 0.5 * bent.height / math.cos(bent.stereo)
    expected = brute_force(path, centre[station].reshape(-1, 3), along[station].reshape(-1, 3), half)
    # Beyond the layer where the flight ended the helix would go on.
    last = np.flatnonzero(bent.layers()[station, :, 2] <= passages.z[0] + 1e-3).max()
    beta = momentum / math.hypot(momentum, POSITRON_MASS)
    inside = {k: v for k, v in expected.items() if v[0] < GAS and k // WIRES <= last}
    certain = {k for k, v in inside.items() if v[0] < GAS - 1e-6}
    found = crossings.channel - station * STATION_CHANNELS
    assert certain <= set(found) <= set(inside)
    assert found.size >= 4
    for row, k in enumerate(found):
        distance, height, length = inside[k]
        # The step is good to (kappa h)^4 L / 120 < 0.1 um, the sampling to 0.1 um along a path near the wire.
        assert abs(crossings.distance[row]) == pytest.approx(distance, abs=1e-6)
        assert crossings.along[row] == pytest.approx(height, abs=1e-5)
        assert crossings.time[row] == pytest.approx(1e-6 + length / (beta * LIGHT_SPEED), abs=1e-13)


def test_straight_line_crosses_at_the_distance_of_two_lines():
    dark = field_tables(StorageField.uniform(1e-9), QuadSettings(voltage=0.0))
    place, direction = np.array([0.12, 0.01, 0.30]), np.array([-0.02, 0.015, 1.0])
    direction /= np.linalg.norm(direction)
    crossings, passages = cross_straws(started(0, place, direction, 2.0), dark, STATION, KEY, BARE)
    centre, wire = (a[0].reshape(-1, 3) for a in STATION.wires())
    normal = np.cross(direction, wire)
    sine = np.linalg.norm(normal, axis=1)
    signed = ((place - centre) * normal).sum(axis=1) / sine
    k = crossings.channel
    assert passages.way[0] == Way.PASSED
    np.testing.assert_allclose(abs(crossings.distance), abs(signed[k]), atol=1e-9)
    np.testing.assert_allclose(crossings.path, 2.0 * np.sqrt(GAS**2 - signed[k] ** 2) / sine[k], rtol=1e-6)
    # Outside of the wire means larger x where the path is as high as the wire is there.
    np.testing.assert_array_equal(np.sign(crossings.distance), np.sign(_beyond(place, direction, centre[k], wire[k])))


def _beyond(place, direction, centre, wire):
    """How much further out a straight path passes than wires, in the planes of their layers."""
    at = place + ((centre[:, 2] - place[2]) / direction[2])[:, None] * direction
    return at[:, 0] - centre[:, 0] - at[:, 1] * wire[:, 0] / wire[:, 1]


def test_moved_module_changes_the_distances_in_it_alone():
    dark = field_tables(StorageField.uniform(1e-9), QuadSettings(voltage=0.0))
    modules = np.zeros((STATIONS, MODULES, 6))
    modules[0, 3, 0] = 1e-4
    moved = Stations(misalignment=Misalignment(modules=modules))
    entrance = started(0, (0.12, 0.0, 0.30), (-0.02, 0.0, 1.0), 2.0)
    before, _ = cross_straws(entrance, dark, STATION, KEY, BARE)
    after, _ = cross_straws(entrance, dark, moved, KEY, BARE)
    common, i, j = np.intersect1d(before.channel, after.channel, return_indices=True)
    change = after.distance[j] - before.distance[i]
    there = common // (LAYERS * WIRES) == 3
    # Across the wire, at an angle of 0.02 to the plane.
    np.testing.assert_allclose(change[there], -1e-4 * math.cos(math.radians(7.5)), rtol=3e-4)
    np.testing.assert_array_equal(change[~there], 0.0)


def test_entrances_lie_in_the_stations_and_no_later_than_a_step_behind_their_begin(born, arrived):
    tables = STATION.tables()
    for s in range(STATIONS):
        rows = arrived.station == s
        assert rows.sum() > 500
        ox, oz, _, _, bx, bz = STATION.frames[s]
        z = (arrived.x[rows] - ox) * bx + (arrived.z[rows] - oz) * bz
        assert z.min() >= tables.start
        flown = arrived.path[rows] > 0.0
        # But for the few that come back into the vacuum through a wall.
        assert (z[flown] < tables.start + TransportSettings().step).mean() > 0.98
    # As many to either, but for the quads upstream: 5 standard deviations of a difference of halves.
    counts = np.bincount(arrived.station)
    assert abs(counts[0] - counts[1]) < 5.0 * math.sqrt(counts.sum()) + 0.1 * counts.sum()
    assert np.isin(arrived.number, born.number).all()


def test_tracks_have_planes_momenta_and_losses_like_the_experiment(arrived, crossed):
    crossings, passages = crossed
    planes = planes_of(crossings, passages)
    assert (planes <= PLANES).all()
    track = planes >= 12
    assert track.sum() > 2000
    # N. Kinnaird, dissertation (2020): planes hit have their peak at 10, 6 to 32; loss 0.2 MeV over a station.
    counts = np.bincount(planes, minlength=PLANES + 1)
    assert 7 <= counts[5:].argmax() + 5 <= 13
    loss = np.median((arrived.energy - passages.energy)[track])
    assert 0.15e-3 < loss < 0.3e-3


def test_momenta_of_tracks_are_distributed_as_in_the_experiment(arrived, crossed):
    # DragonDodo/gm2-EDMsim @315968f, after a cut on the number of hits; its column follows the spectrum of tracks.
    momentum = np.array([0.44, 0.55, 0.77, 0.99, 1.21, 1.43, 1.77, 2.10, 2.43, 2.65, 2.87, 2.98])
    published = np.array([0.05, 0.18, 0.35, 0.49, 0.59, 0.60, 0.67, 0.57, 0.42, 0.34, 0.18, 0.05])
    track = planes_of(*crossed) >= 12
    counts = np.array([(abs(arrived.energy - p) < 0.08)[track].sum() for p in momentum])
    ours = counts * published.sum() / counts.sum()
    # Nothing is tuned, and the bins are ours: found within 0.15; five standard deviations of a bin are added.
    np.testing.assert_allclose(ours, published, atol=0.15 + 5.0 * published.max() / math.sqrt(counts.max()) / 2.0)
    assert np.corrcoef(ours, published)[0, 1] > 0.8


def test_scattering_over_a_station_is_that_of_its_straws(arrived, crossed, fields):
    """Sum over layers of independent angles, each acting over the way that is left to the end."""
    _, bare = cross_straws(arrived, fields, STATION, KEY, CrossingSettings(scattering=False, loss=False))
    crossings, passages = cross_straws(arrived, fields, STATION, KEY, CrossingSettings(loss=False))
    planes = planes_of(crossings, passages)
    chosen = (planes > 16) & (passages.way == Way.PASSED) & (bare.way == Way.PASSED) & (arrived.energy > 1.0)
    assert chosen.sum() > 300
    pulls = []
    first = np.cumsum(passages.straws) - passages.straws
    layers = STATION.layers()
    for i in np.flatnonzero(chosen):
        rows = slice(first[i], first[i] + passages.straws[i])
        plane = crossings.channel[rows] % STATION_CHANNELS // WIRES
        lever = passages.z[i] - layers[arrived.station[i], plane, 2]
        d = abs(crossings.distance[rows])
        wall = crossings.path[rows] * (np.sqrt(2.55e-3**2 - d**2) / np.sqrt(GAS**2 - d**2) - 1.0)
        thickness = crossings.path[rows] / 177.6 + wall / 0.2854
        angle = 0.0136 * (1 + 0.038 * math.log(16 * 1.3e-4)) * np.sqrt(thickness) / crossings.momentum[rows]
        pulls.append((passages.y[i] - bare.y[i]) / math.sqrt(np.sum((angle * lever) ** 2)))
    pulls = np.array(pulls)
    assert pulls.mean() == pytest.approx(0.0, abs=5.0 / math.sqrt(pulls.size))
    # Walls that are only grazed count in the flight and not here; the field focuses a little.
    assert pulls.std() == pytest.approx(1.0, abs=0.05 + 5.0 / math.sqrt(2.0 * pulls.size))
    # The same source: 200 um more than a track without scattering, over a station.
    shift = (passages.y - bare.y)[chosen]
    assert 100e-6 < shift.std() < 400e-6


def test_switches_leave_the_other_random_numbers(arrived, crossed, fields):
    no_loss, _ = cross_straws(arrived, fields, STATION, KEY, CrossingSettings(loss=False))
    _, key = np.unique(np.stack([crossed[0].number, crossed[0].channel]), axis=1, return_index=True)
    full = {(n, c): d for n, c, d in zip(*crossed[0][:3], strict=True)}
    assert key.size == len(full)
    common = [(d, full[n, c]) for n, c, d in zip(*no_loss[:3], strict=True) if (n, c) in full]
    a, b = np.array(common).T
    assert len(common) > 0.97 * len(full)
    # 0.2 MeV of 1 GeV bend a path by 2e-4 of its sagitta of 0.1 m.
    assert np.median(abs(a - b)) < 20e-6


def test_bremsstrahlung_in_a_station_takes_its_share(arrived, crossed):
    # Mean energy kept is exp(-thickness); H. Bethe and W. Heitler (1934). Ionisation is below 1 MeV.
    _, passages = crossed
    many = passages.matter > 1e-3
    lost = ((arrived.energy - passages.energy - 0.2e-3) / arrived.energy)[many]
    expected = passages.matter[many].mean()
    # A fraction v of the energy is taken with a chance t / v dv / ln 2 and more: variance t / (2 ln 2).
    error = math.sqrt(expected / (2.0 * math.log(2.0)) / many.sum())
    assert lost.mean() == pytest.approx(expected, abs=5.0 * error)


def test_results_do_not_depend_on_the_other_positrons(arrived, crossed, fields):
    which = np.arange(arrived.number.size) % 29 == 3
    alone, ends = cross_straws(arrived.select(which), fields, STATION, KEY)
    rows = np.repeat(which, crossed[1].straws)
    for column, name in zip(alone, alone._fields, strict=True):
        np.testing.assert_array_equal(column, getattr(crossed[0], name)[rows], err_msg=name)
    np.testing.assert_array_equal(ends.energy, crossed[1].energy[which])


def test_positron_beside_the_straws_crosses_none(uniform):
    for place, way in (((0.0, 0.06, 0.30), Way.MANIFOLD), ((-0.3, 0.0, 0.30), Way.WALL)):
        crossings, passages = cross_straws(started(0, place, (0.0, 0.0, 1.0), 2.0), uniform, STATION, KEY)
        assert crossings.channel.size == 0
        assert passages.way[0] == way
    _, passages = cross_straws(started(1, (0.1, 0.0, 0.30), (1.0, 0.0, 0.1), 0.06), uniform, STATION, KEY)
    assert passages.way[0] == Way.TURNED


def test_no_positrons_cross_nothing(fields):
    none = Positrons(*(np.zeros(0) for _ in range(7)), np.zeros(0, np.int64))
    crossings, passages = cross_straws(approach(none, fields, STATION, KEY), fields, STATION, KEY)
    assert crossings.channel.size == passages.way.size == 0


@pytest.mark.parametrize("wrong", [{"step": 0.0}, {"bend": 1.0}, {"least_momentum": 0.0}])
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CrossingSettings(**wrong)


ON_A_SIMULATED_GPU = """
import sys
import numpy as np
from decay.positron import Positrons
from detectors.straw_approach import approach
from detectors.straw_crossings import cross_straws
from detectors.straw_drift import StrawSettings, straw_hits
from detectors.straws import Stations
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import field_tables
from gpu.rng import FillKey

with np.load(sys.argv[1]) as born:
    positrons = Positrons(**born)
fields = field_tables(StorageField.uniform(1.4513), QuadSettings.ideal())
stations, key = Stations(), FillKey(11, 1, 0, 0)
arrived = approach(positrons, fields, stations, key, backend="gpu")
crossings, _ = cross_straws(arrived, fields, stations, key, backend="gpu")
hits = straw_hits(crossings, key, StrawSettings(), backend="gpu")
np.savez(sys.argv[2], **crossings._asdict(), tdc=hits.tdc, hit=hits.channel)
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
def test_the_simulated_gpu_gives_the_same_hits(born, arrived, crossed, fields, run_python, tmp_path):
    # Plain Python, which also refuses an index out of bounds.
    numbers = arrived.number[crossed[1].straws > 6][:3]
    some = Positrons._make(column[np.isin(born.number, numbers)] for column in born)
    np.savez(tmp_path / "born.npz", **some._asdict())
    files = str(tmp_path / "born.npz"), str(tmp_path / "hits.npz")
    run_python(ON_A_SIMULATED_GPU, *files, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    crossings, _ = cross_straws(approach(some, fields, STATION, KEY), fields, STATION, KEY)
    hits = straw_hits(crossings, KEY)
    with np.load(files[1]) as on_gpu:
        for name, expected in crossings._asdict().items():
            np.testing.assert_allclose(on_gpu[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_array_equal(on_gpu["hit"], hits.channel)
        assert abs(on_gpu["tdc"] - hits.tdc).max() <= 1
