"""Sets raw files beside readers that are not ours; what they find must be what gm2sim.raw finds, bit for bit.

    python tests/raw/foreign.py FILE...

Both readers are other people's programs and no part of this project. Two variables of the environment say where they
are:

GM2SIM_MIDAS_PYTHON
    The folder that holds ``midas``, the package of the MIDAS authors (its file_reader.py and what that imports).
GM2SIM_UNPACKER
    A program around the unpacker of WFD5 boards of sbfoster12/unpacking, which has no such output of its own.
    ``PROGRAM FILE`` prints a line of JSON for each event, bank, board, channel and waveform in the order of the file,
    with the unpacker's values; a line with ``samples`` is followed by so many int16. Banks CR, LR and PR go through its
    CRBankUnpacker, TTCB through its FC7Unpacker, AR through the asynchronous parsers of sbfoster12/mu-unpackers.
    ``PROGRAM --public FILE`` runs the loop of the unpacker's own main program and prints the sizes of its collections.
"""

import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from gm2sim.raw import Event, open_run
from gm2sim.raw.banks_of_event import RawBank, failure
from gm2sim.raw.decode_async import async_boards
from gm2sim.raw.decode_boards import Board, BoardHead, Channel, boards
from gm2sim.raw.decode_fc7 import fc7_boards

MIDAS, UNPACKER = "GM2SIM_MIDAS_PYTHON", "GM2SIM_UNPACKER"
_MOST = 20  # differences that are kept
_TUPLES = 4 << 20  # bytes: larger events are read as arrays only, not as tuples of Python numbers too


class Comparison:
    """How many things were the same, and what was not."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []

    def same(self, what: str, ours: Any, theirs: Any) -> None:
        self.counts["fields"] += 1
        if ours != theirs:
            self._differ(f"{what}: {ours!r} here, {theirs!r} there")

    def fields(self, what: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        for name, value in ours.items():
            self.same(f"{what} {name}", value, theirs.get(name))

    def numbers(self, kind: str, what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
        self.counts[kind] += ours.size
        if not np.array_equal(ours, theirs):
            self._differ(f"{what}: other {kind}")

    def _differ(self, line: str) -> None:
        self.counts["differences"] += 1
        if len(self.differences) < _MOST:
            self.differences.append(line)


def with_midas(path: Path, package: Path) -> Comparison:
    """Compare with the package of the MIDAS authors: event headers, banks byte by byte, the ODB at both ends."""
    if str(package) not in sys.path:
        sys.path.insert(0, str(package))
    from midas.file_reader import MidasFile

    found, run = Comparison(), open_run(path)
    file = MidasFile(str(path), use_numpy=True)
    for event in run.events():
        theirs = file.read_next_event()
        if theirs is None:
            found.same(f"event at byte {event.offset}", "there", "not there")
            break
        _midas_event(found, event, theirs)
        if event.has_banks and event.size < _TUPLES:
            file.use_numpy = False
            _midas_tuples(found, event, file.read_this_event_body())
            file.use_numpy = True
    found.same("events behind the last", None, file.read_next_event())
    for end, tree, dump in (("begin", run.odb, file.get_bor_odb_dump()), ("end", run.odb_end, file.get_eor_odb_dump())):
        found.same(f"ODB at the {end}", tree, dump.data)
        found.counts["ODB values"] += sum(1 for _ in _leaves(tree))
    return found


def _midas_event(found: Comparison, event: Event, theirs: Any) -> None:
    what, head = f"event {event.serial}", theirs.header
    found.counts["events"] += 1
    found.same(f"{what} id", event.event_id, head.event_id)
    found.same(f"{what} mask", event.trigger_mask, head.trigger_mask)
    found.same(f"{what} serial", event.serial, head.serial_number)
    found.same(f"{what} time", event.time, head.timestamp)
    found.same(f"{what} size", event.payload.nbytes, head.event_data_size_bytes)
    if not event.has_banks:
        found.same(f"{what} text", bytes(event.payload), bytes(theirs.non_bank_data))
        return
    found.same(f"{what} bytes of banks", event.payload.nbytes - 8, theirs.all_bank_size_bytes)
    found.same(f"{what} flags", event.flags, theirs.flags)
    stored = list(event.walk())
    found.same(f"{what} banks", [bank.name for bank in stored], list(theirs.banks))
    for bank in stored:
        found.counts["banks"] += 1
        other = theirs.banks[bank.name]
        found.same(f"{what} {bank.name} type", bank.type, other.type)
        found.same(f"{what} {bank.name} size", bank.data.nbytes, other.size_bytes)
        content = np.ascontiguousarray(other.data).view("u1")
        found.numbers("bytes", f"{what} {bank.name}", np.frombuffer(bank.data, "u1"), content)


def _midas_tuples(found: Comparison, event: Event, theirs: Any) -> None:
    """The package's other way of reading: numbers one by one, in the bank's own type."""
    for bank in event.walk():
        kind = {1: "u1", 5: "<i2", 6: "<u4", 7: "<i4", 9: "<f4", 10: "<f8"}[bank.type]
        values = np.frombuffer(bank.data, kind)
        found.same(
            f"event {event.serial} {bank.name} values", tuple(values.tolist()), tuple(theirs.banks[bank.name].data)
        )
        found.counts["values"] += values.size


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (dict, list)):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(value)
    else:
        yield tree


def with_unpacker(path: Path, program: Path) -> Comparison:
    """Compare with the unpacker: event and bank headers, sums of all bytes, every field and sample of the boards."""
    found = Comparison()
    with subprocess.Popen([program, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = _records(process.stdout)
        try:
            for event in open_run(path).events():
                _unpacked_event(found, event, lines)
            found.fields("the end", {"kind": "end", "error": 0}, next(lines))
        except StopIteration:
            found.same("the end", "events left", "no more lines")
        process.stdout.close()
        found.same("complaints", b"", process.stderr.read())
    found.same("exit status", 0, process.returncode)
    _public_loop(found, path, program)
    return found


def _records(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in stream:
        record = json.loads(line)
        if "samples" in record:
            record["trace"] = np.frombuffer(stream.read(2 * record["samples"]), "<i2")
        yield record


def _unpacked_event(found: Comparison, event: Event, lines: Iterator[dict[str, Any]]) -> None:
    found.counts["events"] += 1
    stored = list(event.walk())
    head = {"kind": "event", "id": event.event_id, "mask": event.trigger_mask, "serial": event.serial,
            "time": event.time, "size": event.payload.nbytes, "flags": event.flags, "error": 0, "banks": len(stored),
            "crc": 0 if event.has_banks else zlib.crc32(event.payload)}  # fmt: skip
    found.fields(f"event {event.serial}", head, next(lines))
    for bank in stored:
        found.counts["banks"] += 1
        found.counts["bytes"] += bank.data.nbytes
        what = f"event {event.serial} {bank.name}"
        own = {
            "kind": "bank",
            "name": bank.name,
            "type": bank.type,
            "size": bank.data.nbytes,
            "crc": zlib.crc32(bank.data),
        }
        found.fields(what, own, next(lines))
        if bank.name[:2] in ("CR", "LR", "PR"):
            _boards(found, what, event, bank, lines)
        elif bank.name[:2] == "AR":
            _pulses(found, what, event, bank, lines)
        elif bank.name == "TTCB":
            for board in fc7_boards(bank.data, failure(event.path, bank)):
                found.fields(
                    f"{what} slot {board.slot}", {"kind": "fc7", "fc7": board.kind} | _head(board), next(lines)
                )


def _head(head: BoardHead) -> dict[str, Any]:
    major, minor, patch = head.firmware
    return {"slot": head.slot, "trigger": head.trigger, "clock": head.clock, "length": head.words,
            "type": head.fill_type, "board_type": head.board_type, "board_id": head.board_id,
            "alarms": head.raw[1] >> 54 & 15, "empty": head.empty, "major": major, "minor": minor, "patch": patch,
            "crc": head.crc, "trailer_trigger": head.raw[3] >> 24 & 255,
            "trailer_length": head.raw[3] & 0xFFFFF}  # fmt: skip


def _board(head: BoardHead) -> dict[str, Any]:
    return {"kind": "header", "channels": head.enabled.bit_count(), "async": head.asynchronous} | _head(head)


def _boards(found: Comparison, what: str, event: Event, bank: RawBank, lines: Iterator[dict[str, Any]]) -> None:
    crate = {"crate": int(bank.name[3])}  # the unpacker takes the last digit for the number
    whole = event.waveforms(int(bank.name[2:]))
    sent = boards(bank.data, failure(event.path, bank))
    for board in sent:
        found.fields(f"{what} slot {board.head.slot}", _board(board.head) | crate, next(lines))
    own = [(board, one) for board in sent for one in board.channels]
    found.same(f"{what} channels", [5 * (board.head.slot - 1) + one.number for board, one in own], list(whole.channels))
    for board, one in own:
        where = {"slot": board.head.slot, "tag": one.number, **crate}
        head = {"waveforms": one.waveforms, "gap": one.gap, "trigger": one.raw[1] & 0xFFFFFF,
                "type": one.raw[1] >> 24 & 7, "bursts": one.length // 8, "address": one.address, "passed": one.intact,
                "check": list(one.raw[4:7])}  # fmt: skip
        found.fields(
            f"{what} slot {board.head.slot} channel {one.number}", {"kind": "channel", **where, **head}, next(lines)
        )
    for (board, one), samples in zip(own, whole.samples, strict=True):
        for index, trace in enumerate(samples):
            named = f"{what} slot {board.head.slot} channel {one.number} waveform {index}"
            theirs = next(lines)
            head = {
                "slot": board.head.slot,
                "channel_tag": one.number,
                "serial": event.serial,
                "samples": trace.size,
                **crate,
            }
            found.fields(named, {"kind": "waveform", **head, **_waveform(board, one, index)}, theirs)
            found.numbers("samples", named, trace, theirs["trace"])


def _waveform(board: Board, one: Channel, index: int) -> dict[str, int]:
    place = one.first + 2 + index * one.step
    first, second = board.words[place : place + 2].tolist()
    return {"waveforms": first >> 52, "address": first >> 26 & 0x3FFFFFF, "type": first >> 23 & 7,
            "bursts": first & 0x7FFFFF, "tag": second >> 34 & 0xFFF, "gap": second >> 12 & 0x3FFFFF,
            "index": index}  # fmt: skip


def _pulses(found: Comparison, what: str, event: Event, bank: RawBank, lines: Iterator[dict[str, Any]]) -> None:
    for board in async_boards(bank.data, failure(event.path, bank)):
        found.fields(f"{what} slot {board.head.slot}", _board(board.head), next(lines))
        for one in board.channels:
            tag = one.channel % 5
            named = f"{what} slot {board.head.slot} channel {tag}"
            bursts = sum(samples.size for samples in one.samples) // 8
            head = {"tag": tag, "pulses": len(one.samples), "before": one.before, "bursts": bursts, "type": 4}
            found.fields(named, {"kind": "async channel", "trigger": board.head.trigger, **head}, next(lines))
            for index, (time, trace) in enumerate(zip(one.time.tolist(), one.samples, strict=True)):
                theirs = next(lines)
                own = {"tag": tag, "index": index, "time": time, "class": 0, "alarms": tag >> 1, "samples": trace.size}
                found.fields(f"{named} pulse {index}", {"kind": "pulse", **own}, theirs)
                found.numbers("samples", f"{named} pulse {index}", trace, theirs["trace"])
            theirs = next(lines)
            found.fields(named, {"kind": "async trailer", "passed": 1}, theirs)
            found.same(f"{named} check sum", list(one.checksum), theirs["check"][:2])


def _public_loop(found: Comparison, path: Path, program: Path) -> None:
    """The unpacker's own loop over complete events goes through, and finds as many things as we do."""
    done = subprocess.run([program, "--public", path], capture_output=True, check=False)
    found.same("exit status and complaints of the public loop", (0, b""), (done.returncode, done.stderr))
    theirs = [json.loads(line) for line in done.stdout.splitlines()]
    events = [event for event in open_run(path).events() if event.event_id == 1]
    found.same("events of the public loop", len(events), len(theirs))
    for event, line in zip(events, theirs, strict=False):
        sent = [boards(bank.data, failure(path, bank)) for bank in event.walk() if bank.name[:2] == "CR"]
        all_boards = [board for bank in sent for board in bank]
        channels = [one for board in all_boards for one in board.channels]
        waves = sum(one.waveforms for one in channels)
        own = {"serial": event.serial, "WFD5HeaderCollection": len(all_boards),
               "ChannelHeaderCollection": len(channels), "WaveformHeaderCollection": waves,
               "WaveformCollection": waves, "FC7HeaderCollection": 0}  # fmt: skip
        found.fields(f"collections of event {event.serial}", own, line)


def main(paths: list[str]) -> int:
    worst = 0
    for path in map(Path, paths):
        for name, variable, compare in (("midas", MIDAS, with_midas), ("unpacker", UNPACKER, with_unpacker)):
            place = os.environ.get(variable)
            if place is None:
                sys.stdout.write(f"{path.name}: {name} left out, {variable} is not set\n")
                continue
            found = compare(path, Path(place))
            sys.stdout.write(f"{path.name}: {name}: {json.dumps(found.counts)}\n")
            for line in found.differences:
                sys.stdout.write(f"  {line}\n")
            worst = max(worst, min(1, len(found.differences)))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
