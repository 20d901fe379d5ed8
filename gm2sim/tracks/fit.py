"""Least squares fit of tracks through the field map, with scattering, unknown sides of wires, and outliers.

Own, and small, as no library in Python fits straws in a field map: generic packages (GENFIT, ACTS) are C++. Six
parameters and up to 40 distances of one dimension need no Kalman filter: scattering enters the covariance of the hits,
which gives the same estimate as a filter with process noise (R. Fruehwirth, NIM A 262, 444 (1987)), and one Cholesky
decomposition of it. Sides of the wires are found by annealing (R. Fruehwirth, A. Strandlie, Comput. Phys. Commun. 120,
197 (1999)): while the errors are large each hit lies between both its places, by their probabilities.
"""

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.straw_crossings import wire_approach, wire_number
from detectors.straws import WIRES, Stations, StrawTables
from fields.total import FieldTables
from gm2sim.tracks.algebra import factorise, solve_lower, solve_upper
from gm2sim.tracks.drift import DriftTable
from gm2sim.tracks.finding import Candidates, Islands, Ordered
from gm2sim.tracks.path import PARAMETERS, Work, bend_at, follow, move, start_in_ring
from gm2sim.tracks.residuals import SAME_ERRORS, Fitted, apply_changes, hit_covariance, improve, settle, weigh
from gm2sim.tracks.settings import TrackSettings
from gpu.kernel import Kernel, scalar

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_STAGES, _HOTTEST, _COOLING = 6, 1.5e-3, 0.55  # annealing: added to the errors of hits [m]
_ROUNDS = 16  # of the fit itself, with outliers
_DAMPED = 8  # rounds after which half of each change is made
_FIRST_ROUNDS = 3  # in which the derivatives are made anew
_STILL, _CALM = 1e-4, 0.03  # changes of the parameters, in their errors, that end a fit; that are good enough at last
_WIRE_SIGMA = 1.5e-3  # of the wires about the track in the start values: radius / sqrt 3 [m]
_MEAN_BEND, _BEND_SIGMA = -0.3, 0.3  # of x(z) in the start values [1/m]
_HEIGHT_SIGMA, _RISE_SIGMA = 0.025, 0.02  # of y [m] and dy/dz: the beam is flat
_MEAN_DRIFT = 23e-9  # half of the longest drift [s]
_INSIDE = 4e-4  # from the wall of a straw that a track certainly crosses [m]
# Sizes of the steps of derivatives: x, y [m], slopes, 1/p [c/GeV].
_DX, _DS, _DQ = 2e-4, 2e-4, 2e-3


class Status(IntEnum):
    """How a fit ended."""

    FITTED = 0
    FEW = 1  # too few hits from the beginning, or left
    FAILED = 2  # no track to follow, or no end


_FITTED, _FEW, _FAILED = (int(status) for status in Status)


class _Limits(NamedTuple):
    step: float  # [m]
    outlier: float
    least_hits: int
    scattering: int  # 1 or 0


@scalar(inline=False)
def start_values(i: int, n: int, z: float, s: int, work: Work, out: Fitted, fields: FieldTables, radius: float,
                 straws: StrawTables) -> int:  # fmt: skip
    """Start from a parabola x(z) and a line y(z) through the wires themselves; return 0 if there is none."""
    for r in range(5):
        work.right[i, r, 0] = 0.0
        for c in range(5):
            work.normal[i, r, c] = 0.0
    for k in range(n):
        row, wire = work.layer[i, k], work.wire[i, k]
        lean = straws.layers[s, row, 6] / straws.layers[s, row, 7]
        zeta = straws.layers[s, row, 2] + wire * straws.layers[s, row, 5] - z
        at = straws.layers[s, row, 0] + wire * straws.layers[s, row, 3]
        at -= lean * (straws.layers[s, row, 1] + wire * straws.layers[s, row, 4])
        # x - lean y of the track is that of the wire.
        one, two, three, four, five = 1.0, zeta, 0.5 * zeta * zeta, -lean, -lean * zeta
        work.slopes[i, k, 0], work.slopes[i, k, 1], work.slopes[i, k, 2] = one, two, three
        work.slopes[i, k, 3], work.slopes[i, k, 4] = four, five
        for r in range(5):
            scaled = work.slopes[i, k, r] / (_WIRE_SIGMA * _WIRE_SIGMA)
            work.right[i, r, 0] += scaled * at
            for c in range(r + 1):
                work.normal[i, r, c] += scaled * work.slopes[i, k, c]
    work.normal[i, 2, 2] += 1.0 / (_BEND_SIGMA * _BEND_SIGMA)
    work.right[i, 2, 0] += _MEAN_BEND / (_BEND_SIGMA * _BEND_SIGMA)
    work.normal[i, 3, 3] += 1.0 / (_HEIGHT_SIGMA * _HEIGHT_SIGMA)
    work.normal[i, 4, 4] += 1.0 / (_RISE_SIGMA * _RISE_SIGMA)
    if factorise(i, 5, work.normal) == 0:
        return 0
    solve_lower(i, 5, work.normal, work.right, 0, 1)
    solve_upper(i, 5, work.normal, work.right, 0, 1)
    x, tx, bend, y, ty = (
        work.right[i, 0, 0], work.right[i, 1, 0], work.right[i, 2, 0], work.right[i, 3, 0], work.right[i, 4, 0],
    )  # fmt: skip
    gx, gy, gz, dx, dy, dz = start_in_ring(x, y, tx, ty, z, s, straws)
    kx, ky, kz = bend_at(gx, gy, gz, dx, dy, dz, 1.0, 0.0, radius, fields)
    steep = 1.0 + tx * tx
    q = max(-bend, 0.05) / (math.sqrt(kx * kx + ky * ky + kz * kz) * steep * math.sqrt(steep))
    out.values[i, 0], out.values[i, 1], out.values[i, 2], out.values[i, 3] = x, y, tx, ty
    out.values[i, 4] = min(max(q, 0.3), 4.0)
    mean = 0.0
    for k in range(n):
        mean += work.time[i, k] / n
    out.values[i, 5] = mean - _MEAN_DRIFT
    return 1


@scalar(inline=False)
def follow_all(i: int, n: int, derive: int, fresh: int, s: int, work: Work, out: Fitted, fields: FieldTables,
               radius: float, straws: StrawTables, longest: float) -> int:  # fmt: skip
    """Follow the track, and with `derive` 1 its neighbours in five parameters; return 0 where one turns away."""
    v, z = out.values, out.z[i]
    x, y, tx, ty, q, t = v[i, 0], v[i, 1], v[i, 2], v[i, 3], v[i, 4], v[i, 5]
    for j in range(-1, PARAMETERS - 1 if derive > 0 else 0):
        size = _DX if j < 2 else (_DS if j < 4 else _DQ)
        done = follow(
            i, n, j, size, x + (size if j == 0 else 0.0), y + (size if j == 1 else 0.0),
            tx + (size if j == 2 else 0.0), ty + (size if j == 3 else 0.0), q + (size if j == 4 else 0.0), t,
            z, s, fresh, work, fields, radius, straws, longest,
        )  # fmt: skip
        if done == 0:
            return 0
    return 1


@scalar(inline=False)
def anneal(i: int, n: int, s: int, work: Work, out: Fitted, fields: FieldTables, radius: float, straws: StrawTables,
           drift: DriftTable, limits: _Limits) -> int:  # fmt: skip
    """Fit with errors that fall; return 0 where no track can be followed. Weights become 1 or 0."""
    heat = _HOTTEST
    for stage in range(_STAGES):
        if follow_all(i, n, (stage + 1) % 2, 1, s, work, out, fields, radius, straws, limits.step) == 0:
            return 0
        weigh(i, n, out.values[i, 5], out.values[i, 4], heat, 0, work, drift)
        if hit_covariance(i, n, out.values[i, 4], limits.scattering, work) == 0 or improve(i, n, 1, work, out) < 0.0:
            return 0
        settle(i, n, 0, work)
        apply_changes(i, 1.0, work, out)
        heat *= _COOLING
    for k in range(n):
        work.weight[i, k] = 1.0 if work.weight[i, k] > 0.5 else 0.0
    return 1


@scalar(inline=False)
def count_kept(i: int, n: int, work: Work) -> int:
    """Return how many hits count."""
    kept = 0
    for k in range(n):
        kept += 1 if work.weight[i, k] > 0.5 else 0
    return kept


@scalar(inline=False)
def count_missed(i: int, n: int, s: int, first: int, last: int, hits: Ordered, work: Work, out: Fitted,
                 fields: FieldTables, radius: float, straws: StrawTables, longest: float) -> int:  # fmt: skip
    """Count the layers whose straws the track crosses, and those of them without any hit of the island."""
    v = out.values
    x, y, z, dx, dy, dz = start_in_ring(v[i, 0], v[i, 1], v[i, 2], v[i, 3], out.z[i], s, straws)
    near = 0
    ox, oz = straws.frames[s, 0], straws.frames[s, 1]
    ax, az, bx, bz = straws.frames[s, 2], straws.frames[s, 3], straws.frames[s, 4], straws.frames[s, 5]
    for layer in range(work.layer[i, 0] + 1, work.layer[i, n - 1]):
        while near < n - 1 and work.layer[i, near + 1] <= layer:
            near += 1
        for _ in range(3):  # layers are at most 110 mm apart
            along = dx * bx + dz * bz
            h = min((straws.layers[s, layer, 2] - (x - ox) * bx - (z - oz) * bz) / along, longest)
            x, y, z, dx, dy, dz = move(x, y, z, dx, dy, dz, v[i, 4], 0.0, h, radius, fields)
        xs, zs = (x - ox) * ax + (z - oz) * az, (x - ox) * bx + (z - oz) * bz
        ds, dn = dx * ax + dz * az, dx * bx + dz * bz
        xs += work.shift[i, near]
        at, _, _ = wire_number(xs, y, zs, ds, dy, dn, s, layer, straws)
        wire = int(min(max(math.floor(at + 0.5), 0.0), WIRES - 1.0))
        _, distance, height, _ = wire_approach(xs, y, zs, ds, dy, dn, 0.0, 0.0, 0.0, s, layer, wire, straws)
        if abs(distance) > straws.gas_radius - _INSIDE or abs(height) > straws.layers[s, layer, 9] - _INSIDE:
            continue
        out.crossed[i] += 1
        seen = 0
        for k in range(first, last):
            if hits.layer[k] == layer and hits.channel[k] % WIRES == wire:
                seen = 1
        out.missed[i] += 1 - seen
    return 1


@Kernel
def _fit(
    i: int,
    candidates: Candidates,
    hits: Ordered,
    islands: Islands,
    work: Work,
    out: Fitted,
    fields: FieldTables,
    radius: float,
    straws: StrawTables,
    drift: DriftTable,
    limits: _Limits,
) -> None:
    n, s = candidates.hits[i], candidates.station[i]
    out.status[i] = _FEW
    if n < limits.least_hits:
        return
    for k in range(n):
        row = candidates.hit[i, k]
        work.layer[i, k], work.wire[i, k] = hits.layer[row], hits.channel[row] % WIRES
        work.time[i, k] = hits.time[row]
    out.status[i] = _FAILED
    out.z[i] = straws.layers[s, work.layer[i, 0], 2]
    if start_values(i, n, out.z[i], s, work, out, fields, radius, straws) == 0:
        return
    if anneal(i, n, s, work, out, fields, radius, straws, drift, limits) == 0:
        return
    for turn in range(_ROUNDS):
        kept = count_kept(i, n, work)
        if kept < limits.least_hits:
            out.status[i] = _FEW
            return
        derive = 1 if turn < _FIRST_ROUNDS else 0
        if (
            follow_all(i, n, derive, 1 if turn < SAME_ERRORS else 0, s, work, out, fields, radius, straws, limits.step)
            == 0
        ):
            return
        weigh(i, n, out.values[i, 5], out.values[i, 4], 0.0, turn, work, drift)
        if hit_covariance(i, n, out.values[i, 4], limits.scattering, work) == 0:
            return
        out.chi2[i] = improve(i, n, 0, work, out)
        if out.chi2[i] < 0.0:
            return
        worst, most = settle(i, n, 1 if turn > 0 else 0, work)
        largest = apply_changes(i, 1.0 if turn < _DAMPED else 0.5, work, out)
        out.rounds[i] = turn + 1
        if most > limits.outlier and largest < 1.0:
            work.weight[i, worst] = 0.0
        out.status[i] = _FITTED if largest < _CALM and most <= limits.outlier else _FAILED
        if largest < _STILL and out.status[i] == _FITTED and turn > 0:
            break
    first, last = islands.first[candidates.island[i]], islands.last[candidates.island[i]]
    if out.status[i] == _FITTED:
        count_missed(i, n, s, first, last, hits, work, out, fields, radius, straws, limits.step)
    out.ndf[i] = count_kept(i, n, work) - PARAMETERS
    for r in range(PARAMETERS):
        for c in range(PARAMETERS):
            out.covariance[i, r, c] = work.right[i, r, c]


def fit_candidates(
    candidates: Candidates,
    hits: Ordered,
    islands: Islands,
    fields: FieldTables,
    stations: Stations,
    settings: TrackSettings,
    backend: str = "cpu",
) -> tuple[Fitted, Work]:
    """Fit tracks to the hits of candidates; parameters as in `gm2sim.tracks.reconstruct.find_and_fit`.

    Returns
    -------
    Fitted, Work
        Of the n candidates, and of their hits.
    """
    n = candidates.hits.size
    work, out = Work.empty(n), Fitted.empty(n)
    limits = _Limits(settings.fit_step, settings.outlier, settings.least_hits, int(settings.scattering))
    radius = stations.geometry.ring.radius
    _fit(n, candidates, hits, islands, work, out, fields, radius, stations.tables(), settings.drift, limits,
         backend=backend)  # fmt: skip
    return out, work
