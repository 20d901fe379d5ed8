"""The very functions that are compiled, run with complex numbers: one-turn Jacobian without rounding."""

import math

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from gpu.march import plain
from tracking.muon import MASS, P_MAGIC, RIGIDITY, reference
from tracking.orbit import bend
from tracking.spin import spin_bend
from tracking.stations import RingTables, ring_tables
from tracking.step import make_steps

RING = Ring.e989()
B0 = P_MAGIC / (RIGIDITY * RING.radius)
REFERENCE = reference(B0, RING.radius)
MAP_PPM = np.array([0, 2 + 1j, 3 - 2j, 1.5 + 1j, -1 + 0.7j, 1 - 0.5j])


def _tables(*, multipoles: bool, field_map: bool, scheme: str, spin: bool = False) -> RingTables:
    quads = QuadSettings() if multipoles else QuadSettings.ideal()
    # Ten times the ripple of the real magnet, varying in azimuth.
    theta = 2 * math.pi * np.arange(24) / 24
    c = np.outer(1 + np.cos(theta), MAP_PPM) * 1e-5 * B0 if field_map else np.zeros((1, 6), complex)
    c[:, 0] = B0 * (1 + 1e-4 * np.cos(theta)) if field_map else B0
    return ring_tables(RING, quads, StorageField(c), scheme=scheme, spin=spin)


def _one_turn(tables: RingTables, z: np.ndarray) -> np.ndarray:
    """Coordinates (u, px, v, py, t, -e) after a turn, for any kind of number."""
    steps = {kind: plain(step) for kind, step in make_steps(tables.options).items()}
    u, px, v, py, t, minus_e = z
    e = -minus_e
    m = MASS / tables.reference.p0_gev
    momentum = (e * e - m * m) ** 0.5
    constants = (e, momentum - 1, 1 / momentum, 1 / (e + m))
    state = (u, px, v, py, t)
    for row, kind in zip(tables.stations.rows, tables.stations.kinds, strict=True):
        state = steps[int(kind)](*state, *constants, tuple(row.tolist()), tables.parameters)
    u, px, v, py, tau = state
    return np.array([u, px, v, py, tau + 2 * math.pi * e, minus_e])


@pytest.mark.parametrize("scheme", ["saba2c", "pefrl"])
@pytest.mark.parametrize(("multipoles", "field_map"), [(False, False), (True, True)])
def test_one_turn_is_symplectic(scheme: str, multipoles: bool, field_map: bool) -> None:
    # Rounding alone gives a few 1e-15 a turn; a forgotten term of the kicks gave 1e-7 to 1e-5 when it was
    # tried.
    tables = _tables(multipoles=multipoles, field_map=field_map, scheme=scheme)
    e = math.hypot(1.0 + 7e-4, MASS / REFERENCE.p0_gev)
    z = np.array([0.025 / 7.112, 1e-3, 0.025 / 7.112, -1e-3, 0.0, -e])
    step = 1e-30
    jacobian = np.zeros((6, 6))
    for k in range(6):
        probe = z.astype(complex)
        probe[k] += 1j * step
        jacobian[:, k] = _one_turn(tables, probe).imag / step
    s = np.kron(np.eye(3), np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert np.abs(jacobian.T @ s @ jacobian - s).max() < 1e-13


def test_bend_is_an_exact_circle() -> None:
    # A muon off axis with slopes, through 200 deg: its gyro-centre must stay put, for any angle in one step.
    m = MASS / REFERENCE.p0_gev
    p, u, px, py, alpha = 1.004, 0.003, 0.004, -0.003, math.radians(200.0)
    e = math.hypot(p, m)
    un, pxn, vn, tau, chi, _, _, _ = plain(bend)(
        u, px, 0.0, py, 0.0, e, p - 1, 1 / p, alpha, math.sin(alpha), math.cos(alpha)
    )
    ps, psn = (math.sqrt(p * p - q * q - py * py) for q in (px, pxn))

    # In the plane the muon is at (1 + u)(cos, sin) and the centre of its circle of radius pt is inwards of
    # it.
    def centre(u: float, q_x: float, q_s: float, theta: float) -> complex:
        return (1 + u - q_s + 1j * q_x) * np.exp(1j * theta)

    assert abs(centre(u, px, ps, 0.0) - centre(un, pxn, psn, alpha)) < 1e-15
    assert math.isclose(vn, py * chi, rel_tol=1e-15)
    assert math.isclose(tau + e * alpha, e * chi, rel_tol=1e-15)


def test_spin_in_a_bend_turns_by_the_rotation_of_bargmann_michel_and_telegdi() -> None:
    # In a uniform field both momentum and spin turn about fixed axes; the formula of 1959 gives the spin's.
    m = MASS / REFERENCE.p0_gev
    a, p, px, py, alpha = 1.1659e-3, 1.004, 0.004, -0.003, math.radians(47.0)
    e = math.hypot(p, m)
    ps = math.sqrt(p * p - px * px - py * py)
    _, _, _, _, chi, yaw0, yaw1, tilt = plain(bend)(
        0.003, px, 0.0, py, 0.0, e, p - 1, 1 / p, alpha, math.sin(alpha), math.cos(alpha)
    )
    muon = (py, e, p - 1, 1 / (e + m), a / m, 0.0, False)
    ours = plain(spin_bend)(0.6, 0.48, 0.64, *muon, chi, yaw0, yaw1, tilt)
    beta, g = np.array([px, py, ps]) / e, e / m
    field = np.array([0.0, 1.0, 0.0])

    def rotate(vector: np.ndarray, by: np.ndarray) -> np.ndarray:
        angle = np.linalg.norm(by)
        n = by / angle
        along = n * (n @ vector)
        return along + (vector - along) * math.cos(angle) + np.cross(n, vector) * math.sin(angle)

    # Lasting e chi: the part beside the turn of the momentum is fixed in the frame that turns with the
    # momentum.
    rest = -(a * field - a * g / (g + 1) * (beta @ field) * beta) / m
    spin = rotate(np.array([0.6, 0.48, 0.64]), rest * e * chi)
    spin = rotate(spin, np.array([0.0, -chi, 0.0]))  # with the momentum, clockwise seen from above
    spin = rotate(spin, np.array([0.0, alpha, 0.0]))  # as seen from the frame that turned by alpha
    assert np.abs(np.array(ours) - spin).max() < 1e-15
