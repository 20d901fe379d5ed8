"""Sites: those that come with the program, the user's own, and what a machine says of itself when it is asked."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import make_folder
from gm2sim.campaign.limits import Limits, limits, refuse_container, refuse_longer_jobs, room
from gm2sim.campaign.shard import Shard
from gm2sim.campaign.sites import Site, site, sites
from gm2sim.errors import ConfigError

PERLMUTTER = {"account": "m0000", "qos": "regular"}
QUOTA = "     /scratch/u\n          1000 3000 4000 - 10 50 60 -\n"


@pytest.fixture(autouse=True)
def _no_sites_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Makes commands that print what they are told to, or fail; gives the environment with nothing else."""

    def make(**said: str | None) -> dict[str, str]:
        here = tmp_path / "bin"
        here.mkdir(exist_ok=True)
        for name, text in said.items():
            body = "exit 1" if text is None else f"echo {shlex.quote(text)}"
            (here / name.replace("_", "-")).write_text(f"#!/bin/sh\n{body}\n")
            (here / name.replace("_", "-")).chmod(0o755)
        return {"PATH": str(here)}

    return make


def own(tmp_path: Path, text: str) -> None:
    (tmp_path / "config" / "gm2sim").mkdir(parents=True)
    (tmp_path / "config" / "gm2sim" / "sites.toml").write_text(text)


@pytest.mark.parametrize("name", ["local", "perlmutter-cpu", "perlmutter-gpu"])
def test_each_shipped_site_puts_a_node_to_work(name: str, tmp_path: Path) -> None:
    farming = site(name).with_said(PERLMUTTER).farming("some/image:1", tmp_path, 1000)
    assert farming.ranks * farming.threads <= max(128, farming.ranks)
    assert "some/image:1" in farming.command
    assert farming.command[-4:] == ("-m", "mpi4py", "-m", "gm2sim")
    assert {"--account=m0000", "--qos=regular"} <= set(farming.options)
    assert not any("{" in word for word in farming.command)


def test_ranks_start_together_where_the_site_says_so_but_not_in_an_image(tmp_path: Path) -> None:
    together = site("local").model_copy(update={"together": True})
    assert together.farming().command[-2:] == ("-m", "gm2sim.start")
    assert together.farming("some/image:1", tmp_path).command[-2:] == ("-m", "gm2sim")
    apart = together.model_copy(update={"together": False})
    assert apart.farming().command[-4:] == ("-m", "mpi4py", "-m", "gm2sim")


@pytest.mark.parametrize("name", ["local", "perlmutter-cpu", "perlmutter-gpu"])
def test_each_shipped_site_has_its_script(name: str, tmp_path: Path) -> None:
    one = site(name).with_said(PERLMUTTER)
    elements = [[Shard("raw", 1, 0, 4)]]
    text = make_folder(
        CampaignFolder(tmp_path), "job", elements, one.farming(), time="01:00:00", nodes=1
    ).read_text()  # fmt: skip
    assert "#SBATCH --account=m0000\n" in text
    assert f"#SBATCH --cpus-per-task={one.farming().threads}\n" in text
    assert ("CUDA_VISIBLE_DEVICES=3,2,1,0" in text) == bool(one.gpus)


def test_no_limit_of_a_queue_and_no_charge_is_written_down() -> None:
    for one in sites().values():
        assert "longest_array" not in one.model_fields_set
        assert one.longest is not None


def test_an_unknown_site_is_told_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="no site 'cori': choose one of local, perlmutter-cpu, perlmutter-gpu"):
        site("cori")


def test_a_user_changes_a_site_and_adds_one_that_is_like_another(tmp_path: Path) -> None:
    own(tmp_path, '[perlmutter-cpu]\naccount = "m1234"\n\n[mine]\nlike = "local"\ncores = 8\nranks = 4\n')
    assert site("perlmutter-cpu").account == "m1234"
    assert site("perlmutter-cpu").cores == 128
    assert site("mine").farming().ranks == 4
    assert site("mine").farming().threads == 2
    assert site("mine").launcher == site("local").launcher


def test_a_campaign_names_a_file_with_its_site(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[mine]\nlike = "local"\nranks = 3\n')
    assert site("mine.toml", tmp_path).ranks == 3
    with pytest.raises(ConfigError, match=r"no file of sites .*other\.toml"):
        site("other.toml", tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[a]\nlike = "local"\nrank = 3', "'a.rank' in .* is unknown: did you mean 'ranks'"),
        ("[a]\ncores = 3", "'a.launcher' in .* is wrong: Field required"),
        ('[a]\nlike = "lokal"', "is like 'lokal', which is no site: did you mean 'local'"),
        ('[a]\nlike = "local"\noptions = ["--mem=1\\nrm"]', r"'a.options.0' in .* is wrong"),
        ('[a]\nlike = "local"\nask = ["money"]', "'money' is nothing to ask for"),
        ('[a]\nlike = "local"\nlongest = {command = ["x"], find = "("}', "is no pattern"),
        ("cores = 3", "'cores' in .* belongs to no site"),
        ("[a", "is no TOML"),
    ],
)
def test_a_wrong_file_of_sites_gets_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    own(tmp_path, text)
    with pytest.raises(ConfigError, match=sentence):
        sites()


def test_what_the_site_asks_for_must_be_said_and_be_plain() -> None:
    with pytest.raises(ConfigError, match="wants to know --account and --qos"):
        site("perlmutter-cpu").with_said({"account": None})
    with pytest.raises(ConfigError, match=r"--qos .* is no plain word"):
        site("perlmutter-cpu").with_said({"account": "m1", "qos": "regular\n#SBATCH --exclusive"})


def test_no_more_ranks_than_the_memory_of_a_node_holds() -> None:
    perlmutter = site("perlmutter-cpu").with_said(PERLMUTTER)
    assert perlmutter.farming(memory_mb=4000).ranks == 128
    assert perlmutter.farming(memory_mb=8000).ranks == 64
    with pytest.raises(ConfigError, match="does not fit on a node of 512 GB"):
        perlmutter.farming(memory_mb=600_000)


def test_the_machine_is_asked_and_what_it_does_not_say_is_not_known(machine: Callable[..., dict[str, str]]) -> None:
    perlmutter = site("perlmutter-cpu").with_said(PERLMUTTER)
    assert limits(perlmutter, machine()) == Limits()
    said = machine(scontrol="MaxArraySize           = 1001", sacctmgr="1-12:00:00", iris=" m0000 1,200.5 5000 7 8")
    found = limits(perlmutter, said)
    assert found == Limits(36 * 3600.0, 1000, None, 3799.5)
    assert limits(perlmutter, machine(sacctmgr="0.500000")).charge == 0.5
    assert limits(perlmutter, machine(sacctmgr=None)).charge is None


def test_a_stage_with_longer_jobs_than_the_site_allows_is_refused(plan: Callable[..., Campaign]) -> None:
    refuse_longer_jobs(plan(), Limits())
    refuse_longer_jobs(plan(), Limits(longest_s=3600.0))
    with pytest.raises(ConfigError, match="'raw' wants jobs of 01:00:00, and the site allows 0:30:00"):
        refuse_longer_jobs(plan(), Limits(longest_s=1800.0))


def test_what_fits_is_the_less_of_disk_and_quota(tmp_path: Path, machine: Callable[..., dict[str, str]]) -> None:
    perlmutter = site("perlmutter-cpu")
    free = room(perlmutter, tmp_path / "not" / "there", machine())
    assert free.bytes > 0
    left = room(perlmutter, tmp_path, machine(lfs=QUOTA))
    assert (left.bytes, left.files) == (2000 * 1024.0, 40.0)
    unlimited = QUOTA.replace("3000 4000", "0 0").replace("50 60", "0 0")
    assert room(perlmutter, tmp_path, machine(lfs=unlimited)).bytes > 2000 * 1024.0


def facts(**labels: str) -> str:
    made = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    return str([{"Created": made, "Labels": labels}]).replace("'", '"')


def test_a_container_is_missing_expired_or_of_another_version(machine: Callable[..., dict[str, str]]) -> None:
    perlmutter = site("perlmutter-cpu")
    refuse_container(perlmutter, "")
    for gone in (machine(), machine(podman_hpc=None)):
        with pytest.raises(ConfigError, match=r"no container 'a:1' .*pull or build it"):
            refuse_container(perlmutter, "a:1", "0.1.0", gone)
    refuse_container(perlmutter, "a:1", "0.1.0", machine(podman_hpc=facts()))
    refuse_container(perlmutter, "a:1", "0.1.0", machine(podman_hpc=facts(**{"quay.expires-after": "2w"})))
    for old in ({"quay.expires-after": "9d"}, {"gm2sim.expires": "2020-01-01"}):
        with pytest.raises(ConfigError, match="'a:1' expired on 20"):
            refuse_container(perlmutter, "a:1", "", machine(podman_hpc=facts(**old)))
    other = machine(podman_hpc=facts(**{"org.opencontainers.image.version": "0.0.9"}))
    refuse_container(perlmutter, "a:1", "", other)
    with pytest.raises(ConfigError, match=r"holds gm2sim 0\.0\.9, and the campaign wants 0\.1\.0"):
        refuse_container(perlmutter, "a:1", "0.1.0", other)
    with pytest.raises(ConfigError, match="knows no containers"):
        refuse_container(Site(launcher=("true",)), "a:1")


def test_a_site_without_its_launcher_is_told_before_anything_is_submitted() -> None:
    with pytest.raises(ConfigError, match="no 'srun-of-nowhere' to start ranks with"):
        Site(launcher=("srun-of-nowhere",)).require_launcher()
