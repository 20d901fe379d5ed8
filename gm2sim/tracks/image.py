"""The image of the beam that vertices give, and the acceptance to correct it for."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_SCALE = 0.045  # places are given in apertures [m]
_POWERS = tuple((i, j) for i in range(4) for j in range(4 - i))  # of x and y, in all to the third
_BIN = 7.5e-3  # of the fit [m]
_ENOUGH = 20  # decays in a bin that is used
_LEAST = 0.1  # of an acceptance: further away nothing is known


class Acceptance(NamedTuple):
    """Relative acceptance of decays by their place across the beam: a polynomial of third order."""

    coefficients: FloatArray  # of the powers of x and y in units of 45 mm, shape (10,)

    def at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Acceptance relative to the average decay of the sample, at places of any shape [m]."""
        a, b = np.asarray(x) / _SCALE, np.asarray(y) / _SCALE
        # Outside the aperture the polynomial means nothing: there it is that of the nearest place inside.
        shrink = 1.0 / np.maximum(np.hypot(a, b), 1.0)
        total = _terms(a * shrink, b * shrink) @ self.coefficients
        return np.asarray(np.maximum(total, _LEAST), np.float64)


class BeamImage(NamedTuple):
    """Beam in time bins; shape (n,) where nothing else is said."""

    edges: FloatArray  # of the time bins [s], shape (n + 1,)
    x_edges: FloatArray  # of the histogram [m], shape (k + 1,)
    y_edges: FloatArray  # [m], shape (m + 1,)
    counts: FloatArray  # weights in bins of time, x, y, shape (n, k, m)
    tracks: NDArray[np.int64]  # how many
    mean_x: FloatArray  # [m]
    mean_x_error: FloatArray
    width_x: FloatArray  # standard deviation [m]
    width_x_error: FloatArray
    mean_y: FloatArray  # [m]
    mean_y_error: FloatArray
    width_y: FloatArray  # [m]
    width_y_error: FloatArray


def _terms(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.stack([a**i * b**j for i, j in _POWERS], axis=-1)


def acceptance(born_x: FloatArray, born_y: FloatArray, found_x: FloatArray, found_y: FloatArray) -> Acceptance:
    """Fit the acceptance of a simulated sample.

    The part of the decays in squares of 7.5 mm that are found, relative to that of all, each with its binomial error,
    gives a polynomial of third order in x and y.

    Parameters
    ----------
    born_x, born_y
        True places of all decays, shape (n,) [m].
    found_x, found_y
        True places of those whose track passes the cuts, shape (m,) [m].

    Raises
    ------
    ValueError
        If fewer than ten squares have 20 decays and one that is found.
    """
    edges = np.arange(-6, 7) * _BIN
    born, _, _ = np.histogram2d(born_x, born_y, (edges, edges))
    found, _, _ = np.histogram2d(found_x, found_y, (edges, edges))
    used = born >= _ENOUGH
    if used.sum() < len(_POWERS) or found[used].sum() < len(_POWERS):
        raise ValueError(
            f"{int(used.sum())} squares of 7.5 mm have {_ENOUGH} decays, with {int(found[used].sum())} tracks: "
            f"give more than {len(_POWERS)} of both."
        )
    whole = found[used].sum() / born[used].sum()
    ratio = found[used] / born[used] / whole
    # The error that the average acceptance gives: that of the bin itself would draw the fit to low bins.
    weight = np.sqrt(born[used] * whole)
    centres = 0.5 * (edges[1:] + edges[:-1]) / _SCALE
    a, b = (grid[used] for grid in np.meshgrid(centres, centres, indexing="ij"))
    solved, *_ = np.linalg.lstsq(_terms(a, b) * weight[:, None], ratio * weight)
    return Acceptance(np.asarray(solved, np.float64))


def _moments(value: FloatArray, weight: FloatArray) -> tuple[float, float, float, float]:
    """Weighted mean and standard deviation with their errors; NaN where there are fewer than two."""
    if value.size < 2:
        return np.nan, np.nan, np.nan, np.nan
    total = weight.sum()
    mean = float((weight * value).sum() / total)
    off = value - mean
    width = float(np.sqrt((weight * off**2).sum() / total))
    mean_error = float(np.sqrt((weight**2 * off**2).sum()) / total)
    # Of the variance, by its own spread; the width's is that over twice the width.
    square_error = float(np.sqrt((weight**2 * (off**2 - width**2) ** 2).sum()) / total)
    return mean, mean_error, width, square_error / (2.0 * width) if width > 0.0 else np.nan


def beam_image(
    x: FloatArray,
    y: FloatArray,
    time: FloatArray,
    edges: FloatArray,
    accepted: Acceptance | FloatArray | None = None,
    resolution: tuple[float, float] = (0.0, 0.0),
    half: float = 0.060,
    bins: int = 40,
) -> BeamImage:
    """Histogram vertices across the beam in bins of time, with means and widths.

    Parameters
    ----------
    x, y, time
        Of vertices, shape (n,) [m], [m], [s].
    edges
        Of the time bins, rising [s].
    accepted
        From `acceptance`, or its value for each vertex, shape (n,): each is weighted by one over it; by one where None.
    resolution
        Of a vertex in x and y, as simulated [m]: taken off the widths in squares.
    half
        Vertices further from the centre of the aperture in x or y are left out [m].
    bins
        Of the histogram in x and in y.

    Raises
    ------
    ValueError
        If the edges do not rise.
    """
    edges = np.asarray(edges, np.float64)
    if edges.size < 2 or not (np.diff(edges) > 0.0).all():
        raise ValueError(f"{edges.size} edges of time bins do not rise: give two or more that do.")
    x, y, time = (np.asarray(values, np.float64) for values in (x, y, time))
    inside = (np.abs(x) < half) & (np.abs(y) < half)
    known = accepted.at(x, y) if isinstance(accepted, Acceptance) else np.ones(x.size) if accepted is None else accepted
    x, y, time, weight = x[inside], y[inside], time[inside], 1.0 / known[inside]
    across = np.linspace(-half, half, bins + 1)
    counts, _ = np.histogramdd(np.stack([time, x, y], axis=1), (edges, across, across), weights=weight)
    which = np.searchsorted(edges, time, side="right") - 1
    rows = [(which == k) & (time < edges[-1]) for k in range(edges.size - 1)]
    of_x, of_y = (np.array([_moments(value[row], weight[row]) for row in rows]).reshape(-1, 4).T for value in (x, y))
    for columns, sigma in ((of_x, resolution[0]), (of_y, resolution[1])):
        seen = columns[2].copy()
        columns[2] = np.sqrt(np.maximum(seen**2 - sigma**2, 0.0))
        columns[3] *= seen / np.where(columns[2] > 0.0, columns[2], np.nan)
    tracks = np.array([row.sum() for row in rows], np.int64)
    return BeamImage(edges, across, across, counts, tracks, *of_x, *of_y)
