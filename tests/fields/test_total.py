"""All fields at a point."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fields.falloff import falloff_field
from fields.quads import QuadSettings, quad_field
from fields.ring import R0, TWO_PI, Ring
from fields.storage import StorageField, storage_field
from fields.synthetic import synthesise
from fields.total import field_at, field_tables
from gpu.kernel import Kernel

STORAGE = synthesise("e989")
TABLES = field_tables(STORAGE, QuadSettings())


@given(r=st.floats(0.0, 0.045), phi=st.floats(0.0, TWO_PI), theta=st.floats(0.0, TWO_PI, exclude_max=True))
@settings(deadline=None)
def test_inside_the_aperture_the_storage_field_holds(r: float, phi: float, theta: float) -> None:
    x, y = r * math.cos(phi), r * math.sin(phi)
    assume(math.sqrt(x * x + y * y) <= 0.045)  # cos^2 + sin^2 may round above 1
    ex, ey, es, bx, by, bs = field_at(x, y, theta, 0.0, TABLES)
    assert (bx, by, bs) == pytest.approx(storage_field(x, y, theta, TABLES.storage), rel=1e-14, abs=1e-18)
    assert (ex, ey, es) == pytest.approx(quad_field(x, y, theta, TABLES.quads)[1:], rel=1e-12)


def test_far_outside_only_the_fall_off_holds() -> None:
    for x, y in ((-0.30, 0.05), (0.061, 0.0), (0.0, -0.07), (0.2, -0.05)):
        field = field_at(x, y, 1.0, 0.0, TABLES)
        b_r, b_y = falloff_field(R0 + x, y, TABLES.falloff)
        assert field == pytest.approx((0.0, 0.0, 0.0, b_r, b_y, 0.0), abs=1e-15)


@pytest.mark.parametrize("distance", [0.045, 0.060])
def test_field_is_continuous_where_storage_and_fall_off_meet(distance: float) -> None:
    for phi in np.linspace(0.0, TWO_PI, 16):
        near, far = distance * (1.0 - 1e-9), distance * (1.0 + 1e-9)
        inner = np.array(field_at(near * math.cos(phi), near * math.sin(phi), 0.3, 0.0, TABLES)[3:])
        outer = np.array(field_at(far * math.cos(phi), far * math.sin(phi), 0.3, 0.0, TABLES)[3:])
        # gradients stay below 1 T/m, the step is 1e-10 m
        assert np.abs(outer - inner).max() < 2e-10


@given(theta=st.floats(0.0, TWO_PI), turns=st.integers(-3, 3))
@settings(deadline=None)
def test_field_is_the_same_every_turn(theta: float, turns: int) -> None:
    edges = np.array([*TABLES.quads.theta_start, *TABLES.quads.theta_end])
    assume(np.abs(edges - theta).min() > 1e-12)  # a hard edge may fall to either side
    here = field_at(0.02, -0.01, theta, 0.0, TABLES)
    # rounding of the azimuth, 4e-15 rad, times 2 ppm/deg
    there = field_at(0.02, -0.01, theta + turns * TWO_PI, 0.0, TABLES)
    np.testing.assert_allclose(there[3:], here[3:], rtol=1e-12, atol=1e-15)
    # at the ends of the quads the electric field rises by 1 MV/m in 30 mm: 1e-6 V/m for 3e-14 m
    np.testing.assert_allclose(there[:3], here[:3], rtol=1e-12, atol=1e-5)


def test_quads_act_only_at_their_azimuths() -> None:
    for quad in Ring.e989().quads:
        inside = 0.5 * (quad.theta_start + quad.theta_end)
        assert field_at(0.02, 0.0, inside, 0.0, TABLES)[0] > 1e5
        # the soft end reaches 160 mm, 0.0225 rad, out
        assert field_at(0.02, 0.0, quad.theta_end + 0.023, 0.0, TABLES)[:3] == (0.0, 0.0, 0.0)


def test_uniform_field_and_no_voltage_is_a_pure_dipole() -> None:
    tables = field_tables(StorageField.uniform(1.45), QuadSettings(voltage=0.0))
    assert field_at(0.01, 0.02, 5.0, 1e-5, tables) == (0.0, 0.0, 0.0, 0.0, 1.45, 0.0)


def test_fall_off_is_scaled_to_the_storage_field() -> None:
    tables = field_tables(StorageField.uniform(1.4), QuadSettings())
    ratio = field_at(-0.2, 0.0, 0.0, 0.0, tables)[4] / field_at(-0.2, 0.0, 0.0, 0.0, TABLES)[4]
    assert ratio == pytest.approx(1.4 / STORAGE.b0, rel=1e-14)


@Kernel
def _probe(i, x, y, theta, field, tables):
    """Write the six components at one point."""
    ex, ey, es, bx, by, bs = field_at(x[i], y[i], theta[i], 0.0, tables)
    field[i, 0] = ex
    field[i, 1] = ey
    field[i, 2] = es
    field[i, 3] = bx
    field[i, 4] = by
    field[i, 5] = bs


def test_kernel_gives_the_field_of_the_scalar_function() -> None:
    random = np.random.default_rng(4)
    n = 300
    x, y = random.uniform(-0.3, 0.1, n), random.uniform(-0.08, 0.08, n)
    x[:150], y[:150] = random.uniform(-0.05, 0.05, (2, 150))
    theta = random.uniform(0.0, 30.0, n)
    field = np.zeros((n, 6))
    _probe(n, x, y, theta, field, TABLES)
    expected = [field_at(*point, 0.0, TABLES) for point in zip(x, y, theta, strict=True)]
    # the same instructions, but for fused multiply-adds
    np.testing.assert_allclose(field, expected, rtol=1e-11, atol=1e-15)


def test_field_runs_as_a_cuda_kernel_on_the_simulator(run_python: Callable[..., str]) -> None:
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed (extra gpu-cu12)")
    code = """
import numpy as np
from fields.quads import QuadSettings
from fields.synthetic import synthesise
from fields.total import field_at, field_tables
from gpu.kernel import Kernel

def probe(i, x, field, tables):
    field[i, 0], field[i, 1], _, field[i, 2], field[i, 3], field[i, 4] = field_at(x[i], 0.01, 1.0, 0.0, tables)

x, field = np.linspace(-0.2, 0.048, 7), np.zeros((7, 5))
Kernel(probe)(7, x, field, field_tables(synthesise("e989"), QuadSettings()), backend="gpu")
print(*field.ravel().tolist())
"""
    text = run_python(code, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    on_gpu = np.array(text.split(), dtype=float).reshape(7, 5)
    on_cpu = np.array([field_at(x, 0.01, 1.0, 0.0, TABLES) for x in np.linspace(-0.2, 0.048, 7)])
    # plain Python fuses no multiply-adds: rounding of 1 MV/m and 1 T
    np.testing.assert_allclose(on_gpu, on_cpu[:, [0, 1, 3, 4, 5]], rtol=1e-12, atol=1e-15)
