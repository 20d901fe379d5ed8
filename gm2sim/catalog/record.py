"""What the catalogue knows of a file, and what such a record may hold."""

import re
from typing import Any, NamedTuple

from gm2sim.catalog.text import CatalogError, free_text, quoted
from gm2sim.catalog.times import iso

STATES = ("good", "bad", "retired")
"""What may be said of a file; lists hold good ones unless they ask for others."""
PREFIX = "gm2sim_"
"""Names of data sets begin with it, so that none is taken for the experiment's (gm2pro_daq_...)."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{0,254}")
_DATASET = re.compile(rf"{PREFIX}[A-Za-z0-9._+=-]{{1,200}}")
_WORD = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_REAL = re.compile(r"gm2[-_.]*pro", re.IGNORECASE)
_HEX = {"adler32": 8, "crc32c": 8, "sha256": 64}
_LARGEST = 2**63 - 1
_LARGEST_RUN = 2**31 - 1
_SHORT = 255  # characters of the texts that many files share


class Settings(NamedTuple):
    """What made a file; shared by many."""

    version: str = ""
    config_hash: str = ""
    seed: int | None = None
    preset: str = ""
    conditions: str = ""


class FileRecord(NamedTuple):
    """One file of the catalogue; everything in it is simulated.

    Attributes
    ----------
    name : str
        Without its folder; no other file has it.
    size : int
        [bytes]
    tier : str
        raw, truth, metadata, reco, report or another word in small letters.
    campaign : str
        The data set it was made for; begins with ``gm2sim_``.
    owner : str
        Who owns the campaign, and so the file.
    format : str
        midas, hdf5, json ...
    adler32, crc32c, sha256 : str or None
        Hexadecimal with leading zeros; ``adler32`` starts from 0 as the tape archive's does.
    run, subrun : int or None
    first_event, last_event, events : int or None
    begin_time, end_time : int or None
        [microseconds since 1970, UTC]
    parents : tuple of str
        Names of the files it was made from.
    settings : Settings
    folders : tuple of str
        Where it lies.
    status : str
        One of :data:`STATES`.
    description : str
    """

    name: str
    size: int
    tier: str
    campaign: str
    owner: str
    format: str = "unknown"
    adler32: str | None = None
    crc32c: str | None = None
    sha256: str | None = None
    run: int | None = None
    subrun: int | None = None
    first_event: int | None = None
    last_event: int | None = None
    events: int | None = None
    begin_time: int | None = None
    end_time: int | None = None
    parents: tuple[str, ...] = ()
    settings: Settings = Settings()
    folders: tuple[str, ...] = ()
    status: str = "good"
    description: str = ""

    def shown(self) -> dict[str, Any]:
        """The record as JSON shows it: flat, times as text, and that it is simulated."""
        content = self._asdict()
        content |= content.pop("settings")._asdict()
        for name in ("begin_time", "end_time"):
            content[name] = None if content[name] is None else iso(content[name])
        content |= {"parents": list(self.parents), "folders": list(self.folders)}
        return {"name": content.pop("name"), "simulated": True} | content


def file_name(name: object) -> str:
    """A name that a file may have.

    Raises
    ------
    CatalogError
        It is not one, or could be taken for the experiment's data.
    """
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise CatalogError(
            f"{quoted(name)} is no name of a file for the catalogue: letters, digits and . _ + = - only, no folder, "
            "at most 255"
        )
    return _not_real(name)


def dataset_name(name: object, what: str = "data set") -> str:
    """A name that a campaign, a definition or a snapshot may have.

    Raises
    ------
    CatalogError
        It is not one, or could be taken for the experiment's data.
    """
    if isinstance(name, str):
        _not_real(name)
    if not isinstance(name, str) or _DATASET.fullmatch(name) is None:
        raise CatalogError(
            f"{quoted(name)} cannot be the name of a {what}: it has to begin with {PREFIX} (letters, digits and "
            ". _ + = - behind it), so that nobody takes it for real data"
        )
    return name


def checked(record: FileRecord) -> FileRecord:
    """The record, if every value may be kept.

    Raises
    ------
    CatalogError
        Names the file and the value.
    """
    name = file_name(record.name)
    dataset_name(record.campaign, "campaign")
    owner_name(record.owner)
    for what in ("tier", "format"):
        value = getattr(record, what)
        if not isinstance(value, str) or _WORD.fullmatch(value) is None:
            raise CatalogError(f"{name}: {what} {quoted(value)} is no word in small letters, for example raw or midas")
    for what, digits in _HEX.items():
        _check_sum(name, what, getattr(record, what), digits)
    if record.status not in STATES:
        raise CatalogError(f"{name}: status {quoted(record.status)} is none of {', '.join(STATES)}")
    _check_numbers(name, record)
    for what, text in record.settings._asdict().items():
        if what != "seed":
            free_text(f"{name}: {what}", text, _SHORT)
    free_text(f"{name}: description", record.description)
    for folder in record.folders:
        _check_folder(name, folder)
    for parent in record.parents:
        if file_name(parent) == name:
            raise CatalogError(f"{name} is named as its own parent: leave it out")
    return record


def owner_name(owner: object) -> str:
    """Who declares: any text that is not empty.

    Raises
    ------
    CatalogError
        It is empty, too long, or cannot be stored.
    """
    if not free_text("the owner", owner, _SHORT).strip():
        raise CatalogError("the owner has no name: give --owner")
    return str(owner)


def whole(value: object) -> bool:
    """Whether a value is an integer (True and False are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def _not_real(name: str) -> str:
    if _REAL.search(name):
        raise CatalogError(
            f"{quoted(name)} looks like a name of real data (gm2pro...): simulated data sets begin with {PREFIX}"
        )
    return name


def _check_sum(name: str, what: str, value: object, digits: int) -> None:
    if value is not None and not (isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value)):
        raise CatalogError(f"{name}: {what} {quoted(value)} is not {digits} hexadecimal digits in small letters")


def _check_numbers(name: str, record: FileRecord) -> None:
    if (record.run is None) != (record.subrun is None):
        raise CatalogError(f"{name}: run and subrun go together, give both or none")
    limits = {
        "size": _LARGEST, "run": _LARGEST_RUN, "subrun": _LARGEST_RUN, "first_event": _LARGEST,
        "last_event": _LARGEST, "events": _LARGEST, "begin_time": _LARGEST, "end_time": _LARGEST,
    }  # fmt: skip
    values = {what: getattr(record, what) for what in limits}
    if record.size is None:
        raise CatalogError(f"{name} has no size")
    for what, value in [*values.items(), ("seed", record.settings.seed)]:
        if value is not None and not (whole(value) and 0 <= value <= limits.get(what, _LARGEST)):
            raise CatalogError(
                f"{name}: {what} {quoted(value)} is no whole number from 0 to {limits.get(what, _LARGEST)}"
            )
    for first, last in (("first_event", "last_event"), ("begin_time", "end_time")):
        if None not in (values[first], values[last]) and values[first] > values[last]:
            raise CatalogError(f"{name}: {first} comes after {last}")


def _check_folder(name: str, folder: object) -> None:
    text = free_text(f"{name}: folder", folder)
    if not text.startswith("/") or ".." in text.split("/"):
        raise CatalogError(f"{name}: folder {quoted(text)} is no absolute path, or goes up with '..'")
