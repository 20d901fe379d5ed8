"""Published values that a run is compared with, by data set, each with its source.

Numbers that could not be checked against the printed paper are marked "best estimate (recalled)".
"""

from typing import NamedTuple

THESIS = "N. Kinnaird, dissertation (2020), nkinnaird/Dissertation @8f8e9eb"
ANALYSIS = "nkinnaird/PrecessionFrequencyAnalysis @54b9b45"
COMPUTED = f"computed from {ANALYSIS}"
RUN1_FREQUENCIES = "arXiv:2104.03201, best estimate (recalled)"
BEAM_DYNAMICS = "T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002, best estimate (recalled)"
RECALLED = "best estimate (recalled)"

LATER_RUNS = "arXiv:2308.06230 (Run-2/3), arXiv:2506.03069 (Run-4/5/6), best estimate (recalled)"
LATER_FITS = "jlabounty/g2_analysis @3ff6fe1"
RUN2C_FIT = "atfienberg/omegaAAnalysis"
OPEN_DATA = "Muon-gm2Data/outreach @9074230"

DATA_SETS = ("run1a", "run1b", "run1c", "run1d")
LATER_SETS = ("run2", "run3a", "run3b", "run456")
# First and last run of each data set: glukicov/alignTrack, alignment constants, for Run-1. Of the later ones only
# about where each run begins is public; where Run-3a ends and how far Run-6 goes are best estimates.
_RUNS = {
    "run1a": (15921, 15992), "run1b": (16110, 16256), "run1c": (16355, 16539), "run1d": (16908, 17528),
    "run2": (24376, 29925), "run3a": (29926, 33999), "run3b": (34000, 36999), "run456": (37000, 99999),
}  # fmt: skip


class Published(NamedTuple):
    """One published value.

    Attributes
    ----------
    value, error : float
        Error NaN where none is given.
    source : str
        Paper or public repository; empty for what was put in.
    remark : str
        Under which conditions the number holds.
    """

    value: float
    error: float
    source: str
    remark: str = ""


_NAN = float("nan")


def _by_set(values: tuple[float, ...], source: str, remark: str = "", error: float = _NAN) -> dict[str, Published]:
    return {name: Published(value, error, source, remark) for name, value in zip(DATA_SETS, values, strict=True)}


def _later(run23: tuple[float, float], run456: tuple[float, float]) -> dict[str, Published]:
    """Value and error as published: one for Run-2 and Run-3 together, one for Run-4 to Run-6 together."""
    together = Published(*run23, LATER_RUNS, "mean of Run-2/3")
    last = Published(*run456, LATER_RUNS, "mean of Run-4/5/6")
    return dict(zip(LATER_SETS, (together, together, together, last), strict=True))


_BY_SET: dict[str, dict[str, Published]] = {
    "cbo_khz": _by_set((372.04, 415.98, 415.30, 371.69), ANALYSIS, "trackers, late times"),
    "cbo_lifetime_us": _by_set((250.0,) * 4, THESIS, "trackers, 200 to 300 us", 50.0),
    "cbo_lifetime_calorimeters_us": _by_set((184.0, 116.0, 225.0, 188.0), ANALYSIS, "calorimeters, T-method fit"),
    "cbo_amplitude_mm": _by_set(
        (10.25,) * 4, "tracker CBO macros (J. Price, 2018), start values of fits", "commissioning, 8 to 12.5 mm", 2.25
    ),
    "field_index": _by_set((0.1079, 0.1202, 0.1200, 0.1078), COMPUTED, "from the CBO frequency of a smooth ring"),
    # The split by data set is quoted without errors: those of the mean of Run-1 stand for them.
    "c_e_ppb": _by_set((471, 464, 534, 475), BEAM_DYNAMICS, "error: that of the Run-1 mean, 489 ppb", 53.0),
    "c_p_ppb": _by_set((176, 199, 191, 166), BEAM_DYNAMICS, "error: that of the Run-1 mean, 180 ppb", 13.0),
    "c_ml_ppb": _by_set((-14, -3, -7, -17), BEAM_DYNAMICS, "error: that of the Run-1 mean, -11 ppb", 5.0),
    "c_pa_ppb": _by_set((-184, -165, -117, -164), BEAM_DYNAMICS, "error: that of the Run-1 mean, -158 ppb", 75.0),
    "mean_x_mm": _by_set((7.61, 6.89, 8.03, 7.40), THESIS, "trackers, all times"),
    "rms_x_mm": _by_set((18.43, 17.74, 18.37, 18.01), THESIS, "trackers, all times"),
    "mean_y_mm": _by_set((0.15, 0.11, 0.40, 0.95), THESIS, "trackers, all times"),
    "rms_y_mm": _by_set((12.88, 12.92, 12.71, 12.68), THESIS, "trackers, all times"),
    "asymmetry": _by_set((0.3697, 0.3707, 0.3714, 0.3747), THESIS, "", 3e-5),
    "phase_rad": _by_set((2.091, 2.081, 2.080, 2.076), THESIS, "calorimeters", 2e-4),
    "positrons_per_fill": _by_set(
        (9.34e8 / 1505362, 8.70e8 / 1958449, 2.13e9 / 3329228, 4.10e9 / 7327570),
        THESIS,
        "positrons of the data set over its fills (fills: nkinnaird/PrecessionFrequencyAnalysis)",
    ),
    "loss_percent": _by_set((0.60, 0.20, 0.25, 0.65), THESIS),
    "quad_kv": _by_set((18.3, 20.4, 20.4, 18.3), THESIS, "set point"),
    "kicker_kv": {
        "run1a": Published(130.0, 2.0, THESIS, "128 to 132 kV"),
        "run1b": Published(137.0, 1.0, THESIS, "136 to 138 kV"),
        "run1c": Published(130.0, 2.0, THESIS, "128 to 132 kV"),
        "run1d": Published(124.5, 2.5, THESIS, "122 to 127 kV"),
    },
    "proton_hz": {
        "run1a": Published(61791871.2, 7.1, RUN1_FREQUENCIES, "34.7 C"),
        "run1b": Published(61791937.8, 7.9, RUN1_FREQUENCIES, "34.7 C"),
        "run1c": Published(61791845.4, 7.7, RUN1_FREQUENCIES, "34.7 C"),
        "run1d": Published(61792003.4, 6.6, RUN1_FREQUENCIES, "34.7 C"),
    },
}
_LATER: dict[str, dict[str, Published]] = {
    "c_e_ppb": _later((451.0, 32.0), (347.0, 27.0)),
    "c_p_ppb": _later((170.0, 10.0), (175.0, 9.0)),
    "c_ml_ppb": _later((0.0, 3.0), (0.0, 2.0)),
    "c_pa_ppb": _later((-27.0, 13.0), (-33.0, 15.0)),
    "c_dd_ppb": _later((-15.0, 17.0), (26.0, 27.0)),
    "b_k_ppb": _later((-21.0, 13.0), (-37.0, 22.0)),
    "b_q_ppb": _later((-21.0, 20.0), (-21.0, 20.0)),
    "quad_kv": dict.fromkeys(LATER_SETS, Published(18.2, _NAN, RECALLED, "set point")),
    "kicker_kv": dict.fromkeys(("run2", "run3a"), Published(142.0, _NAN, RECALLED, "about"))
    | dict.fromkeys(("run3b", "run456"), Published(163.0, 2.0, RECALLED, "161 to 165 kV")),
    # 2.32 rad/us, given to two decimals.
    "cbo_khz": dict.fromkeys(
        ("run2", "run3a", "run3b"), Published(369.2, 0.8, LATER_FITS, "start value of fits, Run-2 on")
    ),
    "phase_rad": {
        "run2": Published(2.16, _NAN, RUN2C_FIT, "Run-2C, start value of a fit"),
        "run3b": Published(2.16682, _NAN, OPEN_DATA, "start value of a fit"),
    },
    "asymmetry": {"run3b": Published(0.374581, _NAN, OPEN_DATA, "start value of a fit")},
    "proton_hz": {
        "run2": Published(61790875.0, 3.3, LATER_RUNS, "34.7 C"),
        "run3a": Published(61790957.5, 3.3, LATER_RUNS, "34.7 C"),
        "run3b": Published(61790962.3, 3.3, LATER_RUNS, "34.7 C"),
    },
    "muons_per_fill": dict.fromkeys(LATER_SETS, Published(5000, _NAN, "indico.psi.ch 16492/58095", "about")),
    "tau_us": dict.fromkeys(LATER_SETS, Published(64.44, _NAN, LATER_FITS, "start value of fits, Run-2 on")),
}
_ALWAYS: dict[str, Published] = {  # in Run-1
    "c_dd_ppb": Published(-15.0, 17.0, LATER_RUNS, "Run-2/3; not given apart for Run-1"),
    "b_k_ppb": Published(-27.0, 37.0, BEAM_DYNAMICS, "Run-1 mean"),
    "b_q_ppb": Published(-17.0, 92.0, BEAM_DYNAMICS, "Run-1 mean"),
    "tau_us": Published(64.44, _NAN, ANALYSIS),
    "muons_per_fill": Published(4000, _NAN, THESIS, "order of magnitude in Run-1"),
    "x_e_mean_mm": Published(6.0, _NAN, RECALLED, "Run-1"),
    "x_e_sigma_mm": Published(9.0, _NAN, RECALLED, "Run-1"),
}


class CboDrift(NamedTuple):
    """Fit of w(t) = w0 + A exp(-t/tA)/t + B exp(-t/tB)/t to the mean radius, in cos(w(t) t + phase)."""

    khz: float  # w0 / 2 pi
    a_rad: float
    ta_us: float
    b_rad: float
    tb_us: float


CBO_DRIFT = {
    "run1a": (CboDrift(372.04, 2.79, 61.1, 5.63, 6.07), CboDrift(372.25, 2.90, 81.8, 5.12, 7.7)),
    "run1b": (CboDrift(415.98, 2.88, 49.2, 6.27, 6.18), CboDrift(416.11, 3.27, 52.8, 6.96, 6.6)),
    "run1c": (CboDrift(415.30, 2.80, 56.6, 6.18, 6.32), CboDrift(415.49, 2.86, 72.8, 5.50, 8.5)),
    "run1d": (CboDrift(371.69, 6.82, 78.3, 5.42, 6.54), CboDrift(372.06, 7.43, 95.1, 4.71, 9.0)),
}
"""Drift of the CBO by data set, trackers: the fit of ANALYSIS (station 12), and the later one of THESIS."""
RUN1_MEANS = {
    "C_e": Published(489.0, 53.0, BEAM_DYNAMICS, "Run-1"),
    "C_p": Published(180.0, 13.0, BEAM_DYNAMICS, "Run-1"),
    "C_ml": Published(-11.0, 5.0, BEAM_DYNAMICS, "Run-1"),
    "C_pa": Published(-158.0, 75.0, BEAM_DYNAMICS, "Run-1"),
}
"""Corrections of the whole of Run-1 [ppb]."""


def published(key: str, data_set: str) -> Published | None:
    """The published value of a quantity for a data set, or None where there is none.

    Parameters
    ----------
    key : str
        Quantity, with its unit.
    data_set : str
        ``run1a`` ... ``run1d``, ``run2``, ``run3a``, ``run3b``, ``run456``; other names have no values of their own.
    """
    if data_set in LATER_SETS:
        return _LATER.get(key, {}).get(data_set)
    if data_set not in DATA_SETS:
        return None
    return _BY_SET.get(key, {}).get(data_set) or _ALWAYS.get(key)


def quantities() -> tuple[str, ...]:
    """Every quantity that has a published value, with its unit in the name."""
    return tuple(dict.fromkeys([*_BY_SET, *_ALWAYS, *_LATER]))


def mark(source: str) -> str:
    """How sure a number of this source is: "best estimate", "computed", "our choice" or "read" in the source named."""
    return next((word for word in ("best estimate", "computed", "our choice") if word in source), "read")


def data_set_of(run: int) -> str:
    """The data set that a run number belongs to; empty where it belongs to none."""
    return next((name for name, (first, last) in _RUNS.items() if first <= run <= last), "")
