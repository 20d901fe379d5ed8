"""When each fill of a run happens: 16 fills in a supercycle, counted from the begin of run, never from a clock.

Between the fills of muons come fills of the laser and looks at the pedestals: events of their own, counted with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from gm2sim.config import Config

FILLS_PER_CYCLE = 16  # two groups of eight (N. Kinnaird, dissertation 2020, chapter 2)
CYCLE = 1.4  # accelerator supercycle [s] (same)
_FILL_SPACING = 0.010  # between fills of a group [s]: "more than 10 ms apart" (same)
_GROUP_SPACING = 0.267  # between the first fills of the two groups [s]; best estimate (recalled)
_AFTER = {1: 0.0, 2: 0.005, 3: 0.0075}  # laser and pedestal fills after the muons' [s]: best estimate


class FillType(IntEnum):
    """What an event is, as the trigger says it."""

    MUONS = 1
    LASER = 2
    PEDESTAL = 3


@dataclass(frozen=True)
class FillTime:
    """Where one fill stands in the run.

    Attributes
    ----------
    serial : int
        Event number in the run, from 0.
    sequence : int
        Place in the supercycle, 0..15: which bunch of the accelerator.
    seconds, microseconds : int
        Unix time of the fill.
    since_begin : float [s]
        Time since the begin of run.
    fill : int
        Number of the fill of muons in the run, from 0: this one, or the one before.
    fill_type : FillType
    """

    serial: int
    sequence: int
    seconds: int
    microseconds: int
    since_begin: float
    fill: int
    fill_type: FillType = FillType.MUONS


def fill_time(config: Config, fill: int, fill_type: FillType = FillType.MUONS) -> FillTime:
    """Time and number of a fill of muons, or of the event of another type behind it.

    Parameters
    ----------
    config : Config
    fill : int
        Number of the fill of muons in the run, from 0.
    fill_type : FillType
    """
    cycle, sequence = divmod(fill, FILLS_PER_CYCLE)
    group, place = divmod(sequence, FILLS_PER_CYCLE // 2)
    since = cycle * CYCLE + group * _GROUP_SPACING + place * _FILL_SPACING + _AFTER[fill_type]
    offset = timedelta(seconds=since)
    moment = datetime.fromisoformat(config.run.start_time).astimezone(UTC) + offset
    whole = int(moment.replace(microsecond=0).timestamp())
    laser, pedestal = (_behind(config, kind) for kind in (FillType.LASER, FillType.PEDESTAL))
    serial = fill + _count(fill, laser) + _count(fill, pedestal)
    if fill_type > FillType.MUONS:
        serial += 1
    if fill_type == FillType.PEDESTAL:
        serial += _count(fill + 1, laser) - _count(fill, laser)
    return FillTime(serial, sequence, whole, moment.microsecond, offset.total_seconds(), fill, fill_type)


def muon_fills(config: Config, subrun: int) -> range:
    """Numbers of one subrun's fills of muons: consecutive, spread evenly, the first subruns one longer if need be."""
    share, rest = divmod(config.run.fills, config.run.subruns)
    first = subrun * share + min(subrun, rest)
    return range(first, first + share + (subrun < rest))


def events(config: Config, subrun: int) -> Iterator[FillTime]:
    """All events of one subrun in order: fills of muons, behind every so many one of the laser, one of pedestals."""
    for fill in muon_fills(config, subrun):
        yield fill_time(config, fill)
        for kind in (FillType.LASER, FillType.PEDESTAL):
            every = _behind(config, kind)
            if _count(fill + 1, every) > _count(fill, every):
                yield fill_time(config, fill, kind)


def iso(seconds: int) -> str:
    """Unix time as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _behind(config: Config, kind: FillType) -> int:
    """Behind every how many fills of muons comes an event of this kind; 0 for never."""
    return config.laser.fill_every if kind == FillType.LASER else config.daq.pedestal_every


def _count(fills: int, every: int) -> int:
    """Events of a kind behind the first so many fills of muons."""
    return fills // every if every else 0
