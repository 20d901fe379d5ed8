"""Truth for the tracker: Cartesian Lorentz force and Thomas-BMT, high order, quad edges crossed exactly.

No physics is shared with the tracker. Position, kinetic momentum and spin are Cartesian vectors in the laboratory,
with the azimuth as independent variable so that every step ends exactly where it should. Inside a region (free,
or inside one quad) the equations of motion

    dp/dt = q (E + v x B),   dS/dt = Omega x S   (Bargmann, Michel, Telegdi 1959)

are integrated by the 8-stage Gauss-Legendre method (order 16, time-reversible, solved by fixed-point iteration). At
a hard edge the longitudinal field acts as an impulse: the kinetic energy changes by q Phi at fixed transverse
momenta, and the spin turns about the fixed axis p_perp x s by the integral of (a + 1/(g+1)) p_perp/(m p_s) dE.

Units: length R0, momentum p0 = q B0 R0, time R0/c, so that the dipole field is 1; mass and potential in p0 c.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from fields.ring import R_REFERENCE
from tracking.bunch import Bunch
from tracking.frequency import smooth_window, tune
from tracking.muon import LIGHT_SPEED, MASS, reference
from tracking.stations import ring_tables
from tracking.turns import track as run

STAGES = 8
ITERATIONS = 40


def gauss_legendre(stages: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Butcher table (nodes, matrix, weights) on the unit interval, from Legendre polynomials.

    By discrete orthogonality the Lagrange polynomial of node j is sum_k (2k+1)/2 w_j P_k(x_j) P_k(x), and the
    integral of P_k from -1 is (P_(k+1) - P_(k-1))/(2k+1): nothing is inverted, so the table is good to rounding.
    """
    x, w = np.polynomial.legendre.leggauss(stages)
    p = np.polynomial.legendre.legvander(x, stages)
    matrix = np.zeros((stages, stages))
    for k in range(stages):
        integral = p[:, k + 1] - p[:, k - 1] if k > 0 else x + 1.0
        matrix += 0.5 * np.outer(integral, w * p[:, k])
    return 0.5 * (x + 1.0), 0.5 * matrix, 0.5 * w


C, A, B = gauss_legendre(STAGES)


@numba.njit(cache=False)
def potential(u, v, quad):
    """Phi and its gradient for Phi = Re sum_n a_n (u + i v)^n; quad[n] = a_n."""
    z = complex(u, v)
    value = 0j
    slope = 0j
    for n in range(quad.size - 1, 0, -1):
        value = value * z + quad[n]
        slope = slope * z + n * quad[n]
    value = value * z
    return value.real, slope.real, -slope.imag


@numba.njit(cache=False)
def derivative(theta, w, quad, field, m, a, eta, out):
    """d(X, Z, Y, pX, pZ, pY, t, SX, SZ, SY)/d(theta) in the plane frame X = rho cos theta, Z = rho sin theta.

    The frame (X, Y, Z) is right-handed with x_hat x y_hat = s_hat. ``field[n]`` are multipoles of (1 + u)(By + i Bx)
    on top of the dipole 1, which fit the tracker's map where it is constant in azimuth.
    """
    x, z, y, px, pz, py = w[0], w[1], w[2], w[3], w[4], w[5]
    c = math.cos(theta)
    s = math.sin(theta)
    rho = math.hypot(x, z)
    u = rho - 1.0
    energy = math.sqrt(m * m + px * px + pz * pz + py * py)
    vx, vz, vy = px / energy, pz / energy, py / energy
    _, fu, fv = potential(u, y, quad)
    ex, ez, ey = -fu * c, -fu * s, -fv
    f = 0j
    for n in range(field.size - 1, -1, -1):
        f = f * complex(u, y) + field[n]
    b_y = 1.0 + f.real / (1.0 + u)
    b_rho = f.imag / (1.0 + u)
    bx, bz = b_rho * c, b_rho * s
    # (X, Y, Z) components; cross product in this order.
    fx = ex + vy * bz - vz * b_y
    fy = ey + vz * bx - vx * bz
    fz = ez + vx * b_y - vy * bx
    g = energy / m
    vb = vx * bx + vy * b_y + vz * bz
    k1 = a + 1.0 / g
    k2 = a * g / (g + 1.0) * vb
    k3 = a + 1.0 / (g + 1.0)
    h = 0.5 * eta
    ox = -(k1 * bx - k2 * vx - k3 * (vy * ez - vz * ey) + h * (ex + vy * bz - vz * b_y)) / m
    oy = -(k1 * b_y - k2 * vy - k3 * (vz * ex - vx * ez) + h * (ey + vz * bx - vx * bz)) / m
    oz = -(k1 * bz - k2 * vz - k3 * (vx * ey - vy * ex) + h * (ez + vx * b_y - vy * bx)) / m
    rate = rho / (vz * c - vx * s)
    sx, sz, sy = w[7], w[8], w[9]
    out[0], out[1], out[2] = rate * vx, rate * vz, rate * vy
    out[3], out[4], out[5] = rate * fx, rate * fz, rate * fy
    out[6] = rate
    out[7] = rate * (oy * sz - oz * sy)
    out[8] = rate * (ox * sy - oy * sx)
    out[9] = rate * (oz * sx - ox * sz)


@numba.njit(cache=False)
def region(w, theta, length, steps, quad, field, m, a, eta):
    """Integrate across a region in equal steps."""
    k = np.zeros((STAGES, 10))
    new = np.zeros((STAGES, 10))
    at = np.zeros(10)
    h = length / steps
    for step in range(steps):
        start = theta + step * h
        for iteration in range(ITERATIONS):
            change = 0.0
            for i in range(STAGES):
                for d in range(10):
                    total = 0.0
                    for j in range(STAGES):
                        total += A[i, j] * k[j, d]
                    at[d] = w[d] + h * total
                derivative(start + C[i] * h, at, quad, field, m, a, eta, new[i])
            for i in range(STAGES):
                for d in range(10):
                    change = max(change, abs(new[i, d] - k[i, d]))
                    k[i, d] = new[i, d]
            if change < 2e-15 and iteration > 0:
                break
        for d in range(10):
            total = 0.0
            for i in range(STAGES):
                total += B[i] * k[i, d]
            w[d] += h * total


@numba.njit(cache=False)
def edge(w, theta, quad, sign, m, a):
    """Cross the hard edge of a quad: sign +1 into it, -1 out of it."""
    c = math.cos(theta)
    s = math.sin(theta)
    u = math.hypot(w[0], w[1]) - 1.0
    phi, _, _ = potential(u, w[2], quad)
    p_x = w[3] * c + w[4] * s
    p_s = w[4] * c - w[3] * s
    p_y = w[5]
    square = p_x * p_x + p_y * p_y
    before = math.sqrt(m * m + square + p_s * p_s)
    step = -sign * phi
    # The angle's integrand is smooth and the step 1e-5 of the energy: two Gauss points are exact to rounding.
    angle = 0.0
    for node in (0.5 - math.sqrt(3.0) / 6.0, 0.5 + math.sqrt(3.0) / 6.0):
        e = before + node * step
        along = math.sqrt(e * e - m * m - square)
        angle += 0.5 * step * (a + m / (e + m)) / (m * along)
    after = before + step
    p_s_new = math.sqrt(after * after - m * m - square)
    w[3] = p_x * c - p_s_new * s
    w[4] = p_x * s + p_s_new * c
    # Omega dt = angle * (p x s_hat), p x s_hat = (p_y, -p_x, 0) in (x, y, s).
    kx, ky = angle * p_y, -angle * p_x
    size = math.sqrt(kx * kx + ky * ky)
    if size > 0.0:
        nx, ny = kx / size, ky / size
        sx = w[7] * c + w[8] * s
        ss = w[8] * c - w[7] * s
        sy = w[9]
        si = math.sin(size)
        co = 2.0 * math.sin(0.5 * size) ** 2
        cx, cy, cs = ny * ss, -nx * ss, nx * sy - ny * sx
        dx, dy, ds = ny * cs, -nx * cs, nx * cy - ny * cx
        sx += si * cx + co * dx
        sy += si * cy + co * dy
        ss += si * cs + co * ds
        w[7], w[8], w[9] = sx * c - ss * s, sx * s + ss * c, sy


@numba.njit(cache=False)
def track(start, turns, edges, is_quad, steps, quad, field, m, a, eta):
    """Turns of one particle from theta = 0.

    Parameters
    ----------
    start
        (u, px, v, py, e, sx, sy, ss) in units of the tracker; theta = 0 outside quads, or inside a ring of one quad.
    turns
        Number of turns.
    edges, is_quad, steps
        Azimuths of the borders of regions (first 0, last 2 pi); whether each region is a quad; steps in each.
    quad, field
        Complex potential coefficients of the quads; complex multipoles of the map.
    m, a, eta
        Mass, anomaly, dipole moment.

    Returns
    -------
    array (turns + 1, 8)
        u, px, v, py, t, sx, sy, ss at theta = 0.
    """
    none = np.zeros(2, dtype=np.complex128)
    w = np.zeros(10)
    u, px, v, py, e = start[0], start[1], start[2], start[3], start[4]
    all_round = is_quad.size == 1 and is_quad[0]
    kinetic = e
    if all_round:
        phi, _, _ = potential(u, v, quad)
        kinetic = e - phi
    w[0], w[2], w[3], w[5] = 1.0 + u, v, px, py
    w[4] = math.sqrt(kinetic * kinetic - m * m - px * px - py * py)
    w[7], w[8], w[9] = start[5], start[7], start[6]
    out = np.zeros((turns + 1, 8))
    for turn in range(turns + 1):
        out[turn] = np.array([w[0] - 1.0, w[3], w[2], w[5], w[6], w[7], w[9], w[8]])
        if turn == turns:
            break
        w[1] = 0.0
        for r in range(is_quad.size):
            inside = is_quad[r]
            if inside and not all_round:
                edge(w, edges[r], quad, 1.0, m, a)
            region(w, edges[r], edges[r + 1] - edges[r], steps[r], quad if inside else none, field, m, a, eta)
            if inside and not all_round:
                edge(w, edges[r + 1], quad, -1.0, m, a)
    return out


# The same problem, posed to the truth and to the tracker.


class Problem:
    """A ring with one kind of quad and a field map that is constant in azimuth, in units of the tracker."""

    def __init__(self, ring, quads, storage, anomaly, eta=0.0):
        self.ring, self.quads, self.storage, self.anomaly, self.eta = ring, quads, storage, anomaly, eta
        self.reference = reference(storage.b0, ring.radius)
        self.mass = MASS / self.reference.p0_gev
        scale = ring.radius / R_REFERENCE
        a_n = quads.coefficients(ring.quads[0].name)
        a_n[0] = 0.0  # 27 V of 3 GV on the axis, which the tracker leaves out
        self.quad = a_n * 1e-9 / self.reference.p0_gev * scale ** np.arange(a_n.size)
        c = storage.mean_field() * scale ** np.arange(storage.order + 1) / storage.b0
        c[0] -= 1.0
        self.field = c.copy()
        self.field[1:] += c[:-1]

    def tables(self, **how):
        """The tracker's table of the ring."""
        return ring_tables(self.ring, self.quads, self.storage, anomaly=self.anomaly, eta=self.eta, **how)

    def start(self, x, y, delta):
        """A muon at theta = 0 with momentum p0 (1 + delta) outside the quads, along the axis, spin along s."""
        e = math.hypot(1.0 + delta, self.mass)
        return np.array([x / self.ring.radius, 0.0, y / self.ring.radius, 0.0, e, 0.0, 0.0, 1.0])

    def truth(self, start, turns, step_deg=6.5):
        """Truth at theta = 0 of every turn, shape (turns + 1, 8): u, px, v, py, t, sx, sy, ss."""
        edges, inside = [0.0], []
        for quad in self.ring.quads:
            if quad.theta_start > edges[-1] + 1e-9:
                edges.append(quad.theta_start)
                inside.append(False)
            edges.append(quad.theta_end)
            inside.append(True)
        if 2.0 * math.pi > edges[-1] + 1e-9:
            edges.append(2.0 * math.pi)
            inside.append(False)
        steps = np.maximum(1, np.ceil(np.diff(edges) / math.radians(step_deg) - 1e-9)).astype(np.int64)
        return track(
            start, turns, np.array(edges), np.array(inside), steps,
            self.quad, self.field, self.mass, self.anomaly, self.eta,
        )  # fmt: skip

    def ours(self, starts, turns, **how):
        """The tracker at the same places, shape (n, turns + 1, 8)."""
        starts = np.array(starts)
        bunch = Bunch.empty(len(starts))
        bunch.x[:], bunch.y[:] = starts[:, 0] * self.ring.radius, starts[:, 2] * self.ring.radius
        bunch.px[:], bunch.py[:] = starts[:, 1], starts[:, 3]
        bunch.energy[:] = starts[:, 4] * self.reference.p0_gev
        bunch.sx[:], bunch.sy[:], bunch.ss[:] = starts[:, 5], starts[:, 6], starts[:, 7]
        seen = run(bunch, self.tables(**how), turns + 1, observers=[0.0], collimators=False).samples
        radius = self.ring.radius
        columns = (seen.x / radius, seen.px, seen.y / radius, seen.py, seen.time * LIGHT_SPEED / radius)
        return np.stack([c[0].T for c in (*columns, seen.sx, seen.sy, seen.ss)], axis=-1)


def numbers(motion):
    """Tunes, omega_a in units of c/R0, time of a turn in R0/c and mean radius in R0, of one muon's turns."""
    u, px, v, _, t, sx, _, ss = motion.T
    py = motion[:, 3]
    weights = smooth_window(len(u) - 1)
    ps = np.sqrt(1.0 - px**2 - py**2)
    phase = np.unwrap(np.arctan2(px * ss - sx * ps, ss * ps + sx * px))
    period = float(weights @ np.diff(t))
    mean = float(smooth_window(len(u)) @ u)
    return {
        "nu_x": 1.0 - float(tune(u - mean).tune),
        "nu_y": float(tune(v).tune),
        "omega_a": float(weights @ np.diff(phase)) / period,
        "period": period,
        "mean_u": mean,
    }
