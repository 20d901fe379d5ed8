"""Jobs beside those that compute: the one that brings files home, and lines of scrontab that look after a campaign."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gm2sim.campaign.job import rendered
from gm2sim.errors import ConfigError

_FIELD = r"[0-9*,/a-zA-Z-]+"
_SCHEDULE = re.compile(rf"@(hourly|daily|weekly)|{_FIELD}( {_FIELD}){{4}}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def transfer_script(
    name: str, command: Sequence[str], *, time: str, options: Sequence[str] = (), setup: Sequence[str] = ()
) -> str:
    """A batch script for the queue that reaches the tape.

    Parameters
    ----------
    name : str
        Of the job.
    command : sequence of str
        ``gm2sim campaign transfer ...``.
    time : str
        Longest time, as Slurm writes it.
    options : sequence of str
        Of sbatch, one each: ``--qos=xfer``, ``--account=...``.
    setup : sequence of str
        Lines of shell before.

    Raises
    ------
    ConfigError
        The name is none for a job.
    """
    return rendered(
        "transfer.sbatch.j2", name=_job_name(name), command=command, time=time, options=options, setup=setup
    )


def scrontab(
    name: str,
    lines: Sequence[tuple[str, Sequence[str]]],
    *,
    time: str,
    log: Path,
    options: Sequence[str] = (),
) -> str:
    """Lines for ``scrontab``.

    Parameters
    ----------
    name : str
        Of the jobs.
    lines : sequence of (schedule, words of the command)
        As cron has them: ``("*/20 * * * *", ("gm2sim", "campaign", "recover", ...))``.
    time : str
        Longest time of one call.
    log : Path
        Output of all is appended to it.
    options : sequence of str
        Of sbatch, one each: ``--qos=cron``, ``--account=...``.

    Raises
    ------
    ConfigError
        A schedule is none, or a word holds what cron would take for something else.
    """
    told = []
    for schedule, words in lines:
        if _SCHEDULE.fullmatch(schedule) is None:
            raise ConfigError(f"{schedule!r} is no schedule of cron: give five fields, for example '*/20 * * * *'")
        for word in (*words, str(log)):
            if "%" in word or "\n" in word:
                raise ConfigError(f"{word!r} holds what cron takes for the end of a line: choose another name")
        told.append((schedule, shlex.join(words)))
    return rendered("campaign.scron.j2", name=_job_name(name), lines=told, time=time, log=log, options=options)


def _job_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r} is no name for a job: give letters, digits, '.', '_' and '-'")
    return name
