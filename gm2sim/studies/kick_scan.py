"""The stored beam against the strength of the kick."""

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import RUN1_MEANS, Published, data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, QUANTITIES, Fill, numbers
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import jackknife
from gm2sim.studies.registry import study

_FACTORS = np.array([0.80, 0.85, 0.90, 0.95, 1.0, 1.05, 1.10, 1.15, 1.20])  # on the configured kick
_NEAR = slice(3, 6)  # of the factors: those that the slope at the configured kick is measured with
_C_E = 3  # its place among the quantities


@study("kick-scan", muons=50_000)
def kick_scan(case: Case) -> Finding:
    """Stored fraction, mean x_e, C_e, C_p and CBO amplitude against the kick, same muons at every strength.

    Run-1's kick was too weak: the beam stands outside the design orbit, and C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2
    holds the square of that. The slope is that of a straight line through three strengths, 5 % below to 5 % above.
    """
    sums = []
    for factor in _FACTORS:
        fill = Fill(case, kickers__gauss_per_kv=case.config.kickers.gauss_per_kv * float(factor))
        sums.append(fill.sums)
    every = np.array(sums)  # (factors, blocks, columns)

    def values(which: NDArray[np.int64]) -> Floats:
        return np.array([numbers(one) for one in every[:, which].sum(axis=1)])

    def slopes(which: NDArray[np.int64]) -> Floats:
        near = values(which)[_NEAR]
        offset = (_FACTORS[_NEAR] - 1.0) * 1e2
        return np.asarray(offset @ near / np.sum(offset**2))

    found, error = jackknife(values, BLOCKS)
    slope, slope_error = jackknife(slopes, BLOCKS)
    here = int(np.argmin(abs(_FACTORS - 1.0)))
    data_set = data_set_of(case.config.run.run)
    theirs: dict[str, Published | None] = {"C_e": RUN1_MEANS["C_e"], "C_p": published("c_p_ppb", data_set)}
    percent = case.config.kickers.gauss_per_kv
    table = (
        Number("dC_e/dkick", float(slope[_C_E]), float(slope_error[_C_E]), "ppb/%",
               remark="same muons, 5 % below to 5 % above"),
        *(Number(q.name, float(found[here, k]), float(error[here, k]), q.unit, None, theirs.get(q.name),
                 f"at the configured kick, {percent:g} G/kV") for k, q in enumerate(QUANTITIES)),
        *(Number(f"change of {q.name}", float(slope[k]), float(slope_error[k]), f"{q.unit} per %")
          for k, q in enumerate(QUANTITIES) if k != _C_E),
        *(Number(f"C_e at {factor:.0%} kick", float(row[_C_E]), float(bar[_C_E]), "ppb")
          for factor, row, bar in zip(_FACTORS, found, error, strict=True) if factor != 1.0),
    )  # fmt: skip
    strength = _FACTORS * 1e2
    drawn = [k for k, q in enumerate(QUANTITIES) if q.name in ("stored fraction", "mean x_e", "C_e", "CBO amplitude")]
    panels = tuple(
        Panel("kick [% of the configured]", f"{QUANTITIES[k].name} [{QUANTITIES[k].unit}]", (
            Curve(QUANTITIES[k].name, strength, found[:, k], error[:, k]),
        ))
        for k in drawn
    )  # fmt: skip
    return Finding(table, panels, "Published is the mean C_e of Run-1, whose sets had different kicks.")
