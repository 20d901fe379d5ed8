"""Bad data on purpose: a copy of a raw file with faults at known places, to try readers and checks on.

Every fault is drawn on the file as it was given, by a stream of random numbers of its own; only cuts and holes come
last, in what the others have made. The same file, faults and seed give the same bytes.
"""

import hashlib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.atomic import write_json
from gm2sim.errors import ConfigError
from gm2sim.raw.tools.container import BANKS_HEADER, EVENT_HEADER, Place, content, frames
from gm2sim.raw.tools.edit import Change, Draft
from gm2sim.raw.tools.faults import MOST_FLIPS, Fault
from gm2sim.raw.tools.output import RawOutput, refuse_to_overwrite

FORMAT = 1  # of the list of faults
_HOLE = 4096  # bytes: a block of most file systems
_SIZE = 12  # byte of the size in an event header
_BANK_SIZE = 8  # and in the header of a bank with 32-bit sizes


def inject(path: Path, faults: Sequence[Fault | str], out: Path, seed: int = 0) -> dict[str, Any]:
    """Write a copy of a raw file with faults, and the list of them beside it as ``OUT.faults.json``.

    Parameters
    ----------
    path : Path
        ``.mid``, ``.mid.gz`` or ``.mid.lz4``, whole.
    faults : sequence of Fault or str
        See :data:`gm2sim.raw.tools.faults.KINDS`.
    out : Path
        Name of the copy, which says whether it is compressed. No name of a run's raw file: what only looks at names
        must not take it for one. Metadata are not copied.
    seed : int

    Returns
    -------
    dict
        As in the list: names, checksums, and of each change kind, event, bank, byte in the copy (before compression;
        None where a later fault cut it off) and what was done.

    Raises
    ------
    ConfigError
        A fault is not understood or finds nothing to act on, or a file is there already.
    RawFormatError
        The file to copy is itself damaged.
    """
    wanted = [one if isinstance(one, Fault) else Fault.of(one) for one in faults]
    if not wanted:
        raise ConfigError("no fault was named: give --fault, for example --fault bitflip:3:payload")
    beside = out.with_name(f"{out.name}.faults.json")
    if out.name.startswith("gm2_run"):
        raise ConfigError(f"'{out}' has the name of a run's raw file, for which it could be taken: call it "
                          f"bad_{out.name}")  # fmt: skip
    refuse_to_overwrite(out)
    refuse_to_overwrite(beside)
    with content(path) as data:
        draft = Draft(path, data, list(frames(path, data)))
        for number, fault in sorted(enumerate(wanted), key=lambda one: one[1].kind in ("truncate", "zero-block")):
            _DO[fault.kind](_Work(draft, fault, np.random.default_rng([seed, number])))
        with RawOutput(out) as file:
            file.write(draft.pieces())
        source = hashlib.sha256(data).hexdigest()
        record = {
            "format": FORMAT,
            "simulated": True,
            "damaged_on_purpose": True,
            "file": out.name,
            **file.facts(),
            "made_from": path.name,
            "made_from_sha256_inside": source,
            "seed": seed,
            "asked_for": [str(fault) for fault in wanted],
            "faults": [draft.told(change) for change in draft.changes],
        }
    write_json(beside, record)
    return record


class _Work:
    """One fault to do: the draft that it changes, its words, and its random numbers."""

    def __init__(self, draft: Draft, fault: Fault, rng: np.random.Generator) -> None:
        self.draft, self.fault, self.rng = draft, fault, rng

    def one_of(self, which: Callable[[int], bool] = lambda _: True, what: str = "no event") -> int:
        """Index of the event that was named, or of one that is drawn among those for which ``which`` holds."""
        events = self.draft.events
        data = [i for i, frame in enumerate(events) if frame.is_data]
        if self.fault.event is not None:
            data = [i for i in data if events[i].serial == self.fault.event]
            if not data:
                raise ConfigError(f"--fault {self.fault}: {self.draft.path} has no event {self.fault.event}")
        fitting = [i for i in data if which(i)]
        if not fitting:
            raise ConfigError(f"--fault {self.fault}: {self.draft.path} has {what} to act on")
        return int(self.rng.choice(fitting))

    def change(self, index: int | None, what: str, byte: int | None = None, bank: str = "", **more: Any) -> None:
        """Note what was done; ``byte`` counts in the file that was given."""
        self.draft.changes.append(Change(self.fault.kind, index, byte, bank, what, more))


def _named_banks(work: _Work) -> tuple[int, list[Place]]:
    """An event that has banks of the name or pattern, and these."""
    draft, pattern = work.draft, work.fault.argument

    def matching(index: int) -> list[Place]:
        return [bank for bank in draft.banks(index) if fnmatchcase(bank.name, pattern)]

    index = work.one_of(lambda i: bool(matching(i)), f"no bank '{pattern}'")
    return index, matching(index)


def _drop_bank(work: _Work) -> None:
    index, found = _named_banks(work)
    for bank in found:
        work.draft.drop(index, bank.offset, bank.end)
        work.change(index, f"bank of {bank.size} bytes left out, sizes made to fit", bank.offset, bank.name)


def _flip(work: _Work) -> None:
    amount, is_rate, where = work.fault.flips
    starts, sizes = _ranges(work, where)
    ends = np.cumsum(sizes)
    bits = 8 * int(ends[-1]) if len(ends) else 0
    count = int(work.rng.binomial(bits, min(amount, 1.0))) if is_rate else int(amount)
    if count > min(bits, MOST_FLIPS) or (is_rate and amount > 1.0):
        raise ConfigError(f"--fault {work.fault}: {amount:g} is too much for {bits} bits of {where}: a number up "
                          f"to {MOST_FLIPS}, or a rate below 1")  # fmt: skip
    chosen = np.zeros(0, np.int64)
    while len(chosen) < count:
        chosen = np.unique(np.append(chosen, work.rng.integers(0, bits, count - len(chosen))))
    which = np.searchsorted(ends, chosen // 8, side="right")
    places = (starts[which] + chosen // 8 - (ends[which] - sizes[which])).tolist()
    for place, bit in zip(places, (chosen % 8).tolist(), strict=True):
        index = work.draft.at(place)
        work.draft.flip(index, place, 1 << bit)
        work.change(index, f"bit {bit} of the byte turned", place, work.draft.bank_at(index, place), bit=bit)


def _ranges(work: _Work, where: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """First byte and size of every stretch that flips may hit."""
    draft = work.draft
    events = range(len(draft.events)) if work.fault.event is None else [work.one_of()]
    found: list[tuple[int, int]] = []
    for index in events:
        frame = draft.events[index]
        if where == "anywhere":
            found.append((frame.offset, frame.size))
            continue
        inside = draft.banks(index)
        if where == "payload":
            found += [(bank.data, bank.size) for bank in inside if bank.size]
        else:
            found.append((frame.offset, EVENT_HEADER + BANKS_HEADER * frame.is_data))
            found += [(bank.offset, bank.data - bank.offset) for bank in inside]
    starts, sizes = np.array(found, np.int64).reshape(-1, 2).T
    return starts, sizes


def _truncate(work: _Work) -> None:
    draft, said = work.draft, work.fault.argument
    size = draft.size
    if work.fault.event is not None:
        index = work.one_of()
        first, length = draft.first_byte(index), draft.length(index)
        # Without a word about where, anywhere within the event; else at that byte or part of it.
        step = int(work.rng.integers(1, length)) if not said else _byte(said, length)
        if first is None:
            raise ConfigError(f"--fault {work.fault}: another fault leaves that event out")
        cut = first + step
    else:
        cut = int(work.rng.integers(1, size)) if not said else _byte(said, size)
    if not 0 <= cut < size:
        raise ConfigError(f"--fault {work.fault}: the file has {size} bytes, byte {cut} is not inside")
    draft.cut = cut if draft.cut is None else min(cut, draft.cut)
    work.change(None, f"{size - cut} bytes cut off", out=cut)


def _byte(text: str, size: int) -> int:
    return int(float(text) * size) if "." in text else int(text)


def _swap(work: _Work) -> None:
    draft = work.draft
    data = [i for i in draft.order if draft.events[i].is_data]
    if work.fault.argument:
        serials = [int(one) for one in work.fault.argument.split(",")]
        pair = [next((i for i in data if draft.events[i].serial == serial), None) for serial in serials]
    else:
        pair = sorted(work.rng.choice(data, 2, replace=False).tolist()) if len(data) > 1 else [None, None]
    first, second = pair
    if first is None or second is None or first == second:
        raise ConfigError(f"--fault {work.fault}: {draft.path} has not both of these events")
    i, j = draft.order.index(first), draft.order.index(second)
    draft.order[i], draft.order[j] = second, first
    for one, other in ((second, first), (first, second)):
        work.change(one, f"stands where event {draft.events[other].serial} stood", draft.events[one].offset)


def _duplicate(work: _Work) -> None:
    draft = work.draft
    index = work.one_of(lambda i: i in draft.order)
    draft.order.insert(draft.order.index(index) + 1, index)
    work.change(index, "comes twice, one behind the other", draft.events[index].offset)


def _drop_event(work: _Work) -> None:
    draft = work.draft
    index = work.one_of(lambda i: i in draft.order)
    place = draft.order.index(index)
    behind = draft.order[place + 1] if place + 1 < len(draft.order) else None
    draft.order.remove(index)
    work.change(behind, f"event {draft.events[index].serial} of {draft.events[index].size} bytes left out before it",
                None if behind is None else draft.events[behind].offset)  # fmt: skip


def _wrong_serial(work: _Work) -> None:
    index = work.one_of()
    frame = work.draft.events[index]
    wrong = _another(work.rng, frame.serial)
    work.draft.put(index, frame.offset + 4, wrong)
    work.change(index, f"serial number {frame.serial} made {wrong}", frame.offset + 4)


def _wrong_size(work: _Work) -> None:
    if not work.fault.argument:
        index = work.one_of()
        frame = work.draft.events[index]
        _resize(work, index, frame.offset + _SIZE, frame.size - EVENT_HEADER, "")
        return
    index, found = _named_banks(work)
    for bank in found:
        if bank.data - bank.offset < _BANK_SIZE + 4:
            raise ConfigError(f"--fault {work.fault}: only banks with 32-bit sizes are understood")
        _resize(work, index, bank.offset + _BANK_SIZE, bank.size, bank.name)


def _resize(work: _Work, index: int, place: int, size: int, bank: str) -> None:
    wrong = _another(work.rng, size)
    work.draft.put(index, place, wrong)
    work.change(index, f"size {size} made {wrong}", place, bank)


def _another(rng: np.random.Generator, right: int) -> int:
    """A number near the right one as often as one far off: both happen, and the near is harder to find."""
    near = max(right + int(rng.integers(1, 9)) * (1 if rng.random() < 0.5 else -1), 0)
    far = int(rng.integers(0, 2**32))
    wrong = near if rng.random() < 0.5 else far
    return wrong if wrong != right else right + 1


def _zero_block(work: _Work) -> None:
    draft = work.draft
    size = int(work.fault.argument or _HOLE)
    if work.fault.event is not None:
        index = work.one_of()
        first = draft.first_byte(index)
        if first is None:
            raise ConfigError(f"--fault {work.fault}: another fault leaves that event out")
        start = first + int(work.rng.integers(0, max(draft.length(index) - size, 1)))
    elif draft.size >= 3 * size:
        start = size * int(work.rng.integers(1, draft.size // size))  # whole blocks, and not the first
    else:
        start = int(work.rng.integers(0, draft.size))
    end = min(start + size, draft.size)
    draft.holes.append((start, end))
    work.change(None, f"{end - start} bytes made zero", out=start)


_DO: dict[str, Callable[[_Work], None]] = {
    "drop-bank": _drop_bank,
    "bitflip": _flip,
    "truncate": _truncate,
    "swap": _swap,
    "duplicate": _duplicate,
    "drop-event": _drop_event,
    "wrong-serial": _wrong_serial,
    "wrong-size": _wrong_size,
    "zero-block": _zero_block,
}
