"""The magnetic map shared among the kicks of the pieces."""

import math

import numpy as np
from numpy.typing import NDArray

from fields.ring import R_REFERENCE
from fields.storage import StorageField
from tracking.muon import Reference
from tracking.pieces import Piece

FloatArray = NDArray[np.float64]
TWO_PI = 2.0 * math.pi


def deposit(pieces: list[Piece], storage: StorageField, ref: Reference, order: int) -> None:
    """Share the magnetic map among the kicks.

    Each piece gives its own mean to its kicks by the weights of the scheme, so that a constant field is
    integrated to the order of the scheme; what is left is shared by hats over the kicks nearest on either
    side (never sampled at points: that aliases, by 200 ppb). The sum over all kicks is the integral of the
    map.

    The kicks need (1 + u)(B_y + i B_x). With multipoles of B on the midplane it continues as (1 + z) sum c_n
    z^n.
    """
    cells = [piece for piece in pieces if piece.kicks]
    nodes = np.concatenate([piece.nodes for piece in cells])
    means = [storage.integral(piece.start, piece.end) / piece.length for piece in cells]
    ripple = storage.hat_deposit(nodes) - _hat_deposit_of_steps(nodes, cells, means)
    scale = (ref.r0 / R_REFERENCE) ** np.arange(storage.order + 1) / ref.b0
    k = 0
    for piece, mean in zip(cells, means, strict=True):
        for weight in piece.kicks:
            c = np.zeros(order + 1, dtype=np.complex128)
            known = ((weight * piece.length * mean + ripple[k]) * scale)[: order + 1]
            c[: known.size] = known
            c[0] -= weight * piece.length
            piece.maps.append(curved(c))
            k += 1


def curved(c: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Series (1 + z) sum c_n z^n of (1 + u)(B_y + i B_x), cut at its order, from the multipoles of the midplane."""
    w = c.copy()
    w[1:] += c[:-1]
    return w


def _hat_deposit_of_steps(
    nodes: FloatArray, cells: list[Piece], means: list[NDArray[np.complex128]]
) -> NDArray[np.complex128]:
    """Hat deposit of the field that is constant in each piece."""
    order = np.argsort(nodes)
    knots = np.concatenate(([nodes[order[-1]] - TWO_PI], nodes[order], [nodes[order[0]] + TWO_PI]))
    result = np.zeros((nodes.size, means[0].size), dtype=np.complex128)
    for position, k in enumerate(order):
        left, middle, right = knots[position : position + 3]
        for shift in (-TWO_PI, 0.0, TWO_PI):
            for cell, mean in zip(cells, means, strict=True):
                a, b = cell.start + shift, cell.end + shift
                share = 0.0
                for lo, hi, foot in ((left, middle, left), (middle, right, right)):
                    x0, x1 = max(a, lo), min(b, hi)
                    if x1 > x0:
                        share += (x1 - x0) * abs(0.5 * (x0 + x1) - foot) / (hi - lo)
                result[k] += share * mean
    return result
