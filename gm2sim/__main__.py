"""The command ``gm2sim``: every failure leaves as one sentence and an exit code, never as a traceback.

Exit codes: 0 done, 1 the work failed under way, 2 the request was wrong, 75 asked to leave and can be resumed.
"""

import errno
import os
import sys
import time
import traceback
from collections.abc import Sequence

_BROKEN_PIPE = 141  # what a shell reports for a process ended by SIGPIPE
_INTERRUPTED = 130
_WRONG = 2
_CONTINUE = 75  # gm2sim.farm.CONTINUE: all ranks leave by themselves
_RANK = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_BE_HEARD_S = 0.5  # launchers drop what they have not passed on when the job ends
_HEAR_OTHERS_S = 15.0  # in which the first rank says what all have found, and ends them


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code; under MPI a failure of one rank ends them all.

    Parameters
    ----------
    arguments : sequence of str, optional
        As in ``sys.argv[1:]``, which is the default.
    """
    try:
        code, message = _run(list(sys.argv[1:] if arguments is None else arguments))
    except Exception as err:
        if not _several_ranks():
            raise
        # A fault of the program: left to itself, the other ranks would wait for this one for ever.
        traceback.print_exception(err)
        code, message = 1, ""
    if message:
        from gm2sim.terminal import complain

        for line in f"gm2sim: {message}".split("\n"):
            complain(line)
    if code not in (0, _CONTINUE) and "mpi4py.MPI" in sys.modules and _several_ranks():
        _end_all_ranks(code)
    sys.exit(code)


def _run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and message: a line, or several where a picture of the place belongs to it."""
    from gm2sim.cli import app

    try:
        code = app(arguments, standalone_mode=False)
    except SystemExit as err:
        return (err.code if isinstance(err.code, int) else 1), ""
    except KeyboardInterrupt:
        return _INTERRUPTED, "interrupted: whole files are kept, go on with --resume" if _rank() == 0 else ""
    except BrokenPipeError:
        # The reader of our output (head, less) has left; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE, ""
    except Exception as err:
        code, message = _told(err)
        return code, _from_this_rank(err, code, message)
    return (code if isinstance(code, int) else 0), ""


def _told(err: Exception) -> tuple[int, str]:
    """Exit code and message for what has gone wrong; a fault of the program is raised again."""
    from typer.exceptions import TyperException

    from gm2sim.errors import ConfigError, RunError
    from gm2sim.farm.stop import LeftError
    from gm2sim.text import one_line

    match err:
        case TyperException():
            return 2, one_line(f"{err.format_message().rstrip('.')}: see gm2sim --help")
        case ConfigError():
            return 2, "\n".join(map(one_line, err.lines))
        case LeftError():
            return _CONTINUE, one_line(err)
        case RunError():
            return 1, one_line(err)
        case OSError():
            code, sentence = _of_the_system(err)
            return code, one_line(sentence)
        case _ if isinstance(err, _wrong_requests()):
            return 2, one_line(err)
    raise err


def _from_this_rank(err: Exception, code: int, message: str) -> str:
    """The message with the rank that it is from; what all ranks have found is said by the first alone."""
    where = getattr(err, "__notes__", None)
    if where and _several_ranks():
        return f"{where[0]}: {message}"
    if _rank() == 0:
        return message
    together = "mpi4py.MPI" in sys.modules  # before that, all have read the same request
    if code == _CONTINUE or (code == _WRONG and not together):
        return ""
    if together:
        time.sleep(_HEAR_OTHERS_S)
    return f"rank {_rank()}: {message}"


def _wrong_requests() -> tuple[type[Exception], ...]:
    """Errors of the rooms that name what the person gave us: loaded only once something has gone wrong."""
    from fields.maps import FieldMapError
    from gm2sim.raw import RawFormatError
    from gpu.device import DeviceError

    return FieldMapError, RawFormatError, DeviceError


def _of_the_system(err: OSError) -> tuple[int, str]:
    where = f" '{err.filename}'" if err.filename else ""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return 1, f"the disk is full{where}: no half-written file has got its name; make room and go on with --resume"
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return 2, f"no permission for{where or ' a file'}: choose another place or mend its rights"
    if err.errno == errno.EEXIST:
        return 2, f"{where.strip() or 'a file'} exists already and is not overwritten: choose another name or remove it"
    if err.errno == errno.ENOENT:
        return 2, f"there is no{where or ' such file'}: check the path"
    return 1, f"{err.strerror or err}{where}"


def _rank() -> int:
    return max((int(os.environ.get(name, "0") or 0) for name in _RANK), default=0)


def _several_ranks() -> bool:
    from gm2sim.farm.ranks import launched

    return launched() > 1


def _end_all_ranks(code: int) -> None:
    sys.stderr.flush()
    time.sleep(_BE_HEARD_S)
    from mpi4py import MPI

    MPI.COMM_WORLD.Abort(code)


if __name__ == "__main__":
    main()
