"""Muon losses of a beam that came through inflector, kickers and scraping."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.injected import LAST, Fill
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import beam_phase, fit_times, fitted_shift, jackknife
from tracking.bunch import State

INJECTED = 3  # muons that leave the inflector for each muon of the study's size
_WINDOW = (30e-6, 100e-6)  # in which the losses of the data sets are quoted [s]
_EDGES = np.array([15.0, 22.0, 30.0, 45.0, 60.0, 80.0, 100.0, 130.0, 170.0, 220.0, 300.0, 450.0, 650.0]) * 1e-6
_BINS = 8
_PPB, _URAD, _PERCENT, _US = 1e9, 1e6, 1e2, 1e6


class Survival(NamedTuple):
    """Muons of a fill that are there 15 us after injection; arrays (n,)."""

    lost_at: Floats  # [s]; inf: never
    delta: Floats  # after the kick, before any copper
    phase: Floats  # of the wiggle by the momentum at the inflector exit [rad]
    late: Floats  # of the wiggle by the injection time [rad]

    def numbers(self, case: Case, which: NDArray[np.int64]) -> Floats:
        """C_ml, the same with injection times, loss from 30 to 100 us, mean momenta of lost and stored."""
        times = fit_times()
        lost_at, delta = self.lost_at[which], self.delta[which]
        shifts = [
            -fitted_shift(times, drift(times, lost_at, phase[which]), case.lifetime) / case.omega_a
            for phase in (self.phase, self.phase + self.late)
        ]
        there = lost_at > times[0]
        gone = there & np.isfinite(lost_at)
        window = (lost_at > _WINDOW[0]) & (lost_at < _WINDOW[1])
        of_lost = float(delta[gone].mean()) if gone.any() else 0.0
        return np.array([*shifts, window.sum() / max(int(there.sum()), 1), of_lost, float(delta[there].mean())])


def injected_muon_loss(case: Case) -> Finding:
    """C_ml of the injected beam, with the damaged resistors of Run-1 against none, same muons.

    Who stands at the edge is decided by injection and scraping. Muons that do not decay are followed through the fit;
    the phase of each is phi' delta. Its injection time adds omega_a t, which matters where early and late muons are
    lost differently: a row of its own, with an error that is wide, because these phases are thirty times larger.
    Plates with slow resistors let the edge of the beam move on while it is counted. Nothing is scaled to the
    measured loss.
    """
    data_set = data_set_of(case.config.run.run)
    chosen = case.config.scraping.slow_resistors
    slow = chosen if chosen != "none" else (data_set.removeprefix("run") if data_set else "1a")
    sized = Case(case.config, INJECTED * case.muons, case.seed)
    beams = [survival(sized, scraping__slow_resistors=resistors) for resistors in ("none", slow)]
    case.muon_turns += sized.muon_turns
    labels = ("static voltages", f"resistors of {slow}")
    rows = []
    for label, beam in zip(labels, beams, strict=True):
        value, error = jackknife(lambda which, beam=beam: beam.numbers(case, which), beam.delta.size)  # type: ignore[misc]
        rows += [
            Number(f"C_ml, {label}", value[0] * _PPB, error[0] * _PPB, "ppb", None,
                   published("c_ml_ppb", data_set), "phase by momentum; not scaled to the measured loss"),
            Number(f"with injection times, {label}", value[1] * _PPB, error[1] * _PPB, "ppb"),
            Number(f"lost from 30 to 100 us, {label}", value[2] * _PERCENT, error[2] * _PERCENT, "%", None,
                   published("loss_percent", data_set), "of those stored at 30 us"),
            Number(f"mean momentum of the lost, {label}", value[3] * _PERCENT, error[3] * _PERCENT, "%",
                   remark="after 30 us"),
            Number(f"mean momentum of the stored, {label}", value[4] * _PERCENT, error[4] * _PERCENT, "%"),
        ]  # fmt: skip
    rows.append(Number("muons stored", float(beams[1].delta.size), remark=f"at 15 us, of {sized.muons} injected"))
    half = (len(rows) - 1) // 2
    rows = [*rows[half : 2 * half], *rows[:half], rows[-1]]  # the result is that of the data set as it was
    times = fit_times()
    return Finding(tuple(rows), (
        Panel("time [μs]", "loss rate [% per 10 μs]", tuple(
            Curve(label, *_rate(beam)) for label, beam in zip(labels, beams, strict=True)
        )),
        Panel("Δp/p [%]", "lost after 15 μs [%]", tuple(
            Curve(label, *_by_momentum(beam)) for label, beam in zip(labels, beams, strict=True)
        )),
        Panel("time [μs]", "phase of the beam [μrad]", tuple(
            Curve(label, times * _US, _from_zero(drift(times, beam.lost_at, beam.phase)) * _URAD, line=True)
            for label, beam in zip(labels, beams, strict=True)
        )),
    ), "Static fields but for the resistors; injected muons.")  # fmt: skip


def survival(case: Case, **changes: object) -> Survival:
    """Follow a fill to the end of the fit, with settings changed as for :class:`gm2sim.studies.injected.Fill`."""
    fill = Fill(case, **changes)
    last = math.ceil(fit_times()[-1] / fill.ring.reference.period) + 2
    ends = fill.follow(fill.muons.select(fill.stored), last - LAST)
    period = fill.ring.reference.period  # by turns: the clock of an orbit that left the range of numbers is not known
    lost_at = np.where(fill.muons.state > State.DECAYED, fill.muons.turn * period, np.inf)
    lost_at[fill.stored] = np.where(ends.state == State.STORED, np.inf, ends.turn * period)
    kept = lost_at > _EDGES[0]
    beam = fill.config.beam
    phase = beam.spin_phase_slope_mrad_per_percent * 0.1 * fill.delta(fill.at_exit)
    late = case.omega_a * fill.at_exit.time
    return Survival(lost_at[kept], fill.delta(fill.kicked)[kept], phase[kept], late[kept])


def drift(times: Floats, lost_at: Floats, phase: Floats) -> Floats:
    """Phase of the muons that are left at some times [rad]."""
    order = np.argsort(lost_at)
    sums = np.concatenate([[0.0], np.cumsum(np.exp(1j * phase[order]))])
    return beam_phase(sums[-1] - sums[np.searchsorted(lost_at[order], times, side="right")])


def _from_zero(phase: Floats) -> Floats:
    return np.asarray(phase - phase[0])


def _rate(beam: Survival) -> tuple[Floats, Floats, Floats]:
    """Middle of each span of time [us], loss rate in it and its error [% per 10 us]."""
    gone = np.histogram(beam.lost_at, _EDGES)[0]
    left = beam.lost_at.size - np.concatenate([[0], np.cumsum(gone)[:-1]])
    per = _PERCENT / left / (np.diff(_EDGES) / 10e-6)
    return 0.5 * (_EDGES[1:] + _EDGES[:-1]) * _US, gone * per, np.sqrt(np.maximum(gone, 1)) * per


def _by_momentum(beam: Survival) -> tuple[Floats, Floats, Floats]:
    """Momentum of each bin, share lost in it and its error [%]."""
    edges = np.quantile(beam.delta, np.linspace(0.0, 1.0, _BINS + 1))
    total = np.maximum(np.histogram(beam.delta, edges)[0], 1)
    gone = np.histogram(beam.delta[np.isfinite(beam.lost_at)], edges)[0]
    middle = 0.5 * (edges[1:] + edges[:-1])
    return middle * _PERCENT, gone / total * _PERCENT, np.sqrt(np.maximum(gone, 1)) / total * _PERCENT
