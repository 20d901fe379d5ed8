"""What a picture of curves shows, without the means to draw it: studies make it, :mod:`gm2sim.plots.study` draws it."""

from typing import NamedTuple

from numpy.typing import ArrayLike


class Curve(NamedTuple):
    """One set of points, or a line, in a panel; ``error`` None: no bars."""

    label: str
    x: ArrayLike
    y: ArrayLike
    error: ArrayLike | None = None
    line: bool = False


class Image(NamedTuple):
    """A quantity over a plane: values (rows, columns) between the edges of columns (x) and rows (y); NaN: nothing."""

    label: str
    x_edges: ArrayLike
    y_edges: ArrayLike
    values: ArrayLike


class Panel(NamedTuple):
    """One pair of axes with its curves, or with an image; labels carry the units."""

    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    title: str = ""
    image: Image | None = None
