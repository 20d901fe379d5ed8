"""Phase-acceptance of a beam that drifts: closed forms with a made-up phase map, and the orbit of the weak plates."""

import math

import numpy as np
import pytest

from fields.ring import RING
from fields.voltage import gradient_shift, slow_plates
from gm2sim.config import Config, load
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS
from gm2sim.studies.phase_acceptance_injected import (
    INJECTED,
    Watched,
    columns_of,
    compare,
    hann,
    watch,
)
from gm2sim.studies.phase_map import PhaseMap, powers
from gm2sim.studies.precession import FIT_START, FIT_STOP

CURVATURE = 20.0  # of the phase [rad/m^2]: 18 mrad at 30 mm
ALL = np.arange(BLOCKS)


@pytest.fixture(scope="module")
def parabola() -> PhaseMap:
    """V = 1 - i CURVATURE y^2, on a grid from which leaving out parts changes nothing."""
    side = np.arange(-4, 5) * 0.01
    x, y = (axis.ravel() for axis in np.meshgrid(side, side[4:]))
    vector = (1.0 - 1j * CURVATURE * y**2) / 4
    found, *_ = np.linalg.lstsq(powers(x, y).T, 4 * vector, rcond=None)
    return PhaseMap(x, y, np.stack([vector] * 4), np.ones(x.size, np.int64), found)


def watched(y: np.ndarray, alive: np.ndarray, times: np.ndarray) -> Watched:
    """Heights (samples, n) of muons, the same at all places."""
    places = np.ones((8, 1, 1))
    one = columns_of(0.0 * places * y, places * y, (places * alive) > 0.0, np.ones(1))
    block = np.arange(y.shape[1]) % BLOCKS
    everyone, kept = (
        np.array([one[:, :, (block == k) & use].sum(axis=-1) for k in range(BLOCKS)]) for use in (alive[0], alive[-1])
    )
    return Watched(times, everyone, kept)


def test_beam_whose_height_squared_changes_has_the_phase_of_the_curvature(ideal: Config, parabola: PhaseMap) -> None:
    times = np.linspace(FIT_START, FIT_STOP, 120)
    rate = -0.5  # of the vertical width [m/s]
    width = 0.0129 + rate * (times - times[0])
    unit = np.random.default_rng(1).normal(size=4000)
    unit = (unit - unit.mean()) / unit.std()
    beam = watched(width[:, None] * unit, np.ones((120, 4000), bool), times)
    case = Case(ideal, 16)
    found = beam.drift(case, parabola, ALL)
    # width^2 is a line with a little curvature, -0.25 t^2: its slope where the weighted line has it, 1.9 lifetimes
    # (third over second central moment of exp(-t/tau) is 2) after the begin; the fit ends after ten lifetimes.
    late = 2.0 * case.lifetime
    expected = CURVATURE * 2.0 * rate * (0.0129 + rate * late) / case.omega_a
    assert found.c_pa == pytest.approx(expected, rel=2e-3)
    assert found.kept == found.c_pa
    assert found.lost == 0.0
    assert found.mean == pytest.approx(0.0, abs=1e-12)
    assert found.width == pytest.approx(rate, rel=1e-6)
    assert found.width_seen == pytest.approx(rate, rel=1e-6)


def test_muons_that_leave_from_the_edge_take_their_phase_with_them(ideal: Config, parabola: PhaseMap) -> None:
    times = np.linspace(FIT_START, FIT_STOP, 120)
    edge, muons, gone = 0.030, 4000, 200
    y = np.full((120, muons), 0.010)
    y[:, :gone] = edge
    alive = np.ones((120, muons), bool)
    lost_at = times[0] + np.linspace(0.0, times[-1] - times[0], gone, endpoint=False)
    alive[:, :gone] = times[:, None] <= lost_at
    y[:, ::2] *= -1.0
    y[~alive] = 0.0
    case = Case(ideal, 16)
    found = watched(y, alive, times).drift(case, parabola, ALL)
    # d<y^2>/dt = (<y^2> - edge^2) x rate/muons left, where the weighted line has its slope: two lifetimes on.
    length = times[-1] - times[0]
    at_edge = gone * (1.0 - 2.0 * case.lifetime / length)
    left = muons - gone + at_edge
    mean = (at_edge * edge**2 + (muons - gone) * 0.010**2) / left
    expected = CURVATURE * (mean - edge**2) * gone / length / left / case.omega_a
    assert found.kept == pytest.approx(0.0, abs=1e-15)
    assert found.lost == pytest.approx(expected, rel=0.02)  # muons leave one at a time
    assert found.c_pa == pytest.approx(found.lost, rel=1e-9)


def test_window_takes_the_coherent_motion_out() -> None:
    for length in (9.1, 8.2, 18.0):
        window = hann(length)
        k = np.arange(window.size)
        assert window.sum() == pytest.approx(1.0)
        assert window.size < length + 1.0
        # Zeros of the continuous window; sampled, it has them where the length is a whole number.
        tolerance = 1e-12 if length == round(length) else 0.01
        assert abs(np.sum(window * np.exp(2j * math.pi * k * 2.0 / length))) < tolerance
        assert abs(np.sum(window * np.exp(2j * math.pi * k * 3.0 / length))) < tolerance


def test_muon_that_is_lost_counts_for_the_share_of_the_window() -> None:
    x, y = np.full((8, 4, 1), 0.01), np.full((8, 4, 1), 0.02)
    alive = np.ones((8, 4, 1), bool)
    alive[:, 3] = False
    x[:, 3], y[:, 3] = 0.0, 0.0
    found = columns_of(x, y, alive, np.array([0.5, 0.5]))[:, :, 0]
    assert found[:9, 0] == pytest.approx(powers(0.01, 0.02))
    assert found[9:, 0] == pytest.approx([0.02, 0.0004, 0.02, 0.0004])
    assert found[:, 1] == pytest.approx(0.5 * found[:, 0])


def test_beam_narrows_as_weak_plates_recover(parabola: PhaseMap) -> None:
    # Ideal quads have no dipole, whatever their plates miss: the gradient alone rises, and <y^2> ~ 1/sqrt(n) falls
    # (adiabatic invariance), for every muon by the same share.
    config = load("gasgun").with_(
        beam__source="injected", beam__bunch="t0", run__run=15921, scraping__slow_resistors="1a"
    )
    case = Case(config, 60)
    found = compare(case, parabola)
    weak = slow_plates("1a")
    quad = next(quad for quad in RING.quads if quad.name in weak.missing)
    softer = gradient_shift(quad, weak.missing[quad.name])
    seen = watch(Case(config, INJECTED * 60), "1a")
    kept = seen.kept.sum(axis=0)
    slope, settled = np.polyfit(np.exp(-seen.times / weak.time_constant), kept[10] / kept[0], 1)
    assert slope / settled == pytest.approx(-0.5 * softer, rel=0.1)  # first order; eight places know it to 2 %
    assert found.slow.value.kept < 0.0  # the phase at the centre is the smallest
    assert abs(found.static.value.kept) < 0.1 * abs(found.slow.value.kept)
    assert found.slow.of_map.c_pa == pytest.approx(0.0, abs=1e-15)  # all parts of the map are the same
    assert found.stored > 30
