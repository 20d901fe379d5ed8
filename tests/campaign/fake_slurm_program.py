"""Stands in for sbatch, squeue, sacct, scontrol and scancel: its state is a JSON file in the folder above it."""

import fcntl
import json
import re
import sys
from pathlib import Path

HERE = Path(sys.argv[0]).resolve().parent.parent
LIVE = ("PENDING", "RUNNING")
SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"


def option(name, default=""):
    return next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith(f"--{name}=")), default)


def sbatch(state):
    outcome = state["sbatch"].pop(0) if state["sbatch"] else "good"
    if outcome == "refused":
        sys.exit("sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)")
    if outcome != "dropped":
        script = Path(sys.argv[-1]).read_text()
        last, most = re.search(r"^#SBATCH --array=0-(\d+)%(\d+)$", script, re.MULTILINE).groups()
        number = str(state["next"])
        state["next"] += 1
        state["jobs"][number] = {
            "name": option("job-name"), "folder": option("chdir"), "most": int(most), "held": False,
            "forgotten": False, "aged": False,
            "elements": {
                str(index): {"state": "PENDING", "reason": "Priority", "restarts": 0} for index in range(int(last) + 1)
            },
        }  # fmt: skip
    if outcome != "good":
        return "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    return number, ""


def squeue(state):
    if state["silent"] > 0:
        state["silent"] -= 1
        return "", SILENT
    names = option("name").split(",")
    lines = [
        f"{number}|{index}|{one['state']}|{one['restarts']}|{one['reason']}|{job['name']}"
        for number, job in state["jobs"].items()
        if job["name"] in names and not job["forgotten"] and not job["aged"]
        for index, one in job["elements"].items()
    ]
    return "\n".join(lines), ""


def sacct(state):
    if state["silent"] > 0:
        state["silent"] -= 1
        return "", "sacct: error: slurm_persist_conn_open: Connection refused"
    lines = [
        f"{number}_{index}|{one['state']}|{job['name']}"
        for number, job in state["jobs"].items()
        if number in option("jobs").split(",") and not job["forgotten"]
        for index, one in job["elements"].items()
    ]
    return "\n".join(lines), ""


def scancel(state):
    for number in sys.argv[1:]:
        for one in state["jobs"].get(number, {"elements": {}})["elements"].values():
            if one["state"] in LIVE:
                one.update(state="CANCELLED", reason="None")
    return "", ""


def scontrol(state):
    verb, number = sys.argv[1:3]
    if number in state["jobs"]:
        state["jobs"][number]["held"] = verb == "hold"
    return "", ""


def main():
    with (HERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads((HERE / "state.json").read_text())
        state["calls"].append(Path(sys.argv[0]).name)
        try:
            out, complaint = COMMANDS[Path(sys.argv[0]).name](state)
        finally:
            (HERE / "state.json").write_text(json.dumps(state))
    if complaint:
        sys.exit(complaint)
    sys.stdout.write(f"{out}\n" if out else "")


COMMANDS = {one.__name__: one for one in (sbatch, squeue, sacct, scancel, scontrol)}
main()
