"""Reports on shards and the files they tell of, as they lie in a campaign's folder."""

import os
from collections.abc import Iterable
from contextlib import suppress

from gm2sim.atomic import again, inside, sha256
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.shard import Report, Shard
from gm2sim.errors import ConfigError, NewerFormatError

GOOD = ("done", "flagged")
"""States of a report that promise files."""


def missing(folder: CampaignFolder, shard: Shard, report: Report, *, sums: bool) -> str:
    """What is wrong with the files that a report promises; empty when all are there.

    Parameters
    ----------
    folder : CampaignFolder
    shard : Shard
    report : Report
    sums : bool
        Compare SHA-256 too, which reads every byte; sizes else.
    """
    if not report.files:
        return "its report names no files"
    run = folder.run(shard.stage, shard.run)
    for name, facts in report.files.items():
        try:
            path = inside(run, name)
            if path.stat().st_size != facts["size"]:
                return f"'{name}' has another size than was written"
            if sums and sha256(path) != facts["sha256"]:
                return f"'{name}' is damaged: its sum does not hold"
        except FileNotFoundError:
            return f"'{name}' is not there"
        except (OSError, KeyError, TypeError, ConfigError) as err:
            return f"'{name}' cannot be read ({err})"
    return ""


def reports(folder: CampaignFolder, shards: Iterable[Shard]) -> dict[Shard, Report]:
    """The reports that are there on some shards; a damaged one is none.

    Raises
    ------
    NewerFormatError
        A later version of the program wrote one.
    """
    there: dict[str, set[str]] = {}
    found = {}
    for shard in shards:
        if shard.stage not in there:
            with suppress(FileNotFoundError):
                there[shard.stage] = {path.name for path in folder.report(shard).parent.iterdir()}
        path = folder.report(shard)
        if path.name in there.setdefault(shard.stage, set()):
            report = _read(folder, shard)
            if report is not None and (report.stage, report.shard) == (shard.stage, shard.name):
                found[shard] = report
    return found


def forget(folder: CampaignFolder, shard: Shard) -> None:
    """Remove the report on a shard whose files are not what it says."""
    with suppress(FileNotFoundError):
        again(os.unlink, folder.report(shard))


def _read(folder: CampaignFolder, shard: Shard) -> Report | None:
    try:
        return Report.read(folder.report(shard))
    except NewerFormatError:
        raise
    except (ConfigError, OSError):
        return None
