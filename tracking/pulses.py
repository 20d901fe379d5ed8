"""Pulses of the kickers as the tracker reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fields.ring import R_REFERENCE
from tracking.muon import LIGHT_SPEED, Reference

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KickerPulses:
    """The fields of the kickers against time, in the order of the ring's kickers.

    Attributes
    ----------
    shape
        Multipoles of the field of one kicker, 1 at the centre: B_y + i B_x = B(t) sum k_n (z/r0)^n, r0 = 45 mm.
    field
        Vertical field at the centre [T], shape (kickers, samples); below 0 it lowers the storage field, as it must
        to bring the muons onto the design orbit. Straight between samples, and held at the first and the last.
    start, step
        Fill time of the first sample and distance of the samples [s].
    """

    shape: tuple[complex, ...]
    field: FloatArray
    start: float
    step: float

    def __post_init__(self) -> None:
        if self.field.ndim != 2 or self.field.shape[1] < 2:
            raise ValueError(f"kicker pulses have the shape {self.field.shape}: give (kickers, 2 samples or more).")
        if not self.step > 0.0 or not np.isfinite(self.field).all():
            raise ValueError("kicker pulses need a step above 0 s and finite fields: mend the pulse table.")

    @property
    def order(self) -> int:
        """Highest order of the shape."""
        return len(self.shape) - 1

    @property
    def end(self) -> float:
        """Fill time of the last sample [s]."""
        return float(self.start + self.step * (self.field.shape[1] - 1))

    def series(self, reference: Reference) -> NDArray[np.complex128]:
        """Series of (1 + u)(B_y + i B_x)/B(t) in z = u + i v, one order above the shape's; shape (order + 2,)."""
        k = np.zeros(len(self.shape) + 1, dtype=np.complex128)
        k[:-1] = np.array(self.shape) * (reference.r0 / R_REFERENCE) ** np.arange(len(self.shape))
        k[1:] += k[:-1].copy()
        return k

    def in_units(self, reference: Reference) -> tuple[FloatArray, float, float]:
        """Table over B0, begin and samples per unit of time, in the units of the tracker."""
        unit = LIGHT_SPEED / reference.r0
        table = np.ascontiguousarray(self.field / reference.b0)
        table.flags.writeable = False
        return table, self.start * unit, 1.0 / (self.step * unit)
