"""The correction table of Run-1 from the studies."""

import math
from typing import Any, NamedTuple

from gm2sim.config import ConfigError, load
from gm2sim.report.published import DATA_SETS, RUN1_MEANS
from gm2sim.studies.outcome import Number
from gm2sim.studies.registry import studies

_STUDIES = ("e-field", "pitch", "muon-loss", "phase-acceptance", "differential-decay")
# Positrons of the data sets [1e9]: weights of the mean of Run-1 (best estimate, recalled).
_POSITRONS = (0.92, 1.28, 1.98, 4.00)


class Correction(NamedTuple):
    """One correction of one data set."""

    correction: str
    data_set: str
    number: Number

    def record(self) -> dict[str, Any]:
        """Everything in full precision, for JSON."""
        return {"correction": self.correction, "data_set": self.data_set} | self.number.record()


def reproduce(what: str = "run1", *, seed: int | None = None, share: float = 1.0) -> list[Correction]:
    """Every correction to omega_a of the data sets of Run-1, and the mean of Run-1.

    The mean weighs the data sets with their positrons (T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021)
    044002); C_dd was not given apart for Run-1.

    Parameters
    ----------
    what : str
        ``run1``.
    seed : int, optional
        Seed of the muons; the configured one when left out.
    share : float
        Factor on the sizes of the studies.

    Raises
    ------
    ConfigError
        For a table that does not exist.
    """
    if what != "run1":
        raise ConfigError(f"there is no table '{what}' to reproduce: choose run1")
    known = studies()
    found = []
    for name in _STUDIES:
        muons = max(16, round(known[name].muons * share))
        rows = [known[name].run(load(preset), muons=muons, seed=seed).result for preset in DATA_SETS]
        found += [Correction(row.quantity, preset, row) for preset, row in zip(DATA_SETS, rows, strict=True)]
        found.append(Correction(rows[0].quantity, "run1", mean_of_run(rows)))
    return found


def mean_of_run(rows: list[Number]) -> Number:
    """Mean over the data sets, weighted with their positrons; their random errors are independent.

    Parameters
    ----------
    rows : list of Number
        One for each data set, in order.
    """
    total = sum(_POSITRONS)
    weights = [one / total for one in _POSITRONS]
    value = sum(w * row.value for w, row in zip(weights, rows, strict=True))
    error = math.hypot(*(w * row.error for w, row in zip(weights, rows, strict=True)))
    formulas = [row.formula for row in rows if row.formula is not None]
    formula = sum(w * f for w, f in zip(weights, formulas, strict=True)) if len(formulas) == len(rows) else None
    theirs = RUN1_MEANS.get(rows[0].quantity, rows[0].published)
    return Number(rows[0].quantity, value, error, rows[0].unit, formula, theirs, "weighted with positrons")
