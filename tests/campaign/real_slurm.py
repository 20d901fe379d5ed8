"""A campaign on a real Slurm of one node, with real ranks and real fills, while somebody pulls at it.

Takes minutes: ``python -m pytest tests/campaign/real_slurm.py`` where slurm-wlm and munge are installed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import look
from gm2sim.campaign.job import Farming
from gm2sim.campaign.launch import launch
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.recover import recover
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report, State
from gm2sim.campaign.slurm import RefusedError, Slurm
from gm2sim.database import opened, upgrade
from tests import slurm as local

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
WORK = Path(__file__).with_name("stand_in_work.py")
SETTINGS = {"beam.muons_per_fill": 60, "tracking.fill_duration_us": 40, "daq.q_method": False}
FILLS, SUBRUNS = 36, 6
PATIENCE_S = 300.0
WHO = "manager"


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    reason = local.missing() or ("" if MPIEXEC.exists() else "no mpiexec beside this python: pip install 'gm2sim[mpi]'")
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with local.cluster() as environment:
        yield environment | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign.model_validate({
        "name": "pulled", "preset": "gasgun", "folder": str(tmp_path), "nodes": 2,
        "stage": [{"name": "truth", "kind": "simulate", "retries": 9, "time": "00:10:00"}],
        "runs": [{"first_run": 1, "fills": FILLS, "subruns": SUBRUNS, "set": SETTINGS}],
    })  # fmt: skip


FARMING = Farming(
    ranks=2,
    threads=1,
    command=(*f"{MPIEXEC} -launcher fork -n 2 {sys.executable} -m mpi4py".split(), str(WORK)),
    options=("--mem=100",),
    leave_s=60,
)


class Pulled:
    """A campaign under way on the real Slurm."""

    def __init__(self, campaign: Campaign, folder: CampaignFolder, ledger: Ledger, environment: dict[str, str]) -> None:
        self.campaign, self.folder, self.ledger, self.environment = campaign, folder, ledger, environment
        self.slurm = Slurm(environment, every=0.3)
        self.shards = list(shards(campaign))

    def launch(self) -> list[tuple[str, str]]:
        return launch(self.campaign, self.folder, self.ledger, self.slurm, FARMING, who=WHO, waves=1).jobs

    def states(self) -> dict[str, State]:
        look(self.ledger, self.folder, self.slurm, who=WHO)
        return {row.name: row.state for row in self.ledger.shards(self.campaign.name)}

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until something is so; meanwhile what the ledger calls done has its files."""
        end = time.monotonic() + PATIENCE_S
        while not ready():
            assert time.monotonic() < end, (self.states(), self.history())
            for name, state in self.states().items():
                if state is State.DONE:
                    assert (self.folder.run("truth", 1) / f"gm2_{name}.mid").is_file()
            time.sleep(0.3)

    def at_work(self) -> list[Report]:
        found = [self.folder.report(shard) for shard in self.shards]
        told = [Report.read(path) for path in found if path.exists()]
        live = {row.token for row in self.ledger.jobs(self.campaign.name) if row.live}
        return [
            report
            for report in told
            if report.state == "running" and report.job in live and Path(f"/proc/{report.host}").exists()
        ]

    def command(self, *arguments: str) -> None:
        subprocess.run(arguments, env=self.environment, check=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)

    def history(self) -> str:
        return "\n".join(row.reason for row in self.ledger.history(self.campaign.name))

    def hurry(self) -> None:
        """A job that went back into the queue waits two minutes there, by Slurm's own rule: not here."""
        for element in self.slurm.queue(row.token for row in self.ledger.jobs(self.campaign.name)):
            if element.state == "PENDING" and element.restarts:
                job = f"{element.job}_{element.index}"
                subprocess.run(
                    ["scontrol", "update", f"JobId={job}", "StartTime=now"],
                    env=self.environment, check=False, timeout=60, capture_output=True,
                )  # fmt: skip

    def finish(self) -> None:
        def over() -> bool:
            self.launch()
            self.hurry()
            return set(self.states().values()) == {State.DONE}

        self.wait(over)


@pytest.fixture
def pulled(tmp_path: Path, campaign: Campaign, cluster: dict[str, str]) -> Iterator[Pulled]:
    with opened(tmp_path / "catalog.sqlite", create=True) as engine:
        upgrade(engine, "catalog")
        yield Pulled(campaign, CampaignFolder(tmp_path / "campaign"), Ledger(engine), cluster)


def test_a_campaign_survives_kills_cancels_requeues_and_damage_to_the_byte(pulled: Pulled, tmp_path: Path) -> None:
    pulled.launch()
    # One rank dies: MPI ends its element, the ledger names it.
    pulled.wait(lambda: bool(pulled.at_work()))
    os.kill(int(pulled.at_work()[0].host), signal.SIGKILL)
    pulled.wait(lambda: "FAILED" in pulled.history())
    # A job is cancelled by somebody else.
    pulled.launch()
    pulled.wait(lambda: bool(pulled.at_work()))
    for row in pulled.ledger.jobs("pulled"):
        if row.live and row.slurm_id:
            pulled.command("scancel", row.slurm_id)
    pulled.wait(lambda: all(not row.live for row in pulled.ledger.jobs("pulled")))
    assert "CANCELLED" in pulled.history()
    # A job is asked to leave: it goes back into the queue and on from its checkpoint.
    pulled.launch()
    pulled.wait(lambda: bool(pulled.at_work()))
    report = pulled.at_work()[0]
    number = next(row.slurm_id for row in pulled.ledger.jobs("pulled") if row.token == report.job)
    pulled.command("scancel", "--batch", "--signal=USR1", f"{number}_{report.element}")
    pulled.wait(lambda: f"life 2 of job {report.job}" in pulled.history())
    pulled.finish()
    # Two outputs are spoiled after the end.
    made = sorted(pulled.folder.run("truth", 1).glob("*.mid"))
    made[1].chmod(0o644)
    made[1].write_bytes(made[1].read_bytes()[:-1] + b"?")
    made[4].unlink()
    lost = recover(pulled.campaign, pulled.folder, pulled.ledger, pulled.slurm, who=WHO)
    assert [one.shard.subrun for one in lost] == [1, 4]
    pulled.finish()
    assert pulled.launch() == []
    _same_as_serial(pulled, tmp_path)


def _same_as_serial(pulled: Pulled, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "gm2sim", "run", "gasgun", "--fills", str(FILLS), "--subruns", str(SUBRUNS), "--run", "1",
        "--seed", "1", "--backend", "cpu", "--no-report", "--out", str(tmp_path / "serial"),
    ]  # fmt: skip
    for name, value in SETTINGS.items():
        command += ["--set", f"{name}={str(value).lower()}"]
    pulled.command(*command)
    for kind in ("*.mid", "*.truth.h5", "gm2_run*.json"):
        serial = {path.name: path.read_bytes() for path in (tmp_path / "serial").glob(kind)}
        mine = {path.name: path.read_bytes() for path in pulled.folder.run("truth", 1).glob(kind)}
        assert len(serial) == SUBRUNS
        assert mine == serial


def test_slurm_takes_the_script_and_refuses_a_wrong_one_in_one_sentence(pulled: Pulled) -> None:
    token, number = pulled.launch()[0]
    script = pulled.folder.job(token) / "job.sbatch"
    pulled.command("sbatch", "--test-only", f"--chdir={script.parent}", str(script))
    pulled.slurm.cancel([number])
    with pytest.raises(RefusedError, match="invalid partition"):
        pulled.slurm.submit(script, "gm2.other", ["--partition=nowhere"])
