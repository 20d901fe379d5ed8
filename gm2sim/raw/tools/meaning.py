"""Two banks of the same name side by side: which islands, samples, words or fields differ."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Islands
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import Event

_WORDS = {4: "<u2", 5: "<i2", 6: "<u4", 7: "<i4", 9: "<f4", 10: "<f8", 17: "<i8", 18: "<u8"}
_NAMED = 3  # of the numbers that differ in one array, so many are printed


def meaning(a: Event, b: Event, name: str) -> Iterator[str]:
    """In what two banks differ that are known to differ in their bytes.

    Parameters
    ----------
    a, b : Event
        Both have a bank of this name.
    name : str
    """
    kind = name if name in ("TRIG", "STRW") else name[:2]
    compare = _COMPARE.get(kind, _words) if kind == name or name[2:].isdecimal() else _words
    try:
        found = list(compare(a, b, name))
    except RawFormatError as err:
        yield f"cannot be decoded ({err})"
        found = []
    yield from found or _words(a, b, name)


def arrays(what: str, a: NDArray[Any], b: NDArray[Any]) -> Iterator[str]:
    """Where two arrays differ; NaN is like NaN."""
    if a.shape != b.shape:
        yield f"{what}: {_shape(a)} and {_shape(b)} numbers"
        return
    unlike = a != b
    if a.dtype.kind == "f":
        unlike &= ~(np.isnan(a) & np.isnan(b))
    places = np.argwhere(unlike)
    if len(places):
        some = "; ".join(f"{_at(place)} {a[tuple(place)]} and {b[tuple(place)]}" for place in places[:_NAMED])
        rest = f"; {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        yield f"{what}: {some}{rest}"


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape))


def _at(place: NDArray[Any]) -> str:
    return f"[{', '.join(map(str, place.tolist()))}]"


def _fields(a: Any, b: Any) -> Iterator[str]:
    """Two named tuples of numbers and arrays."""
    for field, one, other in zip(a._fields, a, b, strict=True):
        if isinstance(one, np.ndarray):
            yield from arrays(field, one, other)
        elif one != other:
            yield f"{field} {one} and {other}"


def _islands(a: Event, b: Event, name: str) -> Iterator[str]:
    one, other = a.islands(int(name[2:])), b.islands(int(name[2:]))
    for field in ("ctag", "crystals"):
        if getattr(one, field) != getattr(other, field):
            yield f"{field} {getattr(one, field)} and {getattr(other, field)}"
    yield from _island_by_island(one, other)


def _island_by_island(a: Islands, b: Islands) -> Iterator[str]:
    """Islands are fellows when they begin at the same sample; one moved in time shows as one here and one there."""
    left, right = ({int(time): i for i, time in enumerate(found.time)} for found in (a, b))
    if len(a) != len(b):
        yield f"{len(a)} and {len(b)} islands"
    for time in sorted({*left, *right}):
        if time not in left or time not in right:
            yield f"island at sample {time}: only in the {'first' if time in left else 'second'}"
            continue
        one, other = a[left[time]], b[right[time]]
        if one.length != other.length:
            yield f"island at sample {time}: length {one.length} and {other.length}"
        else:
            yield from arrays(f"island at sample {time}, [crystal, sample]", one.samples, other.samples)


def _waveforms(a: Event, b: Event, name: str) -> Iterator[str]:
    one, other = a.waveforms(int(name[2:])), b.waveforms(int(name[2:]))
    for field in ("fill_type", "trigger", "clock", "gap", "channels"):
        if getattr(one, field) != getattr(other, field):
            yield f"{field} {getattr(one, field)} and {getattr(other, field)}"
    theirs = dict(zip(other.channels, other.samples, strict=True))
    for channel, samples in zip(one.channels, one.samples, strict=True):
        if channel in theirs:
            yield from arrays(f"channel {channel}, [waveform, sample]", samples, theirs[channel])


def _words(a: Event, b: Event, name: str) -> Iterator[str]:
    one, other = a.banks[name], b.banks[name]
    dtype = np.dtype(_WORDS.get(one.type, "u1"))
    if one.data.nbytes % dtype.itemsize or other.data.nbytes % dtype.itemsize:
        dtype = np.dtype("u1")
    yield from arrays("words", np.frombuffer(one.data, dtype), np.frombuffer(other.data, dtype))


def _of(method: Callable[[Event, int], Any], what: str) -> Callable[[Event, Event, str], Iterator[str]]:
    """Compares what a method of the event makes of the bank: an array, or a named tuple."""

    def compare(a: Event, b: Event, name: str) -> Iterator[str]:
        crate = int(name[2:]) if name[2:].isdecimal() else 0
        one, other = method(a, crate), method(b, crate)
        return arrays(what, one, other) if isinstance(one, np.ndarray) else _fields(one, other)

    return compare


_COMPARE: dict[str, Callable[[Event, Event, str], Iterator[str]]] = {
    "TRIG": _of(lambda event, _: event.trigger, ""),
    "STRW": _of(lambda event, _: event.straws(), ""),
    "CP": _of(lambda event, crate: event.pedestals(crate), "pedestals"),
    "CS": _of(lambda event, crate: event.calo_sum(crate), "sums"),
    "CQ": _of(lambda event, crate: event.q_histogram(crate), ""),
    "CT": _islands,
    **dict.fromkeys(("CR", "LR", "PR"), _waveforms),
}
