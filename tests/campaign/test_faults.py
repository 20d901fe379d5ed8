"""A campaign on a fake Slurm: whatever happens, nothing is lost, nothing is doubled, and everything is named."""

from pathlib import Path

from tests.campaign.faults import survived


def test_120_faults_on_96_shards_lose_and_double_nothing(tmp_path: Path) -> None:
    found = survived(tmp_path, 11)
    assert found[:2] == (96, 120)
    assert found.work < 1.4
