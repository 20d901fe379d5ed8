"""Published values that a run is compared with, by data set, each with its source.

Numbers that could not be checked against the printed paper are marked "best estimate (recalled)".
"""

from typing import NamedTuple

THESIS = "N. Kinnaird, dissertation (2020), nkinnaird/Dissertation @8f8e9eb"
ANALYSIS = "nkinnaird/PrecessionFrequencyAnalysis @54b9b45"
BEAM_DYNAMICS = "T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002, best estimate (recalled)"
RECALLED = "best estimate (recalled)"

LATER_RUNS = "arXiv:2308.06230 (Run-2/3), arXiv:2506.03069 (Run-4/5/6), best estimate (recalled)"

DATA_SETS = ("run1a", "run1b", "run1c", "run1d")
# First and last run of each data set (glukicov/alignTrack, alignment constants of Run-1).
_RUNS = {"run1a": (15921, 15992), "run1b": (16110, 16256), "run1c": (16355, 16539), "run1d": (16908, 17528)}


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


_BY_SET: dict[str, dict[str, Published]] = {
    "cbo_khz": _by_set((372.04, 415.98, 415.30, 371.69), ANALYSIS, "trackers, late times"),
    "field_index": _by_set((0.1079, 0.1202, 0.1200, 0.1078), ANALYSIS, "from the CBO frequency of a smooth ring"),
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
}
_ALWAYS: dict[str, Published] = {
    "c_dd_ppb": Published(-15.0, 17.0, LATER_RUNS, "Run-2/3; not given apart for Run-1"),
    "b_k_ppb": Published(-27.0, 37.0, BEAM_DYNAMICS, "Run-1 mean"),
    "b_q_ppb": Published(-17.0, 92.0, BEAM_DYNAMICS, "Run-1 mean"),
    "tau_us": Published(64.44, _NAN, ANALYSIS),
    "muons_per_fill": Published(4000, _NAN, THESIS, "order of magnitude in Run-1"),
    "x_e_mean_mm": Published(6.0, _NAN, RECALLED, "Run-1"),
    "x_e_sigma_mm": Published(9.0, _NAN, RECALLED, "Run-1"),
}
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
        ``run1a`` ... ``run1d``; other names have no values of their own.
    """
    if data_set not in DATA_SETS:
        return None
    return _BY_SET.get(key, {}).get(data_set) or _ALWAYS.get(key)


def data_set_of(run: int) -> str:
    """The data set that a run number belongs to; empty where it belongs to none."""
    return next((name for name, (first, last) in _RUNS.items() if first <= run <= last), "")
