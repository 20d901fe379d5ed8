"""Injection efficiency: who is stored, and where the others end."""

import math

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import THESIS, Published
from gm2sim.studies.case import Case
from gm2sim.studies.injected import LAST, Fill
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.registry import study
from tracking.bunch import State

_BINS = 24
_SCRAPING = 8e-6  # end of scraping in E989 [s]
_STATES = {
    State.LOST_PLATE: "plates and walls of the quads and kickers",
    State.LOST_COLLIMATOR: "collimators",
    State.LOST_WALL: "orbits out of range",
    State.LOST_MAP: "beyond the radius of the field's series",
}
_PERCENT, _NS, _DEG = 1e2, 1e9, 180.0 / math.pi


@study("injection-efficiency", muons=100_000)
def injection_efficiency(case: Case) -> Finding:
    """Injection efficiency: stored share of the muons that leave the inflector, by momentum and time.

    Muons never decay, so that nothing has to be divided out; stored is who goes round 35 us after injection, well
    after scraping. The errors are those of counting (binomial).
    """
    fill = Fill(case)
    stored, muons = fill.stored, fill.muons
    kept = share(stored)
    published = Published(2.0, 1.0, THESIS, "about 2 %; the design report has 3 %")
    rows = [Number("stored fraction", *_percent(kept), "%", published=published, remark="at 35 us, no decay")]
    lost = ~stored
    for state, where in _STATES.items():
        rows.append(Number(f"lost at {where}", *_percent(share(muons.state == state)), "%"))
    entry = lost & (muons.turn == 0) & (muons.theta <= fill.entry_end)
    first = lost & (muons.turn == 0) & ~entry
    after = muons.turn * fill.ring.reference.period
    spans = (
        ("in the first quad", entry), ("in the rest of the first turn", first),
        ("from turn 2 to the end of scraping", lost & (muons.turn > 0) & (after <= _SCRAPING)),
        (f"after scraping, to turn {LAST}", lost & (muons.turn > 0) & (after > _SCRAPING)),
    )  # fmt: skip
    rows += [Number(f"lost {when}", *_percent(share(which)), "%") for when, which in spans]
    delta, time = fill.delta(fill.at_exit), fill.at_exit.time
    rows += [
        Number("momentum of the stored, mean", *_moment(delta[stored]), "%", remark="at the inflector exit"),
        Number("momentum of the stored, spread", *_spread(delta[stored]), "%"),
    ]
    degrees = np.linspace(0.0, 360.0, 73)
    middle = 0.5 * (degrees[1:] + degrees[:-1])
    at = muons.theta * _DEG

    def losses(which: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        count = np.histogram(at[which], degrees)[0]
        return count / muons.n * _PERCENT, np.sqrt(count) / muons.n * _PERCENT

    panels = (
        Panel("Δp/p at the inflector exit [%]", "stored [%]", (
            Curve("stored", *_binned(delta * _PERCENT, stored, (-2.0, 2.0))),
        )),
        Panel("injection time [ns]", "stored [%]", (
            Curve("stored", *_binned(time * _NS, stored, (-100.0, 100.0))),
        )),
        Panel("azimuth from the inflector exit [deg]", "lost [% per 5 deg]", (
            Curve("first turn", middle, *losses(lost & (muons.turn == 0))),
            Curve("later", middle, *losses(lost & (muons.turn > 0))),
        )),
    )  # fmt: skip
    return Finding(tuple(rows), panels, "Of the muons that leave the inflector; what it stops itself is not in here.")


def share(which: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of a sample and its binomial error; that of one muon where none or all are chosen."""
    value = float(which.mean())
    return value, math.sqrt(max(value * (1.0 - value), 1.0 / which.size) / which.size)


def _percent(found: tuple[float, float]) -> tuple[float, float]:
    return found[0] * _PERCENT, found[1] * _PERCENT


def _moment(values: Floats) -> tuple[float, float]:
    spread = float(values.std()) if values.size else math.nan
    return (float(values.mean()) * _PERCENT if values.size else math.nan), spread / math.sqrt(
        max(values.size, 1)
    ) * _PERCENT


def _spread(values: Floats) -> tuple[float, float]:
    spread = float(values.std()) if values.size else math.nan
    return spread * _PERCENT, spread / math.sqrt(2 * max(values.size, 1)) * _PERCENT


def _binned(values: Floats, stored: NDArray[np.bool_], span: tuple[float, float]) -> tuple[Floats, Floats, Floats]:
    """Middle of each bin, share that is stored in it and its error [%]."""
    edges = np.linspace(*span, _BINS + 1)
    total, kept = np.histogram(values, edges)[0], np.histogram(values[stored], edges)[0]
    use = total > 0
    fraction = kept[use] / total[use]
    error = np.sqrt(np.maximum(fraction * (1.0 - fraction), 1.0 / total[use]) / total[use])
    return 0.5 * (edges[1:] + edges[:-1])[use], fraction * _PERCENT, error * _PERCENT
