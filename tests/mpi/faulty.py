"""The program with one rank that goes wrong: run by the tests of ranks that raise, die, hang or are stopped.

    python tests/mpi/faulty.py KIND RANK NOTES real|idle -- run gasgun ...

With ``idle`` fills are waited for instead of simulated, so that starting is all that a trial costs.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gm2sim.errors import RunError
from gm2sim.farm import Farm

FILL_S = 0.05


def _raise() -> None:
    raise ZeroDivisionError("planted")


def _refuse() -> None:
    raise RunError("planted: the disk is on fire")


def _loop() -> None:
    while True:
        pass


def _hold_lock() -> None:
    ctypes.PyDLL(None).sleep(600)  # PyDLL keeps the interpreter's lock


FAULTS: dict[str, Callable[[], Any]] = {
    "raise": _raise,
    "refuse": _refuse,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda: os._exit(7),
    "loop": _loop,
    "lock": _hold_lock,
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "none": lambda: None,
}


def rank() -> int:
    return int(os.environ.get("PMI_RANK", "0"))


class Planted:
    """Goes wrong once, in the second fill of one rank, and says when."""

    def __init__(self, kind: str, where: int, notes: Path) -> None:
        self.kind, self.mine, self.notes = kind, where == rank(), notes
        self.fills = 0
        (notes / f"process{rank()}").write_text(str(os.getpid()))

    def fill(self) -> None:
        self.fills += 1
        if self.mine and self.fills == 2:
            (self.notes / "fault").write_text(repr(time.time()))
            FAULTS[self.kind]()


def idle(planted: Planted) -> None:
    """Replace the work by waiting."""
    import gm2sim.run as job

    def wait(setup: Any, paths: Any, preset: str, tally: Any, farm: Farm, *, resume: bool = False) -> bool:
        for _ in range(setup.config.run.fills):
            if farm.stopping:
                return False
            time.sleep(FILL_S)
            planted.fill()
            farm.advance(1.0)
        tally.count(fills=1)
        return True

    job.warm_up = lambda setup: None
    job.run_subrun = wait


def real(planted: Planted) -> None:
    """Go wrong behind a fill of the simulation."""
    import gm2sim.subrun as subrun

    simulate = subrun.simulate_fill

    def then(*arguments: Any) -> Any:
        fill = simulate(*arguments)
        planted.fill()
        return fill

    subrun.simulate_fill = then


def main() -> None:
    kind, where, notes, what, _, *arguments = sys.argv[1:]
    planted = Planted(kind, int(where), Path(notes))
    {"idle": idle, "real": real}[what](planted)
    if kind != "none":
        # A thread that never ends must not keep the ranks of a job that has failed.
        threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    from gm2sim.__main__ import main as program

    program(arguments)


if __name__ == "__main__":
    main()
