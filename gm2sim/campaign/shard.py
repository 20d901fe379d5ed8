"""The smallest piece of a campaign: its name, its states, and the report that whoever made it leaves behind."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gm2sim.atomic import SEAL, check_seal, sealed, write_json
from gm2sim.errors import ConfigError, refuse_newer

FORMAT = 1


class State(StrEnum):
    """What is known of a shard; only ``DONE`` says that its files are there and right."""

    WAITING = "waiting"  # for a stage before it, or to be launched
    SUBMITTED = "submitted"  # in the queue of the batch system
    RUNNING = "running"
    DONE = "done"  # files verified
    FLAGGED = "flagged"  # files verified, but a physics check failed
    FAILED = "failed"
    HELD = "held"  # by a person
    CANCELLED = "cancelled"  # by a person


@dataclass(frozen=True, order=True)
class Shard:
    """One piece of a stage.

    Parameters
    ----------
    stage : str
        Name of the stage.
    run : int
    subrun : int
        -1 where the shard is a whole run.
    fills : int
        How much work it is.
    """

    stage: str
    run: int
    subrun: int
    fills: int = field(compare=False, default=0)

    @property
    def name(self) -> str:
        """``run15921_00003`` or ``run15921``: unique within the stage."""
        return f"run{self.run:05d}" + (f"_{self.subrun:05d}" if self.subrun >= 0 else "")


@dataclass(frozen=True)
class Report:
    """What a rank says of a shard that it has worked on; a small sealed JSON file.

    Attributes
    ----------
    stage, shard : str
        Names.
    state : str
        ``done``, ``flagged``, ``failed`` or ``running``; ``running`` also when the rank was asked to leave.
    reason : str
        Why not done, or which check failed: one line.
    job, element, rank : str, int, int
        Who: name of the job, element of its array, rank.
    host : str
    attempt : int
        From 1.
    began, ended : float
        Unix times [s].
    wall_s, cpu_s : float
        Of this attempt.
    threads : int
        Cores that the rank could use.
    peak_memory_mb : float
    fills, muons : int
        Of the shard.
    files : dict of str to dict
        Name in the folder of the run: size and sha256.
    checks : dict of str to dict
        Physics checks: value, error, expected, good.
    """

    stage: str
    shard: str
    state: str
    reason: str = ""
    job: str = ""
    element: int = 0
    rank: int = 0
    host: str = ""
    attempt: int = 1
    began: float = 0.0
    ended: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    threads: int = 1
    peak_memory_mb: float = 0.0
    fills: int = 0
    muons: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it, in the place of an earlier one."""
        write_json(path, sealed({"format": FORMAT} | asdict(self)), replace=True)

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Read a report.

        Raises
        ------
        ConfigError
            It is damaged, or of a later version.
        FileNotFoundError
        """
        text = path.read_text("utf-8")
        try:
            content = json.loads(text)
            refuse_newer(f"'{path}'", content["format"], FORMAT)
            check_seal(text, content)
            return cls(**{key: value for key, value in content.items() if key not in ("format", SEAL)})
        except ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise ConfigError(f"'{path}' is no report of a shard ({err}): remove it, it is made anew") from None
