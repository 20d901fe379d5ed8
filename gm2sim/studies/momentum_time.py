"""Correlation of momentum and injection time in the stored beam."""

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.momentum_time_injected import injected_momentum_time
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study

_SLOPE = 0.1e-3 / 1e-9  # where the configuration has none [m/s]
_BINS = 16
_PPB, _MM, _NS = 1e9, 1e3, 1e9


@study("momentum-time", muons=300_000)
def momentum_time(case: Case) -> Finding:
    """Momentum-time correlation: mean x_e by injection time, and what it does to C_e.

    Early and late parts of a bunch are kicked differently, so what is stored of them has different momenta; the
    source moves the mean x_e by slope times injection time before the collimators cut. The same muons are drawn
    with and without the slope. Before the cut C_e grows by 2 n (1 - n) beta^2 slope^2 sigma_t^2/R0^2; the
    collimators keep less of it. The correlation matters more for the fast-rotation analysis, which takes every
    momentum to have the same time profile. With beam.source = injected see
    :mod:`gm2sim.studies.momentum_time_injected`.
    """
    if case.config.beam.source == "injected":
        return injected_momentum_time(case)
    slope = case.config.beam.x_e_time_slope_mm_per_ns * 1e6 or _SLOPE
    flat, sloped = case.drawn(x_e_time_slope=0.0), case.drawn(x_e_time_slope=slope)
    n, reference = 1.0 - 1.0 / case.optics.momentum_compaction, case.reference
    scale = 2.0 * n * (1.0 - n) * reference.beta0**2 / reference.r0**2
    before, after = case.x_e(flat), case.x_e(sloped)
    value, error = mean(scale * (after**2 - before**2))
    (without, without_error), (with_, with_error) = mean(scale * before**2), mean(scale * after**2)
    spread = float(sloped.time.std())
    kept, kept_error = _line(sloped.time, after)
    none, none_error = _line(flat.time, before)
    table = (
        Number("change of C_e", value * _PPB, error * _PPB, "ppb", scale * slope**2 * spread**2 * _PPB, None,
               "formula: before the collimators cut"),
        Number("C_e without", without * _PPB, without_error * _PPB, "ppb"),
        Number("C_e with", with_ * _PPB, with_error * _PPB, "ppb"),
        Number("slope put in", slope * _MM / _NS, unit="mm/ns", remark="before the cut"),
        Number("slope stored", kept * _MM / _NS, kept_error * _MM / _NS, "mm/ns"),
        Number("slope stored without", none * _MM / _NS, none_error * _MM / _NS, "mm/ns", 0.0),
        Number("bunch RMS", spread * _NS, spread * _NS / np.sqrt(2 * sloped.n), "ns"),
    )  # fmt: skip
    edges = np.quantile(sloped.time, np.linspace(0.0, 1.0, _BINS + 1))
    middle = 0.5 * (edges[1:] + edges[:-1])
    fine = np.linspace(edges[0], edges[-1], 21)

    def binned(time: Floats, x_e: Floats) -> tuple[Floats, Floats]:
        place = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, _BINS - 1)
        parts = [mean(x_e[place == k]) if np.sum(place == k) > 1 else (np.nan, np.nan) for k in range(_BINS)]
        values, errors = np.array(parts).T
        return values * _MM, errors * _MM

    panels = (
        Panel("injection time [ns]", "mean x_e [mm]", (
            Curve("stored, with correlation", middle * _NS, *binned(sloped.time, after)),
            Curve("stored, without", middle * _NS, *binned(flat.time, before)),
            Curve("slope put in", fine * _NS, (before.mean() + slope * fine) * _MM, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "The size of the correlation is not published: where none is set, 0.1 mm/ns.")


def _line(time: Floats, x_e: Floats) -> tuple[float, float]:
    """Slope of a straight line and its error; (nan, nan) where all times are the same."""
    t = time - time.mean()
    total = float(np.sum(t**2))
    if total == 0.0:
        return np.nan, np.nan
    slope = float(np.sum(t * x_e)) / total
    rest = x_e - x_e.mean() - slope * t
    return slope, float(np.sqrt(np.sum(rest**2) / (time.size - 2) / total))
