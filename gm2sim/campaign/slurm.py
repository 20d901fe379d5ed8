"""Slurm's commands: argument lists, time limits, another try when Slurm does not answer, and its states by name.

Job arrays are looked at element by element. A job is known by its name, which is its token in the ledger: what became
of an ``sbatch`` whose answer was lost is found out by that name.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gm2sim.errors import ConfigError, RunError
from gm2sim.text import one_line

RESUBMIT = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "FORGOTTEN", "LAUNCH_FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
})  # fmt: skip
"""States behind which a shard that is not done may be submitted again, as often as its stage's ``retries`` allow.

``FAILED`` comes from faults that pass too (MPI_Init), and ``COMPLETED`` does not prove files; ``CANCELLED`` by somebody
else than the campaign's manager is no decision about the campaign.
"""
FORGOTTEN = "FORGOTTEN"
"""Our name for the state of a job that neither the queue nor the accounting knows any more."""
LIVE = frozenset({
    "COMPLETING", "CONFIGURING", "EXPEDITING", "PENDING", "POWER_UP_NODE", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "RESIZING", "RESV_DEL_HOLD", "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
})  # fmt: skip
"""States of a job that runs or may still run."""
AT_WORK = frozenset({"COMPLETING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"})
"""Those in which it has a node."""

LOOK_EVERY_S = 30.0
"""The queue is looked at no more often than that."""
_WAITS_S = (2.0, 10.0, 30.0)
_TIMEOUT_S = 60.0
_NAMES_AT_ONCE = 200
# What commands say when it is Slurm that does not answer, and not the request that is wrong.
_HICCUPS = (
    "communication", "connect", "connection", "controller", "not responding", "slurm_receive_msg", "socket",
    "temporarily", "timed out", "timeout", "try again", "zero bytes",
)  # fmt: skip
# Columns of squeue with their widths: what is longer is cut.
_COLUMNS = "ArrayJobID:16|,ArrayTaskID:16|,State:24|,RestartCnt:8|,Reason:80|,Name:240"


class SlurmError(RunError):
    """Slurm does not answer, so that what is in its queue is not known."""


class RefusedError(ConfigError):
    """Slurm has refused a job: says why."""


@dataclass(frozen=True)
class Element:
    """One element of a job array as Slurm sees it.

    Attributes
    ----------
    name : str
        Of the job: its token.
    job : str
        Slurm's number of the array.
    index : int
    state : str
        Slurm's, or :data:`FORGOTTEN`.
    reason : str
        Why it waits or has ended, where Slurm says so.
    restarts : int
        Times that it went back into the queue.
    """

    name: str
    job: str
    index: int
    state: str
    reason: str = ""
    restarts: int = 0

    @property
    def live(self) -> bool:
        """Whether it runs or may still run."""
        return self.state in LIVE


class Slurm:
    """The batch system.

    Parameters
    ----------
    environment : mapping, optional
        Instead of this process's.
    timeout : float
        Longest time of one command [s].
    waits : sequence of float
        Waits before each further try [s].
    every : float
        Least time between two looks at the queue [s].
    sleep : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        timeout: float = _TIMEOUT_S,
        waits: Sequence[float] = _WAITS_S,
        every: float = LOOK_EVERY_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._timeout, self._waits, self._every, self._sleep = timeout, tuple(waits), every, sleep
        self._looked = -float("inf")

    def require(self) -> None:
        """Make sure that there is a Slurm on this machine.

        Raises
        ------
        ConfigError
        """
        if self._program("sbatch") is None:
            raise ConfigError("there is no Slurm on this machine (no sbatch on PATH): log in to one of its nodes")

    def submit(self, script: Path, token: str, options: Sequence[str] = ()) -> str:
        """Submit a script that works in its own folder; another try only after a look whether the last one got there.

        Parameters
        ----------
        script : Path
        token : str
            The job's name in the script.
        options : sequence of str
            More options of sbatch.

        Returns
        -------
        str
            Slurm's number of the job.

        Raises
        ------
        RefusedError
            Slurm does not want the job.
        SlurmError
            No answer; whether the job is in the queue is not known.
        """
        command = ["sbatch", "--parsable", f"--job-name={token}", f"--chdir={script.parent}", *options, str(script)]
        said = ""
        for wait in (*self._waits, None):
            code, out, said = self._call(command)
            number = out.strip().partition(";")[0].splitlines()[-1:] if code == 0 else []
            if number and number[0].isdigit():
                return number[0]
            if code not in (0, None) and not _hiccup(said):
                raise RefusedError(f"sbatch refuses '{script}': {one_line(said, 300)}")
            found = self.queue([token])
            if found:
                return found[0].job
            if wait is not None:
                self._sleep(wait)
        raise SlurmError(f"sbatch does not answer ({one_line(said, 200)}): try again later")

    def queue(self, tokens: Iterable[str]) -> list[Element]:
        """Elements of jobs in the queue, and those that Slurm still remembers.

        Raises
        ------
        SlurmError
            The queue cannot be seen, which is not the same as empty.
        """
        names = sorted(set(tokens))
        if not names:
            return []
        self._sleep_until_due()
        found: list[Element] = []
        for begin in range(0, len(names), _NAMES_AT_ONCE):
            part = names[begin : begin + _NAMES_AT_ONCE]
            command = ["squeue", "--noheader", "--array", "--states=all", f"--Format={_COLUMNS}"]
            text = self._ask([*command, f"--name={','.join(part)}"])
            found += _elements(text, set(part))
        self._looked = time.monotonic()
        return found

    def accounts(self, jobs: Mapping[str, str]) -> list[Element]:
        """Elements as the accounting has them, where there is one; an empty list says nothing.

        Parameters
        ----------
        jobs : mapping
            From Slurm's number to the token.
        """
        if not jobs or self._program("sacct") is None:
            return []
        columns = "JobID,State,JobName"
        command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--format={columns}"]
        code, out, _ = self._call([*command, f"--jobs={','.join(sorted(jobs))}"])
        found = []
        for line in out.splitlines() if code == 0 else ():
            number, _, rest = line.partition("|")
            state, _, name = rest.partition("|")
            job, _, indices = number.partition("_")
            if state and jobs.get(job) == name.strip():
                found += [Element(jobs[job], job, index, state.split()[0], _by(state)) for index in _expanded(indices)]
        return found

    def cancel(self, jobs: Sequence[str]) -> None:
        """End jobs by Slurm's numbers, or ``number_element``; those that are over are passed over.

        Raises
        ------
        SlurmError
        """
        self._order(["scancel", *jobs] if jobs else [])

    def hold(self, jobs: Sequence[str]) -> None:
        """Keep what waits of some jobs from starting.

        Raises
        ------
        SlurmError
        """
        self._each("hold", jobs)

    def release(self, jobs: Sequence[str]) -> None:
        """Let what was held start.

        Raises
        ------
        SlurmError
        """
        self._each("release", jobs)

    def _each(self, verb: str, jobs: Sequence[str]) -> None:
        for job in jobs:
            self._order(["scontrol", verb, job])

    def _order(self, command: list[str]) -> None:
        """Let Slurm do something that may be asked for twice; a job that is over is no error."""
        if not command:
            return
        for wait in (*self._waits, None):
            code, _, said = self._call(command)
            if code == 0 or (code is not None and not _hiccup(said)):
                return
            if wait is not None:
                self._sleep(wait)
        raise SlurmError(f"{command[0]} does not answer ({one_line(said, 200)}): try again later")

    def _ask(self, command: list[str]) -> str:
        for wait in (*self._waits, None):
            code, out, said = self._call(command)
            if code == 0:
                return out
            if wait is not None:
                self._sleep(wait)
        raise SlurmError(f"{command[0]} does not answer ({one_line(said, 200)}): try again later")

    def _call(self, command: list[str]) -> tuple[int | None, str, str]:
        """Exit code (None when it took too long), output and complaint of a command."""
        program = self._program(command[0])
        if program is None:
            raise ConfigError(f"there is no {command[0]} on PATH: log in to a machine with Slurm")
        try:
            done = subprocess.run(
                [program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, env=self._environment,
                timeout=self._timeout, check=False, text=True, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return None, "", f"no answer within {self._timeout:g} s"
        except OSError as err:
            return None, "", str(err)
        return done.returncode, done.stdout, done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"

    def _program(self, name: str) -> str | None:
        return shutil.which(name, path=self._environment.get("PATH"))

    def _sleep_until_due(self) -> None:
        left = self._looked + self._every - time.monotonic()
        if left > 0:
            self._sleep(left)


def _hiccup(said: str) -> bool:
    low = said.lower()
    return any(words in low for words in _HICCUPS)


def _elements(text: str, tokens: set[str]) -> list[Element]:
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|", 5)]
        if len(parts) == 6 and parts[5] in tokens and parts[1].isdigit():
            job, index, state, restarts, reason, name = parts
            lives = int(restarts) if restarts.isdigit() else 0
            found.append(Element(name, job, int(index), state, "" if reason == "None" else reason, lives))
    return found


def _by(state: str) -> str:
    """Who cancelled, as the accounting says behind the state."""
    return " ".join(state.split()[1:])


def _expanded(indices: str) -> Iterator[int]:
    """Elements of ``7`` or, of those that never started, ``[4-6,9%2]``; none of a text that is something else."""
    for part in indices.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), int(last or first) + 1)
