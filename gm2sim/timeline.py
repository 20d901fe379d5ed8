"""When each fill of a run happens: 16 fills in a supercycle, counted from the begin of run, never from a clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gm2sim.config import Config

FILLS_PER_CYCLE = 16  # two groups of eight (N. Kinnaird, dissertation 2020, chapter 2)
CYCLE = 1.4  # accelerator supercycle [s] (same)
_FILL_SPACING = 0.010  # between fills of a group [s]: "more than 10 ms apart" (same)
_GROUP_SPACING = 0.267  # between the first fills of the two groups [s]; best estimate (recalled)


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
    """

    serial: int
    sequence: int
    seconds: int
    microseconds: int
    since_begin: float


def fill_time(start_time: str, serial: int) -> FillTime:
    """Time of the ``serial``-th fill after the begin of run.

    Parameters
    ----------
    start_time : str
        Begin of run in UTC, ``YYYY-MM-DDTHH:MM:SSZ``.
    serial : int
        Fill number in the run, from 0.
    """
    cycle, sequence = divmod(serial, FILLS_PER_CYCLE)
    group, place = divmod(sequence, FILLS_PER_CYCLE // 2)
    offset = timedelta(seconds=cycle * CYCLE + group * _GROUP_SPACING + place * _FILL_SPACING)
    moment = datetime.fromisoformat(start_time).astimezone(UTC) + offset
    whole = int(moment.replace(microsecond=0).timestamp())
    return FillTime(serial, sequence, whole, moment.microsecond, offset.total_seconds())


def serials(config: Config, subrun: int) -> range:
    """Event numbers of one subrun: consecutive, spread evenly, the first subruns one longer if need be."""
    share, rest = divmod(config.run.fills, config.run.subruns)
    first = subrun * share + min(subrun, rest)
    return range(first, first + share + (subrun < rest))


def iso(seconds: int) -> str:
    """Unix time as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
