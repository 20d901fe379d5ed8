"""Electric dipole moment of the muon."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import mean, watched
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.frequency import angular_frequency, smooth_window, spin_phase
from tracking.stations import RingTables

Vectors = NDArray[np.complex128]
# E821: d < 1.8e-19 e cm at 95 % (G. W. Bennett et al., Phys. Rev. D 80 (2009) 052008; best estimate, recalled).
# d = eta e hbar/(4 m c) = eta 4.669e-14 e cm.
_LIMIT_CM = 1.8e-19
_PER_ETA_CM = 4.669e-14
_FACTORS = (-1.0, 0.5, 1.0)  # of that limit
_TURNS = 1000
_MRAD, _PPB, _DEGREE = 1e3, 1e9, 180.0 / math.pi


@study("edm", muons=128)
def edm(case: Case) -> Finding:
    """Electric dipole moment: tilt of the precession, vertical oscillation of the spin, growth of omega_a.

    With d = eta e hbar/(4 m c) the axis of the precession leans by delta, tan(delta) = eta beta/(2 a): the spin
    oscillates vertically at omega_a with the amplitude tan(delta), 90 degrees from its swing along the momentum, and
    omega_a grows by sqrt(1 + tan(delta)^2) (G. W. Bennett et al., Phys. Rev. D 80 (2009) 052008). The same muons are
    tracked with and without eta; the vertical spin that betatron motion makes is in both and drops out.
    """
    eta = _LIMIT_CM / _PER_ETA_CM
    muons = case.at_momentum(case.drawn(), case.delta_magic)
    plain = _spins(case, muons, case.tables)
    tilts, errors, growth, delay = [], [], [], []
    for factor in _FACTORS:
        seen = _spins(case, muons, case.variant(eta=factor * eta))
        # Amplitude of the difference, in units of the swing along the momentum, with its phase.
        ratio = (seen.vertical - plain.vertical) / plain.along
        size, error = mean(np.abs(ratio))
        tilts.append(math.copysign(size, factor))
        errors.append(error)
        delay.append(float(np.angle(ratio.mean())))
        growth.append(mean(seen.omega / plain.omega - 1.0))
    per_eta = case.reference.beta0 / (2.0 * case.config.physics.anomaly)
    tangent = eta * per_eta
    wanted = 0.5 * tangent**2 - 0.125 * tangent**4  # sqrt(1 + t^2) - 1
    fine = np.linspace(-1.1, 1.1, 45) * eta
    etas = np.array(_FACTORS) * eta
    table = (
        Number("tan(delta)", tilts[-1] * _MRAD, errors[-1] * _MRAD, "1e-3", tangent * _MRAD,
               remark=f"at eta = {eta:.4g}, the E821 limit of {_LIMIT_CM:g} e cm"),
        Number("growth of omega_a", growth[-1][0] * _PPB, growth[-1][1] * _PPB, "ppb", wanted * _PPB),
        Number("phase of the vertical spin", delay[-1] * _DEGREE, unit="degrees", formula=90.0,
               remark="before that along the momentum"),
        Number("tan(delta) over eta", tilts[-1] / eta, errors[-1] / eta, formula=per_eta),
        Number("tan(delta) at half of eta", tilts[1] * _MRAD, errors[1] * _MRAD, "1e-3", 0.5 * tangent * _MRAD),
    )  # fmt: skip
    panels = (
        Panel("η [10⁻⁶]", "tan δ [10⁻³]", (
            Curve("tracked spins", etas * 1e6, np.array(tilts) * _MRAD),
            Curve("ηβ/(2a)", fine * 1e6, fine * per_eta * _MRAD, line=True),
        )),
        Panel("η [10⁻⁶]", "growth of ω_a [ppb]", (
            Curve("tracked spins", etas * 1e6, np.array([g[0] for g in growth]) * _PPB),
            Curve("tan²δ/2", fine * 1e6, 0.5 * (fine * per_eta) ** 2 * _PPB, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "No published value: the moment is put in.")


class _Spins(NamedTuple):
    """Amplitudes of the spin at omega_a; arrays of shape (n,)."""

    vertical: Vectors  # complex: the phase is that at t = 0
    along: Vectors
    omega: Floats  # [rad/s]


def _spins(case: Case, muons: Bunch, tables: RingTables) -> _Spins:
    """Smooth-window transforms of the vertical spin and of that along the momentum at each muon's omega_a."""
    parts = []
    for seen, energy, went in watched(muons, tables, _TURNS):
        phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], energy, tables.reference)
        omega = angular_frequency(phase, seen.time[0]).value
        wave = 2.0 * smooth_window(_TURNS)[:, None] * np.exp(-1j * omega * seen.time[0])
        parts.append((np.sum(wave * seen.sy[0], axis=0), np.sum(wave * np.cos(phase), axis=0), omega))
        case.muon_turns += went
    return _Spins(*(np.concatenate(column) for column in zip(*parts, strict=True)))
