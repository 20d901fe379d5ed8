"""Turns of a block of muons: the loops that `turns.track` compiles, for the CPU and for the GPU.

Full turns run in vector lanes. A muon that stops within the coming turn leaves its block and finishes alone,
piece by piece, with the same steps; the piece in which it stops is crossed to the fraction at which its clock
shows the stop time, with all bends and kicks of the piece scaled: the state has the accuracy of a step of the
scheme everywhere, not only between slices.

The plain functions here are compiled once for each set of options: `runner` fills in the march, the potential
and the addition that they name (``add`` is atomic on a GPU).
"""

import math
from typing import Any

import numpy as np

from gpu.kernel import scalar
from gpu.march import GROUP, WIDTH
from tracking.aperture import cross, in_metal, misses, outside, put, put_lost
from tracking.bunch import State
from tracking.orbit import place
from tracking.state import COLUMNS, STATE

TWO_PI = 2.0 * math.pi
STORED, DECAYED = int(State.STORED), int(State.DECAYED)

# A turn lasts at most this much longer than that of the reference: 0.64 % at dp/p = 0.6 %, and the betatron
# motion; 6 % for injected muons that the inflector lets through and no collimator has stopped yet.
LATE = 1.08
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
def first_row(table, k, rows):
    """Where the rows of turn k begin in an array with so many rows a turn."""
    return (k - table.first) * rows if table.turns > 1 else 0


def finish(muons, block, i, k, turns, table, parameters, marks, matter, sample, u, px, v, py, tau, sx, sy, ss):
    """Follow one muon alone from the begin of turn k until it stops, is lost, or the turns are over."""
    e = muons.columns[8, i]
    dp = muons.columns[9, i]
    ip = muons.columns[10, i]
    ie = muons.columns[11, i]
    stop = muons.columns[12, i]
    while k < turns:
        base = first_row(table, k, table.stage_kinds.size)
        for p in range(table.piece_first.size - 1):
            first = table.piece_first[p]
            last = table.piece_first[p + 1]
            angle = TWO_PI * k + table.piece_start[p]
            length = table.piece_start[p + 1] - table.piece_start[p]
            for m in range(marks.piece_first[p], marks.piece_first[p + 1]):
                at_begin = marks.observer[m] < 0 and marks.fraction[m] == 0.0 and angle >= table.entry
                if at_begin and misses(u, v, m, marks):
                    if not in_metal(u, v, m, marks, matter):
                        put_lost(muons, i, k, m, marks, u, px, v, py, tau, sx, sy, ss)
                        return
                    px, py, tau, sx, sy, ss = cross(muons, i, k, angle, m, marks, matter, u, px, v, py, tau, sx, sy, ss)
                    e = muons.columns[8, i]
                    dp = muons.columns[9, i]
                    ip = muons.columns[10, i]
                    ie = muons.columns[11, i]
            bu, bpx, bv, bpy, btau, bsx, bsy, bss = march_part(
                u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                table.stage_rows, table.stage_kinds, parameters, base, first, last, 1.0,
            )  # fmt: skip
            until = 2.0
            if btau + e * (angle + length) >= stop:
                pace = 1.0 / (btau - tau + e * length)
                until = min(max((stop - tau - e * angle) * pace, 0.0), 1.0)
                for _ in range(NEWTON):
                    bu, bpx, bv, bpy, btau, bsx, bsy, bss = march_part(
                        u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                        table.stage_rows, table.stage_kinds, parameters, base, first, last, until,
                    )  # fmt: skip
                    late = btau + e * (angle + length * until) - stop
                    until = min(max(until - late * pace, 0.0), 1.0)
            for m in range(marks.piece_first[p], marks.piece_first[p + 1]):
                seen = marks.fraction[m] <= until and TWO_PI * k + marks.theta[m] >= table.entry
                if seen and (marks.observer[m] >= 0 or marks.fraction[m] > 0.0):
                    mu, mpx, mv, mpy, mtau, msx, msy, mss = march_part(
                        u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                        table.stage_rows, table.stage_kinds, parameters, base, first, last, marks.fraction[m],
                    )  # fmt: skip
                    if marks.observer[m] >= 0:
                        t = mtau + e * (TWO_PI * k + marks.theta[m])
                        record(sample, block, marks.observer[m], i, k, mu, mpx, mv, mpy, t, msx, msy, mss)
                    elif misses(mu, mv, m, marks):
                        put_lost(muons, i, k, m, marks, mu, mpx, mv, mpy, mtau, msx, msy, mss)
                        return
            u, px, v, py, tau, sx, sy, ss = bu, bpx, bv, bpy, btau, bsx, bsy, bss
            if until < 2.0:
                phi = 0.0
                if table.stage_kinds[first] & 1 and 0.0 < until < 1.0:
                    phi, _, _ = potential(u, v, march_row(table.stage_rows, base + first))
                theta = table.piece_start[p] + until * length
                put(muons, i, DECAYED, k, theta, phi, u, px, v, py, tau, sx, sy, ss)
                return
        k += 1
    put(muons, i, STORED, turns, 0.0, 0.0, u, px, v, py, tau, sx, sy, ss)


def on_cpu(first_block, last_block, muons, order, turn, last_turn, turns, table, parameters, marks, matter, sample):
    """March blocks of `WIDTH` muons, listed in ``order``, from one turn to another."""
    scratch = np.empty(COLUMNS * WIDTH)
    side = np.empty(COLUMNS * WIDTH)
    index = np.empty(WIDTH, np.int64)
    for block in range(first_block, last_block):
        count = min(WIDTH, order.size - block * WIDTH)
        load(scratch, index, muons, order, block * WIDTH, count)
        for k in range(turn, last_turn):
            count = take_out_stopping(
                scratch, index, count, muons, block, k, turns, table, parameters, marks, matter, sample
            )
            if count == 0:
                break
            lanes = (count + GROUP - 1) // GROUP * GROUP
            base = first_row(table, k, table.kinds.size)
            station = 0
            for m in range(marks.theta.size):
                wanted = marks.observer[m] < 0 or k % sample.every == 0
                if wanted and TWO_PI * k + marks.theta[m] >= table.entry:
                    march_block(scratch, table.rows, table.kinds, parameters, base, station, marks.station[m], lanes)
                    station = marks.station[m]
                    if marks.observer[m] < 0:
                        hit = count_outside(scratch, lanes, m + first_row(table, k, marks.theta.size), m, marks)
                        if hit > 0:
                            count = take_out_lost(
                                scratch, side, index, count, muons, k, m, table, marks, matter, parameters
                            )
                    else:
                        look(scratch, side, index, count, lanes, block, k, m, table, marks, parameters, sample)
            march_block(scratch, table.rows, table.kinds, parameters, base, station, table.kinds.size, lanes)
        for j in range(count):
            for c in range(STATE):
                muons.columns[c, index[j]] = scratch[c * WIDTH + j]
            muons.turn[index[j]] = last_turn
            muons.theta[index[j]] = 0.0


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


def take_out_stopping(scratch, index, count, muons, block, k, turns, table, parameters, marks, matter, sample):
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
                muons, block, index[j], k, turns, table, parameters, marks, matter, sample,
                scratch[j], scratch[WIDTH + j], scratch[2 * WIDTH + j], scratch[3 * WIDTH + j],
                scratch[4 * WIDTH + j],
                scratch[5 * WIDTH + j], scratch[6 * WIDTH + j], scratch[7 * WIDTH + j],
            )  # fmt: skip
            count = remove(scratch, index, j, count)
    return count


def walk_aside(scratch, side, lanes, k, m, table, marks, parameters):
    """Copy the block and march the copy to a mark, so that looking never changes the orbit."""
    for c in range((COLUMNS - 1) * WIDTH):
        side[c] = scratch[c]
    first = marks.side_first[m]
    last = marks.side_first[m + 1]
    base = first_row(table, k, marks.side_kinds.size)
    march_block(side, marks.side_rows, marks.side_kinds, parameters, base, first, last, lanes)


def count_outside(scratch, lanes, g, m, marks):
    """Count lanes that may be outside an aperture, on one bend instead of the side track."""
    hit = 0
    alpha = marks.guard[g, 0]
    sine = marks.guard[g, 1]
    cosine = marks.guard[g, 2]
    radius2 = marks.guard[g, 3]
    half_x = marks.guard[g, 4]
    half_y = marks.guard[g, 5]
    for j in range(lanes):
        u, v = place(
            scratch[j], scratch[WIDTH + j], scratch[2 * WIDTH + j], scratch[3 * WIDTH + j],
            scratch[9 * WIDTH + j], scratch[10 * WIDTH + j], alpha, sine, cosine,
        )  # fmt: skip
        hit += 1 if outside(u, v, radius2, half_x, half_y) else 0
    return hit


def take_out_lost(scratch, side, index, count, muons, k, m, table, marks, matter, parameters):
    """Freeze the muons that are outside an aperture and free their lanes, or take them through metal or a fibre."""
    walk_aside(scratch, side, WIDTH, k, m, table, marks, parameters)
    for j in range(count - 1, -1, -1):
        if misses(side[j], side[2 * WIDTH + j], m, marks):
            if in_metal(side[j], side[2 * WIDTH + j], m, marks, matter):
                cross_in_lane(scratch, side, index, j, muons, k, m, table, marks, matter, parameters)
            else:
                put_lost(
                    muons, index[j], k, m, marks,
                    side[j], side[WIDTH + j], side[2 * WIDTH + j], side[3 * WIDTH + j],
                    side[4 * WIDTH + j], side[5 * WIDTH + j], side[6 * WIDTH + j], side[7 * WIDTH + j],
                )  # fmt: skip
                count = remove(scratch, index, j, count)
    return count


def cross_in_lane(scratch, side, index, j, muons, k, m, table, marks, matter, parameters):
    """Take the muon of a lane through metal, and back along the side track, which is a bend, to where its lane is."""
    i = index[j]
    px, py, tau, sx, sy, ss = cross(
        muons, i, k, TWO_PI * k + marks.theta[m], m, marks, matter,
        side[j], side[WIDTH + j], side[2 * WIDTH + j], side[3 * WIDTH + j], side[4 * WIDTH + j],
        side[5 * WIDTH + j], side[6 * WIDTH + j], side[7 * WIDTH + j],
    )  # fmt: skip
    base = first_row(table, k, marks.side_kinds.size)
    u, px, v, py, tau, sx, sy, ss = march_part(
        side[j], px, side[2 * WIDTH + j], py, tau, sx, sy, ss,
        muons.columns[8, i], muons.columns[9, i], muons.columns[10, i], muons.columns[11, i],
        marks.side_rows, marks.side_kinds, parameters, base, marks.side_first[m], marks.side_first[m + 1], -1.0,
    )  # fmt: skip
    scratch[j] = u
    scratch[WIDTH + j] = px
    scratch[2 * WIDTH + j] = v
    scratch[3 * WIDTH + j] = py
    scratch[4 * WIDTH + j] = tau
    scratch[5 * WIDTH + j] = sx
    scratch[6 * WIDTH + j] = sy
    scratch[7 * WIDTH + j] = ss
    for c in range(STATE, COLUMNS - 1):
        scratch[c * WIDTH + j] = muons.columns[c, i]


def look(scratch, side, index, count, lanes, block, k, m, table, marks, parameters, sample):
    """Record what an observer sees of a block."""
    walk_aside(scratch, side, lanes, k, m, table, marks, parameters)
    for j in range(count):
        t = side[4 * WIDTH + j] + side[8 * WIDTH + j] * (TWO_PI * k + marks.theta[m])
        record(
            sample, block, marks.observer[m], index[j], k,
            side[j], side[WIDTH + j], side[2 * WIDTH + j], side[3 * WIDTH + j], t,
            side[5 * WIDTH + j], side[6 * WIDTH + j], side[7 * WIDTH + j],
        )  # fmt: skip


def on_gpu(a, muons, order, turn, last_turn, turns, table, parameters, marks, matter, sample):
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
            finish(muons, 0, i, k, turns, table, parameters, marks, matter, sample, u, px, v, py, tau, sx, sy, ss)
            return
        base = first_row(table, k, table.kinds.size)
        aside = first_row(table, k, marks.side_kinds.size)
        station = 0
        for m in range(marks.theta.size):
            u, px, v, py, tau, sx, sy, ss = march_one(
                u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                table.rows, table.kinds, parameters, base, station, marks.station[m],
            )  # fmt: skip
            station = marks.station[m]
            wanted = marks.observer[m] < 0 or k % sample.every == 0
            if wanted and TWO_PI * k + marks.theta[m] >= table.entry:
                mu, mpx, mv, mpy, mtau, msx, msy, mss = march_one(
                    u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
                    marks.side_rows, marks.side_kinds, parameters, aside,
                    marks.side_first[m], marks.side_first[m + 1],
                )  # fmt: skip
                if marks.observer[m] >= 0:
                    t = mtau + e * (TWO_PI * k + marks.theta[m])
                    record(sample, 0, marks.observer[m], i, k, mu, mpx, mv, mpy, t, msx, msy, mss)
                elif misses(mu, mv, m, marks):
                    if not in_metal(mu, mv, m, marks, matter):
                        put_lost(muons, i, k, m, marks, mu, mpx, mv, mpy, mtau, msx, msy, mss)
                        return
                    mpx, mpy, mtau, msx, msy, mss = cross(
                        muons, i, k, TWO_PI * k + marks.theta[m], m, marks, matter,
                        mu, mpx, mv, mpy, mtau, msx, msy, mss,
                    )  # fmt: skip
                    e = muons.columns[8, i]
                    dp = muons.columns[9, i]
                    ip = muons.columns[10, i]
                    ie = muons.columns[11, i]
                    u, px, v, py, tau, sx, sy, ss = march_part(
                        mu, mpx, mv, mpy, mtau, msx, msy, mss, e, dp, ip, ie,
                        marks.side_rows, marks.side_kinds, parameters, aside,
                        marks.side_first[m], marks.side_first[m + 1], -1.0,
                    )  # fmt: skip
        u, px, v, py, tau, sx, sy, ss = march_one(
            u, px, v, py, tau, sx, sy, ss, e, dp, ip, ie,
            table.rows, table.kinds, parameters, base, station, table.kinds.size,
        )  # fmt: skip
    put(muons, i, STORED, last_turn, 0.0, 0.0, u, px, v, py, tau, sx, sy, ss)
