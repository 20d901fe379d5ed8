"""What `raw ls` and `raw dump` show."""

import json
from pathlib import Path

import numpy as np
import pytest

from gm2sim.config import ConfigError
from gm2sim.raw import FillRecord, dump, dump_lines, ls

FIRST, LAST = "TRIG, GPS0, TTCA, TTCB, TTCZ", "2 CAnn, 2 CBnn, 2 CZnn, 2 CCnn"


def test_list_has_a_row_for_every_event(raw_file: Path) -> None:
    rows = ls(raw_file)
    assert [row["kind"] for row in rows] == ["begin of run", *["fill"] * 5, "end of run"]
    assert sum(row["bytes"] for row in rows) == raw_file.stat().st_size
    assert [row["serial"] for row in rows] == [17, 0, 1, 2, 3, 4, 17]
    assert rows[1]["banks"] == f"{FIRST}, 2 CPnn, 2 CSnn, 2 CTnn, {LAST}"
    assert rows[2]["banks"] == f"{FIRST}, 2 CPnn, 2 CSnn, 2 CTnn, 2 CQnn, {LAST}"
    assert json.loads(json.dumps(rows)) == rows


def test_dumped_bank_is_the_written_one(raw_file: Path, fills: list[FillRecord]) -> None:
    crate = fills[3].calorimeters[1]
    content = dump(raw_file, 3, "CT02")["content"]
    assert [row["time"] for row in content["islands"]] == crate.start.tolist()
    assert np.array_equal(content["islands"][0]["samples"], crate.samples[: 54 * crate.length[0]].reshape(54, -1))
    assert dump(raw_file, "3", "CP02")["content"] == crate.pedestals.tolist()
    assert dump(raw_file, 3, "TRIG")["content"]["fill_index"] == 3
    assert crate.calo_sum is not None
    assert dump(raw_file, 3, "CS02")["content"] == crate.calo_sum.tolist()
    assert dump(raw_file, 3, "CQ02")["content"]["samples_per_bin"] == 64


def test_every_dump_goes_into_json_and_short_text(raw_file: Path) -> None:
    for event in ("begin", "end", 0, 1):
        for bank in [None, "TRIG", "CP01", "CS01", "CT01"]:
            if bank is not None and isinstance(event, str):
                continue
            tree = dump(raw_file, event, bank)
            json.dumps(tree)
            assert all(len(line) <= 130 for line in dump_lines(tree))


def test_unknown_event_or_bank_is_refused_with_what_there_is(raw_file: Path) -> None:
    with pytest.raises(ConfigError, match="no event '9': there are events 0 to 4"):
        dump(raw_file, 9)
    with pytest.raises(ConfigError, match="no bank 'CT03': did you mean"):
        dump(raw_file, 0, "CT03")
