"""Whole runs in processes of their own: fills per second, memory of a rank, and how long a start takes.

``python -m benchmarks.whole_runs`` prints the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.row import Row, at_most

IMPORT_GOAL, WARM_GOAL, COLD_GOAL, MEMORY_GOAL = 0.25, 3.0, 20.0, 1000.0
_STARTS = 5


def measure(quick: bool = False) -> list[Row]:
    """Start-up and whole runs of run1a.

    Parameters
    ----------
    quick
        Leave out the start with an empty cache of compiled code.
    """
    import_s = min(_timed([sys.executable, "-c", "import gm2sim"])[0] for _ in range(_STARTS))
    nothing_s = min(_timed([sys.executable, "-c", "import numpy"])[0] for _ in range(_STARTS))
    rows = [
        at_most("import gm2sim, in a fresh process", import_s, "s", IMPORT_GOAL, f"import numpy: {nothing_s:.2f} s")
    ]
    run("run1a", 1)  # compiles what is not compiled yet
    rows.append(at_most("first fill of run1a, compiled code on disk", run("run1a", 1)["process_s"], "s", WARM_GOAL))
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            cold = run("run1a", 1, {"NUMBA_CACHE_DIR": folder})["process_s"]
        rows.append(at_most("first fill of run1a, no compiled code", cold, "s", COLD_GOAL))
    one = run("run1a", 4 if quick else 16, {"NUMBA_NUM_THREADS": "1"})
    every = run("run1a", 4 if quick else 16)
    muons = one["counts"]["muons"] / one["counts"]["fills"]
    for summary, threads in ((one, "one thread"), (every, f"{os.cpu_count()} threads")):
        seconds = sum(summary["seconds"].values())
        rate, beside = summary["counts"]["fills"] / seconds, f"run1a, {muons:.0f} muons a fill, all files, {threads}"
        rows.append(Row("whole fills", rate, "1/s", beside))
    share = {stage: 100 * s / sum(one["seconds"].values()) for stage, s in one["seconds"].items()}
    rows.append(at_most("peak memory of one rank", one["peak_memory_mb"], "MB", MEMORY_GOAL))
    rows += [Row(f"share of the time: {stage}", part, "%", "one thread") for stage, part in share.items()]
    return rows


def run(preset: str, fills: int, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run a preset in a process of its own; its summary, and ``process_s``, all of its time [s].

    Parameters
    ----------
    preset
        Name of a configuration.
    fills
        In one subrun.
    environment
        Variables in addition to those of this process.

    Raises
    ------
    RuntimeError
        If the run fails; with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        options = ["--fills", str(fills), "--subruns", "1", "--out", str(out), "--backend", "cpu"]
        line = [sys.executable, "-m", "gm2sim", "run", preset, *options, "--no-report", "--json"]
        seconds, printed = _timed(line, environment)
    summary: dict[str, Any] = json.loads(printed)
    return summary | {"process_s": seconds}


def _timed(line: list[str], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Time on the wall of a command [s], and what it printed."""
    begin = time.perf_counter()
    done = subprocess.run(line, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)} ended with {done.returncode}: {done.stderr.strip()}")
    return seconds, done.stdout


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
