"""Muon losses: those that are lost have other momenta, and other phases."""

import math

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import Published, data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.differential_decay import injection_phase
from gm2sim.studies.muon_loss_injected import drift, injected_muon_loss
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import fit_times, fitted_shift, jackknife
from gm2sim.studies.registry import study
from tracking.bunch import Bunch, State

_EDGE = 1.5e-3  # beyond the collimators, where the configuration leaves nothing to be lost [m]
_INSIDE = 2.0e-3  # muons that stay so far inside the collimators are not tracked [m]
_WINDOW = (30e-6, 100e-6)  # in which the losses of the data sets are quoted [s]
_BINS = 16
_PPB, _URAD, _PERCENT, _US = 1e9, 1e6, 1e2, 1e6


@study("muon-loss", key="c_ml_ppb", muons=80_000)
def muon_loss(case: Case) -> Finding:
    """Muon-loss correction C_ml: collimators take muons of other momenta, and so of other phases.

    C_ml = (d<phi>/dt)/omega_a with d<phi>/dt = phi' (<delta>_stored - <delta>_lost) r, r the rate at which muons
    are lost (T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002). The same muons are followed with and
    without collimators; the phase of those that are left drifts. Muons whose betatron motion comes near a
    collimator are tracked, the others cannot be lost. How many are lost depends on how much the scraping has left
    at the edge, which the source does not know: the result is scaled to the measured loss of the data set, where
    there is one. With beam.source = injected see :mod:`gm2sim.studies.muon_loss_injected`.
    """
    if case.config.beam.source == "injected":
        return injected_muon_loss(case)
    edge = max(case.config.beam.edge_mm * 1e-3, 0.0) or _EDGE
    muons = case.drawn(edge=edge)
    delta, phase = case.delta(muons), injection_phase(case, muons)
    times = fit_times()
    last = math.ceil(times[-1] / case.reference.period) + 2
    near = np.flatnonzero(reach(case, muons) > stored_radius(case) - _INSIDE)
    result = case.track(muons.select(near), last)
    lost_at = np.full(muons.n, np.inf)
    lost_at[near] = np.where(result.bunch.state == State.LOST_COLLIMATOR, result.bunch.time, np.inf)

    fitted = np.isfinite(lost_at) & (lost_at > times[0])
    at_start = lost_at > times[0]
    window = (lost_at > _WINDOW[0]) & (lost_at < _WINDOW[1])
    theirs = published("loss_percent", data_set_of(case.config.run.run))
    measured = theirs.value / _PERCENT if theirs is not None else None

    def numbers(which: NDArray[np.int64]) -> Floats:
        shift = -fitted_shift(times, drift(times, lost_at[which], phase[which]), case.lifetime) / case.omega_a
        loss = window[which].sum() / at_start[which].sum()
        gone, kept = delta[which][fitted[which]], delta[which][at_start[which]]
        scale = measured / loss if measured is not None and loss > 0.0 else 1.0
        difference = gone.mean() - kept.mean() if gone.size else 0.0
        line = _random_losses(case, times, lost_at[which], difference)
        formula = -fitted_shift(times, line, case.lifetime) / case.omega_a
        return np.array([shift * scale, shift, loss, gone.mean() if gone.size else 0.0, kept.mean(), formula * scale])

    value, error = jackknife(numbers, muons.n)
    phases = drift(times, lost_at, phase)
    panels = (
        Panel("time [μs]", "phase of the beam [μrad]", (
            Curve("tracked", times * _US, (phases - phases[0]) * _URAD),
            Curve("φ′ (⟨δ⟩ lost − ⟨δ⟩ stored) × share lost", times * _US,
                  _random_losses(case, times, lost_at, value[3] - value[4]) * _URAD, line=True),
        )),
        _lost_by_momentum(delta, at_start, fitted),
    )  # fmt: skip
    whole = f"of {muons.n}: those that come near a collimator; edge {edge * 1e3:g} mm"
    table = _table(value, error, theirs, near.size, whole)
    return Finding(table, panels, "Static fields: the drift of the quads in Run-1 adds losses that are not in here.")


def _table(value: Floats, error: Floats, theirs: Published | None, tracked: int, whole: str) -> tuple[Number, ...]:
    """The numbers of the jackknife, and how many muons were tracked."""
    how = "scaled to the measured loss" if theirs is not None else "as tracked"
    return (
        Number("C_ml", value[0] * _PPB, error[0] * _PPB, "ppb", value[5] * _PPB, None, how),
        Number("C_ml as tracked", value[1] * _PPB, error[1] * _PPB, "ppb"),
        Number("lost from 30 to 100 us", value[2] * _PERCENT, error[2] * _PERCENT, "%", None, theirs,
               "of those stored at 30 us"),
        Number("mean momentum of the lost", value[3] * _PERCENT, error[3] * _PERCENT, "%", remark="after 30 us"),
        Number("mean momentum of the stored", value[4] * _PERCENT, error[4] * _PERCENT, "%", remark="at 30 us"),
        Number("muons tracked", float(tracked), remark=whole),
    )  # fmt: skip


def _lost_by_momentum(delta: Floats, at_start: NDArray[np.bool_], lost: NDArray[np.bool_]) -> Panel:
    """Share of the muons that are lost, against their momentum."""
    bins = np.quantile(delta[at_start], np.linspace(0.0, 1.0, _BINS + 1))
    middle = 0.5 * (bins[1:] + bins[:-1])
    all_, gone = (np.histogram(delta[which], bins)[0] for which in (at_start, lost))
    share, error = _ratio(gone, all_)
    curve = Curve("tracked", middle * _PERCENT, share * _PERCENT, error * _PERCENT)
    return Panel("Δp/p [%]", "lost after 30 μs [%]", (curve,))


def stored_radius(case: Case) -> float:
    """Radius of the collimators [m]."""
    return case.config.ring.collimator_radius_mm * 1e-3


def reach(case: Case, muons: Bunch) -> Floats:
    """Largest distance from the axis that a muon comes to at the collimators, over all betatron phases [m]."""
    at, delta = case.optics.lattice, case.delta(muons)
    x = muons.x - at.x[0] - at.dispersion[0] * delta
    px = muons.px - at.px[0] - at.dispersion_px[0] * delta
    y, py = muons.y - at.y[0], muons.py - at.py[0]
    radial = np.sqrt((x**2 + (at.alpha_x[0] * x + at.beta_x[0] * px) ** 2) / at.beta_x[0])
    vertical = np.sqrt((y**2 + (at.alpha_y[0] * y + at.beta_y[0] * py) ** 2) / at.beta_y[0])
    worst = np.zeros(muons.n)
    for k in range(1, at.x.size):
        far = np.abs(at.x[k] + at.dispersion[k] * delta) + math.sqrt(at.beta_x[k]) * radial
        worst = np.maximum(worst, np.hypot(far, np.abs(at.y[k]) + math.sqrt(at.beta_y[k]) * vertical))
    return worst


def _random_losses(case: Case, times: Floats, lost_at: Floats, difference: float) -> Floats:
    """Phase of the beam if the lost, of mean delta larger by `difference`, left in random order [rad]."""
    slope = case.config.beam.spin_phase_slope_mrad_per_percent * 0.1
    left = lost_at.size - np.searchsorted(np.sort(lost_at), times, side="right")
    return np.asarray(slope * difference * np.log(left / left[0]))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> tuple[Floats, Floats]:
    total = np.maximum(whole, 1)
    share = part / total
    return share, np.sqrt(np.maximum(share * (1.0 - share), 1.0 / total) / total)
