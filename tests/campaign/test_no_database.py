"""The command of a job where there is no database: none can be imported, and the campaign's own cannot be reached."""

import subprocess
import sys
from pathlib import Path

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming, make_folder
from gm2sim.campaign.launch import write_definition
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report
from tests.campaign.test_work import SETTINGS

WITHOUT = """
import socket, sys
sys.modules.update(dict.fromkeys(("sqlalchemy", "psycopg", "sqlite3"), None))
def refuse(*arguments):
    raise AssertionError("a rank wants to talk to another machine")
socket.socket.connect = refuse
from gm2sim.__main__ import main
main(sys.argv[1:])
"""


def test_a_rank_makes_its_shards_without_any_database(tmp_path: Path) -> None:
    campaign = Campaign.model_validate({
        "name": "far", "preset": "gasgun", "folder": str(tmp_path),
        "catalog": "postgresql://nobody@nowhere.invalid/none", "stage": [{"name": "raw", "kind": "simulate"}],
        "runs": [{"first_run": 7, "fills": 2, "subruns": 2, "set": SETTINGS}],
    })  # fmt: skip
    folder, wanted = CampaignFolder(tmp_path), list(shards(campaign))
    write_definition(campaign, folder)
    make_folder(folder, "job", [wanted], Farming(1, 1, ("none",)), time="00:10:00", nodes=1)
    command = [sys.executable, "-c", WITHOUT, "campaign", "work", str(tmp_path), "--job", "job", "--backend", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert [Report.read(folder.report(shard)).state for shard in wanted] == ["done", "done"]
