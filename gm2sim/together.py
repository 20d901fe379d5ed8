"""Ranks of a node that start together: one process reads the program and makes the tables, the others are its copies.

    mpiexec -n 64 python -m gm2sim.start run run1a ...        in place of  python -m mpi4py -m gm2sim run run1a ...

Of the processes that a launcher starts on a node, the first opens a socket, reads the program, fits the fields, reads
the muons of a file and loads the compiled code: once for the node. Where the program asks which rank it is
(:func:`gm2sim.farm.ranks`), and not before, it forks one process for each of the others, which goes on with the
environment, the cores, and the open files of that other; that one only waits, hands signals on, and ends as its copy
ends. Memory that nobody changes is there once. MPI, threads and GPUs are started behind the fork.

Wherever something is missing (another parent, another command line, a launcher that does not say how many it has
started here) a process starts by itself, as without this module. It imports next to nothing: that is the point.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

# What launchers tell each process of how many there are on its node.
_LOCAL = ("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
_NUMBER = (
    "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID",
)  # fmt: skip
_PATIENCE_S = 120.0  # that the others may take to appear
_ASKED = 75  # gm2sim.farm.CONTINUE, which would cost an import
_HANDED_ON = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MOST = 1 << 22  # bytes that another may say of itself
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG

_host: "_Host | None" = None


def here(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes the launcher says it has started on this node; 1 where it says nothing."""
    for name in _LOCAL:
        if environment.get(name, "").isdigit():
            return max(1, int(environment[name]))
    # Slurm: "4(x2),3" are the tasks of the nodes, in order.
    node, nodes = environment.get("SLURM_NODEID", ""), environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    try:
        counts: list[int] = []
        for part in nodes.split(","):
            tasks, _, times = part.partition("(x")
            counts += [int(tasks)] * int(times.rstrip(")") or 1)
        return max(1, counts[int(node)])
    except (ValueError, IndexError):
        return 1


def _is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first on its node: the one that speaks for all."""
    return next((environment[name] for name in _NUMBER if name in environment), "") == "0"


def waiting() -> bool:
    """Whether copies of this process are still to be made: what is read now is read for all of them."""
    return _host is not None


def part() -> None:
    """Make the copies, which return from here like this process does; nothing where none are wanted."""
    global _host
    host, _host = _host, None
    if host is not None:
        host.part()


def start(program: Callable[[Sequence[str]], None], words: Sequence[str]) -> None:
    """Start a program by itself, for its node, or as one that waits for its copy.

    Parameters
    ----------
    program : callable
        Takes the words of the command line and ends with SystemExit.
    words : sequence of str
    """
    global _host
    words, size = list(words), here()
    if size == 1 or not hasattr(os, "posix_fadvise") or not sys.platform.startswith("linux"):
        program(words)
        return
    meeting = _meeting_place()
    listening = _listen(meeting) if _is_first() else None
    if listening is None:
        _wait_for_copy(meeting, words)
        program(words)  # there is no copy
        return
    # Threads of linear algebra would be running when the copies are made; jobs have one a rank anyway.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _host = host = _Host(listening, size - 1, words)
    try:
        program(words)
    except SystemExit as end:
        if _host is host:  # it has ended before it parted: for all of them
            host.dismiss(end.code if isinstance(end.code, int) else 1)
        raise


def _meeting_place() -> str:
    """Name that the processes of one launch on one node share, and no others: their parent is the launcher's."""
    parent = os.getppid()
    with open(f"/proc/{parent}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        began = file.read().rpartition(")")[2].split()[19]
    return f"\0gm2sim-{os.getuid()}-{parent}-{began}"


def _listen(meeting: str) -> socket.socket | None:
    """The socket that goes with its process, whatever becomes of that; None where another has it."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(meeting)
    except OSError:
        listening.close()
        return None
    listening.listen(4096)
    return listening


def _ours(connection: socket.socket) -> bool:
    """Whether the other end belongs to the same person."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", told)[1]) == os.getuid()


def _handles() -> dict[str, int]:
    """Open files that a launcher has named in the environment, as PMI_FD."""
    found = {}
    for name, value in os.environ.items():
        if name.endswith("_FD") and value.isdigit():
            try:
                os.fstat(int(value))
            except OSError:
                continue
            found[name] = int(value)
    return found


def _wait_for_copy(meeting: str, words: list[str]) -> None:
    """Hand over what makes this process the one it is, and end as its copy ends; returns where there is no copy."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        end = time.monotonic() + _PATIENCE_S
        while connection.connect_ex(meeting):
            if time.monotonic() > end:
                return
            time.sleep(0.05)  # the first is not there yet
        if not _ours(connection):
            return
    except OSError:
        return
    asked: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        asked.append(number)
        with suppress(OSError):  # the copy has just ended
            connection.send(bytes([number]))

    handles = _handles()
    told = {
        "words": words, "environment": dict(os.environ), "folder": str(Path.cwd()), "umask": _umask(),
        "cores": sorted(os.sched_getaffinity(0)), "handles": list(handles),
    }  # fmt: skip
    text = json.dumps(told).encode()
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    for number in _HANDED_ON:
        signal.signal(number, hand_on)
    try:
        socket.send_fds(connection, [struct.pack("<I", len(text))], [0, 1, 2, *handles.values()])
        connection.sendall(text)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)  # a signal is a byte behind the text
        answer = _received(connection, 2)
    except OSError:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDED_ON)
        answer = b""
    if answer[:1] == b"N":
        for number in _HANDED_ON:
            signal.signal(number, signal.SIG_DFL)
        return
    if answer[:1] == b"K":
        with suppress(OSError):  # SIGKILL needs no more
            signal.signal(answer[1], signal.SIG_DFL)
        os.kill(os.getpid(), answer[1])
    os._exit(answer[1] if answer else _ASKED if asked else 1)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _received(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer when the other end is gone."""
    found = b""
    while len(found) < size and (more := connection.recv(size - len(found))):
        found += more
    return found


class _Host:
    """The process that is copied.

    Parameters
    ----------
    listening : socket
    others : int
        Processes of this launch on this node beside this one.
    words : list of str
        Command line: a copy has the same.
    """

    def __init__(self, listening: socket.socket, others: int, words: list[str]) -> None:
        self._listening, self._others, self._words = listening, others, words

    def part(self) -> None:
        """Fork a process that makes the copies, looks after them and does nothing else; return here and in each."""
        import ctypes
        import gc

        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
        gc.freeze()  # a collection would write to memory that all share
        self._die_with_parent: Callable[[], Any] = lambda: ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        before = {number: signal.getsignal(number) for number in _HANDED_ON}
        if os.fork():
            self._listening.close()
            return
        for number in _HANDED_ON:
            signal.signal(number, signal.SIG_IGN)  # meant for the first rank; the others hear of it themselves
        for handle in _handles().values():
            os.close(handle)
        self._look_after(before)

    def dismiss(self, code: int) -> None:
        """Tell all others to end with a code, before there were any copies."""
        for connection, _, _ in self._comers(self._others):
            _answer(connection, b"E", code)

    def _comers(self, most: int) -> Any:
        """The others as they come: connection, what they say, their open files."""
        end = time.monotonic() + _PATIENCE_S
        for _ in range(most):
            self._listening.settimeout(max(0.01, end - time.monotonic()))
            try:
                connection, _address = self._listening.accept()
            except OSError:
                return
            connection.settimeout(_PATIENCE_S)
            try:
                head, handles, _flags, _from = socket.recv_fds(connection, 4, 64)
                size = struct.unpack("<I", head)[0]
                told = json.loads(_received(connection, size)) if _ours(connection) and size < _MOST else None
            except (OSError, ValueError, struct.error):
                told = None
            if told is None or told["words"] != self._words:
                _answer(connection, b"N", 0)
                continue
            connection.settimeout(None)
            yield connection, told, handles

    def _look_after(self, before: Mapping[signal.Signals, Any]) -> None:
        """Make the copies; returns in each of them, and ends with the last of them else."""
        ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        copies: dict[int, socket.socket] = {}
        for connection, told, handles in self._comers(self._others):
            child = os.fork()
            if not child:
                signal.set_wakeup_fd(-1)
                for one in (ear, mouth, self._listening, connection, *copies.values()):
                    one.close()
                self._become(told, handles, before)
                return
            copies[child] = connection
            for handle in handles:
                os.close(handle)
        self._listening.close()
        for handle in (0, 1, 2):
            os.close(handle)  # whoever reads our output waits until the last writer is gone
        _watch(copies, ear)

    def _become(self, told: dict[str, Any], handles: list[int], before: Mapping[signal.Signals, Any]) -> None:
        """Be in the place of another process."""
        self._die_with_parent()
        for number, handle in enumerate(handles[:3]):
            os.dup2(handle, number)
            os.close(handle)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(told["environment"])
        os.environ.update({name: str(handle) for name, handle in zip(told["handles"], handles[3:], strict=True)})
        for handle in handles[3:]:
            os.set_inheritable(handle, True)
        os.chdir(told["folder"])
        os.umask(told["umask"])
        os.sched_setaffinity(0, told["cores"])


def _answer(connection: socket.socket, kind: bytes, number: int) -> None:
    """Say how it ends: E with an exit code, K by a signal, N: start by yourself."""
    with suppress(OSError):  # it is gone already
        connection.sendall(kind + bytes([number & 0xFF]))
    connection.close()


def _watch(copies: dict[int, socket.socket], ear: socket.socket) -> NoReturn:
    """Pass signals on to the copies, and their ends to those that wait; end a copy whose other has gone."""
    copy_of = {connection.fileno(): child for child, connection in copies.items()}
    poll = select.poll()
    for handle in (*copy_of, ear.fileno()):
        poll.register(handle, select.POLLIN)
    while copies:
        for handle, _event in poll.poll():
            if handle == ear.fileno():
                ear.recv(4096)
                continue
            child = copy_of[handle]
            if child not in copies:
                continue
            try:
                asked = copies[child].recv(64)
            except OSError:
                asked = b""
            for number in asked or bytes([signal.SIGKILL]):
                os.kill(child, number)  # not waited for yet, so that it is still this one
            if not asked:
                poll.unregister(handle)
        while copies:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                break
            connection = copies.pop(child)
            if connection.fileno() in copy_of:
                with suppress(KeyError):  # its other had gone before
                    poll.unregister(connection.fileno())
            if os.WIFSIGNALED(status):
                _answer(connection, b"K", os.WTERMSIG(status))
            else:
                _answer(connection, b"E", os.waitstatus_to_exitcode(status))
    os._exit(0)
