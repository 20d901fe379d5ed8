"""From shards that wait to jobs in the queue: never a shard in two jobs, whenever this process is killed.

What is to be submitted is in the ledger before ``sbatch`` is called, under a token that is the job's name. A launch
that is killed in between is found again by that name at the next look, and adopted or taken back. To launch twice is to
launch once: only shards that wait are taken.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

import tomli_w

from gm2sim.atomic import write_text
from gm2sim.campaign import job
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import FINISHED, Seen, take_stock
from gm2sim.campaign.job import Farming
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.slurm import RefusedError, Slurm, SlurmError

REFUSED = "REFUSED"
"""State of a job that sbatch did not want."""
_MOST_WAVES = 64
_OF_THE_TIME = 0.7  # part of a job's time that its shards are to fill, as long as the last ones took


@dataclass(frozen=True)
class Batch:
    """One job to be: an array of nodes, each with its shards.

    Attributes
    ----------
    stage : str
    elements : list of lists of Shard
    nodes : int
        Most at work at once.
    """

    stage: str
    elements: list[list[Shard]]
    nodes: int

    @property
    def shards(self) -> list[Shard]:
        """All of them."""
        return [shard for shards in self.elements for shard in shards]


@dataclass
class Launched:
    """What a launch has done.

    Attributes
    ----------
    batches : list of Batch
        Submitted, or with ``dry_run`` what would be.
    jobs : list of (token, Slurm's number)
    refused : str
        Why sbatch did not want a job; empty when it wanted all.
    left : int
        Shards that are ready but found no node.
    seen : Seen
        The look before.
    """

    batches: list[Batch] = field(default_factory=list)
    jobs: list[tuple[str, str]] = field(default_factory=list)
    refused: str = ""
    left: int = 0
    seen: Seen = field(default_factory=Seen)


def launch(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm,
    farming: Farming,
    *,
    who: str,
    test: int = 0,
    only: Collection[tuple[str, str]] | None = None,
    waves: int = 0,
    dry_run: bool = False,
) -> Launched:
    """Submit whatever is ready and fits on the campaign's nodes.

    Parameters
    ----------
    campaign : Campaign
    folder : CampaignFolder
    ledger : Ledger
    slurm : Slurm
    farming : Farming
        How a node is put to work.
    who : str
        For the audit.
    test : int
        No more than so many shards, the shortest; 0 for all.
    only : collection of (stage, shard), optional
        No others.
    waves : int
        Shards of each rank, one behind the other; 0 to find it from what shards have taken so far.
    dry_run : bool
        Say what would be done, and do nothing but look.

    Raises
    ------
    ConfigError
        Another manager acts on the campaign, it is another than the registered one, or there is no Slurm.
    SlurmError
        Slurm does not answer: nothing is launched without knowing what is in the queue.
    """
    slurm.require()
    ledger.register(campaign, folder.path, who)
    write_definition(campaign, folder)
    with ledger.lock(campaign.name, who, "launch"):
        seen = take_stock(campaign, ledger, folder, slurm, who=who)
        if seen.silent:
            raise SlurmError(f"nothing is launched: {seen.silent}")
        done = Launched(seen=seen)
        rows = ledger.shards(campaign.name)
        ready = [
            row
            for row in _ready(campaign, rows)
            if (only is None or (row.stage, row.name) in only) and (row.stage, row.name) not in seen.busy
        ]
        if test:
            ready = sorted(ready, key=lambda row: row.fills)[:test]
        done.batches = plan(campaign, rows, ready, farming, free=campaign.nodes - seen.nodes, waves=waves)
        done.left = len(ready) - sum(len(batch.shards) for batch in done.batches)
        if not dry_run:
            for batch in done.batches:
                _submit(campaign, folder, ledger, slurm, farming, batch, who, done)
                if done.refused:
                    break
    return done


def plan(
    campaign: Campaign,
    rows: Iterable[ShardRow],
    ready: Sequence[ShardRow],
    farming: Farming,
    *,
    free: int,
    waves: int = 0,
) -> list[Batch]:
    """Group shards into jobs: at most one a stage, the last stage first, so that runs that are begun get finished.

    Parameters
    ----------
    campaign : Campaign
    rows : iterable of ShardRow
        All shards, for what they have taken so far.
    ready : sequence of ShardRow
        To be launched.
    farming : Farming
    free : int
        Nodes.
    waves : int
        Shards of each rank; 0 to find it out.
    """
    batches = []
    pace = _pace(rows)
    for stage in reversed(campaign.ordered_stages()):
        shards = [Shard(row.stage, row.run, row.subrun, row.fills) for row in ready if row.stage == stage.name]
        if not shards or free <= 0:
            continue
        shards.sort(key=lambda shard: -shard.fills)  # equal ones stay in order
        node = farming.of(stage.kind)
        count = waves or _waves(pace.get(stage.name, 0.0) * shards[0].fills, seconds(stage.time) - node.leave_s)
        # As many nodes as are free rather than many waves on few.
        size = node.ranks * max(1, min(count, ceil(len(shards) / (node.ranks * free))))
        elements = [shards[begin : begin + size] for begin in range(0, len(shards), size)][: node.longest_array]
        batches.append(Batch(stage.name, elements, min(free, len(elements))))
        free -= batches[-1].nodes
    return batches


def write_definition(campaign: Campaign, folder: CampaignFolder) -> None:
    """Keep the campaign as it is launched in its folder, for its jobs."""
    text = tomli_w.dumps(campaign.model_dump(mode="json", by_alias=True, exclude_unset=True))
    if not folder.definition.is_file() or folder.definition.read_text("utf-8") != text:
        folder.path.mkdir(parents=True, exist_ok=True)
        write_text(folder.definition, text, replace=True)


def seconds(time: str) -> int:
    """A time as Slurm writes it, ``[days-]hours:minutes:seconds``, in seconds."""
    days, _, clock = time.rpartition("-")
    hours, minutes, rest = map(int, clock.split(":"))
    return int(days or 0) * 86_400 + hours * 3600 + minutes * 60 + rest


def _ready(campaign: Campaign, rows: Iterable[ShardRow]) -> list[ShardRow]:
    """Shards that wait for nothing but a job."""
    rows = list(rows)
    unfinished = Counter((row.stage, row.run) for row in rows if row.state not in FINISHED)
    after = {stage.name: stage.after for stage in campaign.stages}
    return [
        row
        for row in rows
        if row.state is State.WAITING and not any(unfinished[before, row.run] for before in after[row.stage])
    ]


def _pace(rows: Iterable[ShardRow]) -> dict[str, float]:
    """Longest time of a fill in each stage [s], from the shards that are done."""
    found: dict[str, float] = {}
    for row in rows:
        if row.state in FINISHED and row.wall_s > 0 and row.fills:
            found[row.stage] = max(found.get(row.stage, 0.0), row.wall_s / row.fills)
    return found


def _waves(longest: float, limit: float) -> int:
    """Shards that a rank can do within the time of a job; 1 as long as nothing has been measured."""
    return max(1, min(_MOST_WAVES, int(_OF_THE_TIME * limit / longest))) if longest > 0 else 1


def _submit(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm,
    farming: Farming,
    batch: Batch,
    who: str,
    done: Launched,
) -> None:
    """Intent, sbatch, note: in this order."""
    token = job.new_token(campaign.name, batch.stage)
    stage = campaign.stage(batch.stage)
    node = farming.of(stage.kind)
    script = job.make_folder(folder, token, batch.elements, node, time=stage.time, nodes=batch.nodes)
    ledger.begin_job(campaign.name, token, batch.stage, [shard.name for shard in batch.shards], batch.nodes)
    try:
        number = slurm.submit(script, token)
    except RefusedError as err:
        job.end(folder, token)
        back = [(shard.stage, shard.name, State.WAITING, str(err)) for shard in batch.shards]
        ledger.set_states(campaign.name, back, who)
        ledger.end_job(token, REFUSED)
        done.refused = str(err)
        return
    ledger.know_job(token, number)
    done.jobs.append((token, number))
