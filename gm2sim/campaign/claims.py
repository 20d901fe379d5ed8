"""Who works where: one process on a shard, many in the folder of a run, and none there beside ``gm2sim run``.

Locks of the kernel (flock) fall with the process that holds them, so that nothing is left that a person would have to
remove. A lock on a name is only good when the name still leads to the file that was locked.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gm2sim.atomic import again, write_text
from gm2sim.config import Config
from gm2sim.errors import ConfigError
from gm2sim.outputs import claim_folder, make_folder
from gm2sim.run import LOCK, OWNER, holder_of

_PATIENCE_S = 10.0  # that another process may take to claim the folder of a run
_WAIT_S = 0.05


def _take(path: Path, kind: int) -> int | None:
    """Lock a file that is made if need be: its handle, or None where another process is in the way.

    Raises
    ------
    ConfigError
        The file system knows no locks.
    """
    while True:
        handle = again(os.open, path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            again(fcntl.flock, handle, kind | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError as err:
            os.close(handle)
            if err.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ConfigError(
                f"'{path}' cannot be locked ({err.strerror or err}): choose a folder of a file system with locks"
            ) from None
        os.close(handle)  # whoever held it has removed the name meanwhile


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Be the only process in the block; False where a live one is in it already.

    Parameters
    ----------
    path : Path
        File of the lock; gone afterwards.
    """
    handle = _take(path, fcntl.LOCK_EX)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            with suppress(OSError):  # while held: whoever comes next makes a new one
                path.unlink(missing_ok=True)
            os.close(handle)


class RunClaim:
    """A place of this process in the folder of a run, beside others that make other shards of it.

    Parameters
    ----------
    folder : Path
    config : Config
        Of the run; written to ``config.toml`` by the first.
    who : str
        For whoever is refused meanwhile.

    Raises
    ------
    ConfigError
        ``gm2sim run`` is at work in the folder, or it holds another run.
    """

    def __init__(self, folder: Path, config: Config, who: str) -> None:
        make_folder(folder)
        self._folder = folder
        limit = time.monotonic() + _PATIENCE_S
        while (handle := self._enter(config, who)) is None:
            if time.monotonic() > limit:
                raise ConfigError(
                    f"another run is writing to '{folder}' now, {holder_of(folder)}: wait until it has ended"
                )
            time.sleep(_WAIT_S)
        self._handle = handle

    def _enter(self, config: Config, who: str) -> int | None:
        """The first comes in alone, claims the folder and lets others in; None while one has locked it for itself."""
        path = self._folder / LOCK
        alone = _take(path, fcntl.LOCK_EX)
        handle = _take(path, fcntl.LOCK_SH) if alone is None else alone
        if handle is None:
            return None
        try:
            claim_folder(self._folder, config, resume=True, force=False)
            if alone is not None:
                write_text(self._folder / OWNER, f"{who}\n", replace=True)
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        return handle

    def close(self) -> None:
        """Leave; the last one leaves nothing behind."""
        with suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in (OWNER, LOCK):
                (self._folder / name).unlink(missing_ok=True)
        os.close(self._handle)
