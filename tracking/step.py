"""One station of the ring for one muon: bend, then kick, with the spin beside it.

A station is a row of numbers that holds all that depends on the integration scheme: bend angle, kick length,
potential and magnetic map. Which terms exist at all (spin, dipole moment, orders of the series) is fixed when
the step is made, so that the compiler drops what is not there.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from gpu.kernel import scalar
from tracking.orbit import bend, corrector, electric_kick, inside, quadrupole, slope_step
from tracking.spin import corrector_turn, electric_turn, magnetic_turn, small_turn, spin_bend

ORBIT = ("u", "px", "v", "py", "tau")
SPIN = ("sx", "sy", "ss")
CONSTANTS = ("e", "dp", "ip", "ie")

BEND, ELECTRIC, MAGNETIC, PULSED = 0, 1, 2, 4  # kinds of station, added where they stand together
# Columns of a row before the series: angle, its sine and cosine, kick length, corrector, gradient.
HEAD = 6


class Options(NamedTuple):
    """What is compiled into the step."""

    spin: bool = True
    edm: bool = False  # electric dipole moment
    slope: bool = True  # slope term of the quads
    electric: int = 2  # highest order of the quads' potential; 2 means pure quadrupole
    magnetic: int = -1  # highest order of the magnetic map; -1: none
    pulsed: int = -1  # highest order of the kickers' field; -1: no kickers

    @property
    def row_length(self) -> int:
        """Columns of a station's row."""
        return self.pulse_column + (2 + 2 * (self.pulsed + 1) if self.pulsed >= 0 else 0)

    @property
    def pulse_column(self) -> int:
        """First column of a kicker: azimuth since the begin of tracking, number of the kicker, then its series."""
        return HEAD + self.electric_columns + 2 * (self.magnetic + 1)

    @property
    def electric_columns(self) -> int:
        """Columns of the quads' series; a pure quadrupole has its two in the head."""
        return 0 if self.electric == 2 else 2 * self.electric

    @property
    def kinds(self) -> tuple[int, ...]:
        """Kinds of station that can occur."""
        static = (BEND, ELECTRIC) if self.magnetic < 0 else (BEND, MAGNETIC, ELECTRIC + MAGNETIC)
        return static if self.pulsed < 0 else (*static, PULSED + (MAGNETIC if self.magnetic >= 0 else 0))

    @property
    def name(self) -> str:
        """Distinct for distinct options: part of the names of compiled functions."""
        flags = "spin" * self.spin + "edm" * self.edm + "flat" * (not self.slope)
        kicker = f"_k{self.pulsed + 1}" if self.pulsed >= 0 else ""
        return f"{flags}_e{self.electric}_b{self.magnetic + 1}{kicker}"


def _series(name: str, lowest: int, highest: int, column: int, derivative: bool) -> Callable:
    """Unrolled Horner scheme of sum c_n z^(n - lowest), or of its derivative sum n c_n z^(n - 1), as a scalar
    function."""
    power = range(highest, lowest - 1, -1)
    lines = [f"def {name}(u, v, row):"]
    for n in power:
        factor = f"{float(n)} * " if derivative else ""
        re, im = (f"{factor}row[{column + 2 * (n - lowest) + part}]" for part in (0, 1))
        if n == highest:
            lines.append(f"    re, im = {re}, {im}")
        else:
            lines.append(f"    re, im = re * u - im * v + {re}, re * v + im * u + {im}")
    lines.append("    return re, im")
    space: dict[str, Callable] = {}
    exec("\n".join(lines), space)
    return scalar(space[name])


def make_scale(options: Options) -> Callable:
    """Scalar function (row, fraction) -> row of a stage of which only a fraction is crossed.

    Angle, kick length, map and kicker shrink with the fraction f, the commutator of the scheme with f^2.
    """
    series, pulse = HEAD + options.electric_columns, options.pulse_column
    numbers = ["angle", "math.sin(angle)", "math.cos(angle)", "row[3] * f", "row[4] * f * f", "row[5]"]
    numbers += [f"row[{k}]" for k in range(HEAD, series)]
    numbers += [f"row[{k}] * f" for k in range(series, pulse)]
    numbers += [f"row[{k}]" for k in range(pulse, min(pulse + 2, options.row_length))]
    numbers += [f"row[{k}] * f" for k in range(pulse + 2, options.row_length)]
    lines = ["def scale(row, f):", "    angle = row[0] * f", f"    return ({', '.join(numbers)})"]
    space: dict[str, Any] = {"math": math}
    exec("\n".join(lines), space)
    return scalar(space["scale"])


def make_potential(options: Options) -> Callable:
    """Scalar function (u, v, row) -> phi, phi_u, phi_v of one station, without the corrector."""
    if options.electric == 2:

        @scalar
        def pure(u, v, row):
            return quadrupole(u, v, row[5])

        return pure
    value = _series("value", 1, options.electric, HEAD, derivative=False)
    slope = _series("slope", 1, options.electric, HEAD, derivative=True)

    @scalar
    def multipole(u, v, row):
        re, im = value(u, v, row)
        phi_u, minus_phi_v = slope(u, v, row)
        return re * u - im * v, phi_u, -minus_phi_v

    return multipole


def make_map(options: Options) -> Callable:
    """Scalar function (u, v, row) -> by, bx: (1 + u) times the field of the map, integrated over it."""
    return _series("magnetic", 0, options.magnetic, HEAD + options.electric_columns, derivative=False)


def make_pulse(options: Options) -> Callable:
    """Scalar function (u, v, t, row, pulses) -> by, bx of a kicker at the muon's own time.

    As the map: (1 + u) times the field, integrated over the station. The pulses are a table in steps of equal
    length, shape (kickers, samples), straight between samples and zero outside.
    """
    series = _series("pulsed", 0, options.pulsed, options.pulse_column + 2, derivative=False)
    column = options.pulse_column

    @scalar
    def pulse(u, v, t, row, pulses):
        table, begin, per_step = pulses
        last = table.shape[1] - 1
        place = min(max((t - begin) * per_step, 0.0), float(last))
        k = min(int(place), last - 1)
        share = place - k
        number = int(row[column + 1])
        strength = table[number, k] * (1.0 - share) + table[number, k + 1] * share
        by, bx = series(u, v, row)
        return strength * by, strength * bx

    return pulse


def make_cross(options: Options) -> Callable:
    """Scalar function (u, v, ip, row, by, bx) -> the map's part of the commutator {{bend, kick}, kick}.

    For the quadrupole g and W(z) = by + i bx it is the potential k Re(conj(z) W) with k = row[4] / (g P).
    Its gradient comes in two parts, because the spin follows them differently: that of W (as from an
    electric field, which turns spin and momentum alike) and that of conj(z) (as from a magnetic field).

    Returns
    -------
    by_magnetic, bx_magnetic, by_electric, bx_electric
        To be added to the map.
    energy
        The potential itself: it depends on P, which moves the clock.
    """
    if options.magnetic < 1:

        @scalar
        def dipole_cross(u, v, ip, row, by, bx):
            k = row[4] * ip / row[5]
            return 0.0, 0.0, k * by, -k * bx, k * (u * by + v * bx)

        return dipole_cross
    slope = _series("gradient", 1, options.magnetic, HEAD + options.electric_columns + 2, derivative=True)

    @scalar
    def cross(u, v, ip, row, by, bx):
        k = row[4] * ip / row[5]
        re, im = slope(u, v, row)
        return k * (u * re + v * im), k * (u * im - v * re), k * by, -k * bx, k * (u * by + v * bx)

    return cross


def make_steps(options: Options) -> dict[int, Callable]:
    """Scalar step of each kind of station.

    Parameters
    ----------
    options
        What is compiled in.

    Returns
    -------
    dict
        Kind -> function of (state..., constants..., row, parameters) that returns the state, in the order of
        ``ORBIT`` (and ``SPIN``) and ``CONSTANTS``; parameters are (1/(2 beta0), a/m, eta/(2m)) and, with
        kickers, (pulse table, time of its begin, samples per unit of time).
    """
    potential = make_potential(options)
    magnetic, cross = (make_map(options), make_cross(options)) if options.magnetic >= 0 else (None, None)
    pulse = make_pulse(options) if options.pulsed >= 0 else None
    maker = _spin_step if options.spin else _orbit_step
    return {kind: maker(kind, options, potential, magnetic, cross, pulse) for kind in options.kinds}


def _orbit_step(kind: int, options: Options, potential: Callable, field: Any, cross: Any, pulse: Any) -> Callable:
    """Step without spin."""
    has_electric, has_magnetic, has_slope = bool(kind & ELECTRIC), bool(kind & MAGNETIC), options.slope
    has_pulse, clock = bool(kind & PULSED), options.pulse_column

    @scalar
    def step(u, px, v, py, tau, e, dp, ip, ie, row, parameters):
        u, px, v, tau, _, _, _, _ = bend(u, px, v, py, tau, e, dp, ip, row[0], row[1], row[2])
        kick_x = 0.0
        kick_y = 0.0
        late = 0.0
        if has_magnetic:
            by, bx = field(u, v, row)
            if has_electric:
                by_m, bx_m, by_e, bx_e, late = cross(u, v, ip, row, by, bx)
                by = by + by_m + by_e
                bx = bx + bx_m + bx_e
            kick_x = -by
            kick_y = bx
        if has_pulse:
            by_k, bx_k = pulse(u, v, tau + e * row[clock], row, parameters[3])
            kick_x = kick_x - by_k
            kick_y = kick_y + bx_k
        if has_electric:
            base, base_u, base_v = potential(u, v, row)
            extra, extra_u, extra_v = corrector(u, v, row[4] * ip)
            phi = base + extra
            phi_u = base_u + extra_u
            phi_v = base_v + extra_v
            loss, _, slowness = inside(e, dp, ip, phi)
            dx, dy, dt = electric_kick(u, e, ip, row[3], loss, slowness, phi_u, phi_v)
            px = px + (kick_x + dx)
            py = py + (kick_y + dy)
            tau = tau + (dt + e * ip * ip * (late + row[3] * (1.0 + u) * slowness * extra))
            if has_slope:
                half = row[3] * parameters[0]
                u, px, v, py, tau = slope_step(u, px, v, py, tau, e, ip, half, base, base_u, base_v)
        elif has_magnetic or has_pulse:
            px = px + kick_x
            py = py + kick_y
        return u, px, v, py, tau

    return step


def _spin_step(kind: int, options: Options, potential: Callable, field: Any, cross: Any, pulse: Any) -> Callable:
    """Step with spin."""
    has_electric, has_magnetic = bool(kind & ELECTRIC), bool(kind & MAGNETIC)
    has_slope, edm = options.slope, options.edm
    has_pulse, clock = bool(kind & PULSED), options.pulse_column

    @scalar
    def step(u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie, row, parameters):
        am = parameters[1]
        half_eta_m = parameters[2]
        u, px, v, tau, chi, yaw0, yaw1, tilt = bend(u, px, v, py, tau, e, dp, ip, row[0], row[1], row[2])
        sx, sy, ss = spin_bend(sx, sy, ss, py, e, dp, ie, am, half_eta_m, edm, chi, yaw0, yaw1, tilt)
        kick_x = 0.0
        kick_y = 0.0
        late = 0.0
        by = 0.0
        bx = 0.0
        by_e = 0.0
        bx_e = 0.0
        if has_magnetic:
            by, bx = field(u, v, row)
            if has_electric:
                by_m, bx_m, by_e, bx_e, late = cross(u, v, ip, row, by, bx)
                by = by + by_m
                bx = bx + bx_m
        if has_pulse:
            by_k, bx_k = pulse(u, v, tau + e * row[clock], row, parameters[3])
            by = by + by_k
            bx = bx + bx_k
        if has_magnetic or has_pulse:
            kick_x = -(by + by_e)
            kick_y = bx + bx_e
        if has_electric:
            base, base_u, base_v = potential(u, v, row)
            extra, extra_u, extra_v = corrector(u, v, row[4] * ip)
            phi = base + extra
            phi_u = base_u + extra_u
            phi_v = base_v + extra_v
            loss, ip_inside, slowness = inside(e, dp, ip, phi)
            dx, dy, dt = electric_kick(u, e, ip, row[3], loss, slowness, phi_u, phi_v)
            kick_x = kick_x + dx
            kick_y = kick_y + dy
            tau = tau + (dt + e * ip * ip * (late + row[3] * (1.0 + u) * slowness * extra))
        if has_electric or has_magnetic or has_pulse:
            mid_x = px + 0.5 * kick_x
            mid_y = py + 0.5 * kick_y
            wx = 0.0
            wy = 0.0
            ws = 0.0
            if has_electric:
                wx, wy, ws = electric_turn(
                    u, mid_x, mid_y, e, dp, ip, ie, am, row[3], phi, phi_u, phi_v, loss, ip_inside, slowness
                )
                wy = wy + corrector_turn(u, v, e, ie, am, row[3], row[4] * ip)
                if edm:
                    pull = half_eta_m * row[3] * (1.0 + u) * slowness
                    wx = wx + pull * phi_u
                    wy = wy + pull * phi_v
            if has_magnetic or has_pulse:
                mx, my, ms = magnetic_turn(mid_x, mid_y, e, ip, ie, am, bx, by)
                wx = wx + mx
                wy = wy + my
                ws = ws + ms
                if has_electric:
                    wx = wx - (am + ie) * bx_e
                    wy = wy - (am + ie) * by_e
                if edm:
                    wx = wx + half_eta_m * by
                    wy = wy - half_eta_m * bx
            sx, sy, ss = small_turn(sx, sy, ss, wx, wy, ws)
            px = px + kick_x
            py = py + kick_y
        if has_electric and has_slope:
            half = row[3] * parameters[0]
            u, px, v, py, tau = slope_step(u, px, v, py, tau, e, ip, half, base, base_u, base_v)
        return u, px, v, py, tau, sx, sy, ss

    return step
