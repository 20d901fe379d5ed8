"""Files that appear whole or not at all: temporary name in the same folder, fsync, link or rename, fsync of the folder.

Every file that the program leaves for others goes through here; docs/reliability.md says what is promised and how it
is tested. The temporary name ``.<name>.<host>-<process>-<random>.part`` says who writes, so that what a killed process
left can be told from what another one is writing.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gm2sim.errors import ConfigError

Result = TypeVar("Result")

SEAL = "metadata_sha256"

_LONGEST_NAME = 255  # bytes; of ext4, XFS, Lustre, GPFS
_FOREIGN_S = 86_400.0  # a temporary file of another machine that nobody touched for a day is left over
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_HOST = re.sub(r"[^A-Za-z0-9]", "_", os.uname().nodename)[:40]
_OWNER = re.compile(r"\.(?:(?P<host>[A-Za-z0-9_]*)-(?P<process>\d+)-[0-9a-f]{8}|(?P<lone>\d+))\.part$")
_HDF5_ERROR = re.compile(r"errno = (\d+)")
_writing: set[Path] = set()  # temporary files of this process


@contextmanager
def atomic_path(path: Path, *, replace: bool = False, read_only: bool = False) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends well, and is removed when it does not.

    Parameters
    ----------
    path : Path
        The final name.
    replace : bool
        Take the place of an existing file; without, of two processes that write the same name one gets it and the
        other an error.
    read_only : bool
        Take the rights to write from the finished file.

    Yields
    ------
    Path
        Where to write, an empty file so far: same folder, so that the last step cannot cross file systems.

    Raises
    ------
    ConfigError
        The last part of ``path`` is no name of a file.
    FileExistsError
        ``path`` is there and may not be replaced; found out at the end too.
    OSError
        Whatever the disk says, with the final name; nothing new is there then, and what was there is whole.
    """
    final = inside(path.parent, path.name)
    temporary = temporary_name(final)
    try:
        if not replace:
            refuse_existing(final)
        _writing.add(temporary)
        close(again(os.open, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
        yield temporary
        if read_only:
            protect(temporary)
        sync(temporary)
        publish(temporary, final, replace=replace)
    except BaseException as err:
        with suppress(OSError):
            again(os.unlink, temporary)
        named = _named(err, temporary, final)
        if named is err:
            raise
        raise named from None
    finally:
        _writing.discard(temporary)


def write_pieces(path: Path, pieces: Iterable[bytes], *, replace: bool = False, read_only: bool = False) -> None:
    """Write bytes piece by piece; see :func:`atomic_path`."""
    with atomic_path(path, replace=replace, read_only=read_only) as temporary:
        handle = again(os.open, temporary, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for piece in pieces:
                write_all(handle, piece)
        finally:
            close(handle)


def write_bytes(path: Path, content: bytes, *, replace: bool = False, read_only: bool = False) -> None:
    """Write a small file; see :func:`atomic_path`."""
    write_pieces(path, [content], replace=replace, read_only=read_only)


def write_text(path: Path, text: str, *, replace: bool = False, read_only: bool = False) -> None:
    """Write a small text file (UTF-8); see :func:`atomic_path`."""
    write_bytes(path, text.encode("utf-8"), replace=replace, read_only=read_only)


def write_json(path: Path, content: Any, *, replace: bool = False, read_only: bool = False) -> None:
    """Write JSON: two spaces, keys as given, one final newline; see :func:`atomic_path`."""
    write_text(path, f"{_json(content)}\n", replace=replace, read_only=read_only)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with a sum of its own as last entry: the SHA-256 of the text without that entry."""
    told = {key: value for key, value in content.items() if key != SEAL}
    return told | {SEAL: hashlib.sha256(_json(told).encode("utf-8")).hexdigest()}


def check_seal(text: str, content: Mapping[str, Any]) -> None:
    """Compare a JSON file with the sum that :func:`sealed` gave it: every byte counts.

    Raises
    ------
    ValueError
        It does not hold, or is not there.
    """
    told = content.get(SEAL)
    end = f',\n  "{SEAL}": "{told}"\n}}\n'
    # The text without its last entry, as sealed() has made the sum: to write it anew takes far longer.
    if text.endswith(end) and hashlib.sha256(f"{text[: -len(end)]}\n}}".encode()).hexdigest() == told:
        return
    if told != sealed(content)[SEAL] or text != f"{_json(content)}\n":
        raise ValueError("its own checksum does not hold")


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Hand all of ``data`` to a file handle, however little the system takes at once."""
    left = memoryview(data)
    while left:
        left = left[again(os.write, handle, left) :]


def publish(temporary: Path, final: Path, *, replace: bool = False) -> None:
    """Give a synced temporary file its final name, and bring the name to the disk.

    Parameters
    ----------
    temporary : Path
        Gone afterwards.
    final : Path
        In the same folder.
    replace : bool
        Take the place of an existing file.

    Raises
    ------
    FileExistsError
        ``final`` is there and may not be replaced.
    OSError
        ``final`` is not there then, or what it was.
    """
    if replace:
        again(os.replace, temporary, final)
        sync(final.parent)
        return
    _take_name(temporary, final)
    try:
        if temporary.exists():
            again(os.unlink, temporary)
        sync(final.parent)
    except BaseException:
        with suppress(OSError):
            again(os.unlink, final)
        raise


def refuse_existing(path: Path) -> None:
    """Raise FileExistsError where there is something of that name."""
    if os.path.lexists(path):
        raise _exists(path)


def protect(path: Path) -> None:
    """Take the rights to write from a finished file."""
    again(os.chmod, path, path.stat().st_mode & 0o555)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk: a name is only safe after the data is there."""
    handle = again(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        again(os.fsync, handle)
    except OSError as err:
        if err.errno != errno.EINVAL:  # some network file systems cannot flush a folder, and say so
            raise
    finally:
        close(handle)


def temporary_name(final: Path) -> Path:
    """A name beside ``final`` that no other file has, and that tells who writes."""
    owner = f".{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.part"
    name = final.name
    while len(os.fsencode(name)) + len(owner) + 1 > _LONGEST_NAME:
        name = name[:-1]
    return final.with_name(f".{name}{owner}")


def remove_left_overs(folder: Path, begin: str = "") -> None:
    """Remove temporary files whose process is gone or is this one; what another is writing stays.

    Parameters
    ----------
    folder : Path
    begin : str
        Only files whose final name begins so.
    """
    for path in folder.glob(f".{begin}*.part"):
        if _left_over(path):
            with suppress(FileNotFoundError):
                again(os.unlink, path)


def inside(folder: Path, name: str) -> Path:
    """``folder / name`` for a name from outside.

    Raises
    ------
    ConfigError
        The name leads out of the folder, or holds what no name of a file should.
    """
    bad = name in ("", ".", "..") or "/" in name or not _printable(name) or len(os.fsencode(name)) > _LONGEST_NAME
    if bad:
        short = name if len(name) <= 40 else f"{name[:37]}..."
        raise ConfigError(f"{short!r} in '{folder}' is no name of a file: choose a plain name without '/'")
    return folder / name


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _take_name(temporary: Path, final: Path) -> None:
    """A link fails where a rename would replace: of two processes only one wins."""
    try:
        again(os.link, temporary, final)
    except FileExistsError:
        # Network file systems may answer so to the second try of a link that the first has made.
        if not temporary.samefile(final):
            raise _exists(final) from None
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        close(again(os.open, final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        try:
            again(os.replace, temporary, final)
        except BaseException:
            with suppress(OSError):
                again(os.unlink, final)
            raise


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "exists already and is not overwritten", str(path))


def _left_over(path: Path) -> bool:
    owner = _OWNER.search(path.name)
    if owner is None or path in _writing:
        return False
    if owner["host"] not in (None, _HOST):
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > _FOREIGN_S
        return False
    process = int(owner["process"] or owner["lone"])
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def again(call: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of the system until no signal interrupts it: Python does so itself for some only."""
    while True:
        try:
            return call(*arguments)
        except InterruptedError:
            continue


def close(handle: int) -> None:
    """Close a file handle."""
    # An interrupted close has closed: to try again could close the file of another thread.
    with suppress(InterruptedError):
        os.close(handle)


def _printable(name: str) -> bool:
    return not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name)


def _named(error: BaseException, temporary: Path, final: Path) -> BaseException:
    """The same error with the file that a person knows; others as they are."""
    if not isinstance(error, Exception):
        return error
    text = str(error)
    found = _HDF5_ERROR.search(text)
    if isinstance(error, OSError) and error.errno is not None:
        ours = error.filename is None or temporary.name in text
        return type(error)(error.errno, os.strerror(error.errno), str(final)) if ours else error
    if temporary.name in text or (found and isinstance(error, OSError | RuntimeError)):
        # HDF5 tells of the disk in the text of errors of several kinds.
        number = int(found[1]) if found else errno.EIO
        return OSError(number, os.strerror(number), str(final))
    return error
