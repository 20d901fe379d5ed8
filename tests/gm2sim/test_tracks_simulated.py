"""Tracks of simulated positrons: efficiency, resolution, vertices."""

import math

import numpy as np
import pytest

from decay.positron import decay
from detectors.straw_approach import approach
from detectors.straw_crossings import cross_straws
from detectors.straw_drift import Source, straw_hits
from detectors.straws import (
    CELLS,
    STATION_CHANNELS,
    WIRES,
    Stations,
)  # fmt: skip
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import field_tables
from gm2sim.tracks import Status, TrackSettings, calibrate_drift, find_and_fit
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import reference

B0 = 1.4513
STATION = Stations()
REFERENCE = reference(B0, 7.112)
KEY = FillKey(23, 1, 0, 0)


@pytest.fixture(scope="module")
def simulated():
    """Positrons of 15 000 muons spread over the aperture upstream of the stations, with all that straws do."""
    fields = field_tables(StorageField.uniform(B0), QuadSettings.ideal())
    n = 15_000
    rng = np.random.default_rng(8)
    bunch = Bunch.empty(n).with_momentum(rng.normal(0.0, 1.1e-3, n), REFERENCE)
    bunch.state[:] = State.DECAYED
    far = STATION.geometry.cell_azimuths[list(CELLS)]
    bunch.theta[:] = np.mod(rng.choice(far, n) + rng.uniform(-0.7, 0.1, n), 2 * math.pi)
    bunch.time[:] = rng.uniform(30e-6, 650e-6, n)
    radius, angle = 0.040 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * math.pi, n)
    bunch.x[:], bunch.y[:] = radius * np.cos(angle), radius * np.sin(angle)
    born = decay(bunch, REFERENCE, KEY, 0.0)
    crossed, _ = cross_straws(approach(born, fields, STATION, KEY), fields, STATION, KEY)
    hits = straw_hits(crossed, KEY)
    settings = TrackSettings(drift=calibrate_drift())
    return born, crossed, hits, find_and_fit(hits.channel, hits.time, STATION, fields, settings)


def test_simulated_positrons_are_found_and_fit_as_published(simulated):
    """Resolution and efficiency of arXiv 2111.02076, momentum and vertices of N. Kinnaird's dissertation (2020)."""
    born, crossed, hits, tracks = simulated
    layer = crossed.channel % STATION_CHANNELS // WIRES
    pairs = np.unique(np.stack([crossed.number, layer]), axis=1)[0]
    number, planes = np.unique(pairs, return_counts=True)
    rows = np.where(tracks.hit >= 0, hits.crossing[tracks.hit], -1)
    owner = np.where(rows >= 0, crossed.number[rows], -1)
    fitted = tracks.status == Status.FITTED
    first = np.array([row[kept][0] if kept.any() else -1 for row, kept in zip(rows, tracks.kept, strict=True)])
    main = np.where(first >= 0, crossed.number[first], -1)
    pure = np.array([(o[k] == m).mean() if k.any() else 0.0 for o, k, m in zip(owner, tracks.kept, main, strict=True)])
    long = number[planes >= 12]
    assert np.isin(long, main[fitted & (pure > 0.7)]).mean() > 0.95
    good = fitted & (tracks.planes >= 12) & (pure > 0.7)
    assert (tracks.p_value[good] > 0.005).mean() > 0.9
    kept = tracks.kept & good[:, None] & (hits.source[tracks.hit] == Source.TRACK)
    unbiased = tracks.residual[kept] / np.maximum(np.abs(tracks.pull[kept]), 1e-9)
    assert 90e-6 < np.sqrt(np.mean(unbiased**2)) < 130e-6
    assert 1.0 - tracks.missed[good].sum() / tracks.crossed[good].sum() > 0.97
    spread = tracks.momentum[good] / crossed.momentum[first[good]] - 1.0
    assert np.percentile(np.abs(spread), 68) < 0.02
    clean = good & (tracks.p_value > 0.05) & (tracks.through_metal == 0) & (tracks.vertex > 0)
    off_x, off_y = (tracks.vertex_x - born.x[main])[clean], (tracks.vertex_y - born.y[main])[clean]
    assert np.percentile(np.abs(off_x), 68) < 3.3e-3
    assert np.percentile(np.abs(off_y), 68) < 2.9e-3


def test_sides_of_wires_are_mistaken_as_rarely_as_the_resolution_allows(simulated):
    _, crossed, hits, tracks = simulated
    good = (tracks.status == Status.FITTED) & (tracks.planes >= 12) & (tracks.p_value > 0.05)
    kept = tracks.kept & good[:, None] & (hits.source[tracks.hit] == Source.TRACK)
    true = crossed.distance[hits.crossing[tracks.hit[kept]]]
    wrong = np.sign(tracks.distance[kept]) != np.sign(true)
    # A track known to s takes the wrong side with probability 0.4 s / R if distances are even in 0 to R; the track is
    # known about as well as the hit at the wire, 150 um, or better.
    assert wrong.mean() < 0.4 * 150e-6 / STATION.gas_radius
    assert wrong[np.abs(true) > 0.5e-3].mean() < 0.005
