"""The commands of campaigns as a person types them: a campaign from its file to its end, and what is refused before."""

import json
import os
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from sqlite3 import connect

import pytest
from rich.console import Console
from typer.main import get_command

from gm2sim.__main__ import main
from gm2sim.campaign import watching, work
from gm2sim.campaign.definition import read
from gm2sim.campaign.desk import Desk, check_work
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import ELEMENTS, SCRIPT
from gm2sim.campaign.plan import Plan
from gm2sim.campaign.shard import State
from gm2sim.cli_campaign import campaign_app
from gm2sim.database import opened, upgrade
from tests.campaign.fake_farm import Farm, World
from tests.campaign.fake_slurm import FakeSlurm

SITES = """
[here]
like = "local"
launcher = ["true"]
ranks = 2
cores = 2
container = ["run-image", "{image}"]
container_facts = ["image-facts", "{image}"]
"""
FILE = """
name = "first"
preset = "gasgun"
site = "here"
folder = "out"
nodes = 2

[[stage]]
name = "raw"
kind = "simulate"

[[stage]]
name = "report"
kind = "report"
after = ["raw"]

[[runs]]
first_run = 1
runs = 2
fills = 4
subruns = 2
"""


class Office:
    """A person at a terminal, and a Slurm that only the test drives."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.fake = FakeSlurm(folder / "slurm")
        self.file = folder / "first.toml"
        self.file.write_text(FILE)
        self.world = World(CampaignFolder(folder / "out"), 2)

    def type(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and complaint of ``gm2sim campaign ...``."""
        with pytest.raises(SystemExit) as left:
            main(["campaign", *words])
        out, err = self._capsys.readouterr()
        return int(left.value.code or 0), out, err

    def refused(self, *words: str) -> str:
        """The one sentence of a command that is refused; nothing has come into the queue."""
        code, out, err = self.type(*words)
        assert (code, out) == (2, "")
        assert err.startswith("gm2sim: ")
        assert err.count("\n") == 1
        with self.fake.state() as state:
            assert state["jobs"] == {}
        return err

    def change(self, old: str, new: str) -> None:
        assert old in self.file.read_text()
        self.file.write_text(self.file.read_text().replace(old, new, 1))

    def program(self, name: str, body: str) -> None:
        path = self.fake.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def finish_jobs(self) -> None:
        """Every element in the queue starts, does its work and ends."""
        with self.fake.state() as state:
            names = {number: one["name"] for number, one in state["jobs"].items()}
        while started := self.fake.start():
            for number, index in started:
                farm = Farm(self.world, names[number], number, index)
                assert farm.begin()
                while farm.work(10):
                    pass
                self.fake.set(number, index, "COMPLETED")


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Office:
    found = Office(tmp_path, capsys)
    (tmp_path / "config" / "gm2sim").mkdir(parents=True)
    (tmp_path / "config" / "gm2sim" / "sites.toml").write_text(SITES)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{found.fake.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_PARTITION", "GM2SIM_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return found


def test_a_campaign_goes_from_its_file_to_its_end(office: Office) -> None:
    code, out, _ = office.type("launch", "first.toml", "--account", "m0000")
    assert (code, out.splitlines()[0]) == (0, "job 100: 4 shards of raw in 2 elements on 2 nodes of 2 ranks")
    script = next((office.folder / "out" / "jobs").glob(f"*/{SCRIPT}")).read_text()
    assert "#SBATCH --account=m0000\n" in script
    assert f"-m gm2sim.start campaign work {office.folder}/out --job " in script
    assert "farm true " in script
    assert "nothing is ready" in office.type("launch", "first.toml")[1]
    office.finish_jobs()
    told = json.loads(office.type("status", "first.toml", "--json")[1], parse_constant=pytest.fail)
    assert told["stages"]["raw"]["states"] == {"done": 4}
    assert (told["expected"], told["present"], told["unexplained"]) == (6, 4, [])
    assert office.type("launch", "out")[1].startswith("job 101: 2 shards of report in 1 elements")
    office.finish_jobs()
    code, out, _ = office.type("status", "first.toml")
    assert code == 0
    assert "6 expected = 6 present + 0 explained" in out
    assert json.loads(office.type("launch", "first.toml", "--json")[1])["jobs"] == []


def test_a_test_launch_takes_two_shards_and_a_dry_run_none(office: Office) -> None:
    _, out, _ = office.type("launch", "first.toml", "--dry-run")
    assert out.startswith("would be a job: 4 shards of raw")
    with office.fake.state() as state:
        assert state["jobs"] == {}
    assert office.type("launch", "first.toml", "--test", "2")[1].startswith("job 100: 2 shards of raw")
    assert office.type("launch", "first.toml")[1].startswith("job 101: 2 shards of raw")


def test_what_was_deleted_is_found_and_made_again(office: Office) -> None:
    office.type("launch", "first.toml")
    office.finish_jobs()
    office.type("status", "first.toml")
    (office.folder / "out" / "raw" / "run00002" / "run00002_00001.mid").unlink()
    code, out, _ = office.type("recover", "first.toml", "--dry-run", "--kind", "pending_files")
    assert (code, "run00002_00001" in out, "is not there" in out) == (0, True, True)
    assert "3 shards wait: gm2sim campaign launch first.toml" in office.type("recover", "first.toml")[1]
    assert office.type("recover", "first.toml", "--json", "--kind", "consumed_status")[1].count('"shard"') == 3
    assert "1 shards of raw in 1 elements" in office.type("launch", "first.toml")[1]
    assert "did you mean 'added_files'" in office.type("recover", "first.toml", "--kind", "added_file")[2]


def test_a_campaign_is_held_released_and_cancelled(office: Office) -> None:
    office.type("launch", "first.toml")
    assert office.type("hold", "first.toml", "--stage", "report")[1] == "2 shards are held\n"
    assert json.loads(office.type("release", "first.toml", "--json")[1]) == {"shards": 2}
    assert office.type("cancel", "first.toml")[1] == "6 shards are cancelled\n"
    with office.fake.state() as state:
        assert {one["state"] for one in state["jobs"]["100"]["elements"].values()} == {"CANCELLED"}
    assert "nothing is ready" in office.type("launch", "first.toml")[1]
    assert "did you mean 'raw'" in office.type("cancel", "first.toml", "--stage", "row")[2]


def test_a_failed_shard_gives_exit_code_1_and_says_what_to_type(office: Office) -> None:
    office.change('kind = "simulate"', 'kind = "simulate"\nretries = 0')
    office.type("launch", "first.toml")
    for number, index in office.fake.start():
        office.fake.set(number, index, "FAILED", "NonZeroExitCode")
    code, out, _ = office.type("status", "first.toml")
    assert code == 1
    assert "gm2sim campaign recover first.toml" in out


def test_the_report_writes_page_and_metrics(office: Office) -> None:
    office.type("launch", "first.toml")
    code, out, err = office.type("report", "first.toml", "--html", "--metrics", "first.prom")
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"wrote {office.folder}/out/page/index.html", "wrote first.prom"]
    assert "first" in (office.folder / "out" / "page" / "index.html").read_text()
    assert (office.folder / "first.prom").read_text()


def test_watching_ends_when_all_is_over_or_a_person_leaves(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.type("launch", "first.toml")
    monkeypatch.setattr(watching, "slurm_here", lambda: office.fake.client())
    desk, console = Desk.of(office.file), Console(width=140, record=True, file=StringIO())
    waits: list[float] = []

    def turn(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt
        office.finish_jobs()
        office.type("launch", "first.toml")

    with desk.ledger() as ledger:
        status = watching.watching(ledger, desk, "first.toml", every=30.0, console=console, sleep=turn)
        assert watching.over(status)
        assert waits == [30.0, 30.0]
        office.change("runs = 2", "runs = 3")
        office.change('folder = "out"', 'folder = "out"\ndraining = true')
        office.type("launch", "first.toml")
        left = watching.watching(ledger, desk, "first.toml", every=30.0, console=console, sleep=turn)
        assert not watching.over(left)
    assert "4 expected" not in console.export_text()


def test_a_new_file_works_as_it_stands_and_each_line_of_it_is_told(office: Office) -> None:
    assert office.type("new", "second", "--site", "here")[1].startswith("wrote second.toml")
    campaign = read(office.folder / "second.toml")
    check_work(campaign, CampaignFolder(office.folder / "second"))
    assert {stage.kind for stage in campaign.stages} == {"simulate", "report"}
    assert office.type("launch", "second.toml")[1].startswith("job 100: 8 shards of raw")
    assert "exists already" in office.type("new", "second", "--site", "here")[2]
    assert "is no name of a campaign" in office.type("new", 'Se"cond')[2]
    assert "no site 'cori'" in office.type("new", "third", "--site", "cori")[2]
    assert office.type("new", "third", "--site", "perlmutter-cpu")[0] == 0
    assert tomllib.loads((office.folder / "third.toml").read_text())["folder"] == "$SCRATCH/third"


def test_every_command_has_a_help_text_with_an_example(office: Office) -> None:
    commands = get_command(campaign_app).commands  # type: ignore[attr-defined]
    assert set(commands) >= {
        "new", "plan", "launch", "status", "recover", "cancel", "hold", "release", "report", "work",
    }  # fmt: skip
    for name, command in commands.items():
        assert "Example: " in command.help, name
        assert f"campaign {name}" in command.help.partition("Example: ")[2]


def test_the_command_of_a_job_gives_its_element_to_the_ranks(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.type("launch", "first.toml")
    token = next((office.folder / "out" / "jobs").iterdir()).name
    told: list[object] = []

    def ranks(folder: Path, stage: str, shards: Path, job: str, element: int, **options: object) -> dict[str, int]:
        told.extend([folder, stage, shards, job, element, options["backend"]])
        return {"done": 2, "failed": 0}

    monkeypatch.setattr(work, "main", ranks)
    code, out, _ = office.type("work", "out", "--job", token, "--element", "1", "--backend", "cpu")
    assert (code, out) == (0, "2 done\n")
    assert told == [Path("out"), "", Path("out/jobs") / token / ELEMENTS, token, 1, "cpu"]


# What is wrong with a campaign is said in one sentence, before anything is submitted.


def test_an_unknown_site_is_refused(office: Office) -> None:
    office.change('site = "here"', 'site = "cori"')
    assert "no site 'cori': choose one of local, perlmutter-cpu, perlmutter-gpu, here" in office.refused(
        "launch", "first.toml"
    )
    assert "wants to know --account and --qos" in office.refused("launch", "first.toml", "--site", "perlmutter-cpu")


def test_a_machine_without_slurm_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    (office.folder / "empty").mkdir()
    monkeypatch.setenv("PATH", str(office.folder / "empty"))
    assert "there is no Slurm on this machine" in office.refused("launch", "first.toml")


def test_stages_that_wait_for_each_other_are_refused(office: Office) -> None:
    office.change('kind = "simulate"', 'kind = "simulate"\nafter = ["report"]')
    assert "the stages 'raw', 'report' wait for each other" in office.refused("launch", "first.toml")


def test_a_stage_behind_none_that_simulates_is_refused(office: Office) -> None:
    office.change('after = ["raw"]', "after = []")
    assert "stage 'report' comes after no stage that simulates" in office.refused("launch", "first.toml")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("first_run = 2\nfills = 4", "run 2 stands in two slices with different settings"),
        ("first_run = 1\nruns = 2\nfills = 4\nsubruns = 2", "the slices hold subruns 0 to 1 of run 1 twice"),
        ("first_run = 9\nfills = 8\nsubruns = 4\nonly = [0, 2]", "no slice holds subruns 3 to 3 of run 9"),
        ("first_run = 9\nfills = 8\nset = {'beam.muons' = 3}", "beam.muons"),
    ],
)
def test_a_muon_that_is_in_two_slices_or_in_none_is_refused(office: Office, more: str, sentence: str) -> None:
    office.file.write_text(f"{FILE}\n[[runs]]\n{more}\n")
    assert sentence in office.refused("launch", "first.toml")


def test_a_missing_or_expired_container_is_refused(office: Office) -> None:
    office.change('folder = "out"', 'folder = "out"\ncontainer = "gm2sim:1"')
    assert "no container 'gm2sim:1' (image-facts does not find it)" in office.refused("launch", "first.toml")
    office.program("image-facts", """echo '{"Labels": {"gm2sim.expires": "2020-02-03"}}'""")
    assert "container 'gm2sim:1' expired on 2020-02-03" in office.refused("launch", "first.toml")
    office.program("image-facts", "echo '{}'")
    assert office.type("launch", "first.toml")[0] == 0
    script = next((office.folder / "out" / "jobs").glob(f"*/{SCRIPT}")).read_text()
    assert "farm true run-image gm2sim:1 python3 -m mpi4py -m gm2sim campaign work" in script


def test_a_quota_that_the_plan_exceeds_is_refused(office: Office) -> None:
    desk = Desk.of(office.file)
    planned = Plan("first", desk.campaign.hash, "here", shards=6, terabytes=1e6)
    planned.write(desk.folder)
    assert "will write 1e+06 TB, and the disk or your quota has" in office.refused("launch", "first.toml")
    replace(planned, terabytes=1e-6).write(desk.folder)
    assert office.type("launch", "first.toml")[0] == 0


def test_two_campaigns_with_one_name_are_refused(office: Office) -> None:
    office.type("launch", "first.toml")
    other = office.folder / "other.toml"
    other.write_text(
        FILE.replace('folder = "out"', f'folder = "elsewhere"\ncatalog = "{office.folder}/out/catalog.sqlite"')
    )
    code, _, err = office.type("launch", "other.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert "campaign 'first' is registered already by" in err
    with office.fake.state() as state:
        assert list(state["jobs"]) == ["100"]
    other.write_text(FILE.replace('name = "first"', 'name = "second"'))
    assert "belongs to campaign 'first', not to 'second'" in office.type("launch", "other.toml")[2]


def test_a_catalogue_of_a_newer_program_is_refused(office: Office) -> None:
    office.type("launch", "first.toml", "--dry-run")
    with closing(connect(office.folder / "out" / "catalog.sqlite")) as book:
        book.execute("UPDATE catalog_version SET version_num = '9999'")
        book.commit()
    for command in ("launch", "status", "recover", "cancel", "hold", "release", "report"):
        assert "are of version 9999, this program knows up to" in office.refused(command, "first.toml")


def test_a_version_or_time_that_is_not_to_be_had_is_refused(office: Office) -> None:
    office.change('folder = "out"', 'folder = "out"\nsoftware = "99.0"')
    assert "wants gm2sim 99.0, and this is" in office.refused("launch", "first.toml")
    office.change('software = "99.0"', "")
    office.program("scontrol", "echo 'PartitionName=a Default=YES X=1 MaxTime=00:20:00 Y=2'")
    assert "'raw' wants jobs of 01:00:00, and the site allows 0:20:00" in office.refused("launch", "first.toml")


def test_a_campaign_that_was_not_launched_or_is_not_there_is_told(office: Office) -> None:
    assert "has no catalogue" in office.refused("status", "first.toml")
    assert "no campaign file 'nothing.toml'" in office.refused("status", "nothing.toml")
    assert "is no folder of a campaign" in office.refused("status", "slurm")
    office.change('folder = "out"', 'folder = "$NOT_SET_HERE/out"')
    assert "names $NOT_SET_HERE, which is not set here" in office.refused("status", "first.toml")


def test_jobs_that_slurm_refuses_give_exit_code_1_and_can_be_launched_again(office: Office) -> None:
    with office.fake.state() as state:
        state["sbatch"] = ["refused"]
    code, out, err = office.type("launch", "first.toml")
    assert (code, "sbatch refuses" in err) == (1, True)
    assert out.startswith("not submitted: 4 shards of raw")
    assert office.type("launch", "first.toml")[1].startswith("job 100: 4 shards of raw")


def test_files_beside_the_campaign_are_found_by_its_jobs(office: Office) -> None:
    (office.folder / "mine.toml").write_text('extends = "gasgun"\n')
    office.change('preset = "gasgun"', 'preset = "mine.toml"')
    office.type("launch", "first.toml")
    assert read(office.folder / "out" / "campaign.toml").preset == str(office.folder / "mine.toml")


def test_who_may_only_read_sees_the_last_look(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.type("launch", "first.toml")
    desk = Desk.of(office.file)
    monkeypatch.setattr(watching, "slurm_here", lambda: office.fake.client())
    with desk.ledger() as manager, desk.ledger(read_only=True) as reader, manager.lock("first", "somebody", "launch"):
        status, _ = watching.see(reader, desk, "first.toml")
    assert status.busy == "somebody: launch"
    assert {one.row.state for one in status.shards} == {State.SUBMITTED, State.WAITING}


def test_the_catalogue_may_be_on_a_server_whose_tables_are_made_by_a_person(
    office: Office, new_postgres: Callable[[], str]
) -> None:
    address = new_postgres()
    assert "make them with `gm2sim catalog init`" in office.refused("launch", "first.toml", "--db", address)
    with opened(address) as engine:
        upgrade(engine, "catalog")
    assert office.type("launch", "first.toml", "--db", address)[1].startswith("job 100: 4 shards of raw")
    office.finish_jobs()
    told = json.loads(office.type("status", "first.toml", "--json", "--db", address)[1])
    assert told["stages"]["raw"]["present"] == 4
    assert not (office.folder / "out" / "catalog.sqlite").exists()
