"""When each fill of a run happens: 16 fills in a supercycle, counted from the begin of run, never from a clock.

Between the fills of muons come fills of the laser, looks at the pedestals and readouts of boards that trigger
themselves: events of their own, counted with them.
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
_AFTER = {1: 0.0, 2: 0.005, 3: 0.0075, 4: 0.009}  # events of other types after the muons' [s]: best estimate


class FillType(IntEnum):
    """What an event is, as the trigger says it."""

    MUONS = 1
    LASER = 2
    PEDESTAL = 3
    ASYNCHRONOUS = 4


_BEHIND_MUONS = (FillType.LASER, FillType.PEDESTAL, FillType.ASYNCHRONOUS)  # in order


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
    serial = fill + (fill_type > FillType.MUONS)
    for kind in _BEHIND_MUONS:
        serial += _count(fill + (kind < fill_type), _behind(config, kind))
    return FillTime(serial, sequence, whole, moment.microsecond, offset.total_seconds(), fill, fill_type)


def muon_fills(config: Config, subrun: int) -> range:
    """Numbers of one subrun's fills of muons: consecutive, spread evenly, the first subruns one longer if need be."""
    share, rest = divmod(config.run.fills, config.run.subruns)
    first = subrun * share + min(subrun, rest)
    return range(first, first + share + (subrun < rest))


def events(config: Config, subrun: int) -> Iterator[FillTime]:
    """All events of one subrun in order: fills of muons, and behind every so many events of the other types."""
    for fill in muon_fills(config, subrun):
        yield fill_time(config, fill)
        for kind in _BEHIND_MUONS:
            every = _behind(config, kind)
            if _count(fill + 1, every) > _count(fill, every):
                yield fill_time(config, fill, kind)


def has_laser(config: Config) -> bool:
    """Whether the laser fires at all; its monitors are there only then."""
    laser = config.laser
    return bool(laser.sync or laser.in_fill_every or laser.fill_every)


def since_readout(config: Config, when: FillTime) -> float:
    """Time between an asynchronous readout and the one before, or the begin of the run [s]."""
    before = when.fill - config.daq.async_every
    last = fill_time(config, before, FillType.ASYNCHRONOUS).since_begin if before >= 0 else 0.0
    return when.since_begin - last


def iso(seconds: int) -> str:
    """Unix time as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _behind(config: Config, kind: FillType) -> int:
    """Behind every how many fills of muons comes an event of this kind; 0 for never."""
    every = {
        FillType.LASER: config.laser.fill_every,
        FillType.PEDESTAL: config.daq.pedestal_every,
        FillType.ASYNCHRONOUS: config.daq.async_every if has_laser(config) else 0,
    }
    return every[kind]


def _count(fills: int, every: int) -> int:
    """Events of a kind behind the first so many fills of muons."""
    return fills // every if every else 0
