"""A muon at an aperture or harp: whether it meets metal or a fibre, what that does, and how it is written down."""

import math

from gpu.kernel import scalar
from gpu.rng import Stage
from tracking.bunch import State
from tracking.matter import after_matter, after_metal
from tracking.state import HARP, PLATES

LOST_COLLIMATOR, LOST_WALL = int(State.LOST_COLLIMATOR), int(State.LOST_WALL)
LOST_PLATE, LOST_MAP = int(State.LOST_PLATE), int(State.LOST_MAP)
_HARP_STAGE = int(Stage.HARP_SCATTERING)
_FAR = 0.1  # 0.7 m from the design orbit, in the units of the tracker: the series of the fields mean nothing there


@scalar
def put(muons, i, fate, k, theta, phi, u, px, v, py, tau, sx, sy, ss):
    """Write a muon back."""
    muons.columns[0, i] = u
    muons.columns[1, i] = px
    muons.columns[2, i] = v
    muons.columns[3, i] = py
    muons.columns[4, i] = tau
    muons.columns[5, i] = sx
    muons.columns[6, i] = sy
    muons.columns[7, i] = ss
    muons.fate[i] = fate
    muons.turn[i] = k
    muons.theta[i] = theta
    muons.phi[i] = phi


@scalar
def outside(u, v, radius2, half_x, half_y):
    """Whether a muon is outside an aperture; a number that overflowed is."""
    return not (u * u + v * v <= radius2 and abs(u) <= half_x and abs(v) <= half_y)


@scalar
def nearest_fibre(u, v, m, marks):
    """Number of the fibre of a harp that is nearest, from 0, and how far beside its middle the muon is."""
    beside = marks.beside[m]
    across = u if marks.upright[m] > 0.0 else v
    fibre = min(max(math.floor(across / marks.pitch[m] + 0.5), -beside), beside)
    return int(fibre + beside), across - fibre * marks.pitch[m]


@scalar
def misses(u, v, m, marks):
    """Whether a muon is outside the aperture of a mark; the open side of a half collimator takes none.

    At a harp, whether it meets a fibre.
    """
    if marks.pitch[m] > 0.0:
        _, away = nearest_fibre(u, v, m, marks)
        return away * away < marks.radius2[m] and abs(u) <= marks.half_x[m] and abs(v) <= marks.half_y[m]
    return not marks.side[m] * u < 0.0 and outside(u, v, marks.radius2[m], marks.half_x[m], marks.half_y[m])


@scalar
def in_metal(u, v, m, marks, matter):
    """Whether a muon that misses an aperture goes through metal there and on; through a fibre it does."""
    if marks.pitch[m] > 0.0:
        return True
    return matter.on > 0 and marks.thickness[m] > 0.0 and u * u + v * v <= marks.outer2[m]


@scalar
def put_lost(muons, i, k, m, marks, u, px, v, py, tau, sx, sy, ss):
    """Freeze a muon that is outside an aperture; if its orbit has left all range, where it was last written."""
    near = abs(u) < _FAR and abs(v) < _FAR and abs(px) < 1.0 and abs(py) < 1.0
    if near and math.isfinite(tau + sx + sy + ss):
        fate = LOST_COLLIMATOR
        if marks.observer[m] == PLATES:
            fate = LOST_PLATE if abs(u) > marks.half_x[m] or abs(v) > marks.half_y[m] else LOST_MAP
        put(muons, i, fate, k, marks.theta[m], 0.0, u, px, v, py, tau, sx, sy, ss)
    else:
        muons.fate[i] = LOST_WALL


@scalar
def put_constants(muons, i, e, dp, ip, ie):
    """Write back what matter has changed."""
    muons.columns[8, i] = e
    muons.columns[9, i] = dp
    muons.columns[10, i] = ip
    muons.columns[11, i] = ie


@scalar(inline=False)
def cross_fibre(muons, i, k, angle, m, marks, matter, u, px, v, py, tau, sx, sy, ss):
    """Take a muon through the fibre of a harp, and write down when and where."""
    e = muons.columns[8, i]
    harp = HARP - marks.observer[m]
    fibre, away = nearest_fibre(u, v, m, marks)
    path = 2.0 * math.sqrt(marks.radius2[m] - away * away) * matter.r0
    row = min(k - matter.first, matter.fibre.shape[0] - 1)
    matter.fibre[row, harp, i] = fibre + 1
    matter.time[row, harp, i] = tau + e * angle
    matter.path[row, harp, i] = path
    # Numbered by turn and place: what happens in fibres leaves the random numbers of the collimators alone.
    crossing = (matter.before + k) * matter.fibre.shape[1] + harp
    px, py, sx, sy, ss, new_e, dp, ip, ie = after_matter(
        px, py, sx, sy, ss, e, path, matter.plastic, matter.p0, muons.number[i], crossing, matter.key, _HARP_STAGE
    )
    put_constants(muons, i, new_e, dp, ip, ie)
    return px, py, tau + (e - new_e) * angle, sx, sy, ss


@scalar
def cross(muons, i, k, angle, m, marks, matter, u, px, v, py, tau, sx, sy, ss):
    """Take a muon through the metal or the fibre of a mark in turn k; its clock shows the same.

    ``angle`` is the azimuth since the begin.
    """
    if marks.pitch[m] > 0.0:
        return cross_fibre(muons, i, k, angle, m, marks, matter, u, px, v, py, tau, sx, sy, ss)
    e = muons.columns[8, i]
    crossing = muons.crossings[i]
    px, py, sx, sy, ss, new_e, dp, ip, ie = after_metal(
        px, py, sx, sy, ss, e, marks.thickness[m], matter.metal, matter.p0, muons.number[i], crossing, matter.key
    )
    put_constants(muons, i, new_e, dp, ip, ie)
    muons.crossings[i] = crossing + 1
    return px, py, tau + (e - new_e) * angle, sx, sy, ss
