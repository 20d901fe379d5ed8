"""One rank of several raises, dies, hangs or is stopped: all are gone in time, and it is said which and at what.

python -m tests.mpi.failing 24 [ranks]
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
KINDS = ("raise", "refuse", "kill", "exit", "loop", "lock", "stop")
SILENT = ("kill", "exit")
"""Ends at once, so that only the launcher can tell: it names a process, of those that it has ended then too."""
LIMIT_S = 20.0
STALL_S = 4.0


@dataclass(frozen=True)
class Trial:
    """What came of one.

    Attributes
    ----------
    code : int
    seconds : float
        From the fault until the launcher and all ranks were gone.
    said : str
    alive : list of int
        Processes of the job that were still there.
    """

    code: int
    seconds: float
    said: str
    alive: list[int]

    def faults(self, kind: str, rank: int) -> list[str]:
        """What is not as promised."""
        named = rf"rank {rank} of \d+, subrun \d, seed 1\b"
        wanted = r"PID \d+ RUNNING AT" if kind in SILENT else named
        rules = {
            f"exit code {self.code}": self.code not in (0, 75),
            f"all gone after {self.seconds:.1f} s": self.seconds < LIMIT_S,
            f"alive: {self.alive}": not self.alive,
            f"not named: {self.said[-2000:]}": re.search(wanted, self.said),
            f"a Python trace: {self.said[-2000:]}": kind == "raise" or "Traceback" not in self.said,
        }
        return [text for text, good in rules.items() if not good]


def try_once(kind: str, rank: int, folder: Path, *, ranks: int = 4, module: bool = False, what: str = "idle") -> Trial:
    """Start the program on some ranks, of which one goes wrong in its second fill.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    rank : int
    folder : Path
        Empty.
    module : bool
        By ``-m mpi4py`` instead of plainly.
    what : str
        ``idle`` or ``real``, see faulty.py.
    """
    notes = folder / "notes"
    notes.mkdir()
    size = ("--fills", "2000" if what == "idle" else str(50 * ranks), "--subruns", str(ranks))
    muons = ("--set", "beam.muons_per_fill=60", "--set", "tracking.fill_duration_us=40", "--set", "daq.q_method=false")
    command = [
        str(MPIEXEC), "-n", str(ranks), sys.executable, *(("-m", "mpi4py") if module else ()), "tests/mpi/faulty.py",
        kind, str(rank), str(notes), what, "--", "run", "gasgun", *size, *muons, "--no-report",
        "--stall", f"{STALL_S:g}", "--out", str(folder / "out"),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NUMBA_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    fault = notes / "fault"
    began = float(fault.read_text()) if fault.exists() else 0.0
    processes = [int(path.read_text()) for path in notes.glob("process*")]
    while (alive := list(filter(is_alive, processes))) and time.time() < began + LIMIT_S:
        time.sleep(0.1)
    ended = time.time()
    for process in alive:
        with suppress(ProcessLookupError):
            os.kill(process, 9)
    return Trial(done.returncode, ended - began, done.stdout + done.stderr, alive)


def is_alive(process: int) -> bool:
    """Whether a process runs; one that is dead and not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main(trials: int, ranks: int = 4) -> None:
    """Many trials in turn, half of them by ``-m mpi4py``, a quarter with the real work."""
    slowest, wrong = 0.0, 0
    for number, kind in zip(range(trials), cycle(KINDS), strict=False):
        rank, module, what = number % ranks, number % 2 == 1, "real" if number % 4 == 3 else "idle"
        with tempfile.TemporaryDirectory() as folder:
            trial = try_once(kind, rank, Path(folder), ranks=ranks, module=module, what=what)
        faults = trial.faults(kind, rank)
        wrong += bool(faults)
        slowest = max(slowest, trial.seconds)
        sys.stdout.write(f"{kind} rank {rank} {what}: {trial.seconds:.1f} s, code {trial.code} {faults or ''}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{trials} trials with {ranks} ranks: {wrong} not as promised, slowest {slowest:.1f} s\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
