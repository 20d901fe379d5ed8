"""The injected beam: drawn as asked for, cut by the exit of the inflector, taken through the first quad."""

import math

import numpy as np
import pytest

from fields.inflector import InflectorExit
from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.entry import OuterPlate, enter, entry_table
from tracking.inject import InjectedBeam, sample_injected
from tracking.muon import MASS, P_MAGIC, RIGIDITY, reference
from tracking.stations import RingTables, ring_tables
from tracking.turns import track

RING = Ring.e989()
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REF = reference(B0, RING.radius)
KEY = FillKey(5, 1, 0, 2)
WIDE = InflectorExit(centre=0.0744, width=0.4, inner_height=0.6, outer_height=0.6)
CHAMBER = (-0.0762, 0.111, 0.069)
IDEAL = QuadSettings.ideal()


def delta_of(bunch: Bunch) -> np.ndarray:
    return np.sqrt((bunch.energy - MASS) * (bunch.energy + MASS)) / REF.p0_gev - 1.0


def tables() -> RingTables:
    return ring_tables(RING, IDEAL, StorageField.uniform(B0))


def plates(strength: float = 1.0, thickness: float = 0.0) -> list[OuterPlate]:
    """The first quad with the potential of ideal plates everywhere, times a strength."""
    found = []
    for quad in RING.quads[:2]:
        a_2 = strength * float(IDEAL.coefficients(quad.name)[2].real)

        def potential(x: np.ndarray, y: np.ndarray, a_2: float = a_2) -> np.ndarray:
            return a_2 * (x * x - y * y) / 0.045**2

        found.append(OuterPlate(quad.theta_start, quad.theta_end, 0.050, 0.022, thickness, potential))
    return found


def test_beam_has_the_twiss_parameters_asked_for() -> None:
    n = 200_000
    beam = InjectedBeam(
        emittance_x=8e-6, beta_x=2.0, alpha_x=0.7, emittance_y=6e-6, beta_y=9.0, alpha_y=-0.4, dispersion=0.3,
        delta_sigma=0.01, exit=WIDE,
    )  # fmt: skip
    bunch = sample_injected(beam, KEY, n, REF)
    delta = delta_of(bunch)
    error = 5.0 * math.sqrt(2.0 / n)
    assert abs(delta.std() / 0.01 - 1.0) < error
    px, py = bunch.px / (1.0 + delta), bunch.py / (1.0 + delta)
    for position, slope, emittance, beta, alpha in (
        (bunch.x - 0.3 * delta, px, 8e-6, 2.0, 0.7),
        (bunch.y, py, 6e-6, 9.0, -0.4),
    ):
        covariance = np.cov(position, slope)
        assert math.isclose(math.sqrt(np.linalg.det(covariance)), emittance, rel_tol=error)
        assert math.isclose(covariance[0, 0], emittance * beta, rel_tol=error)
        # an error of the covariance is sigma sigma' sqrt((1 + rho^2)/n)
        assert abs(covariance[0, 1] + emittance * alpha) < error * math.sqrt(covariance[0, 0] * covariance[1, 1])
    assert abs(bunch.x.mean() - 0.0744) < 5.0 * bunch.x.std() / math.sqrt(n)


def test_all_muons_leave_through_the_exit_and_none_piles_up() -> None:
    bunch = sample_injected(InjectedBeam(), KEY, 50_000, REF)
    assert np.all((bunch.x >= 0.068) & (bunch.x <= 0.086))
    assert np.all(np.abs(bunch.y) <= 0.028)
    outwards = (bunch.x - 0.077) / 0.009
    assert np.all(np.abs(bunch.y) <= 0.028 - 0.012 * np.clip(outwards, 0.0, 1.0) + 1e-12)
    assert np.unique(bunch.x).size > 49_990


def test_a_longer_bunch_begins_with_the_same_muons() -> None:
    short, long = (sample_injected(InjectedBeam(), KEY, n, REF) for n in (300, 500))
    for name in Bunch._fields:
        assert np.array_equal(getattr(short, name), getattr(long, name)[:300]), name
    other = sample_injected(InjectedBeam(), KEY._replace(fill=3), 300, REF)
    assert not np.any(other.x == short.x)


def test_spins_lag_by_the_phase_of_their_momentum() -> None:
    beam = InjectedBeam(phase=2.0, phase_slope=-1.0, delta_sigma=0.01)
    bunch = sample_injected(beam, KEY, 1000, REF)
    delta = delta_of(bunch)
    behind = np.arctan2(bunch.sx, bunch.ss) - np.arctan2(bunch.px, 1.0 + delta)
    assert np.abs(behind - (2.0 - delta)).max() < 1e-5  # the slope is an angle, px/p its sine


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"emittance_x": -1e-6}, "emittance_x"), ({"beta_y": 0.0}, "beta_y"), ({"delta_sigma": -1}, "delta")],
)
def test_wrong_beams_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        InjectedBeam(**wrong)


def test_without_quads_the_way_in_is_an_arc() -> None:
    ring = tables()
    table = entry_table(ring, plates(0.0), CHAMBER)
    start = Bunch.empty(2).with_momentum(0.0, REF)
    start.x[:], start.px[:] = [0.074, 0.03], [-2e-3, 1e-3]
    start.y[:], start.py[:] = [0.01, -0.01], [1e-3, 0.0]
    end = enter(start, ring, table, KEY)
    theta = RING.quads[1].theta_end
    assert np.all(end.theta == end.theta[0])
    assert math.isclose(end.theta[0], theta, rel_tol=1e-13)
    # On-momentum muons of small slope circle about (x cos + R0 px sin): exact to second order in x/R0.
    expected = start.x * math.cos(theta) + RING.radius * start.px * math.sin(theta)
    assert np.abs(end.x - expected).max() < 0.5 * (0.08**2) / RING.radius
    assert np.abs(end.py - start.py).max() < 1e-15
    assert np.array_equal(end.energy, start.energy)


def test_inside_the_plates_the_way_in_is_that_of_the_tracker() -> None:
    ring = tables()
    start = Bunch.empty(40).with_momentum(0.0, REF)
    rng = np.random.default_rng(2)
    for column, sigma in ((start.x, 8e-3), (start.y, 8e-3), (start.px, 1e-3), (start.py, 4e-4)):
        column[:] = rng.normal(0, sigma, 40)
    end = enter(start, ring, entry_table(ring, plates(), CHAMBER), KEY)
    theta = float(end.theta[0])
    seen = track(start, ring, 1, observers=[theta], collimators=False).samples
    assert seen is not None
    # Strang steps of 1 deg: (k h^2/24) of the focusing angle, 1e-5 of the change of position and slope
    for name, scale in (("x", 1e-2), ("y", 1e-2), ("px", 1.5e-3), ("py", 1.5e-3), ("sx", 2e-3), ("sy", 2e-3)):
        assert np.abs(getattr(end, name) - getattr(seen, name)[0, 0]).max() < 2e-5 * scale, name
    assert np.abs(end.time - seen.time[0, 0]).max() < 1e-15  # 2e-7 m of radius along 1.1 rad


def test_the_plate_takes_energy_once() -> None:
    ring = tables()
    start = Bunch.empty(2000).with_momentum(0.0, REF)
    start.x[:] = 0.072
    start.y[:] = np.where(np.arange(2000) % 2 == 0, 0.0, 0.026)  # every other muon passes above the plate
    end = enter(start, ring, entry_table(ring, plates(0.0, 1e-4), CHAMBER), KEY)
    assert np.all(end.crossings[::2] == 1)
    assert np.all(end.crossings[1::2] == 0)
    assert np.all(end.energy[::2] < start.energy[::2])
    lost = (start.energy - end.energy)[::2]
    # 0.1 mm at the slope at which x = 50 mm is reached: 72 mm/R0 sin(acos(50/72)) = 7.3 mrad; 0.45 GeV/m in aluminium
    path = 1e-4 / (0.072 / RING.radius * math.sqrt(1.0 - (50.0 / 72.0) ** 2))
    assert math.isclose(np.median(lost), 0.40 * path, rel_tol=0.15)


def test_muons_outside_the_plates_at_the_end_are_lost() -> None:
    ring = tables()
    start = Bunch.empty(3).with_momentum(0.0, REF)
    start.x[:] = [0.074, 0.074, 0.02]
    start.px[:] = [0.0, 6e-3, 0.0]
    start.py[2] = 0.02
    end = enter(start, ring, entry_table(ring, plates(0.0), CHAMBER), KEY)
    assert end.state.tolist() == [State.STORED, State.LOST_PLATE, State.LOST_PLATE]
    assert end.theta[2] < end.theta[0]
