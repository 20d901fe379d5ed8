"""Coherent betatron oscillation of the injected beam: amplitude, frequencies, drift and lifetime."""

import math
from collections.abc import Sequence

import numpy as np

from gm2sim.report.published import COMPUTED, Published, data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, CENTRE, phasor
from gm2sim.studies.outcome import Curve, Finding, Floats, Number, Panel
from gm2sim.studies.precession import jackknife
from gm2sim.studies.registry import study
from gm2sim.studies.swing import WINDOW, Indices, Swing, injected_swing, linear_optics, stored_swing
from tracking.cbo import Drift
from tracking.optics import Optics

INJECTED = 40  # muons that leave the inflector for each muon of the study's size: about one of them is stored
_MM, _US, _KHZ = 1e3, 1e6, 1e-3
_BIN = 149.2e-9  # of the radius against time: about a turn, which evens out the bunch [s]
_ALL = np.arange(BLOCKS)


@study("cbo", key="cbo_lifetime_us", muons=2500)
def cbo(case: Case) -> Finding:
    """CBO of the injected beam: amplitude, frequency, drift and lifetime, and what the resistors and plates do to it.

    The same injected muons as configured, without the damaged resistors, and with pure quadrupoles besides; and the
    configured stored beam. They do not decay. Mean radius of one azimuth against time, in windows of 10 us; errors from
    the jackknife over muons. The formula is the Fourier transform of the CBO frequencies of these muons, by first-order
    perturbation from the momentum and the amplitudes of each (:mod:`tracking.decoherence`), with settled voltages.
    """
    config = case.config
    sized = Case(config, INJECTED * case.muons, case.seed)
    changes: dict[str, dict[str, object]] = {"as configured": {}}
    if config.scraping.slow_resistors != "none":
        changes["no damaged resistors"] = {"scraping__slow_resistors": "none"}
    if config.quads.multipoles and config.quads.plates == "real":
        changes["pure quadrupoles"] = {"scraping__slow_resistors": "none", "quads__multipoles": False}
    swings = [injected_swing(sized, label, **one) for label, one in changes.items()]
    stored = stored_swing(sized, "stored beam", case.muons)
    case.muon_turns += sized.muon_turns
    linear = linear_optics(config)
    first = swings[0]
    static = swings[1] if "no damaged resistors" in changes else swings[0]
    data_set = data_set_of(config.run.run)
    table = (
        *_lifetimes([*swings, stored], linear, data_set),
        *_parts(static, linear),
        *_amplitudes([*swings, stored], data_set),
        *_frequencies(swings, data_set),
        *_lines(first, linear),
        *(_drift(first, static, data_set) if static is not first else ()),
    )
    panels = (_envelopes([*swings, stored], linear), _frequency_panel(swings, data_set), _radius(first))
    return Finding(
        table,
        panels,
        "Muons do not decay. Published lifetimes and amplitudes are ranges, their halves taken as errors.",
    )


def _lifetimes(swings: Sequence[Swing], linear: Optics, data_set: str) -> list[Number]:
    """Lifetime of each beam, with that of the envelope of its muons' frequencies."""
    calorimeters = published("cbo_lifetime_calorimeters_us", data_set)
    rows = []
    for k, one in enumerate(swings):
        tau, error = one.lifetime()
        formula = one.life(one.expected(linear)).tau
        remark = "exponential, 30 to 300 us" if math.isfinite(tau) else "does not decay"
        if k == 0 and calorimeters is not None:
            remark += f"; calorimeters: {calorimeters.value:g} us"
        rows.append(
            Number(f"lifetime, {one.label}", tau * _US if math.isfinite(tau) else math.nan, error * _US, "us",
                   formula * _US if math.isfinite(formula) else None,
                   published("cbo_lifetime_us", data_set) if k == 0 else None, remark)
        )  # fmt: skip
    return rows


def _parts(static: Swing, linear: Optics) -> list[Number]:
    """What the momenta and the amplitudes of the muons would do alone: formula."""
    rows = []
    for name, options in (
        ("momenta alone", {"amplitudes": False}),
        ("amplitudes alone", {"momenta": False}),
    ):
        tau = static.life(static.expected(linear, **options)).tau
        rows.append(Number(f"lifetime by {name}", tau * _US if math.isfinite(tau) else math.nan, unit="us",
                           remark=f"formula, {static.label}"))  # fmt: skip
    spread = float(static.delta[static.there].std())
    slope = float(np.polyfit(linear.deltas, (1.0 - linear.tunes[:, 0]) / linear.periods, 1)[0])
    return [
        *rows,
        Number("df_CBO/d(delta)", slope * _KHZ, unit="kHz", formula=_slope(linear) * _KHZ,
               remark="pure quadrupoles, in time; formula: -xi f_c - eta f_CBO"),
        Number("momentum spread", spread * 1e2, spread * 1e2 / math.sqrt(2.0 * static.there.sum()), "%"),
    ]  # fmt: skip


def _slope(linear: Optics) -> float:
    slip = linear.momentum_compaction - 1.0 / linear.reference.gamma0**2
    return -linear.chromaticity_x * linear.f_c - slip * linear.f_cbo


def _amplitudes(swings: Sequence[Swing], data_set: str) -> list[Number]:
    """Amplitude around 30 us, and at the end."""
    rows = []
    for k, one in enumerate(swings):
        size, error = one.envelope
        theirs = published("cbo_amplitude_mm", data_set) if k == 0 else None
        rows.append(Number(f"amplitude at 30 us, {one.label}", size[0] * _MM, error[0] * _MM, "mm", None, theirs,
                           f"against time; {size[-1] * _MM:.1f} mm at 350 us"))  # fmt: skip
    return rows


def _frequencies(swings: Sequence[Swing], data_set: str) -> list[Number]:
    """CBO frequency of each beam, early and late."""
    model = published_drift(data_set)
    rows = []
    for k, one in enumerate(swings):
        value, error = jackknife(one.frequency, BLOCKS)
        rise, rise_error = jackknife(lambda which, one=one: _rise(one, which), BLOCKS)  # type: ignore[misc]
        theirs: list[Published | None] = [None] * 3
        if k == 0 and model is not None:
            at = _model_frequencies(model)
            theirs = [
                Published(number * _KHZ, math.nan, COMPUTED, "from the drift model")
                for number in (at[0], at[2], at[2] - at[1])
            ]
        linear = one.optics.f_cbo * _KHZ
        rows += [
            Number(f"f_CBO at 30 us, {one.label}", value[0] * _KHZ, error[0] * _KHZ, "kHz", None, theirs[0]),
            Number(f"f_CBO late, {one.label}", value[2] * _KHZ, error[2] * _KHZ, "kHz", linear, theirs[1],
                   "mean from 250 to 350 us; formula: linear optics"),
            Number(f"drift of f_CBO, {one.label}", float(rise) * _KHZ, float(rise_error) * _KHZ, "kHz", None, theirs[2],
                   "from 50 us to the mean of 250 to 350 us"),
        ]  # fmt: skip
    return rows


def _rise(swing: Swing, which: Indices) -> float:
    frequency = swing.frequency(which)
    return float(frequency[2] - frequency[1])


def _lines(swing: Swing, linear: Optics) -> list[Number]:
    """Cyclotron and betatron frequencies."""
    f_c, f_c_error = swing.cyclotron()
    late, late_error = (one[2] for one in jackknife(swing.frequency, BLOCKS))
    mean_delta = float(swing.delta[swing.there].mean())
    turn = float(np.polyval(np.polyfit(linear.deltas, linear.periods, 2), mean_delta))
    at = swing.optics
    y, y_error = swing.vertical(at.f_y)
    width, width_error = swing.vertical(at.f_vw, width=True)
    return [
        Number("f_c", f_c * _KHZ, f_c_error * _KHZ, "kHz", _KHZ / turn, remark="formula: period of the mean momentum"),
        Number("f_x", (f_c - late) * _KHZ, math.hypot(f_c_error, late_error) * _KHZ, "kHz", at.f_x * _KHZ,
               remark="f_c - f_CBO, late; formula: reference momentum"),
        Number("f_y", y * _KHZ, y_error * _KHZ, "kHz", at.f_y * _KHZ,
               remark="mean height, 25 to 35 us; formula: settled voltages"),
        Number("f_VW", width * _KHZ, width_error * _KHZ, "kHz", at.f_vw * _KHZ,
               remark="vertical width, 25 to 35 us; formula: settled voltages"),
    ]  # fmt: skip


def _drift(swing: Swing, static: Swing, data_set: str) -> list[Number]:
    """The slow term of the drift model: of the beam as it is, and of what the resistors add."""

    def whole(which: Indices) -> Floats:
        return _terms(swing.drift(swing.phase(which)))

    def added(which: Indices) -> Floats:
        return _terms(swing.drift(swing.phase(which) - static.phase(which)))

    rows = []
    for label, function in (("as configured", whole), ("resistors alone", added)):
        value, error = jackknife(function, BLOCKS)
        remark = "one slow term, 30 to 350 us" if function is whole else "phase with less phase without, same muons"
        rows += [
            Number(f"A, {label}", value[0], error[0], "rad", None, published("cbo_drift_a_rad", data_set), remark),
            Number(f"tA, {label}", value[1], error[1], "us", None, published("cbo_drift_ta_us", data_set)),
        ]
        if function is whole:
            rows.append(Number(f"w0/2pi, {label}", value[2], error[2], "kHz", swing.optics.f_cbo * _KHZ,
                               published("cbo_khz", data_set)))  # fmt: skip
    return rows


def _terms(found: Drift) -> Floats:
    """A [rad], tA [us] and w0/2 pi [kHz]."""
    return np.array([found.a, found.t_a * _US, found.w0 / (2.0 * math.pi) * _KHZ])


def published_drift(data_set: str) -> Drift | None:
    """The drift model of a data set of Run-1 as published; None where there is none."""
    keys = ("cbo_khz", "cbo_drift_a_rad", "cbo_drift_ta_us", "cbo_drift_b_rad", "cbo_drift_tb_us")
    found = [published(key, data_set) for key in keys]
    if any(one is None for one in found):
        return None
    khz, a, t_a, b, t_b = (one.value for one in found if one is not None)
    none = math.nan
    return Drift(2e3 * math.pi * khz, none, a, none, t_a * 1e-6, none, b, none, t_b * 1e-6, none, none)


def _model_frequencies(model: Drift) -> tuple[float, float, float]:
    """Frequencies of the model at 30 us, at 50 us, and mean from 250 to 350 us [Hz]."""
    begin, end = model.phase([250e-6, 350e-6])
    return (*map(float, model.frequency([30e-6, 50e-6])), float(end - begin) / (2.0 * math.pi * 100e-6))  # type: ignore[return-value]


def _envelopes(swings: Sequence[Swing], linear: Optics) -> Panel:
    curves = []
    for one in swings:
        size, error = one.envelope
        curves.append(Curve(one.label, one.time * _US, size * _MM, error * _MM))
    for one in swings[:-1]:
        curves.append(Curve(f"formula, {one.label}", one.time * _US, one.expected(linear) * _MM, line=True))
    return Panel("time [μs]", "CBO amplitude [mm]", tuple(curves))


def _frequency_panel(swings: Sequence[Swing], data_set: str) -> Panel:
    curves = []
    for one in swings:
        value, error = jackknife(one.frequency, BLOCKS)
        curves.append(Curve(one.label, (one.time[1:] - 0.5 * WINDOW) * _US, value[3:] * _KHZ, error[3:] * _KHZ))
    model = published_drift(data_set)
    if model is not None:
        fine = np.linspace(swings[0].time[0], swings[0].time[-1], 161)
        curves.append(Curve("published drift", fine * _US, model.frequency(fine) * _KHZ, line=True))
    return Panel("time [μs]", "CBO frequency [kHz]", tuple(curves))


def _radius(swing: Swing) -> Panel:
    """Mean radius from 25 to 35 us in bins of a turn, and the line through all passages."""
    seen = swing.seen
    time, x = seen.time[0][seen.alive[0]], seen.x[0][seen.alive[0]]
    edges = np.arange(CENTRE - 0.5 * WINDOW, CENTRE + 0.5 * WINDOW, _BIN)
    count = np.maximum(np.histogram(time, edges)[0], 1)
    radius = np.histogram(time, edges, weights=x)[0] / count
    z = phasor(swing.sums[0].sum(axis=0))
    middle = 0.5 * (edges[1:] + edges[:-1])
    fine = np.linspace(edges[0], edges[-1], 401)
    swung = (z * np.exp(2j * math.pi * swing.line * (fine - CENTRE))).real
    return Panel("time [μs]", "mean radius [mm]", (
        Curve("turn by turn", middle * _US, radius * _MM),
        Curve("line", fine * _US, (swung + float(radius.mean())) * _MM, line=True),
    ))  # fmt: skip
