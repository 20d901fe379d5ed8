"""Records as SAM writes them: its core fields, and everything else under a prefix of our own.

The core fields are those that experiments at Fermilab publish (mu2ewiki SamMetadata; ICARUS and MicroBooNE raw files):
checksums as ``enstore:`` and the decimal number, runs as ``[run, subrun, type]`` with type "mc", as file_type is.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gm2sim.atomic import write_json
from gm2sim.catalog.record import FileRecord, Settings, checked, file_name, whole
from gm2sim.catalog.sidecar import read_json
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.catalog.times import iso, microseconds
from gm2sim.errors import nearest

OURS = "gm2sim."
"""Before the names of fields that are not SAM's."""
_FORMAT = 1
_SECONDS = len("2018-04-01T00:00:00")
_CORE = (
    "file_name", "file_size", "file_type", "file_format", "data_tier", "content_status", "event_count", "first_event",
    "last_event", "start_time", "end_time", "runs", "checksum", "crc", "application", "parents", "group",
)  # fmt: skip
_OWN = (
    "simulated", "metadata_format", "campaign", "owner", "config_hash", "seed", "preset", "conditions", "begin_time",
    "end_time", "folders", "description",
)  # fmt: skip


def to_sam(record: FileRecord) -> dict[str, Any]:
    """The JSON of a record; :func:`from_sam` gives the same record again."""
    sums = [f"{what}:{value}" for what in ("crc32c", "sha256") if (value := getattr(record, what)) is not None]
    content: dict[str, Any] = {
        "file_name": record.name, "file_size": record.size, "file_type": "mc", "file_format": record.format,
        "data_tier": record.tier, "content_status": record.status, "group": "gm2sim",
        "application": {"family": "gm2sim", "name": "gm2sim", "version": record.settings.version},
        "event_count": record.events, "first_event": record.first_event, "last_event": record.last_event,
    }  # fmt: skip
    if record.adler32 is not None:
        number = int(record.adler32, 16)
        sums.insert(0, f"enstore:{number}")
        content["crc"] = {"crc_value": str(number), "crc_type": "adler 32 crc type"}
    for theirs, ours in (("start_time", "begin_time"), ("end_time", "end_time")):
        time = getattr(record, ours)
        if time is not None:
            content |= {theirs: iso(time)[:_SECONDS], f"{OURS}{ours}": iso(time)}
    if record.run is not None:
        content["runs"] = [[record.run, record.subrun, "mc"]]
    content |= {"checksum": sums, "parents": [{"file_name": name} for name in record.parents]}
    made_by = record.settings
    own = {
        "simulated": True, "metadata_format": _FORMAT, "campaign": record.campaign, "owner": record.owner,
        "config_hash": made_by.config_hash, "seed": made_by.seed, "preset": made_by.preset,
        "conditions": made_by.conditions, "folders": list(record.folders), "description": record.description,
    }  # fmt: skip
    content |= {f"{OURS}{name}": value for name, value in own.items()}
    return {name: value for name, value in content.items() if value is not None}


def from_sam(content: Any, where: str = "the JSON") -> FileRecord:
    """The record that :func:`to_sam` has written.

    Parameters
    ----------
    content : object
        What the JSON holds.
    where : str
        Where it was read, for messages.

    Raises
    ------
    CatalogError
        It is not about a simulated file, or a field is wrong or unknown.
    """
    if not isinstance(content, dict):
        raise CatalogError(f"{where} is no table of metadata")
    if content.get("file_type") != "mc" or content.get(f"{OURS}simulated") is not True:
        raise CatalogError(
            f"{where} is not about a simulated file (file_type mc, {OURS}simulated): only those are taken"
        )
    known = [*_CORE, *(OURS + name for name in _OWN)]
    for name in content:
        if name not in known:
            raise CatalogError(f"{where} has an unknown field {quoted(name)}: {nearest(name[:100], known)}")
    try:
        return checked(_record(content))
    except CatalogError as err:
        raise CatalogError(f"{where}: {err}") from None
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as err:
        raise CatalogError(
            f"{where}: a field is missing or has another form than SAM's ({quoted(repr(err))})"
        ) from None


def export(records: Iterable[FileRecord], out: Path, *, force: bool = False) -> int:
    """Write a JSON file for each record, named after it, into a folder.

    Parameters
    ----------
    records : iterable of FileRecord
    out : Path
        Is made when it is not there.
    force : bool
        Replace files that are there.

    Returns
    -------
    int
        Files written.

    Raises
    ------
    CatalogError
        A file is there already.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for record in records:
        path = out / f"{file_name(record.name)}.json"
        if not force and path.is_symlink() | path.exists():
            raise CatalogError(f"{quoted(path)} is there already: choose another --sam, or replace it with --force")
        write_json(path, to_sam(record), replace=force)
        written += 1
    return written


def read_sam(paths: Iterable[Path]) -> list[FileRecord]:
    """Records from JSON files, or from all of them in folders; a file may hold a list of several."""
    found = []
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            content = read_json(file)
            several = content if isinstance(content, list) else [content]
            found += [from_sam(one, quoted(file)) for one in several]
    return found


def _record(content: dict[str, Any]) -> FileRecord:
    own: dict[str, Any] = {name: content.get(OURS + name) for name in _OWN}
    if own["metadata_format"] != _FORMAT:
        raise CatalogError(f"it is of format {quoted(own['metadata_format'])}, this program knows {_FORMAT}")
    run, subrun = _run(content.get("runs", []))
    times: dict[str, Any] = {
        ours: None if own[ours] is None else microseconds(own[ours]) for ours in ("begin_time", "end_time")
    }
    return FileRecord(
        content["file_name"], content["file_size"], content["data_tier"], own["campaign"], own["owner"],
        content["file_format"], **_sums(content.get("checksum", [])), run=run, subrun=subrun,
        first_event=content.get("first_event"), last_event=content.get("last_event"),
        events=content.get("event_count"), **times,
        parents=tuple(parent["file_name"] for parent in content.get("parents", [])),
        settings=Settings(
            content["application"]["version"], own["config_hash"], own["seed"], own["preset"], own["conditions"]
        ),
        folders=tuple(own["folders"] or ()), status=content["content_status"], description=own["description"] or "",
    )  # fmt: skip


def _run(runs: Any) -> tuple[int | None, int | None]:
    if not runs:
        return None, None
    if len(runs) > 1:
        raise CatalogError(
            "it belongs to several runs: the catalogue knows one, leave 'runs' empty and name the parents"
        )
    run, subrun, kind = runs[0]
    if kind != "mc" or not (whole(run) and whole(subrun)):
        raise CatalogError(f"runs is {quoted(runs)}, not [[run, subrun, 'mc']]")
    return run, subrun


def _sums(sums: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in sums:
        what, _, value = entry.partition(":")
        found["adler32" if what == "enstore" else what] = f"{int(value):08x}" if what == "enstore" else value
    unknown = found.keys() - {"adler32", "crc32c", "sha256"}
    if unknown:
        raise CatalogError(f"its checksum {quoted(min(unknown))} is not known: enstore, crc32c and sha256 are")
    return found
