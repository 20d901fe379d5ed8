"""Resonances where the smooth ring's formula and the tracker's tunes put them, and the losses there."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch_shape import POINT
from tracking.resonance import Resonance, Scan, matched, resonance_lines, scan
from tracking.source import StoredBeam
from tracking.stations import ring_tables

B0 = 1.4513
LAYOUT = Ring.e989()
QUADS = QuadSettings.ideal(0.108, LAYOUT, B0, 0.99942)
STEP = 0.001


def test_known_resonances_lie_at_their_field_indices() -> None:
    # 3 nu_y = 1: n = 1/9; nu_x = 2 nu_y: 1 - n = 4 n; 4 nu_y = 1: n = 1/16.
    assert Resonance(0, 3, 1).field_indices() == pytest.approx([1 / 9], abs=1e-11)
    assert Resonance(1, -2, 0).field_indices(0.1, 0.3) == pytest.approx([0.2], abs=1e-11)
    assert Resonance(0, 4, 1).field_indices() == pytest.approx([1 / 16], abs=1e-11)


@pytest.mark.parametrize("line", resonance_lines(6, 0.01, 0.9), ids=lambda line: line.name)
def test_every_resonance_meets_its_condition_in_the_smooth_ring(line: Resonance) -> None:
    for n in line.field_indices(0.01, 0.9):
        assert abs(float(line.distance(math.sqrt(1 - n), math.sqrt(n)))) < 1e-10


def test_resonances_of_fourth_order_in_the_range_of_the_experiments() -> None:
    names = [line.name for line in resonance_lines(4, 0.09, 0.21)]
    assert names == ["νx - 3νy = 0", "3νy = 1", "νx + 3νy = 2", "2νx - 2νy = 1", "νx - 2νy = 0"]


def test_multiples_of_a_resonance_are_listed_once() -> None:
    assert not [line for line in resonance_lines(8) if math.gcd(line.m, line.l, line.k) > 1]


def test_driving_field_is_skew_for_odd_powers_of_the_height() -> None:
    assert Resonance(0, 3, 1).driven_by == "skew sextupole, harmonic 1"
    assert Resonance(2, -2, 1).driven_by == "normal octupole, harmonic 1"
    assert Resonance(0, 6, 2).driven_by == "normal 12-pole, harmonic 2"


def test_orders_and_ranges_out_of_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="order = 0"):
        resonance_lines(0)
    with pytest.raises(ValueError, match="must rise"):
        resonance_lines(4, 0.2, 0.1)
    with pytest.raises(ValueError, match="2 voltages"):
        scan(lambda _: pytest.fail("not reached"), [18e3], StoredBeam())


def losses(skew_sextupole: float) -> Scan:
    """Scan over 3 nu_y = 1 with a skew sextupole cos(theta) [of B0 at 45 mm]: what drives it in first order."""
    theta = 2 * math.pi * np.arange(36) / 36
    c = np.zeros((theta.size, 4), complex)
    c[:, 0] = B0
    c[:, 2] = 1j * skew_sextupole * B0 * np.cos(theta)
    field = StorageField(c)
    beam = StoredBeam(x_e_mean=0.0, x_e_sigma=5e-3, cbo_amplitude=0.0, kick_correlation=0.0, profile=POINT)
    n = 0.105 + STEP * np.arange(12)
    return scan(
        lambda voltage: ring_tables(LAYOUT, replace(QUADS, voltage=voltage), field, spin=False),
        QUADS.voltage * n / 0.108, beam, muons=256, turns=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def driven() -> Scan:
    return losses(30e-6)


def test_losses_peak_where_three_vertical_tunes_make_one(driven: Scan) -> None:
    ((line, position),) = [one for one in driven.positions(3) if one[0] == Resonance(0, 3, 1)]
    assert line.name == "3νy = 1"
    # The smooth ring has 1/9; the discrete one a vertical tune 0.3 % higher.
    assert abs(position - 1 / 9) < 0.001
    peak = int(np.argmax(driven.lost))
    assert abs(driven.field_index[peak] - position) < STEP
    # Half a percent of n away the beam is stored: 20 sigma between.
    far = np.abs(driven.field_index - position) > 4.5 * STEP
    significance = (driven.lost[peak] - driven.lost[far]) / np.hypot(driven.lost_error[peak], driven.lost_error[far])
    assert np.all(significance > 15)


def test_emittance_of_the_survivors_grows_vertically_on_the_resonance(driven: Scan) -> None:
    peak = int(np.argmax(driven.growth_y))
    assert abs(driven.field_index[peak] - dict(driven.positions(3))[Resonance(0, 3, 1)]) < STEP
    assert driven.growth_y[peak] > 1.2
    assert np.allclose(driven.growth_x, 1.0, atol=0.2)


def test_ring_without_multipoles_loses_nothing_on_a_resonance() -> None:
    quiet = losses(0.0)
    assert np.all(quiet.lost < 0.02)


def test_matched_beam_has_no_coherent_motion() -> None:
    beam = matched(StoredBeam(y_offset=1e-3))
    assert beam.cbo_amplitude == beam.kick_correlation == beam.y_offset == 0.0
