"""A shard with whole files and wrong physics is flagged: simulated from muons to raw data with the fault in it."""

from pathlib import Path

import pytest

from tests.campaign.planted_physics import FAULTS, found, made

# A wrong energy shows in few clusters. Without polarisation chance alone makes an asymmetry of sqrt(pi/N) on average:
# the more there are, the farther below the window.
MUONS = {"": 4000, "field": 400, "rate": 4000, "edge": 8000, "asymmetry": 16000}


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_machine_that_is_not_as_configured_is_flagged_by_the_check_that_is_there_for_it(
    tmp_path: Path, fault: str
) -> None:
    report = made(tmp_path, MUONS[fault], fault)
    assert found(report, fault), report
    assert len(report.files) == 3
