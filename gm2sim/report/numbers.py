"""The numbers of a run, with errors, beside the published ones."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from gm2sim.analysis import Analysis, cbo_frequency, design_reference, field_index, precession_frequency
from gm2sim.lost_muons import fraction_lost, lost_muon_triples
from gm2sim.report.load import Columns, RunFolder, losses_of, moments_by_turn
from gm2sim.report.published import Published, published

Floats = NDArray[np.float64]
Value = tuple[float, float]  # value and error; an error of NaN is none

_NAN = math.nan
_LATE = 30e-6  # when the experiment's fits begin [s]
_LOSS_SPAN = 70e-6  # in which its losses are quoted [s]


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    what, unit : str
    ours : (value, error)
    theirs : Published or None
    note : str
        How our number was made.
    """

    what: str
    unit: str
    ours: Value
    theirs: Published | None
    note: str

    @property
    def pull(self) -> float:
        """Difference in standard deviations, NaN where an error is missing."""
        if self.theirs is None:
            return _NAN
        error = math.hypot(self.ours[1], self.theirs.error)
        return (self.ours[0] - self.theirs.value) / error if error > 0 else _NAN


def rows(run: RunFolder, found: Analysis) -> list[Row]:
    """All numbers of the report, the fitted ones first.

    Parameters
    ----------
    run : RunFolder
    found : Analysis
        Of the same folder.
    """
    return [*_wiggle(run, found), *_beam(run), *_muons(run), *_triples(run, found)]


def corrections(run: RunFolder) -> dict[str, Value]:
    """Electric field and pitch correction from the true muons, with equilibrium radius [m].

    C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2 and C_p = n <y^2>/(2 R0^2): T. Albahri et al., Phys. Rev. Accel.
    Beams 24 (2021) 044002. x_e = R0 dp/p/(1 - n), with dp/p from the total energy, as outside the quads.
    """
    muons = run.truth.get("muons")
    if muons is None:
        return {}
    design, n = design_reference(run.config), field_index(run.config)
    alive = muons["time"] > _LATE if np.any(muons["time"] > _LATE) else np.ones(len(muons["time"]), bool)
    energy, y = muons["energy"][alive], muons["y"][alive]
    momentum = np.sqrt(np.maximum(energy**2 - (design.energy0 / design.gamma0) ** 2, 0))
    x_e = design.r0 * (momentum / design.p0_gev - 1) / (1 - n)
    scale = 2 * n * (1 - n) * design.beta0**2 / design.r0**2
    return {
        "x_e_mean": _mean(x_e),
        "x_e_sigma": _spread(x_e),
        "c_e": _scaled(_mean(x_e**2), scale),
        "c_p": _scaled(_mean(y**2), n / (2 * design.r0**2)),
    }


def fit_cbo(moments: Columns, guess: float) -> Value:
    """Frequency of the coherent radial oscillation from the mean radius turn by turn, 5 to 60 us [Hz].

    Parameters
    ----------
    moments : dict of str to array
        As :func:`gm2sim.report.load.moments_by_turn` gives them.
    guess : float [Hz]
    """
    some = (moments["time"] > 5e-6) & (moments["time"] < 60e-6)
    t, x = moments["time"][some], moments["mean_x"][some]
    if len(t) < 50:
        return _NAN, _NAN
    error = np.maximum(moments["rms_x"][some], 1e-6) / np.sqrt(moments["count"][some])
    trial = guess * np.linspace(0.93, 1.07, 141)
    wave = np.exp(2j * np.pi * np.outer(trial, t)) @ ((x - x.mean()) * np.hanning(len(t)))
    best = int(np.argmax(np.abs(wave)))
    size = 4 * abs(wave[best]) / len(t)

    def model(t: Floats, mean: float, size: float, rate: float, f: float, phase: float) -> Floats:
        return mean + size * np.exp(-rate * t) * np.cos(2 * np.pi * f * t - phase)

    start = (float(x.mean()), size, 5e3, trial[best], float(np.angle(wave[best])))
    try:
        values, covariance = curve_fit(model, t, x, start, sigma=error, absolute_sigma=True)
    except RuntimeError:
        return _NAN, _NAN
    # The envelope is no exponential: where it fits badly, the error grows with the root of chi-square.
    chi2 = float(np.sum(((x - model(t, *values)) / error) ** 2)) / (len(t) - 5)
    return float(values[3]), float(np.sqrt(covariance[3, 3] * max(chi2, 1.0)))


def _wiggle(run: RunFolder, found: Analysis) -> Iterator[Row]:
    name = run.preset
    fit = found.fit
    fills = int(run.summary.get("counts", {}).get("fills", run.config.run.fills))
    if fit is None:
        return
    true = corrections(run)
    shift = sum(true[key][0] for key in ("c_e", "c_p") if key in true)
    put_in = precession_frequency(run.config) * (1 - shift)
    omega, error = fit.omega_a
    reference = fit.reference_frequency
    yield Row(
        "R, frequency against the reference",
        "ppm",
        (1e6 * (omega / (2 * math.pi * reference) - 1), 1e6 * error / (2 * math.pi * reference)),
        Published(1e6 * (put_in / reference - 1), 0.0, "", "put in: a_μ e B/m less C_e and C_p"),
        "fit of the raw data",
    )
    yield Row("ω_a/2π", "Hz", (omega / (2 * math.pi), error / (2 * math.pi)), None, "same fit")
    labels = {
        "tau_us": ("lifetime in the lab", "μs"),
        "asymmetry": (f"asymmetry above {run.config.fit.threshold_gev:g} GeV", ""),
        "phase_rad": ("phase at injection", "rad"),
        "cbo_khz": ("CBO frequency in the positrons", "kHz"),
        "cbo_amplitude": ("CBO amplitude in the positrons", ""),
    }
    for key, (what, unit) in labels.items():
        if key in fit.names:
            yield Row(what, unit, fit[key], published(key, name), "same fit")
    count = fit.positrons
    yield Row(
        f"positrons above {run.config.fit.threshold_gev:g} GeV a fill",
        "",
        (count / fills, math.sqrt(count) / fills),
        published("positrons_per_fill", name),
        "in the fitted time range",
    )


def _beam(run: RunFolder) -> Iterator[Row]:
    if "beam" not in run.truth:
        return
    name = run.preset
    moments = moments_by_turn(run.truth["beam"])
    f, error = fit_cbo(moments, cbo_frequency(run.config))
    yield Row("CBO frequency of the beam", "kHz", (f * 1e-3, error * 1e-3), published("cbo_khz", name),
              "mean radius turn by turn, 5 to 60 μs")  # fmt: skip
    yield Row("field index n", "", (field_index(run.config), _NAN), published("field_index", name),
              "from the configured voltage")  # fmt: skip
    late = (moments["time"] > _LATE) | (moments["time"] >= moments["time"].max())
    weight = moments["count"][late]
    for axis, word in (("x", "radial"), ("y", "vertical")):
        mean, rms = moments[f"mean_{axis}"][late] * 1e3, moments[f"rms_{axis}"][late] * 1e3
        # Each muon is seen on many turns: the error is that of the muons there at the start of the window.
        average = float(np.average(mean, weights=weight))
        width = math.sqrt(float(np.average(rms**2 + mean**2, weights=weight)) - average**2)
        root = math.sqrt(max(float(weight[0]), 1.0))
        yield Row(f"{word} mean after 30 μs", "mm", (average, width / root),
                  published(f"mean_{axis}_mm", name), "true muons at the observer, no acceptance")  # fmt: skip
        yield Row(f"{word} RMS after 30 μs", "mm", (width, width / root / math.sqrt(2)),
                  published(f"rms_{axis}_mm", name), "same")  # fmt: skip


def _muons(run: RunFolder) -> Iterator[Row]:
    muons = run.truth.get("muons")
    if muons is None:
        return
    name = run.preset
    fills = max(int(run.summary.get("counts", {}).get("fills", run.config.run.fills)), 1)
    total = len(muons["time"])
    yield Row("stored muons a fill", "", (total / fills, _NAN), published("muons_per_fill", name), "configured")
    true = corrections(run)
    how = "true muons alive at 30 μs"
    for key, what, scale, unit in (
        ("x_e_mean", "equilibrium radius, mean", 1e3, "mm"),
        ("x_e_sigma", "equilibrium radius, spread", 1e3, "mm"),
        ("c_e", "electric field correction C_e", 1e9, "ppb"),
        ("c_p", "pitch correction C_p", 1e9, "ppb"),
    ):
        yield Row(what, unit, _scaled(true[key], scale), published(f"{key}_{unit}", name), how)
    losses = losses_of(run)
    if losses is not None and losses.stored(_LATE):
        share, error = fraction_lost(losses, _LATE, _LATE + _LOSS_SPAN)
        yield Row("lost muons, 30 to 100 μs", "%", (100 * share, 100 * error), published("loss_percent", name),
                  "of the muons stored at 30 μs, decay divided out")  # fmt: skip


def _triples(run: RunFolder, found: Analysis) -> Iterator[Row]:
    """Lost muons as the calorimeters see them: three in a row."""
    triples = lost_muon_triples(found.clusters)
    if not triples.found.time.size:
        return
    fills = max(int(run.summary.get("counts", {}).get("fills", run.config.run.fills)), 1)
    count, error = triples.spectrum([-math.inf, math.inf])
    yield Row("triple coincidences of lost muons a fill", "", (count[0] / fills, error[0] / fills), None,
              "three calorimeters 6.2 ns apart, accidentals taken off")  # fmt: skip


def _mean(values: Floats) -> Value:
    return float(values.mean()), float(values.std() / math.sqrt(max(len(values), 1)))


def _spread(values: Floats) -> Value:
    return float(values.std()), float(values.std() / math.sqrt(2 * max(len(values), 1)))


def _scaled(value: Value, factor: float) -> Value:
    return value[0] * factor, value[1] * factor
