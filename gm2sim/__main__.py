"""The command ``gm2sim``: every failure leaves as one sentence and an exit code, never as a traceback.

Exit codes: 0 done, 1 the work failed under way, 2 the request was wrong.
"""

import errno
import os
import sys
from collections.abc import Sequence

_BROKEN_PIPE = 141  # what a shell reports for a process ended by SIGPIPE
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        As in ``sys.argv[1:]``, which is the default.
    """
    code, message = _run(list(sys.argv[1:] if arguments is None else arguments))
    if message and _first_rank():
        from gm2sim.terminal import complain

        for line in f"gm2sim: {message}".split("\n"):
            complain(line)
    if code and "mpi4py.MPI" in sys.modules:
        _end_all_ranks(code)
    sys.exit(code)


def _run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and message: a line, or several where a picture of the place belongs to it."""
    from typer.exceptions import TyperException

    from gm2sim.cli import app
    from gm2sim.errors import ConfigError, RunError
    from gm2sim.text import one_line

    try:
        code = app(arguments, standalone_mode=False)
    except TyperException as err:
        return 2, one_line(f"{err.format_message().rstrip('.')}: see gm2sim --help")
    except ConfigError as err:
        return 2, "\n".join(map(one_line, err.lines))
    except RunError as err:
        return 1, one_line(err)
    except SystemExit as err:
        return (err.code if isinstance(err.code, int) else 1), ""
    except KeyboardInterrupt:
        return _INTERRUPTED, "interrupted: whole files are kept, go on with --resume"
    except BrokenPipeError:
        # The reader of our output (head, less) has left; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE, ""
    except OSError as err:
        code, sentence = _of_the_system(err)
        return code, one_line(sentence)
    except Exception as err:
        if isinstance(err, _wrong_requests()):
            return 2, one_line(err)
        raise
    return (code if isinstance(code, int) else 0), ""


def _wrong_requests() -> tuple[type[Exception], ...]:
    """Errors of the rooms that name what the person gave us: loaded only once something has gone wrong."""
    from fields.maps import FieldMapError
    from gm2sim.raw import RawFormatError
    from gpu.device import DeviceError

    return FieldMapError, RawFormatError, DeviceError


def _of_the_system(err: OSError) -> tuple[int, str]:
    where = f" '{err.filename}'" if err.filename else ""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return 1, f"the disk is full{where}: nothing half-written was kept; make room and go on with --resume"
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return 2, f"no permission for{where or ' a file'}: choose another place or mend its rights"
    if err.errno == errno.EEXIST:
        return 2, f"{where.strip() or 'a file'} exists already and is not overwritten: choose another name or remove it"
    if err.errno == errno.ENOENT:
        return 2, f"there is no{where or ' such file'}: check the path"
    return 1, f"{err.strerror or err}{where}"


def _first_rank() -> bool:
    return all(os.environ.get(name, "0") == "0" for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK"))


def _end_all_ranks(code: int) -> None:
    from mpi4py import MPI

    if MPI.COMM_WORLD.Get_size() > 1:
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(code)


if __name__ == "__main__":
    main()
