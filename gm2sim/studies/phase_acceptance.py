"""Phase-acceptance: where a muon decays moves the phase of the positrons that are seen."""

import math
from collections.abc import Callable

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import THESIS, Published
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Estimate, Finding, Floats, Number
from gm2sim.studies.phase_acceptance_injected import INJECTED, Measured, compare, drift_of_phase
from gm2sim.studies.phase_map import PhaseMap, phase_map, powers
from gm2sim.studies.precession import BLOCKS, FIT_START, FIT_STOP, fit_times, fitted_shift, mean
from gm2sim.studies.registry import study

_DECAYS = 160_000
_DRAWN = 4_000
_FILLS = 8
_PLACES = 8  # observers: the phase of the coherent motion runs once around the ring, so that it cancels
# Drift of the tracked beam from 50 to 350 us, from the two damaged resistors of the quads: N. Kinnaird,
# dissertation (2020), nkinnaird/Dissertation @8f8e9eb [m/s].
_WIDTH_DRIFT, _MEAN_DRIFT = -0.5, -1.0
_PPB, _MRAD, _MM = 1e9, 1e3, 1e3


@study("phase-acceptance", key="c_pa_ppb", muons=2048)
def phase_acceptance(case: Case) -> Finding:
    """Phase-acceptance correction C_pa: a beam that drifts moves the phase of the positrons that are seen.

    C_pa = (d phi_beam/dt)/omega_a, phi_beam = -arg <V(x, y)> over the beam, V from decays flown to the calorimeters
    (:mod:`gm2sim.studies.phase_map`; T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002). With damaged
    resistors the beam is the injected one, tracked with them and without
    (:mod:`gm2sim.studies.phase_acceptance_injected`); what the drift of height and vertical width that the trackers
    measured makes of it stands beside. Without, it is the stored one, with its moments at eight azimuths at every turn.
    """
    found = phase_map(case, _DECAYS)
    rows = _map_rows(case, found)
    if case.config.scraping.slow_resistors != "none":
        return Finding((*_injected(case, found), *rows), _panels(found), "No photons, side entries or pileup.")
    static, error = mean(np.array([_tracked(case, found, fill) for fill in range(_FILLS)]))
    first = Number("C_pa", static * _PPB, error * _PPB, "ppb", remark="moments of the stored beam, static fields")
    return Finding((first, *rows), _panels(found), "No photons, side entries or pileup.")


def _injected(case: Case, found: PhaseMap) -> tuple[Number, ...]:
    """Rows of the injected beam with the damaged resistors, and of the measured drift."""
    seen = compare(case, found)
    beam = case.drawn(_DRAWN, fill=_FILLS)
    x, y = beam.x, beam.y
    width = _drifting(case, found, x, lambda t: y * (1.0 + _WIDTH_DRIFT * t / y.std()))
    height = _drifting(case, found, x, lambda t: y + _MEAN_DRIFT * t)
    measured = width[0] + height[0]
    resistors, around = f"resistors of {case.config.scraping.slow_resistors}", "50 to 350 us, all around the ring"

    def ppb(name: str, of: Measured, part: str, remark: str, formula: float | None = None) -> Number:
        value, error = of.estimate(part)
        return Number(
            name, value * _PPB, error * _PPB, "ppb", None if formula is None else formula * _PPB, None, remark
        )

    def change(name: str, of: Measured, part: str, remark: str, measured: float | None = None) -> Number:
        theirs = None if measured is None else Published(measured, math.nan, THESIS, "trackers")
        return Number(f"change of the {name}", *of.estimate(part), "mm/ms", None, theirs, remark)

    return (
        ppb("C_pa", seen.slow, "c_pa", f"injected beam, {resistors}; formula: static and measured drift",
            seen.static.value.c_pa + measured),
        ppb("static voltages", seen.static, "c_pa", "same muons, good resistors"),
        ppb("resistors", seen.change, "c_pa", "difference of the pairs; formula: measured drift", measured),
        ppb("of muons that stay", seen.slow, "kept", "C_pa without those that are lost during the fit"),
        ppb("of muons that are lost", seen.slow, "lost", "the rest: the edge of the beam leaves"),
        Number("error from the phase map", seen.slow.of_map.c_pa * _PPB, unit="ppb", remark=f"{_DECAYS} decays"),
        change("mean height", seen.slow, "mean", around),
        change("mean height, trackers", seen.slow, "mean_seen", "at 180 and 270 degrees", _MEAN_DRIFT),
        change("vertical width", seen.slow, "width", around),
        change("vertical width, trackers", seen.slow, "width_seen", "at 180 and 270 degrees", _WIDTH_DRIFT),
        change("vertical width, static voltages", seen.static, "width", around),
        Number("measured width drift", width[0] * _PPB, width[1] * _PPB, "ppb", _moments_formula(case, found, y) * _PPB,
               remark=f"vertical width {_WIDTH_DRIFT:g} mm/ms; formula: curvature times d<y^2>/dt"),
        Number("measured height drift", height[0] * _PPB, height[1] * _PPB, "ppb",
               remark=f"mean {_MEAN_DRIFT:g} mm/ms"),
        Number("muons stored", float(seen.stored), remark=f"at 30 us, of {INJECTED * case.muons} injected"),
    )  # fmt: skip


def _errors(found: PhaseMap, value: Callable[[PhaseMap], float]) -> Estimate:
    """A number made of the map, and its error by leaving out one part of the decays at a time."""
    parts = np.array([value(found.without(k)) for k in range(BLOCKS)])
    return value(found), math.sqrt(float(np.sum((parts - parts.mean()) ** 2)) * (BLOCKS - 1) / BLOCKS)


def _map_rows(case: Case, found: PhaseMap) -> tuple[Number, ...]:
    """What the map looks like."""
    curvature = _errors(found, lambda map_: float(map_.phase(0.0, 0.030) - map_.phase(0.0, 0.0)))
    slope = _errors(found, lambda map_: float(map_.phase(0.010, 0.0) - map_.phase(-0.010, 0.0)) / 0.020)
    return (
        Number("phase at y = 30 mm", curvature[0] * _MRAD, curvature[1] * _MRAD, "mrad",
               remark="from that at the centre"),
        Number("radial slope of the phase", slope[0], slope[1], "mrad/mm", remark="between -10 and 10 mm"),
        Number("detected", float(found.counts[np.argmin(np.hypot(found.x, found.y))]) / _DECAYS * 1e2, unit="%",
               remark=f"of decays at the centre, above {case.config.fit.threshold_gev:g} GeV at the face"),
    )  # fmt: skip


def _tracked(case: Case, found: PhaseMap, fill: int) -> float:
    """(d phi/dt)/omega_a of a fill in static fields, from its moments at every turn."""
    muons = case.drawn(case.muons // _FILLS, fill=fill)
    # What second moments can say: the map as a quadratic where the muons are.
    terms = np.stack([np.ones(muons.n), muons.x, muons.x**2, muons.y**2])
    c, *_ = np.linalg.lstsq(terms.T, found(muons.x, muons.y), rcond=None)
    period = case.reference.period
    first, last = math.ceil(FIT_START / period), math.floor(FIT_STOP / period)
    places = tuple(2.0 * math.pi * (k + 0.5) / _PLACES for k in range(_PLACES))
    seen = case.track(muons, last, observers=places, moments=True).moments
    assert seen is not None
    x = seen.mean_x.mean(axis=0)
    x2, y2 = (np.mean(v + m**2, axis=0) for v, m in ((seen.variance_x, seen.mean_x), (seen.variance_y, seen.mean_y)))
    phase = -np.angle(c[0] + c[1] * x + c[2] * x2 + c[3] * y2)[first:]
    return -fitted_shift(period * np.arange(first, last), phase, case.lifetime) / case.omega_a


def _drifting(case: Case, found: PhaseMap, x: Floats, height: Callable[[float], Floats]) -> Estimate:
    """(d phi/dt)/omega_a of muons whose heights are a function of the time since the fit began, and its error."""
    times = fit_times(9)
    sums = np.array([powers(x, height(t - times[0])).sum(axis=1) for t in times])
    return _errors(found, lambda map_: drift_of_phase(case, times, sums @ map_.coefficients))


def _moments_formula(case: Case, found: PhaseMap, y: Floats) -> float:
    """Curvature of the phase at the centre times d<y^2>/dt, for the measured drift of the width."""
    span = 0.020
    curvature = float(found.phase(0.0, span) - found.phase(0.0, 0.0)) / span**2
    return curvature * 2.0 * float(y.std()) * _WIDTH_DRIFT / case.omega_a


def _panels(found: PhaseMap) -> tuple[Panel, ...]:
    centre = np.argmin(np.hypot(found.x, found.y))
    total = found.vectors.sum(axis=0)
    fine = np.linspace(-0.04, 0.04, 81)

    def along(axis: Floats, other: Floats, line: Floats, label: str) -> tuple[Curve, Curve]:
        on = np.abs(other) < 1e-9
        value = -np.angle(total[on] / total[centre])
        parts = -np.angle((total[on] - found.vectors[:, on]) / (total[centre] - found.vectors[:, [centre]]))
        error = np.sqrt(np.sum((parts - parts.mean(axis=0)) ** 2, axis=0) * (BLOCKS - 1) / BLOCKS)
        return (
            Curve(label, axis[on] * _MM, value * _MRAD, error * _MRAD),
            Curve("polynomial", fine[fine >= axis[on].min()] * _MM, line[fine >= axis[on].min()] * _MRAD, line=True),
        )

    zero = -np.angle(total[centre])
    return (
        Panel("radial place of the decay x [mm]", "phase, from that at the centre [mrad]",
              along(found.x, found.y, found.phase(fine, 0.0 * fine) - zero, "decays at y = 0")),
        Panel("height of the decay y [mm]", "phase, from that at the centre [mrad]",
              along(found.y, found.x, found.phase(0.0 * fine, fine) - zero, "decays at x = 0")),
    )  # fmt: skip
