"""Files beside readers that are not ours, where there are any: see foreign.py, which says how to name them."""

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FOREIGN = runpy.run_path(str(HERE / "foreign.py"))
WRITE = runpy.run_path(str(HERE / "whole_run.py"))["write"]
MIDAS, UNPACKER = os.environ.get(FOREIGN["MIDAS"]), os.environ.get(FOREIGN["UNPACKER"])
with_midas_package = pytest.mark.skipif(MIDAS is None, reason=f"{FOREIGN['MIDAS']} names no MIDAS package for Python")
with_unpacker = pytest.mark.skipif(UNPACKER is None, reason=f"{FOREIGN['UNPACKER']} names no unpacker of WFD5 boards")

suffixes = pytest.mark.parametrize("suffix", [".mid", ".mid.gz", ".mid.lz4"])
compressions = pytest.mark.parametrize("compression", ["none", "event", "bank"])


def all_the_same(found: Any) -> None:
    assert found.differences == []
    assert found.counts["differences"] == 0


@with_midas_package
@suffixes
@compressions
def test_the_midas_package_reads_every_byte_and_the_odb(tmp_path: Path, suffix: str, compression: str) -> None:
    path = WRITE(tmp_path / f"gm2_run00017_00003{suffix}", compression)
    found = FOREIGN["with_midas"](path, Path(MIDAS or ""))
    all_the_same(found)
    assert found.counts["events"] == 9


@with_unpacker
@suffixes
@compressions
def test_the_unpacker_reads_every_field_and_sample_of_the_boards(tmp_path: Path, suffix: str, compression: str) -> None:
    path = WRITE(tmp_path / f"gm2_run00017_00003{suffix}", compression)
    found = FOREIGN["with_unpacker"](path, Path(UNPACKER or ""))
    all_the_same(found)
    assert found.counts["events"] == 9


def test_without_the_readers_the_script_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (FOREIGN["MIDAS"], FOREIGN["UNPACKER"]):
        monkeypatch.delenv(name, raising=False)
    assert FOREIGN["main"]([str(tmp_path / "any.mid")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "any.mid: midas left out, GM2SIM_MIDAS_PYTHON is not set",
        "any.mid: unpacker left out, GM2SIM_UNPACKER is not set",
    ]
