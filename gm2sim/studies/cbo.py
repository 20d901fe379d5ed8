"""Coherent betatron oscillation of the injected beam: amplitude, frequencies, drift and lifetime."""

import math
from typing import NamedTuple

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import ANALYSIS, CBO_DRIFT, COMPUTED, CboDrift, Published, data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, CENTRE, phasor
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import jackknife
from gm2sim.studies.registry import study
from gm2sim.studies.swing import LIFE_END, WINDOW, Indices, Swing, injected_swing, linear_optics, stored_swing
from tracking.cbo import Drift
from tracking.optics import Optics

INJECTED = 40  # muons that leave the inflector for each muon of the study's size: about one of them is stored
_MM, _US, _KHZ = 1e3, 1e6, 1e-3
_BIN = 149.2e-9  # of the radius against time: about a turn, which evens out the bunch [s]
_TWO_FITS = "error: difference to the later fit of the dissertation"


class Beams(NamedTuple):
    """The beams that are compared; the first is as configured, the last the stored one."""

    swings: tuple[Swing, ...]
    static: Swing  # with real plates and without damaged resistors
    linear: Optics  # of pure quadrupoles

    @property
    def first(self) -> Swing:
        """As configured."""
        return self.swings[0]


@study("cbo", key="cbo_lifetime_us", muons=2500)
def cbo(case: Case) -> Finding:
    """CBO of the injected beam: amplitude, frequencies, drift, lifetime, with and without resistors and multipoles.

    The same injected muons as configured, without the damaged resistors, and with pure quadrupoles besides; and the
    configured stored beam. Nothing decays. Mean radius at one azimuth against time, in windows of 10 us; errors from
    the jackknife over muons. The formula is the Fourier transform of the CBO frequencies of these muons, to first order
    from the momentum and the amplitudes of each and the voltages of the time (:mod:`tracking.decoherence`).
    """
    beams = _beams(case)
    data_set = data_set_of(case.config.run.run)
    table = (
        *_lifetimes(beams, data_set),
        *_parts(beams),
        *_amplitudes(beams, data_set),
        *_frequencies(beams, data_set),
        *_lines(beams),
        *(_drift(beams, data_set) if beams.static is not beams.first else ()),
    )
    panels = (_envelopes(beams), _frequency_panel(beams, data_set), _radius(beams.first))
    remark = (
        "Published lifetimes and amplitudes are ranges; half their widths stand for errors. The strength of the "
        "resistors was itself taken from the published drift."
    )
    return Finding(table, panels, remark)


def _beams(case: Case) -> Beams:
    config = case.config
    sized = Case(config, INJECTED * case.muons, case.seed)
    swings = [injected_swing(sized, "as configured")]
    if config.scraping.slow_resistors != "none":
        swings.append(injected_swing(sized, "no damaged resistors", scraping__slow_resistors="none"))
    static = swings[-1]
    if config.quads.multipoles and config.quads.plates == "real":
        off = {"scraping__slow_resistors": "none", "quads__multipoles": False}
        swings.append(injected_swing(sized, "pure quadrupoles", **off))
    swings.append(stored_swing(sized, "stored beam", case.muons))
    case.muon_turns += sized.muon_turns
    return Beams(tuple(swings), static, linear_optics(config))


def _lifetimes(beams: Beams, data_set: str) -> list[Number]:
    """Lifetime of each beam, with that of the envelope of its muons' frequencies."""
    calorimeters = published("cbo_lifetime_calorimeters_us", data_set)
    rows = []
    for k, one in enumerate(beams.swings):
        tau, error = one.lifetime()
        formula = one.life(np.abs(one.expected(beams.linear))).tau
        remark = "exponential, 30 to 300 us" if math.isfinite(tau) else "does not decay"
        if k == 0 and calorimeters is not None:
            remark += f"; calorimeters: {calorimeters.value:g} us"
        theirs = published("cbo_lifetime_us", data_set) if k == 0 else None
        rows.append(Number(f"lifetime, {one.label}", _finite_us(tau), _finite_us(error), "us",
                           _finite_us(formula) if math.isfinite(formula) else None, theirs, remark))  # fmt: skip
    return rows


def _finite_us(seconds: float) -> float:
    return seconds * _US if math.isfinite(seconds) else math.nan


def _parts(beams: Beams) -> list[Number]:
    """What the momenta and the amplitudes of the muons would do alone: formula."""
    static, linear = beams.static, beams.linear
    alone = (
        ("momenta", "no multipoles", static.expected(linear, amplitudes=False)),
        ("amplitudes", "all at the mean momentum", static.expected(linear, momenta=False)),
    )
    spread, muons = float(static.delta[static.there].std()), int(static.there.sum())
    slope = float(np.polyfit(linear.deltas, (1.0 - linear.tunes[:, 0]) / linear.periods, 1)[0])
    slip = linear.momentum_compaction - 1.0 / linear.reference.gamma0**2
    formula = -linear.chromaticity_x * linear.f_c - slip * linear.f_cbo
    return [
        *(Number(f"lifetime by {name} alone", _finite_us(static.life(np.abs(line)).tau), unit="us",
                 remark=f"formula: {how}; {static.label}") for name, how, line in alone),
        Number("df_CBO/d(delta)", slope * _KHZ, unit="kHz", formula=formula * _KHZ,
               remark="pure quadrupoles; formula: -xi f_c - eta f_CBO"),
        Number("momentum spread", spread * 1e2, spread * 1e2 / math.sqrt(2.0 * muons), "%", remark="at 30 us"),
    ]  # fmt: skip


def _amplitudes(beams: Beams, data_set: str) -> list[Number]:
    """Amplitude around 30 us, and at the end."""
    rows = []
    for k, one in enumerate(beams.swings):
        size, error = one.envelope
        theirs = published("cbo_amplitude_mm", data_set) if k == 0 else None
        rows.append(Number(f"amplitude at 30 us, {one.label}", size[0] * _MM, error[0] * _MM, "mm", None, theirs,
                           f"against time; {size[-1] * _MM:.1f} mm at 350 us"))  # fmt: skip
    return rows


def _frequencies(beams: Beams, data_set: str) -> list[Number]:
    """CBO frequency of each injected beam, early and late."""
    rows = []
    for k, one in enumerate(beams.swings[:-1]):
        value, error = (column * _KHZ for column in one.frequency)
        rise, rise_error = jackknife(lambda which, one=one: _rise(one, which), BLOCKS)  # type: ignore[misc]
        formula = one.frequencies(np.unwrap(np.angle(one.expected(beams.linear)))) * _KHZ
        theirs = _published_frequencies(data_set) if k == 0 else (None, None, None)
        rows += [
            Number(f"f_CBO at 30 us, {one.label}", value[0], error[0], "kHz", float(formula[0]),
                   theirs[0], "the end of the recovery from scraping is in it"),
            Number(f"f_CBO late, {one.label}", value[2], error[2], "kHz", float(formula[2]), theirs[1],
                   f"mean from 250 to 350 us; linear optics: {one.optics.f_cbo * _KHZ:.2f} kHz"),
            Number(f"drift of f_CBO, {one.label}", float(rise) * _KHZ, float(rise_error) * _KHZ, "kHz",
                   float(formula[2] - formula[1]), theirs[2],
                   "from 50 us to the mean of 250 to 350 us"),
        ]  # fmt: skip
    return rows


def _rise(swing: Swing, which: Indices) -> float:
    _, at_50, late, *_ = swing.frequencies(swing.phase(which))
    return float(late - at_50)


def _published_frequencies(data_set: str) -> tuple[Published | None, ...]:
    """At 30 us, late, and their drift from 50 us on, from the drift model of a data set."""
    if data_set not in CBO_DRIFT:
        return None, None, None
    found = []
    for fit in CBO_DRIFT[data_set]:
        model = drift_model(fit)
        begin, end = model.phase([250e-6, 350e-6])
        late = float(end - begin) / (2.0 * math.pi * 100e-6) * _KHZ
        at_30, at_50 = model.frequency([30e-6, 50e-6]) * _KHZ
        found.append((float(at_30), late, late - float(at_50)))
    return tuple(Published(a, abs(a - b), COMPUTED, _TWO_FITS) for a, b in zip(*found, strict=True))


def drift_model(fit: CboDrift) -> Drift:
    """A published fit of the drift in SI units, without errors."""
    none = math.nan
    return Drift(2e3 * math.pi * fit.khz, none, fit.a_rad, none, fit.ta_us * 1e-6, none, fit.b_rad, none,
                 fit.tb_us * 1e-6, none, none)  # fmt: skip


def _lines(beams: Beams) -> list[Number]:
    """Cyclotron and betatron frequencies with static voltages, beside linear optics at the mean momentum."""
    static, linear = beams.static, beams.linear
    delta = float(static.delta[static.there].mean())
    nu_x, nu_y, period = (np.polyval(np.polyfit(linear.deltas, column, 2), delta)
                          for column in (*linear.tunes.T, linear.periods))  # fmt: skip
    f_c, f_c_error = static.cyclotron()
    late, late_error = (float(column[2]) for column in static.frequency)
    y, y_error = static.vertical(static.optics.f_y)
    width, width_error = static.vertical(static.optics.f_vw, width=True)
    formula = np.array([1.0, nu_x, nu_y, 1.0 - 2.0 * nu_y]) / period * _KHZ
    rows = (
        ("f_c", f_c, f_c_error, "mean of the muons"),
        ("f_x", f_c - late, math.hypot(f_c_error, late_error), "f_c - f_CBO, 250 to 350 us"),
        ("f_y", y, y_error, "mean height, 25 to 35 us"),
        ("f_VW", width, width_error, "squared height, 25 to 35 us"),
    )
    return [
        Number(f"{name}, {static.label}", value * _KHZ, error * _KHZ, "kHz", float(theirs),
               remark=f"{how}; formula: linear optics, mean momentum")
        for (name, value, error, how), theirs in zip(rows, formula, strict=True)
    ]  # fmt: skip


def _drift(beams: Beams, data_set: str) -> list[Number]:
    """The slow term of the drift model: of the beam as it is, and of what the resistors add."""
    swing, static = beams.first, beams.static

    def whole(which: Indices) -> Floats:
        return _terms(swing.drift(swing.phase(which)))

    def added(which: Indices) -> Floats:
        return _terms(swing.drift(swing.phase(which) - static.phase(which)))

    theirs: list[Published | None] = [None] * 3
    if data_set in CBO_DRIFT:
        fits = (np.array([fit.a_rad, fit.ta_us, fit.khz]) for fit in CBO_DRIFT[data_set])
        theirs = [Published(float(a), abs(float(a - b)), ANALYSIS, _TWO_FITS) for a, b in zip(*fits, strict=True)]
    rows = []
    for label, function, how in (
        ("as configured", whole, "one slow term, 30 to 350 us"),
        ("resistors alone", added, "phase with less phase without them, same muons"),
    ):
        value, error = jackknife(function, BLOCKS)
        units = (("A", "rad"), ("tA", "us"), ("w0/2pi", "kHz"))
        rows += [
            Number(f"{name}, {label}", float(value[k]), float(error[k]), unit, None, theirs[k], how)
            for k, (name, unit) in enumerate(units)
            if name != "w0/2pi" or function is whole
        ]
    return rows


def _terms(found: Drift) -> Floats:
    """A [rad], tA [us] and w0/2 pi [kHz]."""
    return np.array([found.a, found.t_a * _US, found.w0 / (2.0 * math.pi) * _KHZ])


def _envelopes(beams: Beams) -> Panel:
    curves = []
    for one in beams.swings:
        size, error = one.envelope
        curves.append(Curve(one.label, one.time * _US, size * _MM, error * _MM))
    for one in beams.swings[:-1]:
        expected = np.abs(one.expected(beams.linear))
        curves.append(Curve(f"formula, {one.label}", one.time * _US, expected * _MM, line=True))
    first = beams.first
    size, _ = first.envelope
    fit = first.life(size)
    fine = np.linspace(CENTRE, LIFE_END, 91)
    curves.append(Curve("exponential", fine * _US, fit.amplitude * np.exp(-fine / fit.tau) * _MM, line=True))
    return Panel("time [μs]", "CBO amplitude [mm]", tuple(curves))


def _frequency_panel(beams: Beams, data_set: str) -> Panel:
    curves = []
    for one in beams.swings[:-1]:
        value, error = one.frequency
        curves.append(Curve(one.label, (one.time[1:] - 0.5 * WINDOW) * _US, value[3:] * _KHZ, error[3:] * _KHZ))
    if data_set in CBO_DRIFT:
        fine = np.linspace(beams.first.time[0], beams.first.time[-1], 161)
        for label, fit in zip(("published drift", "later fit"), CBO_DRIFT[data_set], strict=True):
            curves.append(Curve(label, fine * _US, drift_model(fit).frequency(fine) * _KHZ, line=True))
    return Panel("time [μs]", "CBO frequency [kHz]", tuple(curves))


def _radius(swing: Swing) -> Panel:
    """Mean radius from 25 to 35 us in bins of a turn, and the line through all passages."""
    seen = swing.seen
    time, x = seen.time[0][seen.alive[0]], seen.x[0][seen.alive[0]]
    edges = np.arange(CENTRE - 0.5 * WINDOW, CENTRE + 0.5 * WINDOW, _BIN)
    count = np.maximum(np.histogram(time, edges)[0], 1)
    radius = np.histogram(time, edges, weights=x)[0] / count
    middle = 0.5 * (edges[1:] + edges[:-1])
    line = swing.sums[0].sum(axis=0)
    z = phasor(line)
    constant = (line[6] - z.real * line[1] + z.imag * line[2]) / line[0]
    fine = np.linspace(edges[0], edges[-1], 401)
    swung = constant + (z * np.exp(2j * math.pi * swing.line * (fine - CENTRE))).real
    return Panel("time [μs]", "mean radius [mm]", (
        Curve("turn by turn", middle * _US, radius * _MM),
        Curve("line", fine * _US, swung * _MM, line=True),
    ))  # fmt: skip
