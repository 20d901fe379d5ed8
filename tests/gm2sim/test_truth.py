"""Truth files: whole or absent, every column documented, equal bytes for equal content."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from gm2sim.truth import TABLES, TruthWriter

DOCS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"


def columns(group: str, rows: int) -> dict[str, np.ndarray]:
    return {name: np.arange(rows) for name in TABLES[group] if name != "fill"}


def test_appended_rows_come_back_with_units_and_fill(tmp_path):
    path = tmp_path / "a.truth.h5"
    with TruthWriter(path, {"run": 3}) as truth:
        truth.append("hits", 0, columns("hits", 4))
        truth.append("hits", 1, columns("hits", 2))
    with h5py.File(path) as file:
        assert file.attrs["run"] == 3
        np.testing.assert_array_equal(file["hits/fill"], [0, 0, 0, 0, 1, 1])
        np.testing.assert_array_equal(file["hits/energy"], [0, 1, 2, 3, 0, 1])
        assert file["hits/energy"].attrs["unit"] == "GeV"
        assert len(file["positrons/x"]) == 0


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        with TruthWriter(tmp_path / name, {"seed": 1}) as truth:
            truth.append("muons", 0, columns("muons", 100))
            truth.write_field(np.linspace(0, 6, 9), np.ones((9, 6)), np.zeros((9, 6)))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_nothing_is_left_when_the_work_fails(tmp_path):
    def fail() -> None:
        with TruthWriter(tmp_path / "a.truth.h5", {}) as truth:
            truth.append("muons", 0, columns("muons", 5))
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_every_column_is_in_the_documentation_with_its_unit_and_meaning():
    text = DOCS.read_text("utf-8")
    for group, table in TABLES.items():
        assert f"`/{group}`" in text
        for name, (kind, unit, meaning) in table.items():
            assert f"| `{name}` | {kind} | {unit} | {meaning} |" in text
