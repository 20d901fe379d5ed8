"""Files on their way home: what is said to have arrived was read back there, and nothing else is ever said."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from sqlalchemy import Engine
from typer.testing import CliRunner

from gm2sim.atomic import sha256
from gm2sim.campaign import places
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.launch import write_definition
from gm2sim.campaign.located import missing
from gm2sim.campaign.places import Disk, Tape
from gm2sim.campaign.rescue import endangered, rescue
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.transfer import arrived, place_of, transfer
from gm2sim.catalog import locate, names
from gm2sim.cli_transfer import add_to
from gm2sim.database import opened, upgrade
from gm2sim.errors import ConfigError

DAY_S = 86_400.0
ARCHIVE = """#!/bin/bash
# A tape archive that is a folder: htar -c -f NAME -L LIST, htar -x -f NAME, hsi -q "mkdir -p NAME".
set -e
case $1 in
  -q) mkdir -p "$ARCHIVE/${2#mkdir -p }" ;;
  -c) [ ! -e "$ARCHIVE/$3" ] && tar -c -f "$ARCHIVE/$3" -T "$5" && echo written >> "$ARCHIVE/log" ;;
  -x) tar -x -f "$ARCHIVE/$3"
      if [ -e "$ARCHIVE/spoilt" ]; then find . -name '*.mid' -exec sh -c 'echo x >> {}' \\; ; fi ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> CampaignFolder:
    """A campaign of four shards, three of them finished."""
    made = CampaignFolder(tmp_path / "scratch" / "first")
    campaign = Campaign.model_validate({
        "name": "first", "preset": "gasgun", "folder": str(made.path),
        "stage": [{"name": "truth", "kind": "simulate"}],
        "runs": [{"first_run": 7, "fills": 8, "subruns": 4}],
    })  # fmt: skip
    write_definition(campaign, made)
    for shard in list(shards(campaign))[:3]:
        finish(made, shard)
    return made


def finish(folder: CampaignFolder, shard: Shard) -> None:
    """Files as a rank leaves them, of make-believe content."""
    run = folder.run(shard.stage, shard.run)
    run.mkdir(parents=True, exist_ok=True)
    raw, metadata = run / f"gm2_{shard.name}.mid", run / f"gm2_{shard.name}.json"
    raw.write_bytes(os.urandom(5000))
    content = {
        "simulated": True, "run": shard.run, "subrun": shard.subrun,
        "files": {raw.name: {"size": 5000, "sha256": sha256(raw), "data_tier": "raw"}},
    }  # fmt: skip
    metadata.write_text(json.dumps(content))
    files = {path.name: {"size": path.stat().st_size, "sha256": sha256(path)} for path in (raw, metadata)}
    folder.report(shard).parent.mkdir(parents=True, exist_ok=True)
    Report(shard.stage, shard.name, State.DONE, files=files).write(folder.report(shard))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(tmp_path / "catalog.sqlite", create=True) as made:
        upgrade(made, "catalog")
        yield made


@pytest.fixture
def tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tape:
    """An archive that is a folder, behind stand-ins of its programs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "archive").mkdir()
    for name in ("hsi", "htar"):
        (programs / name).write_text(ARCHIVE)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Tape("/home/g/gm2/first", tmp_path / "room")


def raw_file(folder: CampaignFolder, subrun: int) -> Path:
    return folder.run("truth", 7) / f"gm2_run00007_{subrun:05d}.mid"


def test_finished_shards_arrive_to_the_byte_and_twice_is_once(folder: CampaignFolder, tmp_path: Path) -> None:
    place = Disk(tmp_path / "home")
    done = transfer(folder, place)
    assert (done.copied, done.there, done.waiting, done.failed) == (3, 0, 1, [])
    for subrun in range(3):
        source = raw_file(folder, subrun)
        assert (place.path / source.relative_to(folder.path)).read_bytes() == source.read_bytes()
    again = transfer(folder, place)
    assert (again.copied, again.there) == (0, 3)
    copied = place.path / raw_file(folder, 1).relative_to(folder.path)
    copied.unlink()
    assert transfer(folder, place).copied == 1
    assert copied.exists()


def test_what_arrived_is_recorded_with_the_sums_of_both_ends(folder: CampaignFolder, tmp_path: Path) -> None:
    place = Disk(tmp_path / "home")
    transfer(folder, place)
    one = arrived(folder, place.name, Shard("truth", 7, 1))
    assert one is not None
    assert one.verified
    facts = one.files["truth/run00007/gm2_run00007_00001.mid"]
    assert facts["sha256"] == facts["read_back"] == sha256(raw_file(folder, 1))


def test_a_damaged_source_is_named_not_declared_and_the_others_go_on(
    folder: CampaignFolder, tmp_path: Path, engine: Engine
) -> None:
    with raw_file(folder, 1).open("r+b") as file:
        file.seek(100)
        file.write(b"damage")
    done = transfer(folder, Disk(tmp_path / "home"), engine=engine, owner="alice")
    assert done.copied == 2
    assert [name for name, _ in done.failed] == ["run00007_00001"]
    assert "gm2_run00007_00001.mid" in done.failed[0][1]
    assert not list((tmp_path / "home").rglob("gm2_run00007_00001.mid"))
    assert not list((tmp_path / "home").rglob("*.part"))
    with engine.connect() as connection:
        assert "gm2_run00007_00001.mid" not in list(names(connection, "name like %"))


def test_a_copy_that_reads_otherwise_never_gets_its_name(
    folder: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(places, "_read_back", lambda path: "0" * 64)
        done = transfer(folder, Disk(tmp_path / "home"), engine=engine)
    assert (done.copied, len(done.failed), done.declared) == (0, 3, 0)
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    assert transfer(folder, Disk(tmp_path / "home")).copied == 3


def test_the_catalogue_learns_where_the_copies_lie(folder: CampaignFolder, tmp_path: Path, engine: Engine) -> None:
    for _ in range(2):
        done = transfer(folder, Disk(tmp_path / "home"), engine=engine, owner="alice")
        assert done.declared == 6
    with engine.connect() as connection:
        found = locate(connection, "gm2_run00007_00002.mid")
    assert set(found) == {str(raw_file(folder, 2)), f"{tmp_path}/home/truth/run00007/gm2_run00007_00002.mid"}


def test_a_tape_gets_parcels_of_whole_shards_and_is_read_back(
    folder: CampaignFolder, tape: Tape, tmp_path: Path, engine: Engine
) -> None:
    done = transfer(folder, tape, engine=engine, parcel_gb=12e-6)
    assert (done.copied, done.declared, done.failed) == (3, 6, [])
    archives = sorted((tmp_path / "archive").rglob("*.tar"))
    assert len(archives) == 2
    assert transfer(folder, tape).there == 3
    assert (tmp_path / "archive" / "log").read_text().count("written") == 2
    assert list((tmp_path / "room").iterdir()) == []
    with engine.connect() as connection:
        found = [path for path in locate(connection, "gm2_run00007_00002.mid") if path.startswith("/home/g")]
    assert found == [f"/home/g/gm2/first/truth/{archives[1].name}/truth/run00007/gm2_run00007_00002.mid"] or found == [
        f"/home/g/gm2/first/truth/{archives[0].name}/truth/run00007/gm2_run00007_00002.mid"
    ]


def test_a_tape_that_gives_back_something_else_is_not_believed(
    folder: CampaignFolder, tape: Tape, tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "archive" / "spoilt").touch()
    done = transfer(folder, tape, engine=engine)
    assert (done.copied, done.declared) == (0, 0)
    assert "comes back from /home/g/gm2/first/truth/" in done.failed[0][1]


def test_places_that_cannot_be_are_refused_before_anything_is_copied(folder: CampaignFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="own folder"):
        place_of(str(folder.path / "copy"), folder)
    for wrong in ("hpss:relative", "hpss:/home/g; rm x", "hpss:/home/../x"):
        with pytest.raises(ConfigError, match="no folder of an archive"):
            place_of(wrong, folder)
    with pytest.raises(ConfigError, match="there is no no-such-hsi"):
        transfer(folder, Tape("/x", tmp_path, make=("no-such-hsi",)))


def age(folder: CampaignFolder, days: float, *paths: Path) -> None:
    """Make files look as if nobody had read or written them for so long."""
    for path in paths or [one for one in folder.path.rglob("*") if one.is_file()]:
        facts = path.stat()
        os.utime(path, (facts.st_atime - days * DAY_S, facts.st_mtime - days * DAY_S))


def test_endangered_files_are_listed_by_the_time_left_and_nothing_is_touched(folder: CampaignFolder) -> None:
    age(folder, 50.0, raw_file(folder, 0))
    age(folder, 55.0, raw_file(folder, 1))
    before = {path: path.stat() for path in folder.path.rglob("*")}
    found = endangered(folder, 56.0, within_days=10.0)
    assert [one.path for one in found] == [raw_file(folder, 1), raw_file(folder, 0)]
    assert found[0].left_days == pytest.approx(1.0, abs=0.01)
    assert not any(one.safe for one in found)
    assert {path: path.stat() for path in folder.path.rglob("*")} == before
    assert endangered(folder, 90.0, within_days=10.0) == []


def test_rescued_files_become_links_to_copies_that_were_read_back(folder: CampaignFolder, tmp_path: Path) -> None:
    age(folder, 55.0)
    place = Disk(tmp_path / "home")
    found = endangered(folder, 56.0, within_days=10.0, place=place)
    assert rescue(folder, found, place) == []
    assert not raw_file(folder, 0).is_symlink()
    assert rescue(folder, found, place, move=True) == []
    assert raw_file(folder, 0).is_symlink()
    assert (place.path / "campaign.toml").read_bytes() == folder.definition.read_bytes()
    for subrun in range(3):
        shard = Shard("truth", 7, subrun)
        assert missing(folder, shard, Report.read(folder.report(shard)), sums=True) == ""


def test_a_file_that_cannot_be_saved_stays_where_it_is(
    folder: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(folder, 55.0)
    place = Disk(tmp_path / "home")
    found = endangered(folder, 56.0, within_days=10.0, place=place)
    monkeypatch.setattr(places, "_read_back", lambda path: "0" * 64)
    assert len(rescue(folder, found, place, move=True)) >= 3
    assert not raw_file(folder, 0).is_symlink()


def test_the_commands_say_by_their_exit_code_whether_all_is_safe(folder: CampaignFolder, tmp_path: Path) -> None:
    app = typer.Typer()
    add_to(app)
    runner = CliRunner()
    age(folder, 55.0)
    here = str(folder.path)
    looked = runner.invoke(app, ["rescue", here, "--purge-days", "56"])
    assert looked.exit_code == 1
    assert "unsaved" in looked.output
    saved = runner.invoke(app, ["rescue", here, "--purge-days", "56", "--to", str(tmp_path / "home"), "--move"])
    assert saved.exit_code == 0, saved.output
    brought = runner.invoke(app, ["transfer", here, "--to", str(tmp_path / "other")])
    assert brought.exit_code == 0, brought.output
    assert "3 shards copied" in brought.output
    written = runner.invoke(
        app, ["transfer", here, "--to", "hpss:/home/g/x", "--script", str(tmp_path / "home.sbatch"), "--option",
              "--qos=xfer"],
    )  # fmt: skip
    assert written.exit_code == 0, written.output
    assert "#SBATCH --qos=xfer" in (tmp_path / "home.sbatch").read_text()
