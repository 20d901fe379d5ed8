"""A look at everything: reports, files and the queue; the ledger is told what is true.

Nothing but verified files makes a shard done. A queue that does not answer changes nothing but that: an empty queue
and a silent one are two things. Clocks of other machines decide nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from gm2sim.campaign import job
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.located import GOOD, forget, missing, reports
from gm2sim.campaign.rows import JobRow, ShardRow
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.slurm import AT_WORK, FORGOTTEN, RESUBMIT, Element, Slurm, SlurmError
from gm2sim.errors import ConfigError

NEVER = "NEVER_SUBMITTED"
"""State of a job that was to be submitted but never came into the queue."""
FINISHED = frozenset({State.DONE, State.FLAGGED})
_BY_A_PERSON = frozenset({State.HELD, State.CANCELLED})
Change = tuple[str, str, State, str]


@dataclass
class Seen:
    """What a look has shown.

    Attributes
    ----------
    silent : str
        Why the queue could not be seen; empty when it could.
    changes : list of (stage, shard, state, reason)
        What the ledger was told.
    faults : list of str
        Elements and jobs that ended without doing all they were given, by name.
    nodes : int
        Nodes that live jobs have or may take.
    busy : set of (stage, shard)
        Shards of elements that run or may still run, finished ones too.
    """

    silent: str = ""
    changes: list[Change] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    nodes: int = 0
    busy: set[tuple[str, str]] = field(default_factory=set)


def look(ledger: Ledger, folder: CampaignFolder, slurm: Slurm | None, *, who: str) -> Seen:
    """Bring the ledger up to date.

    Parameters
    ----------
    ledger : Ledger
    folder : CampaignFolder
    slurm : Slurm or None
        None where there is none: reports and files only.
    who : str
        For the audit.

    Raises
    ------
    ConfigError
        Another manager acts on the campaign at this moment.
    """
    campaign = read(folder.definition)
    with ledger.lock(campaign.name, who, "look"):
        return take_stock(campaign, ledger, folder, slurm, who=who)


def take_stock(campaign: Campaign, ledger: Ledger, folder: CampaignFolder, slurm: Slurm | None, *, who: str) -> Seen:
    """The same for a caller who holds the lock."""
    seen = Seen()
    rows = {Shard(row.stage, row.run, row.subrun, row.fills): row for row in ledger.shards(campaign.name)}
    open_ones = {shard: row for shard, row in rows.items() if row.state not in FINISHED and row.job}
    told = _verified(folder, reports(folder, open_ones), seen)
    ledger.note_reports(campaign.name, [one for shard, one in told.items() if _counts(one, rows[shard])])
    changes = dict(_finished(told, open_ones))
    left = {shard: row for shard, row in open_ones.items() if shard not in changes}
    over: list[_Job] = []
    judge = _Judge(campaign, folder, left, told, changes, seen)
    try:
        for one in _looked_at(campaign, ledger, folder, slurm):
            judge.job(one)
            seen.nodes += one.nodes
            over.append(one)
    except SlurmError as err:
        seen.silent = str(err)
        ledger.record(campaign.name, "queue is silent", seen.silent, who)
    seen.changes = [
        (shard.stage, shard.name, state, reason)
        for shard, (state, reason) in changes.items()
        if (rows[shard].state, rows[shard].reason) != (state, reason)
    ]
    ledger.set_states(campaign.name, seen.changes, who)
    for one in over:
        if not one.live:
            ledger.end_job(one.row.token, one.summary)
        elif one.over:
            ledger.end_job(one.row.token, one.summary, one.over)
    return seen


@dataclass
class _Job:
    """A job that the ledger holds for live, with what Slurm says of it and the shards of its elements."""

    row: JobRow
    elements: list[list[Shard]]
    states: dict[int, Element]
    submitted: bool

    @property
    def live(self) -> bool:
        return any(element.live for element in self.states.values())

    @property
    def nodes(self) -> int:
        return min(self.row.nodes, sum(element.live for element in self.states.values()))

    @property
    def over(self) -> list[str]:
        """Shards of its elements that have ended."""
        return [
            shard.name
            for index, shards in enumerate(self.elements)
            if index not in self.states or not self.states[index].live
            for shard in shards
        ]

    @property
    def summary(self) -> str:
        """Its elements by state, as ``COMPLETED 3, TIMEOUT 1``."""
        if not self.submitted:
            return NEVER
        names = sorted(element.state for element in self.states.values())
        return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names)) or FORGOTTEN


def _verified(folder: CampaignFolder, found: Mapping[Shard, Report], seen: Seen) -> dict[Shard, Report]:
    """Reports, of which those that promise files that are not there say so; on the disk they are removed."""
    told = {}
    for shard, report in found.items():
        lacks = missing(folder, shard, report, sums=False) if report.state in GOOD else ""
        told[shard] = report
        if lacks:
            told[shard] = replace(report, state=State.FAILED.value, reason=lacks)
            seen.faults.append(f"{shard.stage} {shard.name}: {lacks}")
            forget(folder, shard)
    return told


def _counts(report: Report, row: ShardRow) -> bool:
    """Whether a report tells the state of its shard: files are files, the rest is for the job that has the shard."""
    at_work = row.state in (State.SUBMITTED, State.RUNNING) and report.job == row.job
    return report.state in GOOD or at_work


def _finished(
    told: Mapping[Shard, Report], rows: Mapping[Shard, ShardRow]
) -> Iterator[tuple[Shard, tuple[State, str]]]:
    for shard, report in told.items():
        if report.state in GOOD and shard in rows:
            yield shard, (State(report.state), report.reason)


def _looked_at(campaign: Campaign, ledger: Ledger, folder: CampaignFolder, slurm: Slurm | None) -> Iterator[_Job]:
    """Every live job of the ledger with its elements' states; what a killed launch has left is adopted."""
    rows = [row for row in ledger.jobs(campaign.name) if row.live]
    if not rows or slurm is None:
        return
    known: dict[str, list[Element]] = {row.token: [] for row in rows}
    for element in slurm.queue(known):
        known[element.name].append(element)
    unseen = {row.slurm_id: row.token for row in rows if row.slurm_id and not known[row.token]}
    for element in slurm.accounts(unseen):
        known[element.name].append(element)
    for row in rows:
        yield _known_job(ledger, folder, slurm, row, known[row.token])


def _known_job(ledger: Ledger, folder: CampaignFolder, slurm: Slurm, row: JobRow, found: list[Element]) -> _Job:
    arrays = sorted({element.job for element in found}, key=int)
    mine = job.owner(folder, row.token) or row.slurm_id or (arrays[0] if arrays else "")
    twins = [number for number in arrays if number != mine]
    if twins:
        slurm.cancel(twins)
    if mine and row.slurm_id is None:
        ledger.know_job(row.token, mine)
    states = {element.index: element for element in found if element.job == mine}
    try:
        elements = list(job.elements(folder, row.token))
    except ConfigError:
        elements = []
    if mine:
        for index in range(len(elements)):
            states.setdefault(index, Element(row.token, mine, index, FORGOTTEN))
    return _Job(row, elements, states, bool(mine))


@dataclass
class _Judge:
    """What the states of elements mean for shards that are not done: changes are gathered, nothing is written."""

    campaign: Campaign
    folder: CampaignFolder
    left: Mapping[Shard, ShardRow]
    told: Mapping[Shard, Report]
    changes: dict[Shard, tuple[State, str]]
    seen: Seen

    def job(self, one: _Job) -> None:
        """Judge every element of a job."""
        token = one.row.token
        if not one.elements and not one.live:
            job.end(self.folder, token)
            lost = [shard for shard, row in self.left.items() if row.job == token]
            self._give_up(lost, f"{one.summary} of job {token}, whose folder is lost", again=True)
        for index, shards in enumerate(one.elements):
            mine = [shard for shard in shards if shard in self.left and self.left[shard].job == token]
            element = one.states.get(index)
            if element is not None and element.live:
                self.seen.busy |= {(shard.stage, shard.name) for shard in shards}
                note = _lives(self.folder, element)
                for shard in mine:
                    self.changes[shard] = _while_live(self.left[shard], self.told.get(shard), element, note)
            elif mine:
                job.end(self.folder, token, [index])
                again = element is None or element.state in RESUBMIT
                self._give_up(mine, _fault(self.folder, token, index, element), again=again)

    def _give_up(self, shards: Iterable[Shard], fault: str, *, again: bool) -> None:
        """Shards of an element that is over: back to those that wait, or failed for good."""
        self.seen.faults.append(fault)
        for shard in shards:
            row, report = self.left[shard], self.told.get(shard)
            reason = fault
            if report is not None and report.job == row.job and report.state == State.FAILED:
                reason = f"{report.reason} ({fault})"
            if row.state in _BY_A_PERSON:
                self.changes[shard] = row.state, row.reason
            elif again and row.launches <= self.campaign.stage(shard.stage).retries:
                self.changes[shard] = State.WAITING, reason
            else:
                self.changes[shard] = State.FAILED, f"{reason}; launched {row.launches} times"


def _while_live(row: ShardRow, report: Report | None, element: Element, note: str) -> tuple[State, str]:
    """State of a shard whose element runs or waits."""
    if report is not None and report.job == element.name and report.element == element.index:
        if report.state == State.FAILED:
            return State.FAILED, report.reason
        if report.state == State.RUNNING and element.state in AT_WORK:
            return State.RUNNING, note
    if row.state in _BY_A_PERSON:
        return row.state, row.reason
    # Why it waits changes all the time: the queue can be asked, the ledger need not keep it.
    return State.SUBMITTED, note


def _lives(folder: CampaignFolder, element: Element) -> str:
    """That an element went back into the queue, and its last words; empty when it did not."""
    if not element.restarts:
        return ""
    said = "" if element.state in AT_WORK else job.last_line(folder, element.name, element.index)
    return f"life {element.restarts + 1} of job {element.name} element {element.index}" + (f": {said}" if said else "")


def _fault(folder: CampaignFolder, token: str, index: int, element: Element | None) -> str:
    """One line on an element that has ended without doing everything."""
    if element is None:
        return f"{NEVER}: job {token}"
    why = f" ({element.reason})" if element.reason and element.reason != element.state else ""
    without = " without its files" if element.state == "COMPLETED" else ""
    said = job.last_line(folder, token, index)
    return f"{element.state}{without}{why} of job {token} element {index}" + (f": {said}" if said else "")
