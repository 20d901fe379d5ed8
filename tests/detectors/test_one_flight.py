"""One flight: through the trackers and on to the calorimeters behind them."""

import math

import numpy as np
import pytest

from decay.positron import Positrons, decay
from detectors.geometry import CELL, Geometry
from detectors.straw_crossings import CrossingSettings, Way
from detectors.straws import CELLS, Stations
from detectors.transport import Fate, Flight, TransportSettings, fly_positrons, transport
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import reference

REFERENCE = reference(1.4513, 7.112)
KEY = FillKey(11, 1, 0, 0)
STATION = Stations()
GEOMETRY = STATION.geometry
VACUUM = TransportSettings(material=False, straws=CrossingSettings(scattering=False, loss=False))


@pytest.fixture(scope="module")
def fields() -> FieldTables:
    return field_tables(StorageField.uniform(1.4513), QuadSettings.ideal())


@pytest.fixture(scope="module")
def born() -> Positrons:
    """Positrons of 30 000 muons up to 1.1 rad upstream of the end of a station, unpolarised."""
    n = 30_000
    rng = np.random.default_rng(8)
    bunch = Bunch.empty(n).with_momentum(rng.normal(0.0, 1.1e-3, n), REFERENCE)
    bunch.state[:] = State.DECAYED
    ends = GEOMETRY.cell_azimuths[list(CELLS)] + GEOMETRY.chamber.corner_phi[1]
    bunch.theta[:] = np.mod(rng.choice(ends, n) - rng.uniform(0.0, 1.1, n), 2.0 * math.pi)
    radius, angle = 0.040 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * math.pi, n)
    bunch.x[:], bunch.y[:] = radius * np.cos(angle), radius * np.sin(angle)
    return decay(bunch, REFERENCE, KEY, 0.0)


@pytest.fixture(scope="module")
def flown(born: Positrons, fields: FieldTables) -> Flight:
    return fly_positrons(born, fields, GEOMETRY, KEY, None, STATION)


def rows_of(born: Positrons, flight: Flight) -> np.ndarray:
    """Index of the positron of each entrance."""
    return np.searchsorted(born.number, flight.entrances.number)


def test_without_material_a_station_leaves_the_hits_behind_it(born, fields):
    past = transport(born, fields, GEOMETRY, KEY, VACUUM)[1]
    flight = fly_positrons(born, fields, GEOMETRY, KEY, VACUUM, STATION)
    through = rows_of(born, flight)[flight.passages.way == Way.PASSED]
    assert through.size > 1000
    same = (flight.ends.fate[through] == past.fate[through]) & (flight.ends.calo[through] == past.calo[through])
    # Differences at edges of walls and faces, as with shorter steps (test_transport).
    assert same.mean() > 0.995
    hit = through[same & (past.fate[through] == Fate.HIT)]
    # Kinks of the piecewise linear fall-off: tens of micrometres (test_path); a nanosecond is 0.3 m.
    for name, tolerance in (("u", 1e-4), ("v", 1e-4), ("path", 1e-4), ("time", 4e-13)):
        difference = abs(getattr(flight.ends, name) - getattr(past, name))[hit]
        assert np.percentile(difference, 99) < tolerance, name


def test_who_meets_no_station_flies_bit_by_bit_as_without(born, fields, flown):
    past = transport(born, fields, GEOMETRY, KEY)[1]
    elsewhere = np.ones(born.n, bool)
    elsewhere[rows_of(born, flown)] = False
    assert 0.3 < elsewhere.mean() < 0.9
    # But for those that went through the closed wall in front of the extension and stop in that one's end.
    ends = flown.ends
    azimuth = np.mod(np.arctan2(ends.z, ends.x) - GEOMETRY.cell_azimuths[0], 2.0 * math.pi)
    at_end = np.isin((azimuth / CELL).astype(int), CELLS) & (ends.fate == Fate.LOST_CHAMBER) & (ends.sheets > 1)
    assert (at_end & elsewhere).sum() < 0.01 * born.n
    elsewhere &= ~at_end
    for name, column in past._asdict().items():
        np.testing.assert_array_equal(getattr(ends, name)[elsewhere], column[elsewhere], err_msg=name)


def test_hits_behind_the_stations_are_of_the_positrons_that_crossed_straws(born, flown):
    rows = rows_of(born, flown)
    hit = (flown.passages.straws > 8) & (flown.passages.way == Way.PASSED) & (flown.ends.fate[rows] == Fate.HIT)
    assert hit.sum() > 500
    # Who is so far from the beam as the straws comes to the calorimeter behind them.
    assert (flown.ends.calo[rows] == np.array(CELLS)[flown.entrances.station])[hit].mean() > 0.95
    # Most of that calorimeter's hits were born in front of the station, and none of them is new.
    reached = np.isin(flown.ends.calo, CELLS) & (flown.ends.fate == Fate.HIT)
    assert np.isin(np.flatnonzero(reached), rows).mean() > 0.8
    # The same momentum less what walls take behind the straws; the edges of quads give or take 20 keV.
    assert (flown.ends.energy[rows][hit] <= flown.passages.energy[hit] + 1e-4).all()
    assert (flown.ends.path[rows][hit] > (flown.entrances.path + flown.passages.path)[hit]).all()


def test_each_way_through_a_station_has_its_fate(born, flown):
    rows, way = rows_of(born, flown), flown.passages.way
    twice = rows.size - np.unique(rows).size
    assert 0 < twice < 0.01 * rows.size  # the fastest fly from one station to the other
    assert (flown.ends.fate[rows[way == Way.MANIFOLD]] == Fate.LOST_TRACKER).all()
    assert (flown.ends.fate[rows[np.isin(way, (Way.WALL, Way.TURNED))]] == Fate.LOST_CHAMBER).all()
    counts = np.bincount(flown.ends.fate, minlength=len(Fate))
    assert counts.sum() == born.n
    assert counts[Fate.STATION] == 0
    assert counts[Fate.LOST_TRACKER] == (way == Way.MANIFOLD).sum()
    assert counts[Fate.LOST_TRACKER] > 50


def test_crossings_follow_the_order_of_their_passages(born, flown):
    number = np.repeat(flown.entrances.number, flown.passages.straws)
    same = np.diff(flown.entrances.number) == 0
    assert (np.diff(flown.entrances.path)[same] > 0.0).all()
    np.testing.assert_array_equal(number, flown.crossings.number)
    assert (np.diff(rows_of(born, flown)) >= 0).all()
    station = np.repeat(flown.entrances.station, flown.passages.straws)
    np.testing.assert_array_equal(flown.crossings.channel // 1024, station)


def test_energy_through_a_station_adds_up(born, fields):
    quiet = TransportSettings(straws=CrossingSettings(scattering=True, loss=True))
    flight = fly_positrons(born, fields, GEOMETRY, KEY, quiet, STATION)
    rows = rows_of(born, flight)
    lost = flight.entrances.energy - flight.passages.energy - flight.passages.ionised
    # What is left is radiated: mean share = radiation lengths crossed (test_straw_crossings).
    assert (lost > -1e-5).all()
    assert (flight.ends.ionised[rows] >= flight.passages.ionised).all()
    silent = fly_positrons(
        born, fields, GEOMETRY, KEY, TransportSettings(straws=CrossingSettings(scattering=False, loss=False)), STATION
    )
    np.testing.assert_allclose(silent.passages.energy, silent.entrances.energy, atol=1e-6)


def test_photons_and_sides_change_no_straw(born, fields, flown):
    every = fly_positrons(born, fields, GEOMETRY, KEY, TransportSettings(photons=True, side_entry=True), STATION)
    # Those that enter the side of an earlier calorimeter come no further.
    assert np.isin(every.entrances.number, flown.entrances.number).all()
    assert every.entrances.number.size > 0.98 * flown.entrances.number.size
    keep = np.isin(flown.crossings.number, every.entrances.number)
    for name, column in every.crossings._asdict().items():
        np.testing.assert_array_equal(column, getattr(flown.crossings, name)[keep], err_msg=name)


def test_results_do_not_depend_on_the_other_positrons(born, fields, flown):
    some = Positrons._make(column[::5].copy() for column in born)
    alone = fly_positrons(some, fields, GEOMETRY, KEY, None, STATION)
    rows = np.isin(flown.crossings.number, some.number)
    for name, column in alone.crossings._asdict().items():
        np.testing.assert_array_equal(column, getattr(flown.crossings, name)[rows], err_msg=name)
    for name, column in alone.ends._asdict().items():
        np.testing.assert_array_equal(column, getattr(flown.ends, name)[::5], err_msg=name)


def test_no_positrons_give_nothing(fields):
    none = Positrons(*(np.zeros(0) for _ in range(7)), np.zeros(0, np.int64))
    flight = fly_positrons(none, fields, GEOMETRY, KEY, TransportSettings(photons=True, side_entry=True), STATION)
    assert flight.hits.u.size == flight.crossings.channel.size == flight.secondaries.charge.size == 0


def test_stations_in_another_geometry_are_refused(born, fields):
    other = Geometry(chamber=type(GEOMETRY.chamber)(half_height=0.068))
    with pytest.raises(ValueError, match="another geometry"):
        fly_positrons(born, fields, other, KEY, None, STATION)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"extension_gap": -0.05}, "overlaps calorimeter"), ({"extension_gap": 0.3}, "beyond the chamber's extension")],
)
def test_extension_that_does_not_fit_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Stations(**wrong)
