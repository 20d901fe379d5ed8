"""The folder of one job: its script, which shards each element of its array has, and marks that end an element's right.

``elements.jsonl`` has one line an element. ``owner`` is a symbolic link whose target is Slurm's number of the array
that the folder belongs to: the script makes it, so that of two arrays with one name only one works. ``over`` and
``<element>.over`` are empty files: whoever finds one has nothing to do any more, so that an element that was given up
and comes back after all does not work on shards that another job has.
"""

import json
import re
import secrets
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from gm2sim.atomic import write_text
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.shard import Shard
from gm2sim.errors import ConfigError
from gm2sim.text import one_line

SCRIPT = "job.sbatch"
ELEMENTS = "elements.jsonl"
_OWNER, _OVER = "owner", "over"
_RESTARTS = 50  # times that an element may go back into the queue by itself
_TAIL = 4096  # bytes of an element's output that are looked through for its last line
_LONGEST_LINE = 200
# Programs that start ranks end with lines of advice.
_TELLING = re.compile(r"(?i)error|fatal|abort|killed|terminated|gm2sim:")


@dataclass(frozen=True)
class Farming:
    """How a node of a site is put to work.

    Attributes
    ----------
    ranks, threads : int
        Ranks of a node, and cores of a rank.
    command : tuple of str
        Starts the ranks, up to and with ``python -m mpi4py -m gm2sim``.
    template : str
        Name in nersc/templates: ``cpu_farm``, ``gpu_farm`` and ``preempt`` start ranks, ``array`` one process (its
        command has no launcher, ``ranks`` is 1).
    options : tuple of str
        More options of sbatch, one each.
    setup : tuple of str
        Lines of shell before the ranks start.
    leave_s : int
        How long before its time is over a job is asked to leave [s].
    longest_array : int
        Most elements of one job.
    gpus : tuple of int
        GPUs of a node in the order of its ranks, so that each rank gets the one nearest to its cores.
    wait_s : int
        How long a script that may be preempted waits for Slurm to put its job back [s].
    by_kind : mapping
        Another way for the stages of some kinds ("simulate", "reconstruct", "report").
    """

    ranks: int
    threads: int
    command: tuple[str, ...]
    template: str = "cpu_farm.sbatch.j2"
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    leave_s: int = 300
    longest_array: int = 1000
    gpus: tuple[int, ...] = ()
    wait_s: int = 600
    by_kind: Mapping[str, "Farming"] = field(default_factory=dict)

    def of(self, kind: str) -> "Farming":
        """How a node works on stages of a kind."""
        return self.by_kind.get(kind, self)


def new_token(campaign: str, stage: str) -> str:
    """A name for a job that no other has."""
    return f"gm2.{campaign}.{stage}.{secrets.token_hex(5)}"


def make_folder(
    folder: CampaignFolder,
    token: str,
    elements: Sequence[Sequence[Shard]],
    farming: Farming,
    *,
    time: str,
    nodes: int,
) -> Path:
    """Write everything that a job needs.

    Parameters
    ----------
    folder : CampaignFolder
    token : str
        Name of the job.
    elements : sequence of sequences of Shard
        Shards of each element, all of one stage.
    farming : Farming
    time : str
        Longest time of an element, as Slurm writes it.
    nodes : int
        Most elements at work at once.

    Returns
    -------
    Path
        The script.
    """
    here = folder.job(token)
    here.mkdir(parents=True)
    lines = [
        json.dumps({"stage": shards[0].stage, "shards": [[one.run, one.subrun, one.fills] for one in shards]})
        for shards in elements
    ]
    write_text(here / ELEMENTS, "".join(f"{line}\n" for line in lines))
    command = (*farming.command, "campaign", "work", str(folder.path.absolute()), "--job", token)
    if farming.gpus:
        command += ("--backend", "gpu")  # a node whose GPUs cannot be used fails instead of computing slowly
    write_text(
        here / SCRIPT,
        rendered(
            farming.template,
            token=token, elements=len(elements), nodes=nodes, time=time, ranks=farming.ranks, threads=farming.threads,
            leave_s=farming.leave_s, options=farming.options, setup=farming.setup, command=command, restarts=_RESTARTS,
            gpus=farming.gpus, wait_s=farming.wait_s,
        ),
    )  # fmt: skip
    return here / SCRIPT


def elements(folder: CampaignFolder, token: str) -> Iterator[list[Shard]]:
    """The shards of each element of a job.

    Raises
    ------
    ConfigError
        There is no such job, or its file is damaged.
    """
    path = folder.job(token) / ELEMENTS
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                told = json.loads(line)
                yield [Shard(told["stage"], *numbers) for numbers in told["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"'{path}' does not say which shards the job has ({err}): recover the campaign") from None


def owner(folder: CampaignFolder, token: str) -> str:
    """Slurm's number of the array that has begun to work here; empty as long as none has."""
    try:
        return (folder.job(token) / _OWNER).readlink().name
    except OSError:
        return ""


def end(folder: CampaignFolder, token: str, indices: Iterable[int] | None = None) -> None:
    """Take the right to work from a job, or from some of its elements, whenever they should start."""
    here = folder.job(token)
    here.mkdir(parents=True, exist_ok=True)
    for name in [_OVER] if indices is None else [f"{index}.{_OVER}" for index in indices]:
        (here / name).touch()


def ended(folder: CampaignFolder, token: str, index: int) -> bool:
    """Whether an element has lost its right to work."""
    here = folder.job(token)
    return (here / _OVER).exists() or (here / f"{index}.{_OVER}").exists()


def last_line(folder: CampaignFolder, token: str, index: int) -> str:
    """The last line of an element's output that tells what went wrong, or the last at all; empty without output."""
    try:
        with (folder.job(token) / f"{index}.out").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    telling = [line for line in lines if _TELLING.search(line)]
    return one_line((telling or lines or [""])[-1], _LONGEST_LINE)


def rendered(template: str, **values: Any) -> str:
    """A script from its template; every value that the template names must be given.

    Parameters
    ----------
    template : str
        Name in nersc/templates.
    values
        Lists of words become one line of shell with the filter ``shell``.
    """
    return _templates().get_template(template).render(**values)


def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("nersc", "templates"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    made.filters["shell"] = shlex.join
    return made
