"""Where finished files are kept: a folder of the project, or tape behind the programs of an archive.

What a place says it holds was read back from it: the sum of what was read there is compared with the sum of what was
sent, and with what the report of the shard says.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from gm2sim.atomic import again, atomic_path, close, inside, remove_left_overs, sha256, write_all, write_text
from gm2sim.errors import ConfigError, RunError
from gm2sim.text import one_line

Facts = dict[str, dict[str, Any]]
"""Of each file: size, sha256 as it was sent, and read_back: the sum of what was read at the other end."""
_PIECE = 1 << 20  # bytes copied at once
# The archive's programs read their own language from their arguments: nothing in a path may be a word of it.
_PLAIN = re.compile(r"/?[A-Za-z0-9._+=-]+(/[A-Za-z0-9._+=-]+)*")


class TransferError(RunError):
    """A file that did not arrive as it was sent: says which, and where it differs."""


@dataclass(frozen=True)
class Parcel:
    """Files that travel together: those of one shard, or of several for a tape.

    Attributes
    ----------
    name : str
        Unique among the parcels of a campaign.
    stage : str
    files : dict
        Path here: size and sha256 that the reports promise.
    """

    name: str
    stage: str
    files: Mapping[Path, Mapping[str, Any]]


class Place(Protocol):
    """Somewhere that files can be brought to."""

    @property
    def name(self) -> str:
        """As a person has it."""

    def keep(self, parcel: Parcel, root: Path) -> dict[str, str]:
        """Bring the files of a parcel there and read them back; the sums as read there, by path below ``root``."""

    def holds(self, files: Mapping[str, int]) -> bool:
        """Whether files (by path below the root, with their sizes) are still there, as far as a quick look tells."""

    def folder(self, parcel: str, relative: str) -> str:
        """The folder that a file lies in there, for the catalogue."""


@dataclass(frozen=True)
class Disk:
    """A folder, as of the project on the community file system.

    Parameters
    ----------
    path : Path
        Made if it is not there; below it lies what lies below the folder of the campaign.
    """

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def keep(self, parcel: Parcel, root: Path) -> dict[str, str]:
        """As of :class:`Place`; a file appears there under its name only when it has been read back."""
        found = {}
        for source, facts in parcel.files.items():
            relative = source.relative_to(root)
            target = self.path / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_left_overs(target.parent, target.name)
            found[str(relative)] = copy(source, target, str(facts["sha256"]))
        return found

    def holds(self, files: Mapping[str, int]) -> bool:
        """As of :class:`Place`: sizes."""
        try:
            return all((self.path / name).stat().st_size == size for name, size in files.items())
        except OSError:
            return False

    def folder(self, parcel: str, relative: str) -> str:
        """As of :class:`Place`."""
        return str((self.path / relative).parent.absolute())


def copy(source: Path, target: Path, expected: str = "") -> str:
    """Copy a file, which appears under its new name only after it has been read back from there.

    Parameters
    ----------
    source, target : Path
    expected : str
        SHA-256 that the source must have; empty for any.

    Returns
    -------
    str
        SHA-256 of what was read at the other end.

    Raises
    ------
    TransferError
        The source is not what it should be, or the copy reads otherwise.
    """
    if target.is_file() and not target.is_symlink() and target.stat().st_size == source.stat().st_size:
        there = sha256(target)
        if there == (expected or sha256(source)):
            return there
    with atomic_path(target, replace=True) as temporary:
        sent = _copied(source, temporary)
        if expected and sent != expected:
            raise TransferError(f"'{source}' is not what was written (its sum differs): recover its shard")
        found = _read_back(temporary)
        if found != sent:
            raise TransferError(f"'{target}' reads otherwise than it was sent: try again, or ask whose disk it is")
    return found


def _copied(source: Path, target: Path) -> str:
    """Copy the bytes; the SHA-256 of what was read."""
    total = hashlib.sha256()
    handle = again(os.open, target, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for piece in _pieces(source):
            total.update(piece)
            write_all(handle, piece)
        again(os.fsync, handle)
    finally:
        close(handle)
    return total.hexdigest()


def _pieces(path: Path) -> Iterator[memoryview]:
    room = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(room):
            yield room[:count]


def _read_back(path: Path) -> str:
    """SHA-256 of a file as its disk has it, not as memory still remembers it."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        close(handle)
    return sha256(path)


@dataclass(frozen=True)
class Tape:
    """An archive: parcels go into it as tar files and are read back whole.

    Parameters
    ----------
    path : str
        Folder in the archive.
    make, put, get : sequences of str
        Commands: make a folder, write an archive from a list of files, unpack one here. ``{folder}``, ``{archive}`` and
        ``{list}`` stand for what they say.
    scratch : Path
        Folder with room for one parcel, for reading back.
    """

    path: str
    scratch: Path
    make: Sequence[str] = ("hsi", "-q", "mkdir -p {folder}")
    put: Sequence[str] = ("htar", "-c", "-f", "{archive}", "-L", "{list}")
    get: Sequence[str] = ("htar", "-x", "-f", "{archive}")

    def __post_init__(self) -> None:
        if _PLAIN.fullmatch(self.path) is None or not self.path.startswith("/") or ".." in self.path.split("/"):
            raise ConfigError(
                f"{self.path!r} is no folder of an archive: give a path from '/' of letters, digits and . _ + = -"
            )

    @property
    def name(self) -> str:
        """``hpss:`` and the path."""
        return f"hpss:{self.path}"

    def require(self) -> None:
        """See that the archive's programs are here.

        Raises
        ------
        ConfigError
        """
        for command in (self.make, self.put, self.get):
            if shutil.which(command[0]) is None:
                raise ConfigError(f"there is no {command[0]} on this machine: transfer where the tape can be reached")

    def keep(self, parcel: Parcel, root: Path) -> dict[str, str]:
        """As of :class:`Place`."""
        names = [str(source.relative_to(root)) for source in parcel.files]
        for name in (*names, parcel.name):
            if _PLAIN.fullmatch(name) is None:
                raise ConfigError(f"{name!r} is no name for the archive: letters, digits and . _ + = - only")
        for source, facts in parcel.files.items():
            if sha256(source) != facts["sha256"]:
                raise TransferError(f"'{source}' is not what was written (its sum differs): recover its shard")
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".transfer-", dir=self.scratch) as place:
            here = Path(place)
            listed, back = here / "list", here / "back"
            write_text(listed, "".join(f"{name}\n" for name in names))
            back.mkdir()
            values = {"folder": self._folder(parcel.stage), "archive": self._archive(parcel), "list": str(listed)}
            self._run(self.make, values, root)
            self._run(self.put, values, root)
            self._run(self.get, values, back)
            found = {}
            for name in names:
                path = back / name
                found[name] = sha256(path) if path.is_file() else ""
        for source, facts in parcel.files.items():
            if found[str(source.relative_to(root))] != facts["sha256"]:
                raise TransferError(f"'{source.name}' comes back from {values['archive']} otherwise than it was sent")
        return found

    def holds(self, files: Mapping[str, int]) -> bool:
        """As of :class:`Place`: a tape is not fetched for a quick look."""
        return True

    def folder(self, parcel: str, relative: str) -> str:
        """As of :class:`Place`: the archive, as if it were a folder."""
        stage = PurePosixPath(relative).parts[0]
        return str(PurePosixPath(self._folder(stage)) / f"{parcel}.tar" / PurePosixPath(relative).parent)

    def _folder(self, stage: str) -> str:
        return f"{self.path}/{stage}"

    def _archive(self, parcel: Parcel) -> str:
        return f"{self._folder(parcel.stage)}/{parcel.name}.tar"

    def _run(self, command: Sequence[str], values: Mapping[str, str], where: Path) -> None:
        words = [word.format(**values) for word in command]
        try:
            done = subprocess.run(
                words, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True,
                errors="replace",
            )  # fmt: skip
        except OSError as err:
            raise ConfigError(f"{words[0]} cannot be started ({err}): transfer where the tape can be reached") from None
        if done.returncode:
            said = one_line(done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}", 300)
            raise TransferError(f"{words[0]} failed on '{values['archive']}': {said}")


def product(root: Path, stage_folder: Path, name: str) -> Path:
    """A file of a shard, which a report names, below the folder of the campaign.

    Raises
    ------
    ConfigError
        The name leads elsewhere.
    """
    path = inside(stage_folder, name)
    path.relative_to(root)
    return path
