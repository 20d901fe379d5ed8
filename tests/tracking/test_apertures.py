"""Plates as apertures: no muon passes outside them unseen, none inside them is lost."""

import math

import numpy as np

from fields.quads import QuadSettings
from fields.ring import KICKER_HALF_GAP, QUAD_HALF_GAP, Ring
from fields.storage import StorageField
from tracking.bunch import Bunch, State
from tracking.marks import VALID_RADIUS
from tracking.muon import P_MAGIC, RIGIDITY, reference
from tracking.stations import ring_tables
from tracking.turns import track

RING = Ring.e989()
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)
TURNS = 12


def grazing(n: int = 400) -> Bunch:
    """Vertical amplitudes from 48 to 53 mm at all phases, and radial ones up to as much."""
    rng = np.random.default_rng(7)
    made = Bunch.empty(n).with_momentum(0.0, REF)
    phase, amplitude = rng.uniform(0, 2 * math.pi, n), rng.uniform(0.046, 0.053, n)
    upright = np.arange(n) % 2 == 0
    made.y[:] = np.where(upright, amplitude * np.cos(phase), 0.0)
    made.py[:] = np.where(upright, amplitude * 0.33 / RING.radius * np.sin(phase), 0.0)
    made.x[:] = np.where(upright, 0.0, amplitude * np.cos(phase))
    made.px[:] = np.where(upright, 0.0, amplitude * 0.945 / RING.radius * np.sin(phase))
    return made


def test_a_grazing_muon_is_lost_where_it_first_is_outside_the_plates() -> None:
    tables = ring_tables(RING, QuadSettings.ideal(), StorageField.uniform(B0))
    start = grazing()
    result = track(start, tables, TURNS, collimators=False, plates=True).bunch
    inside_quads = np.concatenate([np.linspace(q.theta_start, q.theta_end, 12) for q in RING.quads])
    in_kickers = np.concatenate([np.linspace(k.theta_start, k.theta_end, 5) for k in RING.kickers])
    seen = track(start, tables, TURNS, observers=[*inside_quads, *in_kickers], collimators=False).samples
    assert seen is not None
    x, y = np.abs(seen.x), np.abs(seen.y)
    k = inside_quads.size
    # How far outside the worst place of each turn is; negative inside.
    excess = np.maximum(np.maximum(x[:k], y[:k]).max(axis=0) - QUAD_HALF_GAP, x[k:].max(axis=0) - KICKER_HALF_GAP)
    lost = result.state == State.LOST_PLATE
    assert np.array_equal(lost, result.state != State.STORED)
    assert 50 < lost.sum() < 350
    ever = excess.max(axis=0)
    assert not lost[ever < 0.0].any()
    # Between two looks a muon can be outside by the sagitta of its oscillation over a quad's half length, at most
    # 52 mm (1 - cos(0.945 * 6.5 deg)) = 0.3 mm, and be back inside.
    assert lost[ever > 0.35e-3].all()
    first = np.where(excess > 0.35e-3, np.arange(TURNS)[:, None], TURNS).min(axis=0)
    assert np.all(result.turn[lost] <= first[lost])
    looks = np.concatenate([[q.theta_start, q.theta_end, 0.5 * (q.theta_start + q.theta_end)] for q in RING.quads])
    looks = np.concatenate([looks, [edge for c in RING.kickers for edge in (c.theta_start, c.theta_end)]])
    assert np.abs(result.theta[lost, None] - looks).min(axis=1).max() == 0.0
    where = np.maximum(np.abs(result.x), np.abs(result.y))[lost]
    assert np.all(where > QUAD_HALF_GAP)


def test_beyond_the_known_fields_a_muon_is_lost_with_that_reason() -> None:
    tables = ring_tables(RING, QuadSettings.ideal(), StorageField.uniform(B0))
    start = Bunch.empty(1).with_momentum(0.0, REF)
    start.x[:], start.y[:] = 0.0455, 0.0455  # inside the square of the plates, in its corner
    result = track(start, tables, 3, collimators=False, plates=True).bunch
    assert result.state[0] == State.LOST_MAP
    assert math.hypot(result.x[0], result.y[0]) > VALID_RADIUS
