"""The shape of a measured average pulse, fitted with the one that the digitisers make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from detectors.sipm import SipmSettings, shape_height

Floats = NDArray[np.float64]

_NEAR_ZERO = 0.02  # of the peak: how near zero a pulse must begin and end
_PEAK = 0.01  # how near 1 its peak must be
_WORST = 0.05  # of the peak: RMS of a fit that is no fit


def read_template(path: Path) -> tuple[Floats, Floats]:
    """Read an average pulse: two columns, time [ns] and height over its peak; lines with # are comments.

    Parameters
    ----------
    path
        Columns apart by blanks or commas.

    Returns
    -------
    time [s], height : arrays

    Raises
    ------
    ValueError
        The file cannot be read, or the pulse is not one: one sentence.
    """
    try:
        lines = path.read_text("utf-8").replace(",", " ").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not text"
        raise ValueError(f"cannot read the average pulse '{path}': {reason}.") from None
    rows = [words for line in lines if (words := line.partition("#")[0].split())]
    try:
        table = np.array([[float(word) for word in words] for words in rows], np.float64)
    except ValueError:
        table = np.empty((0, 0))
    if table.ndim != 2 or table.shape[1:] != (2,) or len(table) < 8 or not np.isfinite(table).all():
        raise ValueError(f"average pulse '{path}': give at least 8 rows of two numbers, time [ns] and height.")
    time, height = table.T
    if (np.diff(time) <= 0.0).any():
        raise ValueError(f"average pulse '{path}': its times do not rise: sort the rows.")
    for end, value in (("begins", height[0]), ("ends", height[-1])):
        if abs(value) > _NEAR_ZERO:
            raise ValueError(f"average pulse '{path}' {end} at {value:g}, not near zero: take off its pedestal.")
    if abs(height.max() - 1.0) > _PEAK:
        raise ValueError(f"average pulse '{path}' has its peak at {height.max():g}, not 1: divide by it.")
    return 1e-9 * time, height


def fit_template(time: Floats, height: Floats) -> tuple[float, float]:
    """Rise and fall times [s] of the shape (1 - exp(-t/rise))^3 exp(-t/fall) nearest to a pulse of height 1.

    Parameters
    ----------
    time
        In any origin [s].
    height
        Over its peak.

    Raises
    ------
    ValueError
        No such shape is near.
    """
    start = SipmSettings()

    def residuals(p: Floats) -> Floats:
        rise, fall = np.exp(p[1:])
        age = np.maximum(1e9 * time - p[0], 0.0)
        return np.asarray((1.0 - np.exp(-age / rise)) ** 3 * np.exp(-age / fall) / shape_height(rise, fall) - height)

    first = 1e9 * (time[height.argmax()] - start.peak_time)
    guess = np.array([first, np.log(1e9 * start.rise_time), np.log(1e9 * start.fall_time)])
    found = least_squares(residuals, guess, x_scale=(0.1, 0.1, 0.1))
    rms = float(np.sqrt(np.mean(found.fun**2)))
    if rms > _WORST:
        raise ValueError(
            f"the shape (1 - exp(-t/rise))^3 exp(-t/fall) misses the average pulse by {rms:.2g} of its peak (RMS): "
            f"give a pulse that it meets within {_WORST:g}."
        )
    rise, fall = 1e-9 * np.exp(found.x[1:])
    return float(rise), float(fall)
