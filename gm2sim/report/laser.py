"""Page of the report about the laser: the gain that its pulses measure."""

from collections.abc import Callable

from gm2sim.laser import laser_gains
from gm2sim.outputs import raw_files
from gm2sim.plots import Plot
from gm2sim.plots.laser import laser_gain
from gm2sim.report.load import RunFolder

Page = tuple[str, str, str, Callable[[], Plot | None]]


def laser_pages(run: RunFolder) -> list[Page]:
    """Name, title, caption and maker of the page; none where the run has no laser."""
    laser = run.config.laser
    if not (laser.sync or laser.in_fill_every or laser.fill_every):
        return []
    return [
        ("laser", "The gain by the laser", "Height of the laser's pulses over that of the calibration, brightness of "
         "the source divided out: pulses in fills of muons against time, and all channels in fills of the laser.",
         lambda: _gain(run)),
    ]  # fmt: skip


def _gain(run: RunFolder) -> Plot | None:
    gains = laser_gains(raw_files(run.folder))
    return laser_gain(gains) if gains.time.size else None
