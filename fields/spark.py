"""A spark: the plates of the quads discharge in the middle of a fill and stay empty until the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LOWEST = 20.0  # time constants after which the rest, 2e-9, is kept: a quad without any gradient has no commutator


@dataclass(frozen=True)
class Spark:
    """The voltage of all plates times exp(-(t - start)/time_constant) from `start` on.

    Parameters
    ----------
    start
        [s]
    time_constant
        [s]; about a microsecond, best estimate: the plates discharge through the spark, not through the resistors of
        their supply.
    """

    start: float
    time_constant: float = 1e-6

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.time_constant) and self.time_constant > 0.0):
            raise ValueError(
                f"spark at {self.start:g} s with a time constant of {self.time_constant:g} s: give finite times, the "
                "second above 0."
            )

    def factor(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the voltage that is left at times `t` [s], shape of `t`."""
        return np.exp(-np.clip((t - self.start) / self.time_constant, 0.0, _LOWEST))
