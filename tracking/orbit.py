"""The orbit: exact bend, electrostatic and magnetic kicks, slope correction, each a symplectic flow of plain
numbers.

Independent variable is the azimuth theta. Units: length R0, momentum p0 = e B0 R0, energy p0 c, time R0/c, so
that the uniform field is 1. Coordinates (u, px), (v, py), (t, -e) with u = x/R0, v = y/R0 and e the TOTAL
energy. With the electrostatic potential phi and the kinetic momentum P(e - phi) = sqrt((e - phi)^2 - m^2),

    H = -(1 + u) sqrt(P(e - phi)^2 - px^2 - py^2) + (1 + u)^2 / 2

and e is a constant of the motion by construction, through the edges of the quads too. H is split into

    bend   H at phi = 0: the gyro-centre vector (1 + u - ps, px) turns by the bend angle, exactly;
    kick   (1 + u) (P(e) - P(e - phi)), a function of position only, plus the magnetic map;
    slope  the remainder (1 + u) phi (px^2 + py^2) / (2 beta0 P^2), 1e-5 of the kick but needed to reach 0.1
    ppb.

(Splitting of this kind: J. Laskar, P. Robutel, Celest. Mech. Dyn. Astron. 80, 39 (2001),
doi:10.1023/A:1012098603882.) Square roots are power series of the squared slope, complete to rounding for
slopes below 0.01 (an orbit inside the 45 mm aperture stays below 0.007), written as deficits 1 - sqrt(1 - w)
so that nothing of order one cancels. ``tau`` is c t / R0 - e theta.
"""

from gpu.kernel import scalar


@scalar
def deficit(w):
    """1 - sqrt(1 - w) for a squared slope below 1e-3."""
    return w * (0.5 + w * (0.125 + w * (0.0625 + w * 0.0390625)))


@scalar
def bend(u, px, v, py, tau, e, dp, ip, alpha, sine, cosine):
    """Turn by the azimuth ``alpha`` in the uniform field: exact for any angle, also backwards.

    Parameters
    ----------
    u, px, v, py, tau
        Orbit coordinates.
    e, dp, ip
        Constants of the muon: total energy, momentum less one, inverse momentum outside the quads.
    alpha, sine, cosine
        Azimuth to cross [rad], its sine and cosine.

    Returns
    -------
    u, px, v, tau
        Orbit coordinates after the bend (py is constant).
    chi
        Angle by which the momentum turned in the horizontal plane [rad].
    yaw0, yaw1
        Sine of the horizontal angle between momentum and axis before and after.
    tilt
        Squared vertical slope (py/P)^2.
    """
    p = 1.0 + dp
    slope = px * ip
    lift = py * ip
    tilt = lift * lift
    g = u - dp + p * deficit(slope * slope + tilt)
    px_new = px * cosine - g * sine
    g_new = g * cosine + px * sine
    slope_new = px_new * ip
    u_new = g_new + dp - p * deficit(slope_new * slope_new + tilt)
    stretch = 1.0 + tilt * (0.5 + tilt * (0.375 + tilt * 0.3125))
    yaw0 = slope * stretch
    yaw1 = slope_new * stretch
    gain = arcsine(yaw0) - arcsine(yaw1)
    chi = alpha + gain
    return u_new, px_new, v + py * chi, tau + e * gain, chi, yaw0, yaw1, tilt


@scalar
def arcsine(s):
    """Arcsine of a slope below 0.01."""
    w = s * s
    return s + s * w * (0.16666666666666666 + w * (0.075 + w * 0.044642857142857144))


@scalar
def place(u, px, v, py, dp, ip, alpha, sine, cosine):
    """Position (u, v) after a bend, nothing else: what a collimator asks for."""
    u_new, _, v_new, _, _, _, _, _ = bend(u, px, v, py, 0.0, 0.0, dp, ip, alpha, sine, cosine)
    return u_new, v_new


@scalar
def inside(e, dp, ip, phi):
    """Kinetics at the potential ``phi``: P - P', 1/P' and 1/beta'."""
    q = phi * (2.0 * e - phi) * ip * ip
    loss = (1.0 + dp) * (q * (0.5 + q * (0.125 + q * 0.0625)))
    ip_inside = ip + ip * q * (0.5 + q * (0.375 + q * 0.3125))
    return loss, ip_inside, (e - phi) * ip_inside


@scalar
def electric_kick(u, e, ip, h, loss, slowness, phi_u, phi_v):
    """Kick of length ``h`` [rad] by the potential; returns the changes of (px, py, tau).

    Parameters
    ----------
    u, e, ip
        Radial position and constants of the muon.
    h
        Length of the kick in azimuth [rad].
    loss, slowness
        P - P' and 1/beta' from :func:`inside`.
    phi_u, phi_v
        Gradient of the potential.
    """
    hx = h + h * u
    push = hx * slowness
    return -h * loss - push * phi_u, -push * phi_v, hx * (slowness - e * ip)


@scalar
def slope_step(u, px, v, py, tau, e, ip, half, phi, phi_u, phi_v):
    """Symplectic Euler step of the slope term; the implicit momentum is closed to rounding by two passes.

    Parameters
    ----------
    half
        h / (2 beta0) [rad].
    """
    x1 = 1.0 + u
    ip2 = ip * ip
    k = half * ip2
    ku = k * (phi + x1 * phi_u)
    kv = k * x1 * phi_v
    kf = k * x1 * phi
    square = px * px + py * py
    px1 = px - ku * square
    py1 = py - kv * square
    square = px1 * px1 + py1 * py1
    px1 = px - ku * square
    py1 = py - kv * square
    return (
        u + 2.0 * kf * px1,
        px1,
        v + 2.0 * kf * py1,
        py1,
        tau + 2.0 * kf * e * ip2 * (px1 * px1 + py1 * py1),
    )


@scalar
def corrector(u, v, k):
    """Commutator {{bend, kick}, kick} of a quadrupole, as a potential, and its gradient.

    -k/2 (1 + u)(u^2 + v^2) is the straight quadrupole's; the rest is the curvature of the frame, to first
    order.

    Parameters
    ----------
    k
        Commutator of the scheme times (h g)^2 / (beta P).
    """
    square = u * u
    return (
        -0.5 * k * (square + v * v + u * (3.0 * square + v * v)),
        -k * (u + 4.5 * square + 0.5 * v * v),
        -k * (v + u * v),
    )


@scalar
def quadrupole(u, v, g):
    """Potential -g (u^2 - v^2)/2 and its gradient."""
    gu = g * u
    gv = g * v
    return 0.5 * (gv * v - gu * u), -gu, gv
