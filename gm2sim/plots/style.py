"""One look for every figure: colours that colour-blind people tell apart, thin axes, quiet grid."""

from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

# M. Okabe, K. Ito, "Color universal design" (2008): told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE)
INK, MUTED, GRID = "#1c2430", "#5b6675", "#dde2e9"
COLOUR_MAP = "cividis"  # monotonic in lightness, for every kind of colour vision

MM, US, KHZ, MHZ = 1e3, 1e6, 1e-3, 1e-6


class Table(NamedTuple):
    """The numbers behind a figure.

    Attributes
    ----------
    columns : tuple of str
        Headings with units.
    rows : array (n, columns)
    """

    columns: tuple[str, ...]
    rows: NDArray[np.float64]


class Plot(Figure):
    """A matplotlib figure that also says in words what it shows, and carries its numbers.

    Attributes
    ----------
    alt : str
        Alternative text.
    table : Table
    """

    alt: str
    table: Table

    def __init__(self, width: float = 8.4, height: float = 3.6) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        self.patch.set_alpha(0.0)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.picture("png", dpi=96)

    def picture(self, kind: str, dpi: int, **options: Any) -> bytes:
        """The bytes of a file, on white: "png", "svg" or "pdf"."""
        drawn = BytesIO()
        self.savefig(drawn, format=kind, dpi=dpi, facecolor="white", **options)
        return drawn.getvalue()

    def describe(self, alt: str, **columns: ArrayLike) -> None:
        """Set the alternative text and the table; columns of unequal length are padded with NaN."""
        arrays = [np.atleast_1d(np.asarray(values, np.float64)) for values in columns.values()]
        rows = np.full((max(map(len, arrays)), len(arrays)), np.nan)
        for i, values in enumerate(arrays):
            rows[: len(values), i] = values
        self.alt = alt
        self.table = Table(tuple(columns), rows)


def dress(axes: Axes, x_label: str, y_label: str, title: str = "") -> Axes:
    """Labels with units, thin axes on two sides, a quiet grid behind the data."""
    axes.set_xlabel(x_label, color=INK, fontsize=10)
    axes.set_ylabel(y_label, color=INK, fontsize=10)
    if title:
        axes.set_title(title, color=INK, fontsize=10.5, loc="left")
    axes.patch.set_alpha(0.0)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=MUTED, linewidth=0.8)
    axes.tick_params(which="both", color=MUTED, labelcolor=MUTED, labelsize=9, width=0.8)
    return axes


def legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame."""
    axes.legend(**({"frameon": False, "fontsize": 9, "labelcolor": INK} | options))


def points(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    error: ArrayLike,
    *,
    colour: str = INK,
    size: float = 2.4,
    **options: Any,
) -> None:
    """Markers with vertical error bars, drawn as two light artists."""
    at, value, half = np.asarray(x, float), np.asarray(y, float), np.asarray(error, float)
    bars = np.stack([np.stack([at, value - half], 1), np.stack([at, value + half], 1)], 1)
    axes.add_collection(LineCollection(list(bars), colors=colour, linewidths=0.7))
    axes.plot(at, value, "o", color=colour, markersize=size, markeredgewidth=0, **options)
