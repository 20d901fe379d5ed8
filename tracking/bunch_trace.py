"""Measured bunch shapes: traces of the T0 counter as text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fields.columns import read_columns
from fields.maps import FieldMapError
from tracking.bunch_shape import TimeTable, moments

_NS = 1e-9
_QUIET = 0.5  # share of the window, on either side, beyond which the trace is baseline
_SMALLEST = 20.0  # peak over the scatter of the baseline


def load_bunch(path: str | Path, trace: int = 0, window: float = 200e-9, step: float = 5e-9) -> TimeTable:
    """Bunch shape from a T0 trace.

    The baseline (median of all that is more than half a window outside the window) is taken off, what is left
    below 0 is set to 0, the trace is averaged over steps, its peak is set to 1 and its mean time to 0.

    Parameters
    ----------
    path
        Text file, a title line, then time [ns] and two traces [ADC counts].
    trace
        0: first photomultiplier (1 % filter), 1: second (10 %).
    window
        Half width kept, about t = 0 of the file [s].
    step
        Of the result [s].

    Returns
    -------
    TimeTable
        Nodes (time [s], weight).

    Raises
    ------
    FieldMapError
        If the file is missing, broken, in other units, without baseline or without a bunch.
    ValueError
        If `trace` is not 0 or 1, or the step does not fit into the window.
    """
    if trace not in (0, 1):
        raise ValueError(f"T0 trace {trace} does not exist: give 0 or 1.")
    if not 0.0 < 4.0 * step <= window:
        raise ValueError(f"bunch shape of +-{window:g} s in steps of {step:g} s: give a step below a quarter of it.")
    path = Path(path)
    table = read_columns(path, ("time [ns]", "trace A", "trace B"), 16)
    time, counts = _NS * table[:, 0], table[:, 1 + trace]
    quiet = np.abs(time) > (1.0 + _QUIET) * window
    inside = np.abs(time) <= window + 0.5 * step
    widest = float(np.diff(time[inside]).max()) if np.count_nonzero(inside) > 1 else np.inf
    if time[0] > -window or time[-1] < window or np.count_nonzero(quiet) < 8:
        what = f"covers {time[0] / _NS:.0f} to {time[-1] / _NS:.0f} ns"
        raise FieldMapError(
            path, 0, what, f"give a trace in ns that goes beyond +-{(1 + _QUIET) * window / _NS:.0f} ns"
        )
    if widest > step:
        raise FieldMapError(path, 0, f"has a gap of {widest / _NS:.1f} ns", f"fill the gaps above {step / _NS:g} ns")
    signal = counts - np.median(counts[quiet])
    if not signal[inside].max() > _SMALLEST * max(float(signal[quiet].std()), 1e-12):
        what = f"has no bunch within {window / _NS:.0f} ns that stands {_SMALLEST:g} times above its baseline"
        raise FieldMapError(path, 0, what, "give a trace with its bunch at 0 ns, pulses upwards")
    count = int(window / step)
    cell = np.rint(time[inside] / step).astype(int) + count
    kept = (cell >= 0) & (cell <= 2 * count)
    sums = np.bincount(cell[kept], signal[inside][kept], 2 * count + 1)
    weight = np.clip(sums / np.bincount(cell[kept], minlength=2 * count + 1), 0.0, None)
    nodes = step * (np.arange(2 * count + 1) - count)
    shape = tuple((float(t), float(w)) for t, w in zip(nodes, weight / weight.max(), strict=True))
    mean = moments(shape)[0]
    return tuple((t - mean, w) for t, w in shape)
