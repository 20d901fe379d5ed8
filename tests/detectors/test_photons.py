"""Photons that positrons make in metal, and what becomes of them."""

import math

import numpy as np
import pytest
from scipy.stats import gamma

from decay.positron import Positrons, decay
from detectors.flight import ROOM, follow
from detectors.flying import Fate, Flying
from detectors.geometry import ALUMINIUM, Geometry
from detectors.material import converted, matter_ahead, radiated
from detectors.transport import Flight, TransportSettings, fly_positrons
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu import threads
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, reference

REFERENCE = reference(1.4513, 7.112)
KEY = FillKey(11, 1, 0, 0)
GEOMETRY = Geometry()
SHINING = TransportSettings(photons=True)
FAINT = TransportSettings(photons=True, photon_threshold=1e-3)


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
def flown(born: Positrons, fields: FieldTables) -> Flight:
    return fly_positrons(born, fields, GEOMETRY, KEY, SHINING)


@pytest.fixture(scope="module")
def faint(born: Positrons, fields: FieldTables) -> Flight:
    return fly_positrons(born, fields, GEOMETRY, KEY, FAINT)


def photons(n: int, place, direction, energy: float = 1.0) -> Flying:
    flying = Flying.empty(n)
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    for name, value in zip(("x", "y", "z", "dx", "dy", "dz"), (*place, *direction), strict=True):
        getattr(flying, name)[:] = value
    flying.energy[:], flying.inside[:], flying.order[:], flying.number[:] = energy, 1, 1, np.arange(n)
    return flying


def test_photon_flies_straight_to_the_plane_of_the_face_at_the_speed_of_light(fields):
    rng = np.random.default_rng(4)
    n, k = 200, 7
    centre, along, normal = GEOMETRY.face_centres[k], GEOMETRY.face_along[k], GEOMETRY.face_normals[k]
    u, v = rng.uniform(-0.11, 0.11, n), rng.uniform(-0.06, 0.06, n)
    target = centre + u[:, None] * along + v[:, None] * np.array([0.0, 1.0, 0.0])
    du, dv, length = rng.uniform(-0.3, -0.2, n), rng.uniform(-0.02, 0.02, n), rng.uniform(0.3, 0.6, n)
    direction = normal + du[:, None] * along + dv[:, None] * np.array([0.0, 1.0, 0.0])
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    flying = photons(n, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    flying.x[:], flying.y[:], flying.z[:] = (target - length[:, None] * direction).T
    flying.dx[:], flying.dy[:], flying.dz[:] = direction.T
    settings = TransportSettings(photons=True, material=False)
    faces, made = follow(flying, fields, GEOMETRY.tables(), settings.limits(), KEY)
    assert (faces.fate == Fate.HIT).all()
    assert (faces.calo == k).all()
    for found, expected in ((faces.u, u), (faces.v, v), (faces.du, du), (faces.dv, dv), (flying.path, length)):
        np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(flying.time, length / LIGHT_SPEED, rtol=1e-9)
    assert (flying.energy == 1.0).all()
    assert made.energy.size == 0


@pytest.mark.parametrize("thickness", [0.01, 0.3, 2.0])
def test_photons_convert_with_seven_ninths_of_a_radiation_length(thickness):
    n = 20_000
    share = np.array([converted(thickness, i, 3, KEY) for i in range(n)])
    expected = 1.0 - math.exp(-7.0 / 9.0 * thickness)
    assert (share > 0.0).mean() == pytest.approx(expected, abs=5.0 * math.sqrt(expected * (1 - expected) / n))
    of_pairs = share[share > 0.0]
    # Even between 0 and 1: mean 1/2, variance 1/12.
    assert of_pairs.mean() == pytest.approx(0.5, abs=5.0 / math.sqrt(12.0 * of_pairs.size))


def test_photons_through_the_scallops_wall_convert_by_its_thickness(fields):
    n = 4000
    r, phi = np.array(GEOMETRY.chamber.corner_radius[:2]), np.array(GEOMETRY.chamber.corner_phi[:2])
    azimuth = GEOMETRY.cell_azimuths[3] + phi
    (a, b) = np.stack([r * np.cos(azimuth), np.zeros(2), r * np.sin(azimuth)], axis=1)
    along = (b - a) / np.linalg.norm(b - a)
    inwards = np.array([-along[2], 0.0, along[0]])
    sine = 0.25
    direction = math.sqrt(1.0 - sine**2) * along + sine * inwards
    start = 0.5 * (a + b) - 0.2 * direction
    flying = photons(n, start, direction)
    # Until the photons are behind the wall.
    limits = TransportSettings(photons=True, longest_path=0.22).limits()
    _, made = follow(flying, fields, GEOMETRY.tables(), limits, KEY)
    thickness = GEOMETRY.chamber.thickness[0] / sine / ALUMINIUM.radiation_length
    expected = 1.0 - math.exp(-7.0 / 9.0 * thickness)
    pairs = (flying.charge == 1).sum()
    assert pairs / n == pytest.approx(expected, abs=5.0 * math.sqrt(expected * (1.0 - expected) / n))
    electrons = made.charge == -1
    # An electron of less than 50 MeV/c is not followed.
    assert electrons.sum() == pytest.approx(0.95 * pairs, abs=5.0 * math.sqrt(0.05 * pairs))
    partner = np.flatnonzero(electrons) // ROOM
    still = flying.sheets[partner] == 1
    total = made.energy[electrons] + flying.energy[partner]
    np.testing.assert_allclose(total[still], 1.0, atol=1e-5)


def test_energy_radiated_follows_bethe_and_heitler():
    n, t = 20_000, 0.02
    share = np.array([1.0 - radiated(t, i, 0, KEY) for i in range(n)])
    edges = np.array([0.01, 0.03, 0.1, 0.3, 0.6, 1.0])
    shape = t / math.log(2.0)
    inside = np.diff(gamma.cdf(-np.log1p(-np.minimum(edges, 1.0 - 1e-12)), shape))
    counts = np.histogram(share, edges)[0]
    np.testing.assert_allclose(counts, n * inside, atol=5.0 * np.sqrt(n * inside).max())
    # dk/k for soft photons of thin sheets: as many in each factor of 3, but for terms of t ln v and v.
    soft = np.histogram(share, [0.003, 0.01, 0.03])[0]
    expected = n * t / math.log(2.0) * np.log([10.0 / 3.0, 3.0])
    np.testing.assert_allclose(soft, expected, atol=5.0 * math.sqrt(expected.max()) + 0.1 * expected.max())


def test_a_photon_is_born_anywhere_in_its_sheet():
    ahead = np.array([matter_ahead(0.4, i, 2, KEY) for i in range(10_000)])
    assert ((ahead > 0.0) & (ahead < 0.4)).all()
    assert ahead.mean() == pytest.approx(0.2, abs=5.0 * 0.4 / math.sqrt(12 * ahead.size))


def test_energy_of_positron_photons_and_ionisation_adds_up_to_that_at_birth(born, faint):
    made = faint.secondaries
    # Where all photons stayed photons: a pair's partner may be too slow to be followed.
    pairs = np.bincount(made.positron, made.charge != 0, minlength=born.n)
    count = np.bincount(made.positron, minlength=born.n)
    sum_of_photons = np.bincount(made.positron, made.ends.energy, minlength=born.n)
    chosen = (pairs == 0) & (count < ROOM) & (faint.ends.sheets > 0)
    assert (count[chosen] > 0).sum() > 1000
    missing = (born.energy - faint.ends.energy - faint.ends.ionised - sum_of_photons)[chosen]
    # What is radiated below 1 MeV in a sheet is not kept; quads give or take 20 keV at an edge; E and p of a positron
    # differ by at most m^2 / 2p = 0.13 MeV at 1 MeV/c, where it stops.
    tolerance = 1e-3 * faint.ends.sheets[chosen] + 1e-3
    assert (missing > -1e-3).all()
    assert (missing < tolerance).all()


def test_pairs_keep_the_energy_of_their_photon(born, faint):
    made = faint.secondaries
    total = (
        faint.ends.energy
        + faint.ends.ionised
        + np.bincount(made.positron, made.ends.energy + made.ends.ionised, minlength=born.n)
    )
    missing = born.energy - total
    # Never more than there was; less by slow partners of pairs (50 MeV each), soft photons (1 MeV a sheet) and the
    # few that found no room.
    assert missing.min() > -2e-3
    conversions = np.bincount(made.positron, made.charge != 0, minlength=born.n)
    sheets = faint.ends.sheets + np.bincount(made.positron, made.ends.sheets, minlength=born.n)
    within = missing < 0.0505 * conversions + 1e-3 * sheets + 1e-3
    assert within.mean() > 0.995


def test_photons_leave_the_positrons_and_their_hits_bit_by_bit(born, fields, flown):
    plain = fly_positrons(born, fields, GEOMETRY, KEY, TransportSettings())
    for name, column in plain.ends._asdict().items():
        np.testing.assert_array_equal(getattr(flown.ends, name), column, err_msg=name)
    own = flown.hits.order == 0
    for name, column in plain.hits._asdict().items():
        np.testing.assert_array_equal(getattr(flown.hits, name)[own], column, err_msg=name)
    assert plain.secondaries.charge.size == 0


def test_a_higher_threshold_leaves_the_photons_above_it(flown, faint):
    """Places of photons and all their random numbers but those counted by order do not change."""

    def first(flight):
        made, strong = (
            flight.secondaries,
            (flight.secondaries.born.order <= ROOM) & (flight.secondaries.born.charge == 0),
        )
        strong &= made.born.energy > 0.1
        return set(zip(made.born.number[strong], np.round(made.born.energy[strong], 12), strict=True))

    common = first(flown) & first(faint)
    assert len(common) > 0.85 * len(first(flown))


def test_hits_are_sorted_by_positron_and_order(born, flown):
    hits = flown.hits
    place = np.searchsorted(born.number, hits.number)
    np.testing.assert_array_equal(born.number[place], hits.number)
    step = np.diff(place * 1000 + hits.order)
    assert (step > 0).all()
    assert (hits.order > 0).sum() > 1000
    assert hits.energy[hits.order > 0].min() > 0.0
    keys = flown.secondaries.positron * 1000 + flown.secondaries.born.order
    assert (np.diff(keys) > 0).all()


def test_results_do_not_depend_on_threads_or_on_the_other_positrons(born, fields, flown):
    before = threads.count()
    for count in (1, 3):
        threads.set_count(count)
        again = fly_positrons(born, fields, GEOMETRY, KEY, SHINING)
        for name, column in again.hits._asdict().items():
            np.testing.assert_array_equal(column, getattr(flown.hits, name), err_msg=name)
    threads.set_count(before)
    some = Positrons._make(column[::7].copy() for column in born)
    alone = fly_positrons(some, fields, GEOMETRY, KEY, SHINING).hits
    rows = np.isin(flown.hits.number, some.number)
    for name, column in alone._asdict().items():
        np.testing.assert_array_equal(column, getattr(flown.hits, name)[rows], err_msg=name)


def test_each_particle_has_random_numbers_of_its_own(flown):
    made = flown.secondaries
    many = np.bincount(made.positron)[made.positron] > 1
    assert many.sum() > 1000
    assert made.born.order.max() < 512
    assert np.unique(np.stack([made.born.number, made.born.order]), axis=1).shape[1] == made.charge.size


def test_mean_energy_that_reaches_the_calorimeters_grows_by_what_was_lost(born, flown):
    own = flown.hits.order == 0
    photons = flown.hits.energy[~own].sum() / flown.hits.energy[own].sum()
    # Bremsstrahlung takes a few percent of the energy of positrons that hit, and more from those that do not.
    assert 0.02 < photons < 0.3
    assert (born.energy.max() - flown.hits.energy).min() > -POSITRON_MASS
