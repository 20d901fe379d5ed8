"""The command of a job without the command line around it: ``campaign work FOLDER --job NAME --element NUMBER``."""

import os
import sys
from pathlib import Path

from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import ELEMENTS
from gm2sim.campaign.work import main
from gm2sim.farm import CONTINUE, LeftError, Stop

if __name__ == "__main__":
    Stop.before_work()
    _, _, _, where, _, name, _, number = sys.argv
    here = Path(where)
    try:
        main(here, "", CampaignFolder(here).job(name) / ELEMENTS, name, int(number), backend="cpu")
    except LeftError:
        sys.stderr.flush()
        os._exit(CONTINUE)
