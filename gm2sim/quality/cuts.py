"""Where the cuts are: best estimates, wide of every good fill, where the experiment has not published a number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Cuts:
    """Windows around the reference of a run, which is the median or the mean of its own fills.

    The experiment cuts the kick in amplitude, time, width and zero crossing of each kicker (columns of its folder
    kicker_dqc), the quads plate by plate, losses and late positrons ("ctags") against their mean; its windows are not
    public.

    Attributes
    ----------
    kick_amplitude : float
        Largest relative distance of a kicker's peak from the reference.
    kick_time, kick_width, kick_zero : float [s]
        Largest distance of its middle, its full width at half maximum and its first zero behind.
    kick_least : float [T]
        A lower peak is no kick at all, whatever the reference is.
    quad_flat, quad_flat_loose : float
        Largest relative distance of a plate's mean voltage on the flat top.
    quad_spark : float
        Share of the voltage that is missing in any 8 us of the fill.
    counts, counts_loose : float
        Relative distance of a number of counts that is let pass, with ``sigmas`` of its Poisson error.
    sigmas : float
    t0_time : float [s]
        Of the injected bunch, beyond ``sigmas`` of the scatter of the run.
    t0_area : float
        Relative distance of its size.
    laser : float
        Relative distance of a head's brightness.
    pedestal : float [counts]
        Of the mean of a calorimeter's crystals.
    straws_least : float
        A station is asked for hits where so many are expected ...
    straws : float
        ... and must show this share of them.
    positrons : float
        In a fill with fewer islands than this share of the reference nothing is asked of the trackers.
    field : float [ppm]
        Largest distance of the field from the begin of run.
    fills_kept : float
        A subrun is good in its fills when so many pass all cuts.
    """

    kick_amplitude: float = 0.1
    kick_time: float = 10e-9
    kick_width: float = 15e-9
    kick_zero: float = 25e-9
    kick_least: float = 5e-3
    quad_flat: float = 0.01
    quad_flat_loose: float = 0.05
    quad_spark: float = 0.03
    counts: float = 0.3
    counts_loose: float = 0.5
    sigmas: float = 5.0
    t0_time: float = 20e-9
    t0_area: float = 0.5
    laser: float = 0.2
    pedestal: float = 5.0
    straws_least: float = 20.0
    straws: float = 0.2
    positrons: float = 0.3
    field: float = 1.0
    fills_kept: float = 0.5

    def far(self, counts: ArrayLike, expected: ArrayLike, relative: float) -> NDArray[np.bool_]:
        """Whether counts are too far from what is expected for the cut and their Poisson error."""
        n, mean = np.asarray(counts, np.float64), np.asarray(expected, np.float64)
        return np.asarray(np.abs(n - mean) > relative * mean + self.sigmas * np.sqrt(np.maximum(mean, 1.0)))
