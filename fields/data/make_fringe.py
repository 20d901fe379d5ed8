"""Fall-off of a quad's field at the end of its plates, calculated in three dimensions; writes ``fringe.csv``.

Four plates end at s = 0 in the grounded chamber; rails and chamber go on. Surfaces are cut into rectangles of
constant charge, whose potential, the integral of 1/distance, is known in closed form; the charges follow from
the potential at the middle of each. Mirror symmetry in y, and in s at the middle of the quad, 0.28 m inside the
end: there the field is that of the endless quad to 1e-5.

Run with ``python -m fields.data.make_fringe`` (some minutes on one core).
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from fields.fringe import PROFILE_FILE, FringeProfile
from fields.plates import GROUND, RAIL, PlateGeometry

FloatArray = NDArray[np.float64]
HALF_LENGTH = 0.28  # from the end of the plates to the mirror in the middle of the quad [m]
BEYOND = 0.28  # how far chamber and rails go on [m]
SIGNS = np.array([1.0, 1.0, -1.0, -1.0])  # voltages of top, bottom, inner and outer plate
_CHUNK = 300_000  # numbers in one step
_ANGLES = (np.arange(24) + 0.5) * np.pi / 24  # of the upper half circle


class Patches(NamedTuple):
    """Rectangles: a corner, two sides at right angles, and the conductor they belong to."""

    corner: FloatArray  # (n, 3) x, y, s [m]
    first: FloatArray  # (n, 3) unit vector
    second: FloatArray  # (n, 3) unit vector
    size: FloatArray  # (n, 2) lengths of the sides [m]
    owner: NDArray[np.int64]  # (n,)


def _knots(n: int, power: float, lower: bool, upper: bool) -> FloatArray:
    """Ends of n intervals of the unit line, finer toward the chosen ends."""
    t = np.linspace(0.0, 1.0, n + 1)
    if lower and upper:
        half = 0.5 * (2.0 * np.minimum(t, 1.0 - t)) ** power
        return np.asarray(np.where(t <= 0.5, half, 1.0 - half))
    return np.asarray(t**power if lower else 1.0 - (1.0 - t) ** power if upper else t)


def _grid(
    corner: tuple[float, float, float], first: FloatArray, second: FloatArray, owner: int
) -> tuple[FloatArray, ...]:
    """Rectangle from a corner along two vectors given by their knots, shapes (k, 3) and (m, 3)."""
    a, b = np.diff(first, axis=0), np.diff(second, axis=0)
    n = len(a) * len(b)
    place = np.asarray(corner) + first[:-1, None] + second[None, :-1]
    long, wide = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    directions = np.broadcast_to(a[0] / long[0], (n, 3)), np.broadcast_to(b[0] / wide[0], (n, 3))
    size = np.stack(np.meshgrid(long, wide, indexing="ij"), axis=-1).reshape(n, 2)
    return place.reshape(n, 3), *directions, size, np.full(n, owner)


def patches(geometry: PlateGeometry, density: float = 1.0) -> Patches:
    """Surfaces of the upper half (y > 0) of one end; `density` multiplies the divisions of each side."""

    def count(n: float) -> int:
        return max(1, round(density * n))

    chamber = geometry.chamber
    axis = np.array([0.0, 0.0, 1.0])
    on_plates = -HALF_LENGTH * (1.0 - _knots(count(22), 2.2, False, True))
    inside = -HALF_LENGTH * (1.0 - _knots(count(15), 1.7, False, True))
    along_wall = np.concatenate([inside[:-1], BEYOND * _knots(count(13), 1.7, True, False)])
    parts: list[tuple[FloatArray, ...]] = []

    def wall(a: complex, b: complex, knots: FloatArray, s: FloatArray, owner: int) -> None:
        side = np.array([(b - a).real, (b - a).imag, 0.0])
        parts.append(_grid((a.real, a.imag, 0.0), knots[:, None] * side, s[:, None] * axis, owner))

    def cap(x: tuple[float, float], y: tuple[float, float], kx: FloatArray, ky: FloatArray, owner: int) -> None:
        across, up = np.array([x[1] - x[0], 0.0, 0.0]), np.array([0.0, y[1] - y[0], 0.0])
        parts.append(_grid((x[0], y[0], 0.0), kx[:, None] * across, ky[:, None] * up, owner))

    boxes = geometry.boxes()
    x0, x1, y0, y1 = boxes[0]
    for y, n in ((y0, 14), (y1, 10)):
        wall(complex(x0, y), complex(x1, y), _knots(count(n), 2.0, True, True), on_plates, 0)
    edge = _knots(count(3), 2.0, True, True)
    for x in (x0, x1):
        wall(complex(x, y0), complex(x, y1), edge, on_plates, 0)
    cap((x0, x1), (y0, y1), _knots(count(10), 2.0, True, True), edge, 0)
    for owner in (2, 3):
        x0, x1, _, y1 = boxes[owner]
        for x, n in ((x0, 7), (x1, 7)):
            wall(complex(x, 0.0), complex(x, y1), _knots(count(n), 2.0, False, True), on_plates, owner)
        wall(complex(x0, y1), complex(x1, y1), np.array([0.0, 1.0]), on_plates, owner)
        cap((x0, x1), (0.0, y1), np.array([0.0, 1.0]), _knots(count(6), 2.0, False, True), owner)
    top = chamber.half_height
    corners = [z + 1j * top * (z.imag == 0.0) for z in map(complex, RAIL)]
    for sign in (1.0, -1.0) if geometry.rails else ():
        for k, n in ((0, 5), (1, 4), (2, 3), (4, 3), (5, 5), (6, 2)):
            a, b = corners[k], corners[(k + 1) % len(corners)]
            ends = complex(sign * a.real, a.imag), complex(sign * b.real, b.imag)
            wall(*ends, _knots(count(n), 1.5, True, True), along_wall, GROUND)
    left, right = complex(chamber.x_inner, top), complex(chamber.x_outer, top)
    wall(left, right, _knots(count(14), 1.3, True, True), along_wall, GROUND)
    for corner in (left, right):
        wall(complex(corner.real, 0.0), corner, _knots(count(5), 1.0, False, False), along_wall, GROUND)
    return Patches(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _primitive(u: FloatArray, v: FloatArray, w: FloatArray) -> FloatArray:
    """Integral of 1/distance over a quadrant, up to terms that cancel between the corners of a rectangle."""
    tiny = 1e-30
    r = np.sqrt(u * u + v * v + w * w)
    around_u = u * np.arcsinh(v / np.maximum(np.hypot(u, w), tiny))
    around_v = v * np.arcsinh(u / np.maximum(np.hypot(v, w), tiny))
    return np.asarray(around_u + around_v - w * np.arctan2(u * v, w * r))


def influence(sources: Patches, points: FloatArray) -> FloatArray:
    """Potential of unit charge density on each patch and its mirror images, shape (points, patches)."""
    third = np.cross(sources.first, sources.second)
    foot = [np.einsum("ij,ij->i", sources.corner, e) for e in (sources.first, sources.second, third)]
    result = np.empty((len(points), len(sources.corner)))
    for rows in np.array_split(np.arange(len(points)), max(1, result.size // _CHUNK)):
        total = np.zeros((rows.size, len(sources.corner)))
        for flip_y in (1.0, -1.0):
            for flip_s in (False, True):
                image = points[rows].copy()
                image[:, 1] *= flip_y
                if flip_s:
                    image[:, 2] = -2.0 * HALF_LENGTH - image[:, 2]
                u = image @ sources.first.T - foot[0]
                v = image @ sources.second.T - foot[1]
                w = abs(image @ third.T - foot[2])
                far_u, far_v = u - sources.size[:, 0], v - sources.size[:, 1]
                total += _primitive(u, v, w) - _primitive(far_u, v, w)
                total += _primitive(far_u, far_v, w) - _primitive(u, far_v, w)
        result[rows] = total
    return result


def charges(sources: Patches) -> FloatArray:
    """Charge density of each patch for the voltages of a quadrupole at 1 V."""
    middle = sources.corner + 0.5 * (sources.size[:, :1] * sources.first + sources.size[:, 1:] * sources.second)
    volts = np.where(sources.owner == GROUND, 0.0, SIGNS[sources.owner])
    return np.asarray(np.linalg.solve(influence(sources, middle), volts))


def harmonic(sources: Patches, charge: FloatArray, s: FloatArray, n: int, radius: float) -> FloatArray:
    """Coefficient of cos(n phi) of the potential on a circle about the axis, over radius^n, shape of s."""
    x, y = radius * np.cos(_ANGLES), radius * np.sin(_ANGLES)
    points = np.array([(a, b, c) for c in s for a, b in zip(x, y, strict=True)])
    potential = (influence(sources, points) @ charge).reshape(s.size, _ANGLES.size)
    return np.asarray((2.0 if n else 1.0) * (potential * np.cos(n * _ANGLES)).mean(axis=1) / radius**n)


def gradient_profile(density: float, s: FloatArray) -> FloatArray:
    """F(s) of the quadrupole, 1 in the middle of the quad.

    Two radii, 5 and 10 mm, take out the term of the second derivative.
    """
    sources = patches(PlateGeometry(), density)
    charge = charges(sources)
    places = np.concatenate([[-HALF_LENGTH], s])
    near, far = (harmonic(sources, charge, places, 2, radius) for radius in (0.005, 0.010))
    gradient = (4.0 * near - far) / 3.0
    return np.asarray(gradient[1:] / gradient[0])


def fit(s: FloatArray, f: FloatArray, terms: int = 3) -> tuple[FringeProfile, float]:
    """Sum of tanh steps through a profile with its very integral; also the largest difference.

    `s` must be equidistant, from far inside to far outside.
    """
    extension = float(np.trapezoid(f, s)) + s[0]

    def parts(p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        free = p[2 * terms :]
        return np.append(free, 1.0 - free.sum()), p[:terms], abs(p[terms : 2 * terms])

    def difference(p: FloatArray) -> FloatArray:
        weight, place, width = parts(p)
        model = 0.5 * (1.0 - np.tanh((s[:, None] - place) / width)) @ weight
        return np.append(model - f, 100.0 * (weight @ place - extension))

    start = np.concatenate([[-0.015, 0.005, 0.03], [0.033, 0.031, 0.06], [-0.26, 1.25]])
    found = least_squares(difference, start, x_scale=abs(start), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return FringeProfile(*parts(found.x)), float(abs(found.fun[:-1]).max())


def main(density: float = 1.25) -> None:
    """Calculate, fit and write the file."""
    s = np.linspace(-HALF_LENGTH, 0.25, 213)
    f = gradient_profile(density, s)
    profile, error = fit(s, f)
    extension = float(profile.weight @ profile.place)
    lines = [
        "# End of a quad: F(s) = sum weight/2 (1 - tanh((s - place)/width)), s = 0 at the end of the plates, outward.",
        f"# Calculated by make_fringe.py at density {density}; effective extension {extension * 1e3:.3f} mm, largest",
        f"# difference from the calculation {error:.1e}.",
        "# weight, place [m], width [m]",
    ]
    lines += [f"{a:.8f},{b:.8f},{c:.8f}" for a, b, c in zip(*profile, strict=True)]
    PROFILE_FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*(float(text) for text in sys.argv[1:]))
