"""Tracks found and fitted, and their vertices: against exact helices, and by their errors."""

import math

import numpy as np
import pytest

from detectors.boundary import PLATE
from detectors.geometry import Geometry
from detectors.straw_crossings import CrossingSettings, cross_straws
from detectors.straws import (
    CELLS,
    LAYERS,
    PLANES,
    STATION_CHANNELS,
    STATIONS,
    WIRES,
    Misalignment,
    Stations,
    channel_of,
)  # fmt: skip
from fields.falloff import FalloffTable
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gm2sim.tracks import Status, Tracks, TrackSettings, find_and_fit, linear_drift
from gm2sim.tracks.finding import find_islands
from gm2sim.tracks.vertex import WALL, metal_passed
from gpu import threads
from gpu.rng import FillKey
from tests.gm2sim.helices import B0, STATION, VELOCITY, enter, from_beam, hit_times, truth_of

SHARP = 30e-6  # resolution at which sides of wires are hardly ever mistaken [m]
NOT_SHIFTED = TrackSettings(radial_shift=0.0)
KEY = FillKey(23, 1, 0, 0)
# Station, decay in the beam (x, y [m], dy/ds), momentum [GeV/c], where it enters the station (x [m]).
CASES = [
    (0, (0.010, 0.005, 0.004), 2.5, 0.08),
    (1, (-0.020, -0.010, 0.008), 1.1, 0.09),
    (0, (0.035, 0.020, -0.006), 1.7, 0.06),
    (1, (0.000, 0.000, 0.000), 0.8, 0.08),
]


def values_of(tracks: Tracks) -> np.ndarray:
    return np.stack([tracks.x, tracks.y, tracks.dx, tracks.dy, 1.0 / tracks.momentum, tracks.time], axis=1)


@pytest.fixture(scope="module")
def uniform() -> FieldTables:
    """The same field everywhere, so that paths are helices."""
    tables = field_tables(StorageField.uniform(B0), QuadSettings(voltage=0.0))
    shape = tables.falloff.by.shape
    flat = FalloffTable(np.zeros(shape), np.full(shape, B0), tables.falloff.r_min, tables.falloff.step)
    return tables._replace(falloff=flat)


@pytest.fixture(scope="module")
def smeared(uniform):
    """Helices in a fill of their own time each, with hits of Gaussian errors, and their fits."""
    rng = np.random.default_rng(4)
    n = 400
    decays = [(rng.uniform(-0.03, 0.03), rng.uniform(-0.02, 0.02), rng.uniform(-0.005, 0.005)) for _ in range(n)]
    made = [from_beam(k % 2, decays[k], rng.uniform(1.2, 2.6), rng.uniform(0.04, 0.09)) for k in range(n)]
    helices = [one for one, _ in made]
    vertices = np.array([(x, y, theta) for (x, y, _), (_, theta) in zip(decays, made, strict=True)])
    starts = 1e-6 * np.arange(1, n + 1)
    crossed, _ = cross_straws(enter(helices), uniform, STATION, KEY, CrossingSettings(scattering=False, loss=False))
    time = crossed.time + np.abs(crossed.distance) / VELOCITY + rng.normal(0.0, SHARP / VELOCITY, crossed.time.size)
    settings = TrackSettings(drift=linear_drift(resolution=SHARP), scattering=False, radial_shift=0.0)
    hits = crossed.channel, time
    tracks = find_and_fit(*hits, STATION, uniform, settings)
    which = np.rint(tracks.time / 1e-6).astype(int) - 1
    return tracks, [helices[k] for k in which], starts[which], vertices[which], hits, settings


@pytest.mark.parametrize("case", CASES)
def test_noise_free_helix_is_recovered(uniform, case):
    """Independent of the search for straws and of the step: distances of the exact helix to all wires."""
    one, theta = from_beam(*case)
    channel, distance, length = one.crossings()
    tracks = find_and_fit(channel, hit_times(one, distance, length, 5e-6), STATION, uniform, NOT_SHIFTED)
    assert tracks.n == 1
    assert tracks.status[0] == Status.FITTED
    assert tracks.hits[0] == channel.size
    # A parabola within 15 mm of a module's middle is good to kappa^2 s^3 / 6 = 0.3 um at 0.8 GeV: 0.3 % of the error.
    off = (values_of(tracks) - truth_of(one, tracks.z[0], 5e-6))[0]
    assert (np.abs(off) < 0.01 * np.sqrt(np.diag(tracks.covariance[0]))).all()
    assert tracks.chi2[0] < 1e-3
    order = np.argsort(channel)
    np.testing.assert_allclose(tracks.distance[0, : channel.size], distance[order], atol=2e-6)
    np.testing.assert_array_equal(tracks.hit[0, : channel.size], order)
    x, y, rise = case[1]
    # A hundredth of the errors, and the azimuth where the path runs along the circle.
    errors = np.sqrt(np.diag(tracks.vertex_covariance[0]))
    assert abs(tracks.vertex_x[0] - x) < 0.01 * errors[0]
    assert abs(tracks.vertex_y[0] - y) < 0.01 * errors[1]
    assert abs(tracks.vertex_theta[0] - theta) < 0.01 * errors[2]
    back = math.hypot(1.0, rise) / rise * (tracks.y[0] - y) if rise else None
    assert back is None or tracks.path[0] == pytest.approx(back, abs=0.02)
    assert tracks.time[0] - tracks.vertex_time[0] == pytest.approx(tracks.path[0] / one.speed, rel=1e-6)


@pytest.mark.parametrize("case", CASES[:3])
def test_track_goes_on_to_the_face_of_the_calorimeter(uniform, case):
    one, _ = from_beam(*case)
    channel, distance, length = one.crossings()
    tracks = find_and_fit(channel, hit_times(one, distance, length), STATION, uniform)
    assert tracks.reached[0] == 1
    assert tracks.calo[0] == CELLS[one.station]
    geometry = STATION.geometry
    k = CELLS[one.station]
    there = one.at(np.array(tracks.arrival[0] * one.speed)) - geometry.face_centres[k]
    # The time is that of the fit, good to a hundredth of 0.5 ns: 2 mm along the path, less across it.
    assert there @ geometry.face_normals[k] == pytest.approx(0.0, abs=2e-3)
    assert there @ geometry.face_along[k] == pytest.approx(tracks.u[0], abs=1e-3)
    assert there[1] == pytest.approx(tracks.v[0], abs=1e-3)


def test_parameters_scatter_as_their_covariance_says(smeared):
    tracks, helices, starts, *_ = smeared
    assert (tracks.status == Status.FITTED).mean() > 0.99
    truth = np.array([truth_of(one, z, t) for one, z, t in zip(helices, tracks.z, starts, strict=True)])
    fitted = tracks.status == Status.FITTED
    pulls = (values_of(tracks) - truth)[fitted] / np.sqrt(np.diagonal(tracks.covariance[fitted], axis1=1, axis2=2))
    # Some tracks have a hit at a wire on the wrong side, by up to its error; they are cut at 5.
    pulls = pulls[(np.abs(pulls) < 5.0).all(axis=1)]
    assert len(pulls) > 0.98 * tracks.n
    n = len(pulls)
    np.testing.assert_allclose(pulls.mean(axis=0), 0.0, atol=4.0 / math.sqrt(n))
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=4.0 / math.sqrt(2 * n))


def test_vertices_scatter_as_their_covariance_says(smeared):
    tracks, _, _, truth, *_ = smeared
    found = np.stack([tracks.vertex_x, tracks.vertex_y, tracks.vertex_theta], axis=1)
    there = tracks.vertex > 0
    pulls = (found - truth)[there] / np.sqrt(np.diagonal(tracks.vertex_covariance[there], axis1=1, axis2=2))
    pulls = pulls[(np.abs(pulls) < 5.0).all(axis=1)]
    n = len(pulls)
    assert n > 0.98 * tracks.n
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=4.0 / math.sqrt(2 * n))


def test_chi_square_and_residuals_are_those_of_the_errors(smeared):
    tracks, *_ = smeared
    # Errors of hits near wires are larger in the fit than drawn, by what the wrong side would do: 0.8 x 30 um / 2.5 mm
    # of the hits.
    ratio = tracks.chi2.sum() / tracks.ndf.sum()
    assert ratio == pytest.approx(1.0, abs=0.02 + 4.0 * math.sqrt(2.0 / tracks.ndf.sum()))
    pulls = tracks.pull[tracks.kept]
    assert pulls.std() == pytest.approx(1.0, abs=0.02 + 4.0 / math.sqrt(2 * tracks.ndf.sum()))


def test_scattering_in_the_straws_is_in_the_errors(uniform):
    """Slow positrons, sharp hits: without it chi square would be several times too large."""
    rng = np.random.default_rng(6)
    helices = [from_beam(k % 2, (0.0, 0.0, 0.0), 0.9, rng.uniform(0.07, 0.095))[0] for k in range(300)]
    entered = enter(helices)
    crossed, _ = cross_straws(entered, uniform, STATION, KEY, CrossingSettings(loss=False))
    time = crossed.time + np.abs(crossed.distance) / VELOCITY + rng.normal(0.0, SHARP / VELOCITY, crossed.time.size)
    settings = TrackSettings(drift=linear_drift(resolution=SHARP))
    tracks = find_and_fit(crossed.channel, time, STATION, uniform, settings)
    good = tracks.status == Status.FITTED
    assert good.mean() > 0.95
    blind = find_and_fit(
        crossed.channel, time, STATION, uniform, TrackSettings(drift=linear_drift(resolution=SHARP), scattering=False)
    )
    widths = []
    for some in (tracks, blind):
        ended = some.status == Status.FITTED
        pull = (1.0 / some.momentum - 1.0 / 0.9)[ended] / np.sqrt(some.covariance[ended, 4, 4])
        widths.append(pull[np.abs(pull) < 10.0].std())
    # Energy is not lost, but straws without hit scatter too: one in 200, and Highland's is no exact normal law here.
    assert widths[0] == pytest.approx(1.0, abs=0.1 + 4.0 / math.sqrt(2 * good.sum()))
    assert np.median(tracks.chi2[good] / tracks.ndf[good]) == pytest.approx(1.0, abs=0.15)
    # The track's own scattering, 0.13 mrad a straw, is several times what 30 um over half a metre allow.
    assert widths[1] > 1.5


def test_known_misalignment_leaves_no_bias_and_unknown_one_moves_the_track(uniform):
    """A station that is shifted as a whole shifts the tracks by the opposite where the fit does not know."""
    shift = np.zeros((STATIONS, 6))
    shift[0, :3] = 1.51e-3, 0.55e-3, 0.0
    moved = Stations(misalignment=Misalignment(stations=shift))
    one, _ = from_beam(*CASES[0])
    channel, distance, length = one.crossings(moved)
    time = hit_times(one, distance, length)
    told = find_and_fit(channel, time, moved, uniform)
    blind = find_and_fit(channel, time, STATION, uniform)
    truth = truth_of(one, told.z[0], 0.0)
    errors = np.sqrt(np.diag(told.covariance[0]))
    assert (np.abs(values_of(told)[0] - truth) < 0.01 * errors).all()
    expected = truth - np.array([1.51e-3, 0.55e-3, 0, 0, 0, 0])
    assert (np.abs(values_of(blind)[0] - expected) < 0.01 * errors).all()


def test_tracks_do_not_depend_on_order_of_hits_threads_or_other_tracks(smeared, uniform, monkeypatch):
    tracks, *_, (channel, time), settings = smeared
    mixed = np.random.default_rng(1).permutation(channel.size)
    # Enough candidates for several threads.
    copies = 6
    many = np.tile(channel, copies), np.concatenate([time + k * 1024 * 2.0**-20 for k in range(copies)])
    before = threads.count()
    try:
        results = []
        for number in (1, 2):
            threads.set_count(number)
            results.append(find_and_fit(*many, STATION, uniform, settings))
    finally:
        threads.set_count(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    again = find_and_fit(channel[mixed], time[mixed], STATION, uniform, settings)
    for name in ("chi2", "momentum", "covariance", "vertex_x", "residual"):
        np.testing.assert_array_equal(getattr(tracks, name), getattr(again, name))
    half = time < 200.5e-6
    part = find_and_fit(channel[half], time[half], STATION, uniform, settings)
    np.testing.assert_array_equal(part.momentum, tracks.momentum[tracks.time < 200.5e-6])


def test_two_tracks_at_once_are_both_found(uniform):
    first, _ = from_beam(0, (0.0, 0.01, 0.0), 2.4, 0.09)
    second, _ = from_beam(0, (0.01, -0.01, 0.0), 1.5, 0.03)
    parts = [(one, *one.crossings()) for one in (first, second)]
    channel = np.concatenate([part[1] for part in parts])
    time = np.concatenate([hit_times(one, d, s, 8e-9 * k) for k, (one, _, d, s) in enumerate(parts)])
    tracks = find_and_fit(channel, time, STATION, uniform)
    assert (tracks.status == Status.FITTED).all()
    np.testing.assert_allclose(np.sort(tracks.momentum), [1.5, 2.4], rtol=1e-3)
    assert np.unique(tracks.island).size == 1


def test_outliers_are_taken_out_and_the_rest_fits(uniform):
    one, _ = from_beam(*CASES[2])
    channel, distance, length = one.crossings()
    time = hit_times(one, distance, length)
    wrong = int(np.argmin(np.abs(np.abs(distance) - 1.0e-3)))
    time[wrong] += 1.2e-3 / VELOCITY
    tracks = find_and_fit(channel, time, STATION, uniform)
    assert tracks.hits[0] == channel.size - 1
    assert not tracks.kept[0][tracks.hit[0] == wrong].any()
    assert abs(1.0 / tracks.momentum[0] - 1.0 / one.momentum) < math.sqrt(tracks.covariance[0, 4, 4])


def test_islands_end_at_gaps_and_when_they_are_too_long():
    ns = np.array([0.0, 30.0, 65.0, 110.0, 111.0]) * 1e-9
    order, island = find_islands(np.zeros(5, int), ns, 40e-9, 100e-9)
    np.testing.assert_array_equal(island, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(order, np.arange(5))
    chain = np.arange(0.0, 500e-9, 20e-9)
    _, island = find_islands(np.zeros(chain.size, int), chain, 40e-9, 100e-9)
    for k in range(island[-1] + 1):
        assert np.ptp(chain[island == k]) <= 100e-9
    assert island[-1] + 1 == 5
    _, island = find_islands(np.array([0, STATION_CHANNELS, 1, STATION_CHANNELS + 1]), np.zeros(4), 40e-9, 100e-9)
    np.testing.assert_array_equal(island, [0, 0, 1, 1])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_hits_give_no_tracks(uniform, n):
    channel = np.array([channel_of(0, k, 0, 10) for k in range(n)], np.int64)
    tracks = find_and_fit(channel, np.zeros(n), STATION, uniform)
    assert tracks.n == 0
    assert tracks.hit.shape == (0, 40)


def test_five_planes_are_a_candidate_but_not_fitted(uniform):
    one, _ = from_beam(*CASES[0])
    channel, distance, length = one.crossings()
    few = np.flatnonzero(channel // WIRES % 2 == 0)[:6]
    tracks = find_and_fit(channel[few], hit_times(one, distance, length)[few], STATION, uniform)
    assert tracks.n == 1
    assert tracks.status[0] == Status.FEW
    assert tracks.p_value[0] == 0.0


@pytest.mark.parametrize(
    ("channel", "time", "word"),
    [
        ([1, 2], [0.0], "one length"),
        ([-1], [0.0], "channels from"),
        ([2048], [0.0], "2047"),
        ([3], [math.nan], "finite"),
    ],
)
def test_hits_that_cannot_be_are_refused(uniform, channel, time, word):
    with pytest.raises(ValueError, match=word):
        find_and_fit(np.array(channel), np.array(time), STATION, uniform)


def test_metal_is_noted_where_a_step_passes_it():
    geometry, straws = Geometry().tables(), STATION.tables()
    # Backwards through the inner plate of the first quad, and above it.
    begin, end, offset, half = geometry.plates[0, :4]
    middle = 0.5 * (begin + end)
    for height, bits in ((0.0, PLATE), (half + 1e-3, 0)):
        ends = [
            (r * math.cos(a), height, r * math.sin(a))
            for r, a in ((7.112 - offset - 2e-3, middle + 5e-3), (7.112 - offset + 2e-3, middle))
        ]
        later, earlier = np.array(ends)
        way = (later - earlier) / np.linalg.norm(later - earlier)
        assert metal_passed(*later, *way, *earlier, 0.5, 0, geometry, straws) == bits
    # And outside of the chamber, behind the wall of the scallop.
    c, s = geometry.cells[5]
    inside = np.array([6.6 * c, 0.0, 6.6 * s])
    assert metal_passed(*(inside + 0.01), 0.0, 0.0, 1.0, *inside, 0.5, 0, geometry, straws) & WALL


def test_planes_are_counted_once(smeared):
    tracks, *_, (channel, _), _ = smeared
    for k in range(0, tracks.n, 37):
        rows = tracks.hit[k][tracks.kept[k]]
        layers = channel[rows] % STATION_CHANNELS // WIRES
        assert tracks.planes[k] == np.unique(layers).size <= PLANES
        assert (np.diff(layers) >= 0).all()
        assert layers.max() // LAYERS < 8
