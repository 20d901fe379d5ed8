"""The spin: Thomas-BMT rotation of the rest-frame spin, with components along the local (x, y, s) axes.

    dS/dt = Omega x S,  Omega = -(q/m) [(a + 1/g) B - a g/(g+1) (beta.B) beta - (a + 1/(g+1)) beta x E/c
                                        + (eta/2) (E/c + beta x B)]

(V. Bargmann, L. Michel, V. L. Telegdi, Phys. Rev. Lett. 2, 435 (1959), doi:10.1103/PhysRevLett.2.435; the
last term is an electric dipole moment.) Units as in :mod:`tracking.orbit`.
"""

import math

from gpu.kernel import scalar
from tracking.orbit import deficit


@scalar
def turn(sx, sy, ss, wx, wy, ws):
    """Rotate the spin by the vector w, |w| below 0.05 rad, exactly to rounding."""
    w2 = wx * wx + wy * wy + ws * ws
    a = 1.0 - w2 * (0.16666666666666666 - w2 * (0.008333333333333333 - w2 * 1.984126984126984e-4))
    b = 0.5 - w2 * (0.041666666666666664 - w2 * (1.388888888888889e-3 - w2 * 2.48015873015873e-5))
    cx = wy * ss - ws * sy
    cy = ws * sx - wx * ss
    cs = wx * sy - wy * sx
    dx = wy * cs - ws * cy
    dy = ws * cx - wx * cs
    ds = wx * cy - wy * cx
    return sx + (a * cx + b * dx), sy + (a * cy + b * dy), ss + (a * cs + b * ds)


@scalar
def small_turn(sx, sy, ss, wx, wy, ws):
    """Rotate the spin by the vector w, |w| below 1e-3 rad (Cayley form)."""
    tx, ty, ts = 0.5 * wx, 0.5 * wy, 0.5 * ws
    t2 = tx * tx + ty * ty + ts * ts
    c = 2.0 - 2.0 * t2 * (1.0 - t2)
    cx = sx + (ty * ss - ts * sy)
    cy = sy + (ts * sx - tx * ss)
    cs = ss + (tx * sy - ty * sx)
    return sx + c * (ty * cs - ts * cy), sy + c * (ts * cx - tx * cs), ss + c * (tx * cy - ty * cx)


@scalar
def level_turn(sx, sy, ss, wy, ws):
    """As :func:`turn` for wx = 0: the only component that needs an electric dipole moment."""
    w2 = wy * wy + ws * ws
    a = 1.0 - w2 * (0.16666666666666666 - w2 * (0.008333333333333333 - w2 * 1.984126984126984e-4))
    b = 0.5 - w2 * (0.041666666666666664 - w2 * (1.388888888888889e-3 - w2 * 2.48015873015873e-5))
    cx = wy * ss - ws * sy
    cy = ws * sx
    cs = wy * sx
    return sx - (b * w2 * sx - a * cx), sy + (a * cy + b * (ws * cx)), ss - (a * cs + b * (wy * cx))


@scalar
def spin_bend(sx, sy, ss, py, e, dp, ie, am, half_eta_m, edm, chi, yaw0, yaw1, tilt):
    """Spin through a bend: exact for any angle.

    Momentum and spin turn by the same angle; in the frame of the momentum only the anomalous part is left, a
    rotation by the constant vector -chi [a g y - a g^2/(g+1) beta_y beta + (eta/2) g beta x y].

    Parameters
    ----------
    py, e, dp
        Vertical momentum and constants of the muon.
    ie
        1 / (e + m).
    am, half_eta_m
        a / m and eta / (2 m).
    edm
        Whether eta counts; a constant of the compiler.
    chi, yaw0, yaw1, tilt
        From :func:`tracking.orbit.bend`.
    """
    c0 = 1.0 - deficit(yaw0 * yaw0)
    c1 = 1.0 - deficit(yaw1 * yaw1)
    qx = c0 * sx - yaw0 * ss
    qs = yaw0 * sx + c0 * ss
    turned = chi * am
    pt = (1.0 + dp) * (1.0 - deficit(tilt))
    lean = turned * ie * py
    wy = lean * py - turned * e
    if edm:
        qx, qy, qs = turn(qx, sy, qs, chi * half_eta_m * pt, wy, lean * pt)
    else:
        qx, qy, qs = level_turn(qx, sy, qs, wy, lean * pt)
    return c1 * qx + yaw1 * qs, qy, c1 * qs - yaw1 * qx


@scalar
def electric_turn(u, px, py, e, dp, ip, ie, am, h, phi, phi_u, phi_v, loss, ip_inside, slowness):
    """Rotation vector of the spin in a kick of length ``h`` [rad] by the quads.

    Holds the turn by the transverse field, the dipole field acting on the smaller momentum inside the quad,
    and the longitudinal field at the two edges: the integral of F'(theta) phi p over an edge profile F is
    moved by parts to the inside of the quad, which is exact for any shape of the fringe.

    Parameters
    ----------
    u, px, py
        Radial position and momenta of mid-kick.
    e, dp, ip, ie, am
        Constants of the muon, see :func:`spin_bend`.
    phi, phi_u, phi_v
        Potential and its gradient.
    loss, ip_inside, slowness
        From :func:`tracking.orbit.inside`.
    """
    x1 = 1.0 + u
    square = px * px + py * py
    w = square * ip_inside * ip_inside
    ips = ip_inside + ip_inside * (w * (0.5 + w * 0.375))
    along = x1 * ips
    strength = h * (am + ie + phi * ie * ie)
    # Rates of phi, px and py along the orbit inside the quad.
    climb = along * (phi_u * px + phi_v * py)
    force = along * (e - phi)
    rate_x = dp - loss - u - 0.5 * square - force * phi_u
    rate_y = -force * phi_v
    slower = am * (slowness - e * ip) + (ip_inside - ip)
    wx = strength * (x1 * phi_v + ips * (py * climb + phi * rate_y))
    wy = -strength * (x1 * phi_u + ips * (px * climb + phi * rate_x)) - h * x1 * (slower + 1.5 * square * slower)
    ws = strength * along * (py * phi_u - px * phi_v)
    return wx, wy, ws


@scalar
def corrector_turn(u, v, e, ie, am, h, k):
    """Vertical part of the spin's rotation in the commutator {{bend, kick}, kick} of a quadrupole.

    In a bend the spin gains -a g (1 + u)/ps (1 - g/(g+1) beta_y^2) a radian on the momentum; its second
    derivatives in px and py stand where those of the bend's Hamiltonian stand in the orbit's commutator.

    Parameters
    ----------
    h, k
        Length of the kick [rad] and strength of the commutator, see :func:`tracking.orbit.corrector`.
    """
    return 0.5 * h * k * am * e * (u * u - (2.0 * e * ie - 1.0) * (v * v))


@scalar
def magnetic_turn(px, py, e, ip, ie, am, bx, by):
    """Rotation vector of the spin in a kick by the magnetic map, with the momenta of mid-kick.

    Parameters
    ----------
    bx, by
        (1 + u) times the field, integrated over the kick.
    """
    ips = ip + 0.5 * ip * ip * ip * (px * px + py * py)
    rate = -(am * e + 1.0) * ips
    return rate * bx, rate * by, am * ie * (px * bx + py * by)


@scalar
def phase(sx, ss, px, ps):
    """Angle from the horizontal projection of the momentum to that of the spin [rad], in (-pi, pi].

    It grows when the spin runs ahead of the momentum in the direction in which the muons circle (from s
    towards -x). Unwrapped over the turns its mean slope is omega_a.
    """
    return math.atan2(px * ss - sx * ps, ss * ps + sx * px)
