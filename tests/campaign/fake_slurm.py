"""A Slurm that only a test drives: commands on a PATH of their own, elements that start, end and fail when told to."""

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gm2sim.campaign.slurm import Slurm

_PROGRAM = Path(__file__).with_name("fake_slurm_program.py")
_COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel")


class FakeSlurm:
    """A Slurm in a folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        program = f"#!{sys.executable} -SE\n{_PROGRAM.read_text()}"
        for name in _COMMANDS:
            command = folder / "bin" / name
            command.write_text(program)
            command.chmod(0o755)
        empty = {"next": 100, "jobs": {}, "sbatch": [], "silent": 0, "calls": []}
        (folder / "state.json").write_text(json.dumps(empty))

    def client(self, **options: Any) -> Slurm:
        """What the campaign talks to it with; waits for nothing."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        settings = {"timeout": 20.0, "waits": (0.0,), "every": 0.0} | options
        return Slurm(os.environ | {"PATH": path}, **settings)

    @contextmanager
    def state(self) -> Iterator[dict[str, Any]]:
        """Its state, to look at and to change."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = json.loads((self.folder / "state.json").read_text())
            yield content
            (self.folder / "state.json").write_text(json.dumps(content))

    def start(self) -> list[tuple[str, int]]:
        """Start as many elements as their jobs allow; gives Slurm's number and index of those that started."""
        started = []
        with self.state() as state:
            for number, job in state["jobs"].items():
                running = sum(one["state"] == "RUNNING" for one in job["elements"].values())
                for index, one in job["elements"].items():
                    if one["state"] == "PENDING" and not job["held"] and running < job["most"]:
                        one.update(state="RUNNING", reason="None")
                        running += 1
                        started.append((number, int(index)))
        return started

    def set(self, number: str, index: int, state: str, reason: str = "None") -> None:
        """Bring an element into a state; ``PENDING`` is a requeue."""
        with self.state() as content:
            one = content["jobs"][number]["elements"][str(index)]
            one.update(state=state, reason=reason, restarts=one["restarts"] + (state == "PENDING"))

    def forget(self, number: str) -> None:
        """Neither queue nor accounting know the job any more."""
        with self.state() as content:
            content["jobs"][number]["forgotten"] = True

    def age(self) -> None:
        """The queue forgets jobs that have ended; the accounting does not."""
        with self.state() as content:
            for job in content["jobs"].values():
                job["aged"] = all(one["state"] not in ("PENDING", "RUNNING") for one in job["elements"].values())
