"""Differential decay: fast muons live longer."""

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import BLOCKS, beam_phase, fit_times, fitted_shift, jackknife_sums
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.muon import LIFETIME, MASS

_BINS = 40  # with the same number of muons each
Vectors = NDArray[np.complex128]
_PPB, _MRAD, _URAD, _PERCENT, _US = 1e9, 1e3, 1e6, 1e2, 1e6


@study("differential-decay", key="c_dd_ppb", muons=200_000)
def differential_decay(case: Case) -> Finding:
    """Differential-decay correction C_dd: the phase depends on the momentum, and slow muons die first.

    The weight of a muon falls as exp(-t/gamma tau). With <phi> the phase of N ~ 1 + A cos(omega_a t - phi),
    d<phi>/dt = cov(phi, delta)/(gamma tau), and a drift of the phase is taken for a frequency: C_dd =
    (d<phi>/dt)/omega_a = phi' sigma_delta^2/(gamma tau omega_a) (N. Kinnaird, dissertation (2020), on the E821
    estimate of -36.8 ppb; arXiv:2308.06230). Spins turn about the vertical, so the phase differences of injection
    stay: nothing needs to be tracked, the weights of the muons of the source are followed through the fit.
    """
    muons = case.drawn()
    delta, phase = case.delta(muons), injection_phase(case, muons)
    late = case.omega_a * muons.time
    reference = case.reference
    excess = MASS / (LIFETIME * muons.energy) - 1.0 / case.lifetime  # the mean decay is in the weights of the fit
    times = fit_times()

    def correction(vectors: Vectors) -> Floats:
        return np.asarray(-fitted_shift(times, beam_phase(vectors), case.lifetime) / case.omega_a)

    sums = _sums_over_blocks(times, excess, phase)
    value, error = (float(x) for x in jackknife_sums(correction, sums))
    timed, timed_error = (float(x) for x in jackknife_sums(correction, _sums_over_blocks(times, excess, phase + late)))
    slope = case.config.beam.spin_phase_slope_mrad_per_percent * 0.1
    variance = float(delta.var())
    formula = slope * variance / (case.lifetime * case.omega_a)
    correlated = case.config.beam.x_e_time_slope_mm_per_ns != 0.0
    both = Number("C_dd with injection times", timed * _PPB, timed_error * _PPB, "ppb",
                      remark="adds omega_a times the injection time to the phase")  # fmt: skip
    alone = Number("C_dd", value * _PPB, error * _PPB, "ppb", formula * _PPB, None,
                   "phase-momentum correlation of the beam line")  # fmt: skip
    table = (
        *((both._replace(quantity="C_dd"), alone._replace(quantity="C_dd, momentum alone")) if correlated
          else (alone, both)),
        Number("E821 estimate", -36.8, unit="ppb", remark="N. Kinnaird, dissertation (2020); another beam line"),
        Number("phase slope", slope * _MRAD / _PERCENT, unit="mrad per percent"),
        Number("momentum spread", np.sqrt(variance) * _PERCENT, np.sqrt(variance / (2 * muons.n)) * _PERCENT, "%"),
    )  # fmt: skip
    tracked = beam_phase(sums.sum(axis=0))
    line = slope * variance / case.lifetime * times
    edges = np.quantile(delta, np.linspace(0.0, 1.0, _BINS + 1))
    middle = 0.5 * (edges[1:] + edges[:-1])
    early, last = (np.histogram(delta, edges, weights=np.exp(-excess * t), density=True)[0] for t in (0.0, times[-1]))
    panels = (
        Panel("time [μs]", "phase of the beam [μrad]", (
            Curve("weights of the muons", times * _US, (tracked - tracked[0]) * _URAD),
            Curve("φ′ σ² t/γτ", times * _US, (line - line[0]) * _URAD, line=True),
        )),
        Panel("Δp/p [%]", "late over early, −1 [%]", (
            Curve(f"momenta at {times[-1] * _US:.0f} μs", middle * _PERCENT,
                  (last / early - 1.0) * _PERCENT),
            Curve("t Δγ/(γ²τ)", middle * _PERCENT,
                  times[-1] / case.lifetime * (middle - delta.mean()) * _PERCENT, line=True),
        )),
    )  # fmt: skip
    remark = f"gamma = {reference.gamma0:.4f}; acceptance and asymmetry are taken as the same at all momenta."
    return Finding(table, panels, remark)


def injection_phase(case: Case, muons: Bunch) -> Floats:
    """Phase phi of each muon, N ~ 1 + A cos(omega_a t - phi): the angle of its spin behind its momentum [rad]."""
    momentum = case.reference.p0_gev * (1.0 + case.delta(muons))
    ps = np.sqrt((momentum / case.reference.p0_gev) ** 2 - muons.px**2 - muons.py**2)
    behind = np.arctan2(muons.sx, muons.ss) - np.arctan2(muons.px, ps)
    return np.asarray(np.mod(behind + np.pi, 2.0 * np.pi) - np.pi)


def _sums_over_blocks(times: Floats, excess: Floats, phase: Floats) -> Vectors:
    """Sum of exp(i phase - excess t) over each part of the muons, shape (blocks, times)."""
    share = np.arange(phase.size) * BLOCKS // phase.size
    vector = np.exp(1j * phase - excess * times[0])
    step = np.exp(-excess * (times[1] - times[0]))
    sums = np.empty((BLOCKS, times.size), np.complex128)
    for k in range(times.size):
        sums[:, k] = np.bincount(share, vector.real, BLOCKS) + 1j * np.bincount(share, vector.imag, BLOCKS)
        vector *= step
    return sums
