"""Times of the catalogue: microseconds since 1970, UTC, and how they are written."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(text: str) -> int:
    """A date or a time (ISO 8601; UTC when it names no zone) as microseconds since 1970.

    Raises
    ------
    ValueError
        It is neither.
    """
    moment = datetime.fromisoformat(text)
    zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (zoned - _EPOCH) // _MICROSECOND


def iso(time: int) -> str:
    """``YYYY-MM-DDTHH:MM:SSZ``, with a fraction when there is one."""
    moment = _EPOCH + time * _MICROSECOND
    return moment.replace(tzinfo=None).isoformat() + "Z"


def now() -> int:
    """The time of the clock."""
    return (datetime.now(UTC) - _EPOCH) // _MICROSECOND
