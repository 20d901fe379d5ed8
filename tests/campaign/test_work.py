"""What a job does with its shards: files as `gm2sim run` makes them, true reports, nothing done twice or lost."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w

import gm2sim.campaign.stages as stages
from gm2sim.campaign.claims import RunClaim, only_one
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.nearline import ENERGY_EDGES, bad, checks, expected, merged, read_nearline
from gm2sim.campaign.runs import config_of, runs, shards
from gm2sim.campaign.shard import Report, Shard
from gm2sim.campaign.work import FullDiskError, main, work
from gm2sim.clusters import Clusters
from gm2sim.config import ConfigError, load
from gm2sim.errors import RunError
from gm2sim.farm import LeftError
from gm2sim.run import run
from tests.mpi.small import sums
from tests.mpi.test_ranks import MPIEXEC, ROOT, needs_mpi

SETTINGS = {
    "beam.muons_per_fill": 60, "tracking.fill_duration_us": 40.0, "daq.q_method": False, "laser.fill_every": 1,
    "daq.pedestal_every": 1,
}  # fmt: skip
CAMPAIGN = Campaign.model_validate({
    "name": "tiny", "preset": "gasgun", "seed": 3, "folder": "tiny",
    "stage": [
        {"name": "raw", "kind": "simulate"},
        {"name": "reco", "kind": "reconstruct", "after": ["raw"]},
        {"name": "report", "kind": "report", "after": ["reco"]},
    ],
    "runs": [{"first_run": 7, "runs": 2, "fills": 3, "subruns": 2, "set": SETTINGS}],
})  # fmt: skip
ALL = list(shards(CAMPAIGN))
RAW = [shard for shard in ALL if shard.stage == "raw"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> CampaignFolder:
    """The raw stage, made."""
    folder = CampaignFolder(tmp_path_factory.mktemp("campaign"))
    assert work(folder, CAMPAIGN, "raw", RAW, "gm2.tiny", 4) == {"done": 4, "flagged": 0, "failed": 0, "elsewhere": 0}
    return folder


@pytest.fixture
def copy(done: CampaignFolder, tmp_path: Path) -> CampaignFolder:
    """One of its own for a test that changes it."""
    shutil.copytree(done.path, tmp_path / "copy")
    return CampaignFolder(tmp_path / "copy")


def report(folder: CampaignFolder, shard: Shard) -> Report:
    return Report.read(folder.report(shard))


def everything(folder: CampaignFolder) -> dict[str, dict[str, str]]:
    return {str(number): sums(folder.run("raw", number)) for number in (7, 8)}


def test_shards_are_the_files_of_gm2sim_run(done, tmp_path):
    out = tmp_path / "serial"
    run(config_of(CAMPAIGN, runs(CAMPAIGN)[0]), out, preset="gasgun", report=False)
    serial = {name: value for name, value in sums(out).items() if name != "summary.json"}
    assert sums(done.run("raw", 7)) == serial
    assert not list(done.path.rglob(".*"))


def test_reports_tell_of_files_that_are_there_with_their_sums(done):
    for shard in RAW:
        told = report(done, shard)
        assert (told.state, told.job, told.element, told.attempt) == ("done", "gm2.tiny", 4, 1)
        assert told.fills == shard.fills
        assert told.muons == 60 * shard.fills
        assert told.ended > told.began > 0
        assert told.cpu_s > 0
        assert 100 < told.peak_memory_mb < 2000
        there = sums(done.run("raw", shard.run))
        assert len(told.files) == 3
        assert all(there[name] == facts["sha256"] for name, facts in told.files.items())
        assert {"rate", "field"} <= told.checks.keys()
        assert read_nearline(done.nearline(shard)).muons == told.muons


def test_what_is_done_is_not_made_again(done):
    before = {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}
    assert work(done, CAMPAIGN, "raw", RAW)["done"] == 4
    assert before == {path: path.stat().st_mtime_ns for path in done.path.rglob("*") if path.is_file()}


def test_damaged_and_deleted_files_are_made_again_to_the_same_bytes(copy, done):
    raw = sorted(copy.run("raw", 7).glob("*.mid"))[0]
    raw.chmod(0o600)
    content = bytearray(raw.read_bytes())
    content[len(content) // 2] ^= 4
    raw.write_bytes(content)
    sorted(copy.run("raw", 8).glob("*.truth.h5"))[1].unlink()
    copy.report(RAW[1]).unlink()  # of a good shard: made up for, the shard stays
    assert work(copy, CAMPAIGN, "raw", RAW)["done"] == 4
    assert everything(copy) == everything(done)
    assert [report(copy, shard).attempt for shard in RAW] == [2, 1, 1, 2]
    assert report(copy, RAW[1]).wall_s < report(copy, RAW[0]).wall_s


def failing(kind, at):
    """run_subrun that fails for one subrun."""
    made = stages.run_subrun

    def make(setup, paths, *rest, **more):
        if (paths.run, paths.subrun) == at:
            raise kind
        return made(setup, paths, *rest, **more)

    return make


def test_a_shard_that_fails_is_reported_and_the_others_go_on(tmp_path, monkeypatch):
    folder = CampaignFolder(tmp_path)
    monkeypatch.setattr(stages, "run_subrun", failing(RunError("the file\nis too long"), (7, 1)))
    with pytest.raises(RunError, match=r"1 of 4 shards failed, first run00007_00001: the file"):
        work(folder, CAMPAIGN, "raw", RAW)
    told = report(folder, RAW[1])
    assert told.state == "failed"
    assert "\n" not in told.reason
    assert [report(folder, shard).state for shard in RAW] == ["done", "failed", "done", "done"]


def test_a_full_disk_ends_the_job_with_one_sentence(tmp_path, monkeypatch):
    folder = CampaignFolder(tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device", "/scratch/x.mid")
    monkeypatch.setattr(stages, "run_subrun", failing(full, (7, 0)))
    with pytest.raises(FullDiskError, match=r"the disk is full at '/scratch/x.mid'") as caught:
        work(folder, CAMPAIGN, "raw", RAW)
    assert caught.value.__notes__ == ["rank 0 of 1, shard run00007_00000, campaign tiny"]
    assert report(folder, RAW[0]).state == "failed"
    assert not folder.report(RAW[3]).exists()


def test_a_fault_of_the_program_ends_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "run_subrun", failing(ZeroDivisionError(), (7, 0)))
    with pytest.raises(ZeroDivisionError) as caught:
        work(CampaignFolder(tmp_path), CAMPAIGN, "raw", RAW)
    assert caught.value.__notes__ == ["rank 0 of 1, shard run00007_00000, campaign tiny"]


def test_asked_to_leave_it_leaves_and_the_next_one_goes_on_to_the_same_bytes(tmp_path, done, monkeypatch):
    folder = CampaignFolder(tmp_path)
    made = stages.run_subrun

    def leave(*arguments, **more):
        os.kill(os.getpid(), signal.SIGUSR1)
        return made(*arguments, **more)

    monkeypatch.setattr(stages, "run_subrun", leave)
    with pytest.raises(LeftError, match="by SIGUSR1, 4 shards are unfinished: launch the campaign again"):
        work(folder, CAMPAIGN, "raw", RAW)
    monkeypatch.setattr(stages, "run_subrun", made)
    assert report(folder, RAW[0]).state == "running"
    assert "asked to leave" in report(folder, RAW[0]).reason
    assert work(folder, CAMPAIGN, "raw", RAW)["done"] == 4
    assert everything(folder) == everything(done)
    assert report(folder, RAW[0]).attempt == 2


def test_a_shard_that_a_live_process_works_on_is_left_to_it(copy):
    with only_one(copy.lock(RAW[0])) as mine:
        assert mine
        assert work(copy, CAMPAIGN, "raw", RAW[:2])["elsewhere"] == 1
    assert work(copy, CAMPAIGN, "raw", RAW[:2])["elsewhere"] == 0


def test_gm2sim_run_and_shards_do_not_share_a_folder_at_once_but_shards_do(done, tmp_path):
    config = config_of(CAMPAIGN, runs(CAMPAIGN)[0])
    folder = tmp_path / "run"
    first, second = RunClaim(folder, config, "campaign tiny, one"), RunClaim(folder, config, "campaign tiny, two")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"another run is writing to .* now, campaign tiny, one"):
            run(config, folder, resume=True, report=False)
        first.close()
        first = second
    assert {path.name for path in folder.iterdir()} == {"config.toml"}
    with pytest.raises(ConfigError, match="holds another run"):
        RunClaim(folder, load("gasgun"), "campaign other")


def test_shards_are_refused_where_gm2sim_run_is_at_work(tmp_path, monkeypatch):
    from gm2sim.farm import Ranks
    from gm2sim.run import _claimed

    monkeypatch.setattr("gm2sim.campaign.claims._PATIENCE_S", 0.2)
    config = config_of(CAMPAIGN, runs(CAMPAIGN)[0])
    folder = CampaignFolder(tmp_path)
    with _claimed(folder.run("raw", 7), config, Ranks(), resume=False, force=False):
        with pytest.raises(RunError, match="1 of 1 shards failed, first run00007_00000: another run is writing"):
            work(folder, CAMPAIGN, "raw", RAW[:1])
        assert report(folder, RAW[0]).state == "failed"


def test_a_shard_outside_a_window_is_flagged_with_the_check_named(copy, monkeypatch):
    monkeypatch.setattr("gm2sim.campaign.nearline.field_of", lambda truth: 1.40)
    copy.nearline(RAW[0]).unlink()
    counted = work(copy, CAMPAIGN, "raw", RAW)
    assert counted == {"done": 3, "flagged": 1, "failed": 0, "elsewhere": 0}
    told = report(copy, RAW[0])
    assert told.state == "flagged"
    assert told.reason.startswith("field is 1.4 ")
    assert work(copy, CAMPAIGN, "raw", RAW)["flagged"] == 1


def test_both_passes_and_the_report_of_a_run(copy):
    rest = {stage: [shard for shard in ALL if shard.stage == stage] for stage in ("reco", "report")}
    before = everything(copy)
    for stage, files in (("reco", {"reco.h5", "reco.json"}), ("report", {"report.html"})):
        assert work(copy, CAMPAIGN, stage, rest[stage])["done"] == 2
        told = report(copy, rest[stage][0])
        assert told.files.keys() == files
        assert told.muons == 180
        there = sums(copy.run(stage, 7))
        assert all(there[name] == facts["sha256"] for name, facts in told.files.items())
        assert work(copy, CAMPAIGN, stage, rest[stage])["done"] == 2
        assert report(copy, rest[stage][0]) == told
    content = json.loads((copy.run("reco", 7) / "reco.json").read_text())
    assert len(content["parents"]) == 2
    after = {run: {k: v for k, v in files.items() if k != "summary.json"} for run, files in everything(copy).items()}
    assert after == before
    (copy.run("reco", 7) / "reco.h5").unlink()
    sorted(copy.run("raw", 7).glob("*.mid"))[0].unlink()
    with pytest.raises(RunError, match="subrun 0 of run 7 is not there, or damaged: recover stage 'raw' first"):
        work(copy, CAMPAIGN, "reco", rest["reco"])


def test_the_command_reads_the_shards_of_its_element(done, tmp_path):
    done.definition.write_text(tomli_w.dumps(CAMPAIGN.model_dump(mode="json", by_alias=True)))
    listed = tmp_path / "elements.jsonl"
    lines = [{"stage": "raw", "shards": [[one.run, one.subrun, one.fills]]} for one in RAW]
    listed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(done.path, "", listed, "job", 2)["done"] == 1
    with pytest.raises(ConfigError, match="has no element 4: it has 0 to 3"):
        main(done.path, "raw", listed, "job", 4)
    with pytest.raises(ConfigError, match="recover the campaign"):
        main(done.path, "raw", tmp_path / "none", "job", 0)


JOB = """
import sys
from pathlib import Path
from gm2sim.campaign.work import main
from gm2sim.farm import ranks
found = main(Path(sys.argv[1]), "raw", Path(sys.argv[2]), "job", 0)
assert sum(found.values()) == 4, found
assert not [name for name in sys.modules if name.startswith(("sqlalchemy", "psycopg", "sqlite3"))]
"""


@needs_mpi
def test_ranks_share_the_shards_of_a_job_without_a_database(done, tmp_path):
    folder = CampaignFolder(tmp_path / "campaign")
    folder.path.mkdir()
    folder.definition.write_text(tomli_w.dumps(CAMPAIGN.model_dump(mode="json", by_alias=True)))
    listed, script = tmp_path / "elements.jsonl", tmp_path / "job.py"
    listed.write_text(json.dumps({"stage": "raw", "shards": [[one.run, one.subrun, one.fills] for one in RAW]}))
    script.write_text(JOB)
    command = [str(MPIEXEC), "-n", "2", sys.executable, "-m", "mpi4py", str(script), str(folder.path), str(listed)]
    environment = os.environ | {"NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    assert everything(folder) == everything(done)
    assert {report(folder, shard).rank for shard in RAW} == {0, 1}
    assert not list(folder.path.rglob(".*"))


@pytest.mark.parametrize("change", ["software", "stage", "shard"])
def test_wrong_requests_are_refused_before_any_work(tmp_path, change):
    campaign = CAMPAIGN.model_copy(update={"software": "99.0"}) if change == "software" else CAMPAIGN
    stage = "rew" if change == "stage" else "raw"
    listed = ALL if change == "shard" else RAW
    with pytest.raises(ConfigError, match=r"install that one|did you mean|give one stage a job"):
        work(CampaignFolder(tmp_path), campaign, stage, listed)
    assert not list(tmp_path.iterdir())


GAMMA = 29.3034


def drawn(number, *, asymmetry=0.36, scale=0.97, seed=1):
    """Clusters by the closed forms: energies above 0.5 GeV with the acceptance, times with the precession."""
    from decay.michel import lab_energy_end, lab_spectrum
    from gm2sim.analysis import precession_frequency
    from gm2sim.campaign.nearline import _ACCEPTANCE
    from tracking.muon import LIFETIME

    rng = np.random.default_rng(seed)
    energy = rng.uniform(0.5, lab_energy_end(GAMMA), 6 * number)
    density = lab_spectrum(energy, GAMMA)[0] * np.interp(energy, *_ACCEPTANCE)
    energy = energy[rng.uniform(0, density.max(), density.size) < density]
    decays = rng.exponential(GAMMA * LIFETIME, 6 * number)
    omega = 2 * np.pi * precession_frequency(load("gasgun"))
    keep = rng.uniform(0, 1 + asymmetry, decays.size) < 1 + asymmetry * np.cos(omega * decays + 0.3)
    time = decays[keep]
    n = min(len(time), len(energy), number)
    energy, time = energy[:n] * (1 + rng.normal(0, 0.04, n)) * scale, time[:n]
    zero = np.zeros(n)
    return Clusters(zero.astype(int), zero.astype(int), energy, time, zero, zero, zero.astype(int), zero)


def test_clusters_of_this_ring_are_good_and_others_are_not():
    config = load("gasgun", {"tracking.fill_duration_us": 700.0})
    share, asymmetry = expected(config, GAMMA)
    # The chain has 0.146 (442 after 30 us of 5000 stored), the study of the faces alone 0.138.
    assert share == pytest.approx(0.146, rel=0.05)
    assert asymmetry == pytest.approx(0.363, abs=0.012)  # 0.3629
    for number in (300, 3000, 30000):
        clusters = drawn(number)
        above = int((clusters.energy >= 1.7).sum())
        decayed = round(above / share)
        good = checks(config, clusters, decayed, config.magnet.field_t)
        assert not bad(good), good
        assert ("asymmetry" in good) == (number > 300)
    assert good["edge"]["value"] == pytest.approx(3.0, abs=0.06)
    assert good["asymmetry"]["value"] == pytest.approx(0.36, abs=5 * good["asymmetry"]["error"])
    faults = {
        "rate": checks(config, clusters, 2 * decayed, 1.4513),
        "asymmetry": checks(config, drawn(30000, asymmetry=0.1), decayed, 1.4513),
        "edge": checks(config, drawn(30000, scale=0.87), decayed, 1.4513),
        "field": checks(config, clusters, decayed, 1.4518),
    }
    for name, found in faults.items():
        assert not found[name]["good"]
        assert bad(found).startswith(name) or f"; {name} is" in bad(found)


def test_no_muons_are_no_fault():
    config = load("gasgun")
    assert not bad(checks(config, Clusters.empty(), 0, config.magnet.field_t))


def test_several_shards_together_are_their_sums(done):
    parts = [read_nearline(done.nearline(shard)) for shard in RAW]
    total = merged(parts)
    assert total.fills == 6
    assert total.muons == 360
    assert total.clusters == sum(part.clusters for part in parts) > 0
    assert total.clusters_per_fill == total.clusters / 6
    assert len(total.energy) == len(ENERGY_EDGES) - 1
    np.testing.assert_array_equal(total.time, np.sum([part.time for part in parts], axis=0))
    rate = total.checks["rate"]
    assert rate["error"] < min(part.checks["rate"]["error"] for part in parts)
    assert (rate["shards"], rate["outside"], rate["good"]) == (4, 0, True)
    assert merged([]) is None


def test_a_damaged_first_look_is_none(done, tmp_path):
    content = done.nearline(RAW[0]).read_text()
    path = tmp_path / "n.json"
    path.write_text(content.replace('"fills": 2', '"fills": 3'))
    assert read_nearline(path) is None
    path.write_text(content)
    assert read_nearline(path) is not None
    assert read_nearline(path, raw="other") is None
    assert read_nearline(tmp_path / "none") is None


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    import gm2sim.campaign.claims as claims

    def refuse(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_SH=1, LOCK_NB=4))
    with pytest.raises(ConfigError, match="cannot be locked"), only_one(tmp_path / "lock"):
        pass
