"""Records from the metadata that a run leaves beside its files; what it says of size and checksums is verified."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gm2sim.catalog.record import FileRecord, Settings, checked, file_name
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.catalog.times import microseconds
from gm2sim.raw.checksum import Checksums

KINDS = {
    ".mid": ("raw", "midas"), ".mid.gz": ("raw", "midas"), ".mid.lz4": ("raw", "midas"), ".truth.h5": ("truth", "hdf5"),
    ".json": ("metadata", "json"), ".h5": ("reco", "hdf5"), ".root": ("reco", "root"), ".parquet": ("reco", "parquet"),
    ".html": ("report", "html"),
}  # fmt: skip
"""Tier and format by the end of a name, the longest that fits."""
_METADATA = "gm2_run*.json"
_SUBRUN = re.compile(r"gm2_run\d+_\d+")
_LARGEST = 1 << 24  # bytes of a metadata file
_SUMS = ("adler32", "crc32c", "sha256")


def metadata_files(path: Path) -> list[Path]:
    """The metadata of subruns in a folder and the folders below it, sorted."""
    return sorted(found for found in path.rglob(_METADATA) if found.is_file())


def beside(path: Path) -> Path | None:
    """The metadata file of the subrun that a file belongs to, if there is one."""
    stem = _SUBRUN.match(path.name)
    found = path.with_name(f"{stem.group()}.json") if stem else None
    return found if found is not None and found.is_file() else None


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises
    ------
    CatalogError
        It is too large or no JSON.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise CatalogError(f"{quoted(path)} has more than {_LARGEST} bytes: it is no metadata")
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as err:
        if isinstance(err, CatalogError):
            raise
        raise CatalogError(f"{quoted(path)} is no readable metadata ({quoted(err)}): make the subrun again") from None


def read_subrun(path: Path, campaign: str, owner: str, *, trust: bool = False) -> list[FileRecord]:
    """The files of a subrun: those that its metadata name, and the metadata itself.

    Parameters
    ----------
    path : Path
        The metadata file.
    campaign, owner : str
    trust : bool
        Take size and checksums from the metadata; files are looked for but not read.

    Raises
    ------
    CatalogError
        The metadata cannot be read, or a file is missing or is not what they say.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise CatalogError(f"{quoted(path)} names no files: it is no metadata of a subrun")
    if content.get("simulated") is not True:
        raise CatalogError(f"{quoted(path)} does not say that its files are simulated: only those are catalogued")
    common = _common(path, content)
    found = []
    for name, facts in content["files"].items():
        if not isinstance(facts, dict):
            raise CatalogError(f"{quoted(path)}: what it says of {quoted(name)} is no table")
        found.append(_record(path.parent / file_name(name), campaign, owner, common, facts, trust))
    parents = _names(path, content.get("parents", []))
    found = [record._replace(parents=parents) for record in found]
    return [*found, _record(path, campaign, owner, common, {}, False)]


def describe(
    path: Path, campaign: str, owner: str, *, tier: str | None = None, parents: Iterable[str] = (), **known: Any
) -> FileRecord:
    """The record of a file that has no metadata: size and checksums as they are, the rest as it is said.

    Parameters
    ----------
    path : Path
    campaign, owner : str
    tier : str, optional
        By the end of the name without.
    parents : iterable of str
    known
        Other fields of :class:`~gm2sim.catalog.record.FileRecord`.
    """
    by_name, form = kind_of(path.name)
    tier = tier or by_name
    if not tier:
        raise CatalogError(f"{quoted(path)} has no metadata beside it: say what it is with --tier")
    size, sums = _measured(path)
    record = FileRecord(
        file_name(path.name), size, tier, campaign, owner, form or "unknown", **sums, parents=tuple(parents),
        folders=(str(path.resolve().parent),), **known,
    )  # fmt: skip
    return checked(record)


def kind_of(name: str) -> tuple[str, str]:
    """Tier and format by the name of a file; empty when it says nothing."""
    ends = [end for end in KINDS if name.endswith(end)]
    return KINDS[max(ends, key=len)] if ends else ("", "")


def compare(path: Path, size: int, sums: Mapping[str, str | None]) -> Iterator[str]:
    """What is wrong with a file: each sentence names a difference from what is recorded."""
    try:
        if (there := path.stat().st_size) != size:
            yield f"has {there} bytes, recorded are {size}"
            return
        measured = Checksums.of_file(path)
    except FileNotFoundError:
        yield "is missing"
        return
    except OSError as err:
        yield f"cannot be read ({err.strerror})"
        return
    if not any(sums.get(what) for what in _SUMS):
        yield "has no checksum recorded"
    for what in _SUMS:
        recorded = sums.get(what)
        if recorded is not None and recorded != getattr(measured, what):
            yield f"has {what} {getattr(measured, what)}, recorded is {recorded}"


def _record(
    path: Path, campaign: str, owner: str, common: Mapping[str, Any], facts: Mapping[str, Any], trust: bool
) -> FileRecord:
    tier, form = kind_of(path.name)
    stated = {what: facts[what] for what in _SUMS if facts.get(what) is not None}
    record = FileRecord(
        path.name, facts.get("size", 0), facts.get("data_tier", tier) or "unknown", campaign, owner, form or "unknown",
        **stated, **common, folders=(str(path.resolve().parent),),
    )  # fmt: skip
    checked(record)
    if not path.is_file():
        raise CatalogError(f"{quoted(path)} is missing: make the subrun again with --resume")
    if trust and facts:
        if path.stat().st_size != record.size:
            raise CatalogError(f"{quoted(path)} has {path.stat().st_size} bytes, its metadata say {record.size}")
        return record
    size, sums = _measured(path)
    wrong = [what for what, value in stated.items() if value != sums[what]]
    if facts and size != record.size:
        wrong = ["size", *wrong]
    if wrong:
        raise CatalogError(
            f"{quoted(path)} is not what its metadata say ({', '.join(wrong)} differ): "
            "make the subrun again with --resume"
        )
    return checked(record._replace(size=size, **sums))


def _measured(path: Path) -> tuple[int, dict[str, Any]]:
    sums = Checksums.of_file(path)
    return sums.size, {what: getattr(sums, what) for what in _SUMS}


def _common(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    try:
        times = {
            ours: None if content.get(theirs) is None else microseconds(content[theirs])
            for ours, theirs in (("begin_time", "start_time"), ("end_time", "end_time"))
        }
    except (ValueError, TypeError, OverflowError):
        raise CatalogError(f"{quoted(path)}: start_time or end_time is no time") from None
    made_by = {"version": "", "config_hash": "", "seed": None, "preset": "", "conditions": ""}
    return {
        "run": content.get("run"), "subrun": content.get("subrun"), "first_event": content.get("first_event"),
        "last_event": content.get("last_event"), "events": content.get("event_count"),
        "settings": Settings(**{what: content.get(what, without) for what, without in made_by.items()}), **times,
    }  # fmt: skip


def _names(path: Path, names: object) -> tuple[str, ...]:
    if not isinstance(names, list):
        raise CatalogError(f"{quoted(path)}: parents is no list of names")
    return tuple(file_name(name) for name in names)
