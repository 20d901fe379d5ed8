"""First looks at shards, merged run by run; what was merged before is not read again."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from gm2sim.atomic import write_text
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.nearline import Nearline, merged, read_nearline
from gm2sim.campaign.shard import Shard

FORMAT = 1


class RunSeen(NamedTuple):
    """What the finished shards of one run look like together.

    Attributes
    ----------
    stage : str
    run : int
    shards : int
        That could be read.
    seen : Nearline
    """

    stage: str
    run: int
    shards: int
    seen: Nearline


def by_run(folder: CampaignFolder, shards: Iterable[Shard], kept: Path) -> list[RunSeen]:
    """Merge what lies there of some shards.

    Parameters
    ----------
    folder : CampaignFolder
    shards : iterable of Shard
        Finished ones.
    kept : Path
        Where sums of runs are kept, with what they were made of.
    """
    groups: dict[tuple[str, int], list[Shard]] = defaultdict(list)
    for shard in shards:
        groups[shard.stage, shard.run].append(shard)
    there = {stage: _listed(folder, stage) for stage in {stage for stage, _ in groups}}
    before = _read(kept)
    found, entries = [], {}
    for (stage, run), mine in groups.items():
        names = [name for name in (f"{shard.name}.json" for shard in mine) if name in there[stage]]
        if not names:
            continue
        key, made_of = f"{stage}/{run}", _digest((name, *there[stage][name]) for name in sorted(names))
        entry = before.get(key)
        if entry is None or entry["of"] != made_of:
            entry = _entry(made_of, (read_nearline(folder.nearline(shard)) for shard in mine))
        with suppress(TypeError, KeyError):
            seen = RunSeen(stage, run, int(entry["shards"]), Nearline(**entry["seen"]))
            entries[key] = entry
            if seen.shards:
                found.append(seen)
    if entries != before:
        text = json.dumps({"format": FORMAT, "runs": entries}, separators=(",", ":"))
        write_text(kept, f"{text}\n", replace=True)
    return sorted(found, key=lambda one: (one.stage, one.run))


def _entry(made_of: str, looks: Iterable[Nearline | None]) -> dict[str, Any]:
    parts = [one for one in looks if one is not None]
    together = merged(parts)
    seen = asdict(together) if together else asdict(Nearline(0, 0, 0, [], [], {}))
    return {"of": made_of, "shards": len(parts), "seen": seen}


def _listed(folder: CampaignFolder, stage: str) -> Mapping[str, tuple[int, int]]:
    """Files of a stage, with when they were written and their sizes."""
    found = {}
    with suppress(OSError), os.scandir(folder.nearline(Shard(stage, 0, 0)).parent) as entries:
        for entry in entries:
            with suppress(OSError):
                facts = entry.stat()
                found[entry.name] = facts.st_mtime_ns, facts.st_size
    return found


def _digest(facts: Iterable[tuple[str, int, int]]) -> str:
    return hashlib.sha256(json.dumps(list(facts)).encode()).hexdigest()


def _read(kept: Path) -> dict[str, Any]:
    """What was kept; nothing where that is damaged, or of another version."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(kept.read_text("utf-8"))
        if content["format"] == FORMAT and all(
            {"of", "shards", "seen"} <= set(one) for one in content["runs"].values()
        ):
            return dict(content["runs"])
    return {}
