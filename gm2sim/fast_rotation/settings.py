"""How the fast-rotation signal is analysed."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gm2sim.fast_rotation.background import MODELS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How the transform is made; the defaults are those of gm2fr and CornellFastRotationFourier (config.json).

    Attributes
    ----------
    start, stop : float [s]
        t_s and t_m. Of decaying positrons the last 150 us bring noise only.
    step, low, high : float [Hz]
        Frequencies of the transform.
    window : pair of float [Hz]
        Frequencies of muons that pass the collimators, +-45 mm of radius.
    background : str
        "own", "sinc", "error" or "triangle", see :mod:`gm2sim.fast_rotation.background`.
    t0_method : str
        "fit" for the smallest misfit of the background, "symmetry" for the most symmetric background.
    t0_near : float [s]
        When the bunch is at theta = 0 for the first time, within half a turn.
    t0 : float [s], optional
        Given, it is not looked for.
    azimuth : float [rad]
        Of the detector, from theta = 0 downstream. A muon of any frequency takes this share of its own turn to get
        there, a phase and not a time: taken for a part of t0 it would move C_e by 2.6 ppb for half a turn.
    cbo_frequency : float [Hz], optional
        Of the wiggle fit that measured positrons are divided by.
    replicas, seed : int
        Samples of the counting noise that the errors come from.
    """

    start: float = 4e-6
    stop: float = 300e-6
    step: float = 2e3
    low: float = 6630e3
    high: float = 6780e3
    window: tuple[float, float] = (6662.8e3, 6747.7e3)
    background: str = "own"
    t0_method: str = "fit"
    t0_near: float = 0.0
    t0: float | None = None
    azimuth: float = 0.0
    cbo_frequency: float | None = None
    replicas: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        if self.background not in MODELS:
            raise ValueError(f"background {self.background!r} is not known: choose {', '.join(MODELS)}.")
        if self.t0_method not in ("fit", "symmetry"):
            raise ValueError(f"t0_method {self.t0_method!r} is not known: choose 'fit' or 'symmetry'.")
        if not 0.0 < self.start < self.stop:
            raise ValueError(f"start = {self.start:g} s and stop = {self.stop:g} s do not rise: give a later stop.")
        if not self.low < self.window[0] < self.window[1] < self.high:
            raise ValueError("the physical window of frequencies must lie inside the range of the transform.")
        if not 0.0 < self.step <= 0.05 * (self.window[1] - self.window[0]):
            raise ValueError(f"a frequency step of {self.step:g} Hz resolves no distribution: give 1000 or 2000.")

    @property
    def frequency(self) -> Floats:
        """Frequencies of the transform [Hz]."""
        return np.asarray(self.low + self.step * np.arange(math.floor((self.high - self.low) / self.step + 1e-6) + 1))

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which frequencies stored muons can have."""
        f = self.frequency
        return np.asarray((f >= self.window[0]) & (f <= self.window[1]))
