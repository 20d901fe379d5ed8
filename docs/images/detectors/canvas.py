"""What all pictures of the detectors page share: the registry, the files, settings, and pulses of known energy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from detectors.calorimeter import CalorimeterSettings, FillDigits, digitise_light, light_of
from detectors.channels import CHANNELS, ChannelConstants
from detectors.shower import CALORIMETERS, CRYSTALS, CrystalDeposits
from gm2sim.calibration import Calibration
from gm2sim.config import load
from gm2sim.plots.style import Plot
from gm2sim.reco import CrystalPulses, FillWaveforms, fit_fill
from gm2sim.setup import Setup
from gpu.rng import FillKey

FOLDER = Path(__file__).resolve().parent
KEY = FillKey(5, 7, 0, 0)
OFF, ON = "#8a94a3", "#0072b2"
HALO = 6.5  # size of markers that others with the same numbers lie upon
PICTURES: dict[str, Callable[[], Plot]] = {}
Floats = NDArray[np.float64]
# Everything that a switch of the calorimeters changes, off; a picture turns its own effect on.
QUIET = {
    "sipm.gain_sag": False, "sipm.double_pulse": False, "sipm.temperature": False, "sipm.light_yields": False,
    "detectors.templates": False, "detectors.time_alignment": False, "daq.q_method": False, "daq.calo_sum": False,
}  # fmt: skip


def picture(maker: Callable[[], Plot]) -> Callable[[], Plot]:
    """Put a function into the registry; the file of its picture has its name."""
    PICTURES[maker.__name__] = maker
    return maker


def save(name: str) -> Path:
    """Make a picture and write its file."""
    path = FOLDER / f"{name}.png"
    figure = PICTURES[name]()
    # Plots are transparent for the report; a page with a dark theme wants their ink on white.
    figure.patch.set(facecolor="white", alpha=1.0)
    figure.savefig(path, dpi=88)
    return path


def setup(**changes: Any) -> Setup:
    """A gasgun with the effects of the calorimeters off, and some settings changed; `__` stands for the dot."""
    return Setup.of(load("gasgun", QUIET | {name.replace("__", "."): value for name, value in changes.items()}))


def equal_pulses(times: ArrayLike, energies: ArrayLike) -> CrystalDeposits:
    """Light of the same energies [GeV] at the same times [s], shapes (k,), in all crystals."""
    time, energy = np.broadcast_arrays(np.asarray(times, np.float64), np.asarray(energies, np.float64))
    number = np.repeat(np.arange(time.size), CHANNELS)
    channel = np.tile(np.arange(CHANNELS), time.size)
    return CrystalDeposits(
        hit=number,
        number=number,
        calo=channel // CRYSTALS,
        crystal=channel % CRYSTALS,
        energy=np.repeat(energy, CHANNELS),
        time=np.repeat(time, CHANNELS),
        order=np.zeros_like(number),
    )


def as_read(digits: FillDigits) -> FillWaveforms:
    """Islands of a fill as a decoded file gives them."""
    islands = digits.islands
    length = np.concatenate([one.length for one in islands]).astype(np.int64)
    return FillWaveforms(
        np.concatenate([one.samples for one in islands]),
        CRYSTALS * (np.cumsum(length) - length),
        length,
        np.concatenate([one.start for one in islands]).astype(np.int64),
        np.repeat(np.arange(CALORIMETERS), [len(one.length) for one in islands]),
        digits.pedestals.astype(np.float64),
    )


def digitised(
    deposits: CrystalDeposits, here: Setup, key: FillKey = KEY, laser: CrystalDeposits | None = None
) -> FillDigits:
    """A fill with this light."""
    light = light_of(deposits, key, here.calorimeters, here.constants, laser)
    return digitise_light(light, key, here.calorimeters, here.constants)


def fitted(
    deposits: CrystalDeposits, here: Setup, *, corrected: bool, key: FillKey = KEY, bare: bool = False
) -> CrystalPulses:
    """Pulses found in a fill with this light, with or without the correction of the gain.

    Parameters
    ----------
    deposits
    here
    corrected
        Whether the gain is corrected.
    key
    bare
        Take no time offsets off either.
    """
    known = calibration(here)
    known = known if corrected else known.without_gain()
    return fit_fill(as_read(digitised(deposits, here, key)), replace(known, time_offset=0.0) if bare else known)


def calibration(here: Setup, constants: ChannelConstants | None = None) -> Calibration:
    """What a perfect calibration run would find; crystals take no part in the delay of showers."""
    settings: CalorimeterSettings = here.calorimeters
    return replace(Calibration.of(settings, constants or here.constants), delay=0.0)


def near(pulses: CrystalPulses, times: Floats, late: float = 3e-9) -> list[CrystalPulses]:
    """The pulses found at each of some times [s]."""
    return [
        CrystalPulses._make(column[np.abs(pulses.time - time) < late] for column in pulses)
        for time in np.atleast_1d(times)
    ]


def mean_and_error(values: ArrayLike) -> tuple[float, float]:
    """Mean, and its error."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std() / np.sqrt(max(array.size, 1)))


def steps(axes: Axes, edges: Floats, counts: ArrayLike, colour: str, label: str, style: str = "-") -> None:
    """A histogram as a line."""
    axes.stairs(np.asarray(counts, float), edges, color=colour, linewidth=1.3, label=label, linestyle=style)


def panels(width: float, height: float, columns: int, rows: int = 1, **options: Any) -> tuple[Plot, Sequence[Axes]]:
    """A figure with some axes."""
    plot = Plot(width, height)
    return plot, list(np.ravel(plot.subplots(rows, columns, **options)))
