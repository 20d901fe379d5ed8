"""What a study found: numbers with errors beside formula and published value, and the curves to draw."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Panel
from gm2sim.report.published import Published

if TYPE_CHECKING:
    from gm2sim.plots.style import Plot

Floats = NDArray[np.float64]
Estimate = tuple[float, float]  # value and statistical error


class Number(NamedTuple):
    """One line of a study's table.

    Attributes
    ----------
    quantity, unit : str
    value, error : float
        Error: statistical, one standard deviation; NaN where the number has none.
    formula : float or None
        The same from a closed formula.
    published : Published or None
    remark : str
        How the number was made.
    """

    quantity: str
    value: float
    error: float = math.nan
    unit: str = ""
    formula: float | None = None
    published: Published | None = None
    remark: str = ""

    @property
    def pull(self) -> float:
        """Difference to the published value in standard deviations; NaN where there is no error at all."""
        if self.published is None:
            return math.nan
        errors = [error for error in (self.error, self.published.error) if math.isfinite(error)]
        error = math.hypot(*errors) if errors else 0.0
        return (self.value - self.published.value) / error if error > 0.0 else math.nan

    def __str__(self) -> str:
        """For people: ``C_e = 471.3 +- 1.2 ppb (published 471, formula 469.8)``."""
        digits = decimals(self.value, self.error)
        text = f"{self.quantity} = {self.value:.{digits}f}"
        if math.isfinite(self.error):
            text += f" +- {self.error:.{digits}f}"
        text += f" {self.unit}" if self.unit else ""
        beside = []
        if self.published is not None:
            theirs = f"published {self.published.value:g}"
            beside.append(theirs + (f" +- {self.published.error:g}" if math.isfinite(self.published.error) else ""))
        if self.formula is not None:
            beside.append(f"formula {self.formula:.{digits}f}")
        return text + (f" ({', '.join(beside)})" if beside else "")

    def record(self) -> dict[str, Any]:
        """Everything in full precision, for JSON; None where there is no number."""
        theirs = self.published
        return {
            "quantity": self.quantity,
            "value": finite(self.value),
            "error": finite(self.error),
            "unit": self.unit,
            "formula": self.formula,
            "published": None if theirs is None else theirs._asdict() | {"error": finite(theirs.error)},
            "pull": finite(self.pull),
            "remark": self.remark,
        }


class Savable(Protocol):
    """What a study makes besides numbers and curves."""

    def save(self, path: Path) -> None:
        """Write it to an HDF5 file, which appears whole or not at all."""


class Finding(NamedTuple):
    """What the function of a study returns; the first number is the result."""

    table: tuple[Number, ...]
    panels: tuple[Panel, ...]
    remark: str = ""
    data: Savable | None = None


@dataclass(frozen=True, repr=False)
class Outcome:
    """A study that was made.

    Attributes
    ----------
    study, summary : str
        Its name, and what it is in one line.
    data_set : str
        Whose published values stand beside; empty where the configuration is of no data set.
    table : tuple of Number
        The first is the result.
    panels : tuple of Panel
        Curves of the plot.
    remark : str
        What to know when reading the result.
    muons, seed, muon_turns : int
        Muons asked for, seed of their random numbers, and how far all were tracked together.
    seconds : float
        Wall time, compiling included.
    data : object or None
        What can be saved, where the study makes more than numbers and curves.
    """

    study: str
    summary: str
    data_set: str
    table: tuple[Number, ...]
    panels: tuple[Panel, ...] = field(repr=False)
    remark: str
    muons: int
    seed: int
    muon_turns: int
    seconds: float
    data: Savable | None = field(default=None, repr=False)

    @property
    def result(self) -> Number:
        """The number that the study is about."""
        return self.table[0]

    def __repr__(self) -> str:
        return f"{self.result}; {self.seconds:.1f} s, {self.muon_turns / 1e6:.2f} M muon-turns"

    def record(self) -> dict[str, Any]:
        """Everything in full precision, for JSON."""
        return {
            "study": self.study,
            "data_set": self.data_set,
            "result": self.result.record(),
            "table": [number.record() for number in self.table],
            "remark": self.remark,
            "muons": self.muons,
            "seed": self.seed,
            "muon_turns": self.muon_turns,
            "seconds": self.seconds,
        }

    def plot(self) -> "Plot":
        """The study's picture."""
        from gm2sim.plots.study import study_plot

        data_set = f", {self.data_set}" if self.data_set else ""
        return study_plot(
            self.panels, title=f"{self.study}{data_set}: {self.result}", alt=f"{self.summary}. {self.result}."
        )


def finite(value: float) -> float | None:
    """The value, or None where it is NaN or infinite: JSON knows neither."""
    return value if math.isfinite(value) else None


def decimals(value: float, error: float) -> int:
    """Decimals that show two figures of the error, or six figures of the value where it has none."""
    scale, figures = (error, 1) if math.isfinite(error) and error > 0.0 else (abs(value), 5)
    return max(0, min(12, figures - math.floor(math.log10(scale)))) if scale > 0.0 else 1
