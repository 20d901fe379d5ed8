"""One step of a positron against helices, an independent integrator, and its own order."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from detectors.path import advance, global_field, hermite
from fields.falloff import FalloffTable
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from tracking.muon import POSITRON_MASS, RIGIDITY

R0 = 7.112
B0 = 1.4513


def uniform_everywhere() -> FieldTables:
    tables = field_tables(StorageField.uniform(B0), QuadSettings(voltage=0.0))
    shape = tables.falloff.by.shape
    flat = FalloffTable(br=np.zeros(shape), by=np.full(shape, B0), r_min=tables.falloff.r_min, step=tables.falloff.step)
    return tables._replace(falloff=flat)


def fly(state, momentum, length, steps, tables):
    """Position, direction and the work done along `steps` equal steps."""
    energy = math.hypot(momentum, POSITRON_MASS)
    work = 0.0
    for _ in range(steps):
        *state, step_work = advance(*state, momentum, energy, 0.0, length / steps, R0, tables)
        work += step_work
        energy += step_work
        momentum = math.sqrt(energy**2 - POSITRON_MASS**2)
    return np.array(state), work


def start(x=0.01, y=0.005, theta=1.0, slope_x=-0.005, slope_y=0.003):
    c, s = math.cos(theta), math.sin(theta)
    d = np.array([slope_x * c - s, slope_y, slope_x * s + c])
    d /= np.linalg.norm(d)
    return [(R0 + x) * c, y, (R0 + x) * s, *d]


def helix(state, momentum, length):
    """Exact path of a positive unit charge in B0 along +y."""
    x, y, z, dx, dy, dz = state
    turn = RIGIDITY * B0 / momentum * length  # dp/ds = c d x B: rotation by minus this about y
    across = momentum / (RIGIDITY * B0)
    c, s = math.cos(turn), math.sin(turn)
    end = x + across * (s * dx - (1 - c) * dz), y + dy * length, z + across * (s * dz + (1 - c) * dx)
    return np.array([*end, c * dx - s * dz, dy, c * dz + s * dx])


@pytest.mark.parametrize("momentum", [0.3, 1.0, 3.0])
def test_uniform_field_gives_a_helix(momentum):
    # Local error of the step: (kappa h)^4 h / 120 or less in place; 20 steps add up to (kappa h)^4 L / 120.
    length, steps = 1.2, 20
    kappa_h = RIGIDITY * B0 / momentum * length / steps
    end, _ = fly(start(), momentum, length, steps, uniform_everywhere())
    exact = helix(start(), momentum, length)
    bound = kappa_h**4 * length / 120 + 1e-14
    np.testing.assert_allclose(end[:3], exact[:3], atol=bound)
    np.testing.assert_allclose(end[3:], exact[3:], atol=kappa_h**4 * 2 / 120 * steps * kappa_h + 1e-14)


def test_helix_bends_a_positron_towards_the_centre_of_the_ring():
    end, _ = fly(start(slope_x=0.0, slope_y=0.0, y=0.0), 1.0, 1.0, 20, uniform_everywhere())
    assert math.hypot(end[0], end[2]) < R0 - 0.1


def test_error_falls_by_sixteen_when_the_step_is_halved():
    coefficients = B0 * np.array([1.0, 3e-2 + 2e-2j, 5e-2, 1e-2j])  # strong, and smooth within 45 mm
    tables = field_tables(StorageField.from_coefficients(coefficients), QuadSettings(voltage=0.0))
    state = start(x=0.03, y=-0.01, slope_x=-0.004, slope_y=0.004)
    exact, _ = fly(state, 2.9, 3.0, 768, tables)
    errors = [np.abs(fly(state, 2.9, 3.0, n, tables)[0] - exact).max() for n in (6, 12, 24)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(16, rel=0.3)


def test_path_agrees_with_an_independent_integrator_through_the_fall_off():
    tables = field_tables(StorageField.uniform(B0), QuadSettings())
    momentum = 1.2
    energy = math.hypot(momentum, POSITRON_MASS)

    def lorentz(_t, q):
        # Time in metres of light: d r/d ct = p/E, d p/d ct = E/c + v x B, in GeV/c and metres.
        v = q[3:] / math.sqrt(q[3:] @ q[3:] + POSITRON_MASS**2)
        ex, ey, ez, bx, by, bz = global_field(*q[:3], 0.0, R0, tables)
        force = 1e-9 * np.array([ex, ey, ez]) + RIGIDITY * np.cross(v, (bx, by, bz))
        return np.concatenate([v, force])

    state = np.array(start(x=-0.02))
    q0 = np.concatenate([state[:3], momentum * state[3:]])
    length = 1.5
    beta = momentum / energy
    solution = solve_ivp(lorentz, (0, length / beta), q0, method="DOP853", rtol=1e-9, atol=1e-11, max_step=0.005)
    end, _ = fly(state, momentum, length, 25, tables)
    assert math.hypot(end[0], end[2]) < 6.95
    # The table is piecewise linear (cells of 5 mm): a step of 60 mm averages over kinks of 1e-3 B0, good for tens of
    # micrometres; positions are wanted to a millimetre.
    np.testing.assert_allclose(end[:3], solution.y[:3, -1], atol=5e-5)


def test_energy_gained_in_a_quad_is_the_potential_difference():
    settings = QuadSettings.ideal()
    tables = field_tables(StorageField.uniform(B0), settings)
    theta = math.radians(45.0)  # inside Q1 long for all of the path
    state = start(x=0.030, y=0.0, theta=theta, slope_x=-0.02, slope_y=0.0)
    end, work = fly(state, 3.0, 1.5, 25, tables)

    def potential(x, y):
        return -0.5 * settings.gradient * (x * x - y * y)

    x1 = math.hypot(end[0], end[2]) - R0
    drop = 1e-9 * (potential(0.030, 0.0) - potential(x1, end[1]))
    assert abs(x1) < 0.045
    assert abs(drop) > 1e-6
    # Simpson's rule on a cubic potential along steps of 60 mm with a slope of 0.02.
    assert work == pytest.approx(drop, rel=1e-4)


def test_pure_magnetic_field_does_no_work():
    _, work = fly(start(), 1.0, 1.0, 20, field_tables(StorageField.uniform(B0), QuadSettings(voltage=0.0)))
    assert work == 0.0


def test_hermite_cubic_passes_through_its_data():
    assert hermite(0.0, 0.1, 1.0, 2.0, 3.0, 4.0) == 1.0
    assert hermite(1.0, 0.1, 1.0, 2.0, 3.0, 4.0) == 3.0
    slope = (hermite(1e-6, 0.1, 1.0, 2.0, 3.0, 4.0) - 1.0) / 1e-7
    assert slope == pytest.approx(2.0, abs=1e-2)
