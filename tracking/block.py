"""Turns of a block of muons: the loops that `turns.track` compiles, for the CPU and for the GPU.

Full turns run in vector lanes. A muon that stops within the coming turn leaves its block and finishes alone,
piece by piece, with the same steps; the piece in which it stops is crossed to the fraction at which its clock
shows the stop time, with all bends and kicks of the piece scaled: the state has the accuracy of a step of the
scheme everywhere, not only between slices.

The plain functions here are compiled once for each set of options: `runner` fills in the march, the potential
and the addition that they name (``add`` is atomic on a GPU).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.kernel import scalar
from gpu.march import GROUP, WIDTH
from tracking.bunch import State
from tracking.orbit import place

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TWO_PI = 2.0 * math.pi
STORED, DECAYED = int(State.STORED), int(State.DECAYED)
LOST_COLLIMATOR, LOST_WALL = int(State.LOST_COLLIMATOR), int(State.LOST_WALL)

STATE = 8  # columns that move: u, px, v, py, tau, sx, sy, ss; then e, dp, ip, ie, and the stop time
COLUMNS = 13
# A turn lasts at most this much longer than that of the reference: 0.64 % at dp/p = 0.6 %, and the betatron
# motion.
LATE = 1.02
NEWTON = 5  # passes for the fraction at which a muon stops; each gains three digits
FIXED_POINT = 2.0**40  # moments are summed as integers, so that no order of summation matters

# What the runner fills in.
march_block: Any = None
march_one: Any = None
march_part: Any = None
march_row: Any = None
potential: Any = None
scale: Any = None
add: Any = None


class Muons(NamedTuple):
    """Muons in the units of the step."""

    columns: FloatArray  # (COLUMNS, n)
    fate: IntArray  # (n,) State
    turn: IntArray  # (n,) completed turns since the begin of tracking
    theta: FloatArray  # (n,)
    phi: FloatArray  # (n,) potential where the muon stands


class Marks(NamedTuple):
    """Collimators and observers, in order of azimuth."""

    theta: FloatArray  # (m,)
    observer: IntArray  # (m,) number of the observer; -1: collimator
    radius2: FloatArray  # (m,) squared radius of the hole
    station: IntArray  # (m,) stations that lie before it
    fraction: FloatArray  # (m,) place in its piece
    piece_first: IntArray  # (pieces + 1,) first mark of each piece
    side_rows: FloatArray  # (rows, row_length) side tracks from the last station to the marks
    side_kinds: IntArray  # (rows,)
    side_first: IntArray  # (m + 1,) first row of each side track
    guard: FloatArray  # (m, 4) the side track as one bend: angle, sine, cosine; squared radius that is safe then


class Samples(NamedTuple):
    """What observers see."""

    every: int  # turns between samples
    values: FloatArray  # (8, observers, samples, n): state at the observer, tau replaced by time; or size 0
    alive: NDArray[np.bool_]  # (observers, samples, n)
    sums: IntArray  # (blocks, observers, samples of this call, 5): count, x, y, x^2, y^2; or size 0
    first_turn: int  # turn of the first sample in sums


def record(sample, block, observer, i, k, u, px, v, py, t, sx, sy, ss):
    """Keep what an observer sees of one muon in turn k."""
    if k % sample.every == 0:
        row = k // sample.every
        if sample.values.size > 0:
            sample.values[0, observer, row, i] = u
            sample.values[1, observer, row, i] = px
            sample.values[2, observer, row, i] = v
            sample.values[3, observer, row, i] = py
            sample.values[4, observer, row, i] = t
            sample.values[5, observer, row, i] = sx
            sample.values[6, observer, row, i] = sy
            sample.values[7, observer, row, i] = ss
            sample.alive[observer, row, i] = True
        if sample.sums.size > 0:
            row -= sample.first_turn // sample.every
            add(sample.sums, (block, observer, row, 0), 1)
            add(sample.sums, (block, observer, row, 1), int(u * FIXED_POINT))
            add(sample.sums, (block, observer, row, 2), int(v * FIXED_POINT))
            add(sample.sums, (block, observer, row, 3), int(u * u * FIXED_POINT))
            add(sample.sums, (block, observer, row, 4), int(v * v * FIXED_POINT))


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
def outside(u, v, radius2):
    """Whether a muon is outside the hole of a collimator; a number that overflowed is."""
    return not (u * u + v * v <= radius2)


@scalar
def put_lost(muons, i, k, theta, u, px, v, py, tau, sx, sy, ss):
    """Freeze a muon that is outside a hole; if its orbit overflowed, where it was last written."""
    if math.isfinite(u) and math.isfinite(v) and math.isfinite(px + py + tau):
        put(muons, i, LOST_COLLIMATOR, k, theta, 0.0, u, px, v, py, tau, sx, sy, ss)
    else:
        muons.fate[i] = LOST_WALL


def finish(muons, block, i, k, turns, table, parameters, marks, sample, u, px, v, py, tau, sx, sy, ss):
    """Follow one muon alone from the begin of turn k until it stops, is lost, or the turns are over."""
    e = muons.columns[8, i]
    dp = muons.columns[9, i]
    ip = muons.columns[10, i]
    ie = muons.columns[11, i]
    stop = muons.columns[12, i]
    while k < turns:
        for p in range(table.piece_first.size - 1):
            first = table.piece_first[p]
            last = table.piece_first[p + 1]
            angle = TWO_PI * k + table.piece_start[p]
            length = table.piece_start[p + 1] - table.piece_start[p]
            bu, bpx, bv, bpy, btau, bsx, bsy, bss = march_part(
                u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                table.stage_rows, table.stage_kinds, parameters, first, last, 1.0,
            )  # fmt: skip
            until = 2.0
            if btau + e * (angle + length) >= stop:
                pace = 1.0 / (btau - tau + e * length)
                until = min(max((stop - tau - e * angle) * pace, 0.0), 1.0)
                for _ in range(NEWTON):
                    bu, bpx, bv, bpy, btau, bsx, bsy, bss = march_part(
                        u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                        table.stage_rows, table.stage_kinds, parameters, first, last, until,
                    )  # fmt: skip
                    late = btau + e * (angle + length * until) - stop
                    until = min(max(until - late * pace, 0.0), 1.0)
            for m in range(marks.piece_first[p], marks.piece_first[p + 1]):
                if marks.fraction[m] <= until:
                    mu, mpx, mv, mpy, mtau, msx, msy, mss = march_part(
                        u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                        table.stage_rows, table.stage_kinds, parameters, first, last, marks.fraction[m],
                    )  # fmt: skip
                    if marks.observer[m] >= 0:
                        t = mtau + e * (TWO_PI * k + marks.theta[m])
                        record(sample, block, marks.observer[m], i, k, mu, mpx, mv, mpy, t, msx, msy, mss)
                    elif outside(mu, mv, marks.radius2[m]):
                        put_lost(muons, i, k, marks.theta[m], mu, mpx, mv, mpy, mtau, msx, msy, mss)
                        return
            u, px, v, py, tau, sx, sy, ss = bu, bpx, bv, bpy, btau, bsx, bsy, bss
            if until < 2.0:
                phi = 0.0
                if table.stage_kinds[first] & 1 and 0.0 < until < 1.0:
                    phi, _, _ = potential(u, v, march_row(table.stage_rows, first))
                theta = table.piece_start[p] + until * length
                put(muons, i, DECAYED, k, theta, phi, u, px, v, py, tau, sx, sy, ss)
                return
        k += 1
    put(muons, i, STORED, turns, 0.0, 0.0, u, px, v, py, tau, sx, sy, ss)


def on_cpu(first_block, last_block, muons, order, turn, last_turn, turns, table, parameters, marks, sample):
    """March blocks of `WIDTH` muons, listed in ``order``, from one turn to another."""
    scratch = np.empty(COLUMNS * WIDTH)
    side = np.empty(COLUMNS * WIDTH)
    index = np.empty(WIDTH, np.int64)
    for block in range(first_block, last_block):
        count = min(WIDTH, order.size - block * WIDTH)
        load(scratch, index, muons, order, block * WIDTH, count)
        for k in range(turn, last_turn):
            count = take_out_stopping(scratch, index, count, muons, block, k, turns, table, parameters, marks, sample)
            if count == 0:
                break
            lanes = (count + GROUP - 1) // GROUP * GROUP
            station = 0
            for m in range(marks.theta.size):
                if marks.observer[m] < 0 or k % sample.every == 0:
                    march_block(scratch, table.rows, table.kinds, parameters, station, marks.station[m], lanes)
                    station = marks.station[m]
                    if marks.observer[m] < 0:
                        hit = count_outside(scratch, lanes, m, marks)
                        if hit > 0:
                            count = take_out_lost(scratch, side, index, count, muons, k, m, marks, parameters)
                    else:
                        look(scratch, side, index, count, lanes, block, k, m, marks, parameters, sample)
            march_block(scratch, table.rows, table.kinds, parameters, station, table.kinds.size, lanes)
        for j in range(count):
            for c in range(STATE):
                muons.columns[c, index[j]] = scratch[c * WIDTH + j]
            muons.turn[index[j]] = last_turn


@scalar
def empty_lane(scratch, j):
    """Put a muon on the design orbit into a lane, which is tracked and never looked at."""
    for c in range(COLUMNS):
        scratch[c * WIDTH + j] = 0.0
    scratch[8 * WIDTH + j] = 1.0
    scratch[10 * WIDTH + j] = 1.0
    scratch[12 * WIDTH + j] = np.inf


@scalar
def load(scratch, index, muons, order, first, count):
    """Fill the lanes."""
    for j in range(WIDTH):
        empty_lane(scratch, j)
    for j in range(count):
        index[j] = order[first + j]
        for c in range(COLUMNS):
            scratch[c * WIDTH + j] = muons.columns[c, index[j]]


@scalar
def remove(scratch, index, j, count):
    """Free lane j by moving the last one there; returns the number of lanes left."""
    end = count - 1
    for c in range(COLUMNS):
        scratch[c * WIDTH + j] = scratch[c * WIDTH + end]
    index[j] = index[end]
    empty_lane(scratch, end)
    return end


def take_out_stopping(scratch, index, count, muons, block, k, turns, table, parameters, marks, sample):
    """Finish the muons that may stop in turn k, and free their lanes."""
    stopping = 0
    for j in range(WIDTH):
        end = scratch[4 * WIDTH + j] + scratch[8 * WIDTH + j] * (TWO_PI * (k + LATE))
        stopping += 1 if end >= scratch[12 * WIDTH + j] else 0
    if stopping == 0:
        return count
    for j in range(count - 1, -1, -1):
        end = scratch[4 * WIDTH + j] + scratch[8 * WIDTH + j] * (TWO_PI * (k + LATE))
        if end >= scratch[12 * WIDTH + j]:
            finish(
                muons, block, index[j], k, turns, table, parameters, marks, sample,
                scratch[j], scratch[WIDTH + j], scratch[2 * WIDTH + j], scratch[3 * WIDTH + j],
                scratch[4 * WIDTH + j],
                scratch[5 * WIDTH + j], scratch[6 * WIDTH + j], scratch[7 * WIDTH + j],
            )  # fmt: skip
            count = remove(scratch, index, j, count)
    return count


def walk_aside(scratch, side, lanes, m, marks, parameters):
    """Copy the block and march the copy to a mark, so that looking never changes the orbit."""
    for k in range((COLUMNS - 1) * WIDTH):
        side[k] = scratch[k]
    first = marks.side_first[m]
    last = marks.side_first[m + 1]
    march_block(side, marks.side_rows, marks.side_kinds, parameters, first, last, lanes)


def count_outside(scratch, lanes, m, marks):
    """Count lanes that may be outside the hole of a collimator, on one bend instead of the side track."""
    hit = 0
    alpha = marks.guard[m, 0]
    sine = marks.guard[m, 1]
    cosine = marks.guard[m, 2]
    radius2 = marks.guard[m, 3]
    for j in range(lanes):
        u, v = place(
            scratch[j], scratch[WIDTH + j], scratch[2 * WIDTH + j], scratch[3 * WIDTH + j],
            scratch[9 * WIDTH + j], scratch[10 * WIDTH + j], alpha, sine, cosine,
        )  # fmt: skip
        hit += 1 if outside(u, v, radius2) else 0
    return hit


def take_out_lost(scratch, side, index, count, muons, k, m, marks, parameters):
    """Freeze the muons that are outside a collimator's hole, and free their lanes."""
    walk_aside(scratch, side, WIDTH, m, marks, parameters)
    for j in range(count - 1, -1, -1):
        if outside(side[j], side[2 * WIDTH + j], marks.radius2[m]):
            put_lost(
                muons, index[j], k, marks.theta[m],
                side[j], side[WIDTH + j], side[2 * WIDTH + j], side[3 * WIDTH + j],
                side[4 * WIDTH + j], side[5 * WIDTH + j], side[6 * WIDTH + j], side[7 * WIDTH + j],
            )  # fmt: skip
            count = remove(scratch, index, j, count)
    return count


def look(scratch, side, index, count, lanes, block, k, m, marks, parameters, sample):
    """Record what an observer sees of a block."""
    walk_aside(scratch, side, lanes, m, marks, parameters)
    for j in range(count):
        t = side[4 * WIDTH + j] + side[8 * WIDTH + j] * (TWO_PI * k + marks.theta[m])
        record(
            sample, block, marks.observer[m], index[j], k,
            side[j], side[WIDTH + j], side[2 * WIDTH + j], side[3 * WIDTH + j], t,
            side[5 * WIDTH + j], side[6 * WIDTH + j], side[7 * WIDTH + j],
        )  # fmt: skip


def on_gpu(a, muons, order, turn, last_turn, turns, table, parameters, marks, sample):
    """The same for one muon with its state in registers: number ``a`` in the order."""
    i = order[a]
    u = muons.columns[0, i]
    px = muons.columns[1, i]
    v = muons.columns[2, i]
    py = muons.columns[3, i]
    tau = muons.columns[4, i]
    sx = muons.columns[5, i]
    sy = muons.columns[6, i]
    ss = muons.columns[7, i]
    e = muons.columns[8, i]
    dp = muons.columns[9, i]
    ip = muons.columns[10, i]
    ie = muons.columns[11, i]
    stop = muons.columns[12, i]
    for k in range(turn, last_turn):
        if tau + e * (TWO_PI * (k + LATE)) >= stop:
            finish(muons, 0, i, k, turns, table, parameters, marks, sample, u, px, v, py, tau, sx, sy, ss)
            return
        station = 0
        for m in range(marks.theta.size):
            u, px, v, py, tau, sx, sy, ss = march_one(
                u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                table.rows, table.kinds, parameters, station, marks.station[m],
            )  # fmt: skip
            station = marks.station[m]
            if marks.observer[m] < 0 or k % sample.every == 0:
                mu, mpx, mv, mpy, mtau, msx, msy, mss = march_one(
                    u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                    marks.side_rows, marks.side_kinds, parameters,
                    marks.side_first[m], marks.side_first[m + 1],
                )  # fmt: skip
                if marks.observer[m] >= 0:
                    t = mtau + e * (TWO_PI * k + marks.theta[m])
                    record(sample, 0, marks.observer[m], i, k, mu, mpx, mv, mpy, t, msx, msy, mss)
                elif outside(mu, mv, marks.radius2[m]):
                    put_lost(muons, i, k, marks.theta[m], mu, mpx, mv, mpy, mtau, msx, msy, mss)
                    return
        u, px, v, py, tau, sx, sy, ss = march_one(
            u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
            table.rows, table.kinds, parameters, station, table.kinds.size,
        )  # fmt: skip
    put(muons, i, STORED, last_turn, 0.0, 0.0, u, px, v, py, tau, sx, sy, ss)
