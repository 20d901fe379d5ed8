"""Damping of the coherent oscillation by radio frequency on the plates."""

import cmath
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from gm2sim.config import Config
from gm2sim.injection import changes
from gm2sim.machine import layout, quad_settings
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, line_columns, phasor
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import jackknife
from gm2sim.studies.registry import study
from tracking.bunch import Bunch, State
from tracking.cbo import Lifetime, Windows, lifetime

_WINDOW = 67  # turns: 10 us
_WINDOWS = 20
_AFTER = 2e-6  # from the end of the RF to the window that it is tuned with [s]
_MM, _US = 1e3, 1e6


class Seen(NamedTuple):
    """A beam in windows of 10 us: sums of its lines over blocks of muons, and how many are left."""

    sums: Floats  # (windows, blocks, 9)
    left: NDArray[np.int64]  # (windows,)
    time: Floats  # middle of each window [s]

    def envelope(self) -> tuple[Floats, Floats]:
        """Amplitude in each window and its error [m]."""
        return jackknife(lambda which: np.abs(_phasors(self.sums[:, which].sum(axis=1))), BLOCKS)


@study("rf-damping", muons=3000)
def rf_damping(case: Case) -> Finding:
    """CBO with a radial RF field at its frequency on the plates of one quad, against none, same muons.

    The field adds a coherent oscillation of its own, in proportion to its amplitude and with its phase, to all muons
    alike. One run without and one with a probe give this response; amplitude and phase are then set so that it
    cancels the mean motion (O. Kim et al., New J. Phys. 22 (2020) 063002). What an observer at one azimuth sees is
    fitted against time in windows of 10 us. The same dipole on all four quads would average to nothing: a force at
    the CBO frequency drives the betatron motion through the first harmonic of its azimuth only.
    """
    muons = case.drawn()
    plain = case.config.with_(rf__on=False)
    frequency = _frequency(case, muons, plain)
    off = _watch(case, muons, plain, frequency)
    probe = case.config.with_(rf__on=True, rf__mode="horizontal", rf__phase_rad=0.0, rf__frequency_khz=frequency * 1e-3)
    tried = _watch(case, muons, probe, frequency)
    place = int(np.searchsorted(off.time - 0.5 * (off.time[1] - off.time[0]), case.config.rf.off_us * 1e-6 + _AFTER))
    z = [_phasors(one.sums.sum(axis=1))[min(place, _WINDOWS - 1)] for one in (off, tried)]
    response = complex(z[1] - z[0])
    wanted = -complex(z[0]) / response
    kv = min(abs(wanted) * probe.rf.amplitude_kv, 10.0)
    tuned = probe.with_(rf__amplitude_kv=kv, rf__phase_rad=cmath.phase(wanted))
    on = _watch(case, muons, tuned, frequency)
    (without, bars), (with_, with_bars) = off.envelope(), on.envelope()
    k = min(place, _WINDOWS - 1)

    def left(which: NDArray[np.int64]) -> Floats:
        a, b = (abs(_phasors(one.sums[:, which].sum(axis=1))[k]) for one in (on, off))
        return np.array([a / b])

    ratio, ratio_error = jackknife(left, BLOCKS)
    lives = [
        lifetime(Windows(one.time, one.time * 0.0, one.time * 0.0, size, error, one.time * 0.0), float(off.time[k]))
        for one, size, error in ((off, without, bars), (on, with_, with_bars))
    ]
    at = f"at {off.time[k] * _US:.0f} us"
    table = (
        Number("CBO left with RF", float(ratio[0]), float(ratio_error[0]), remark=f"amplitude over that without, {at}"),
        Number("amplitude without RF", without[k] * _MM, bars[k] * _MM, "mm", remark=f"{at}, against time"),
        Number("amplitude with RF", with_[k] * _MM, with_bars[k] * _MM, "mm"),
        _lifetime("lifetime without RF", lives[0]),
        _lifetime("lifetime with RF", lives[1]),
        Number("frequency", frequency * 1e-3, unit="kHz", formula=case.optics.f_cbo * 1e-3,
               remark="CBO of the beam; formula: linear optics"),
        Number("amplitude on the plates", kv, unit="kV", remark=f"{tuned.rf.quad}, {tuned.rf.on_us:g} to "
               f"{tuned.rf.off_us:g} us"),
        Number("phase", cmath.phase(wanted), unit="rad"),
        Number("response", abs(response) / probe.rf.amplitude_kv * _MM, unit="mm/kV"),
        Number("muons lost without RF", 100.0 * (1.0 - off.left[-1] / muons.n), unit="%"),
        Number("muons lost with RF", 100.0 * (1.0 - on.left[-1] / muons.n), unit="%"),
    )  # fmt: skip
    panels = _panels(muons.n, ("without RF", off, without, bars), ("with RF", on, with_, with_bars))
    return Finding(table, panels, "Muons do not decay. Which plates had which phase is not public: one quad here.")


def _panels(muons: int, *beams: tuple[str, Seen, Floats, Floats]) -> tuple[Panel, ...]:
    """Amplitude, with its errors, and muons left of some beams against time."""
    swing = [Curve(name, seen.time * _US, size * _MM, error * _MM) for name, seen, size, error in beams]
    left = [Curve(name, seen.time * _US, seen.left / muons * 100.0, line=True) for name, seen, _, _ in beams]
    return (
        Panel("time [μs]", "CBO amplitude [mm]", tuple(swing)),
        Panel("time [μs]", "muons left [%]", tuple(left)),
    )


def _lifetime(name: str, fit: Lifetime) -> Number:
    """Lifetime of an envelope; NaN where it does not decay."""
    if not math.isfinite(fit.tau):
        return Number(name, math.nan, unit="us", remark="what is left does not decay")
    return Number(name, fit.tau * _US, fit.tau_error * _US, "us", remark="exponential fit")


def _watch(case: Case, muons: Bunch, config: Config, frequency: float) -> Seen:
    """The beam under the RF of a configuration."""
    timed = changes(config, quad_settings(config), layout(config))
    sums, left = [], []
    for _ in range(_WINDOWS):
        result = case.track(muons, _WINDOW, spin=False, observers=(math.radians(config.tracking.observer_deg),),
                            changes=timed)  # fmt: skip
        assert result.samples is not None
        columns = line_columns(result.samples, frequency)
        sums.append([np.bincount(muons.number % BLOCKS, column, BLOCKS) for column in columns])
        muons = result.bunch
        left.append(int(np.sum(muons.state == State.STORED)))
    time = np.asarray((np.arange(_WINDOWS) + 0.5) * _WINDOW * case.reference.period, np.float64)
    return Seen(np.array(sums).transpose(0, 2, 1), np.array(left), time)


def _frequency(case: Case, muons: Bunch, config: Config) -> float:
    """CBO frequency of the beam from its first 20 us [Hz]."""
    result = case.track(muons, 2 * _WINDOW, spin=False, observers=(math.radians(config.tracking.observer_deg),))
    seen = result.samples
    assert seen is not None

    def left(f: float) -> float:
        return -abs(phasor(line_columns(seen, f).sum(axis=1)))

    linear = case.optics.f_cbo
    found = minimize_scalar(left, bounds=(0.97 * linear, 1.03 * linear), method="bounded")
    return float(found.x)


def _phasors(sums: Floats) -> NDArray[np.complex128]:
    return np.array([phasor(one) for one in sums])
