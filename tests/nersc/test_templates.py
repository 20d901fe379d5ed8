"""Scripts for the batch system: every template is good bash, is taken by Slurm, and says what it should."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from gm2sim.campaign import job
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming
from gm2sim.campaign.keeping import scrontab, transfer_script
from gm2sim.campaign.shard import Shard
from gm2sim.errors import ConfigError
from tests import slurm as local

SHARDS = [[Shard("truth", 1, subrun, 8) for subrun in range(4)], [Shard("truth", 1, 4, 8)]]
RANKS = ("srun", "--ntasks=4", "--kill-on-bad-exit=1", "/opt/gm2 sim/python", "-m", "mpi4py", "-m", "gm2sim")
CPU = Farming(
    ranks=4, threads=1, command=RANKS, options=("--constraint=cpu", "--qos=regular"),
    setup=("export HDF5_USE_FILE_LOCKING=FALSE",),
)  # fmt: skip
GPU = replace(CPU, template="gpu_farm.sbatch.j2", options=("--constraint=gpu",), gpus=(3, 2, 1, 0))
FARMINGS = {
    "cpu_farm": CPU,
    "gpu_farm": GPU,
    "array": replace(CPU, template="array.sbatch.j2", ranks=1, threads=2, command=("python3", "-m", "gm2sim")),
    "preempt": replace(CPU, template="preempt.sbatch.j2", wait_s=1),
    "preempt_gpu": replace(GPU, template="preempt.sbatch.j2"),
}
TRANSFER = transfer_script(
    "home", ["gm2sim", "campaign", "transfer", "/scratch/a b"], time="00:30:00", options=["--qos=xfer"],
    setup=["export GM2SIM_CATALOG=/cfs/catalog.sqlite"],
)  # fmt: skip


def script(tmp_path: Path, farming: Farming) -> Path:
    folder = CampaignFolder(tmp_path / "campaign")
    return job.make_folder(folder, job.new_token("first", "truth"), SHARDS, farming, time="00:20:00", nodes=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    if local.missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(local.missing())
    with local.cluster(gpus=4) as environment:
        yield environment


@pytest.fixture
def scripts(tmp_path: Path) -> list[Path]:
    made = [script(tmp_path, farming) for farming in FARMINGS.values()]
    (tmp_path / "transfer.sbatch").write_text(TRANSFER)
    return [*made, tmp_path / "transfer.sbatch"]


def test_every_template_is_tested() -> None:
    there = {path.name for path in (files("nersc") / "templates").iterdir() if path.name.endswith(".sbatch.j2")}
    assert there == {one.template for one in FARMINGS.values()} | {"transfer.sbatch.j2"}


def test_every_script_is_good_bash(scripts: list[Path]) -> None:
    for path in scripts:
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), path.read_text()
        assert "{{" not in path.read_text()


def test_shellcheck_finds_no_error(scripts: list[Path]) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    for path in scripts:
        done = subprocess.run([program, "--severity=warning", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_slurm_takes_every_script(scripts: list[Path], cluster: dict[str, str]) -> None:
    for path in scripts:
        done = subprocess.run(
            ["sbatch", "--test-only", str(path)],
            env=cluster, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{path.read_text()}\n{done.stderr}"


def test_each_rank_of_a_gpu_farm_has_its_own_gpu_and_never_computes_on_the_cpu(tmp_path: Path) -> None:
    text = script(tmp_path, GPU).read_text()
    assert "#SBATCH --gpus-per-node=4" in text
    assert "CUDA_VISIBLE_DEVICES=3,2,1,0" in text
    assert "--backend gpu --element" in text


def test_a_stage_may_be_worked_on_in_another_way() -> None:
    site = replace(GPU, by_kind={"reconstruct": CPU})
    assert site.of("simulate").template == "gpu_farm.sbatch.j2"
    assert site.of("reconstruct") is CPU


def run_as_job(path: Path, ranks: str, **more: str) -> tuple[int, list[str]]:
    """Run a script as Slurm would, with make-believe ranks; its exit code and what it told scontrol."""
    programs = path.parent / "programs"
    programs.mkdir()
    for name, text in (("srun", ranks), ("scontrol", 'echo "$@" >> scontrol.said; kill -KILL $PPID')):
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    slurm = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", str(path)], cwd=path.parent, env=os.environ | slurm | more, check=False, timeout=60,
        capture_output=True,
    )  # fmt: skip
    said = path.parent / "scontrol.said"
    return done.returncode, said.read_text().splitlines() if said.exists() else []


def test_a_preempted_job_that_slurm_does_not_put_back_puts_itself_back(tmp_path: Path) -> None:
    """The ranks alone were asked to leave: exit code 75, and the script has heard nothing."""
    code, said = run_as_job(script(tmp_path, FARMINGS["preempt"]), "exit 75")
    assert said == ["requeue 7_1"]
    assert code == -9


@pytest.mark.parametrize(("ranks", "code"), [("exit 0", 0), ("exit 1", 1)])
def test_a_job_that_is_done_or_has_failed_does_not_come_back(tmp_path: Path, ranks: str, code: int) -> None:
    assert run_as_job(script(tmp_path, FARMINGS["preempt"]), ranks) == (code, [])


def test_a_farm_goes_back_into_the_queue_only_when_it_was_asked_before_its_time_is_over(tmp_path: Path) -> None:
    assert run_as_job(script(tmp_path, CPU), "exit 75") == (75, [])
    (tmp_path / "again").mkdir()
    asked = "kill -USR1 $PPID; sleep 0.3; exit 75"
    assert run_as_job(script(tmp_path / "again", CPU), asked)[1] == ["requeue 7_1"]


def test_lines_of_scrontab_are_quoted_and_nothing_in_them_ends_a_line(tmp_path: Path) -> None:
    look = ("gm2sim", "campaign", "recover", "/scratch/a b")
    text = scrontab("keeper", [("*/20 * * * *", look)], time="00:05:00", log=tmp_path / "log", options=["--qos=cron"])
    assert "#SCRON --qos=cron" in text
    assert "*/20 * * * * gm2sim campaign recover '/scratch/a b'" in text
    for schedule, words in (("every day", look), ("*/20 * * * *", ("date", "+%s"))):
        with pytest.raises(ConfigError, match="cron"):
            scrontab("keeper", [(schedule, words)], time="00:05:00", log=tmp_path / "log")


TOGETHER = """
import os, sys
from gm2sim import together

def program(words):
    read = os.getpid()
    together.part()
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    sys.stdout.write(f"{world.rank} of {world.size} from {read}\\n")
    sys.stdout.flush()
    world.Barrier()
    sys.exit(0)

together.start(program, sys.argv[1:])
"""


def test_ranks_that_srun_starts_are_copies_of_the_first(cluster: dict[str, str], tmp_path: Path) -> None:
    """Slurm hands each its own way to the others, and takes the copies for what it has started."""
    pytest.importorskip("mpi4py", reason="MPI is not installed: pip install 'gm2sim[mpi]'")
    kinds = subprocess.run(["srun", "--mpi=list"], env=cluster, capture_output=True, text=True, check=False)
    if "pmi2" not in kinds.stdout + kinds.stderr:
        pytest.skip("this Slurm has no pmi2")
    (tmp_path / "ranks.py").write_text(TOGETHER)
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        ["srun", "--mpi=pmi2", "--ntasks=3", sys.executable, str(tmp_path / "ranks.py")],
        env=cluster | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}, cwd=tmp_path,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = sorted(done.stdout.splitlines())
    assert [line.split(" from ")[0] for line in lines] == [f"{rank} of 3" for rank in range(3)]
    assert len({line.split(" from ")[1] for line in lines}) == 1
