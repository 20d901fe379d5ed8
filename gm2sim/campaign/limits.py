"""What a site says of itself when it is asked: its longest job, its charge, what is left of quotas, what an image is.

Nothing of it is kept: limits change. A machine that does not answer leaves a limit unknown, and never stops anybody.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.launch import seconds
from gm2sim.campaign.sites import SAID, Question, Site, filled
from gm2sim.catalog.folder import user
from gm2sim.errors import ConfigError
from gm2sim.text import one_line

_PATIENCE_S = 30.0
_TIME = re.compile(r"(\d+-)?\d{1,2}:\d\d:\d\d")
_AFTER = re.compile(r"(\d+)\s*([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True)
class Limits:
    """What the machine says; None where it says nothing.

    Attributes
    ----------
    longest_s : float or None
        Longest time of a job [s].
    elements : int or None
        Most elements of a job.
    charge : float or None
        Hours charged for a node-hour.
    hours_left : float or None
        Of the account's allocation.
    """

    longest_s: float | None = None
    elements: int | None = None
    charge: float | None = None
    hours_left: float | None = None


@dataclass(frozen=True)
class Room:
    """What still fits on the disk, in bytes and files; None where the file system does not count files."""

    bytes: float
    files: float | None = None


def limits(site: Site, environment: Mapping[str, str] | None = None) -> Limits:
    """Ask a site.

    Parameters
    ----------
    site : Site
        With what the user says of it.
    environment : mapping, optional
        Of the commands, instead of this process's.
    """
    values = {name: getattr(site, name) for name in SAID} | {"user": user()}
    time = answer(site.longest, values, environment).get("time", "")
    size = _number(answer(site.array, values, environment).get("size"))
    charge = _number(answer(site.charge, values, environment).get("factor"))
    money = answer(site.allocation, values, environment)
    used, limit = _number(money.get("used")), _number(money.get("limit"))
    unit = site.allocation.unit if site.allocation else 1.0
    return Limits(
        float(seconds(time)) if _TIME.fullmatch(time) else None,
        int(size) - 1 if size and size > 1 else None,  # it is one more than the last index
        charge,
        (limit - used) * unit if used is not None and limit is not None else None,
    )


def room(site: Site, folder: Path, environment: Mapping[str, str] | None = None) -> Room:
    """What fits where a folder is, or will be: the less of the disk and the user's quota."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    disk = os.statvfs(place)
    found = Room(shutil.disk_usage(place).free, disk.f_favail if disk.f_files else None)
    told = answer(site.quota, {"folder": str(place), "user": user()}, environment)
    used, limit = _number(told.get("used")), _number(told.get("limit"))
    if site.quota is None or used is None or not limit:  # a limit of 0 is none
        return found
    files, most = _number(told.get("files")), _number(told.get("most"))
    left = max(0.0, most - files) if most and files is not None else None
    return Room(
        min(found.bytes, max(0.0, (limit - used) * site.quota.unit)),
        min((one for one in (found.files, left) if one is not None), default=None),
    )


def refuse_longer_jobs(campaign: Campaign, told: Limits) -> None:
    """Raise ConfigError for a stage whose jobs are longer than the site allows."""
    for stage in campaign.stages:
        if told.longest_s is not None and seconds(stage.time) > told.longest_s:
            raise ConfigError(
                f"stage '{stage.name}' wants jobs of {stage.time}, and the site allows "
                f"{timedelta(seconds=told.longest_s)}: lower its 'time'"
            )


def refuse_container(site: Site, image: str, software: str = "", environment: Mapping[str, str] | None = None) -> None:
    """See that an image is there, not expired, and of the version that the campaign wants.

    Parameters
    ----------
    site : Site
    image : str
        Empty for none.
    software : str
        Version that the campaign wants; empty for any.
    environment : mapping, optional
        Of the commands, instead of this process's.

    Raises
    ------
    ConfigError
        The site knows no containers, or the image is missing, expired or of another version.
    """
    if not image:
        return
    if not site.container:
        raise ConfigError("the site knows no containers: leave 'container' out, or give 'container' in sites.toml")
    if not site.container_facts:
        return
    text = _told(filled(site.container_facts, {"image": image}), environment)
    if text is None:
        by = site.container_facts[0]
        raise ConfigError(f"there is no container '{image}' ({by} does not find it): pull or build it")
    labels, created = _labels(text)
    ends = _expiry(labels, created)
    if ends is not None and ends < datetime.now(UTC):
        raise ConfigError(f"container '{image}' expired on {ends:%Y-%m-%d}: build it anew")
    version = labels.get("org.opencontainers.image.version", "")
    if software and version and version != software:
        raise ConfigError(
            f"container '{image}' holds gm2sim {one_line(version, 40)}, and the campaign wants {software}: "
            "name another image, or change 'software'"
        )


def answer(
    question: Question | None, values: Mapping[str, str], environment: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Ask, and give the named groups of the first line that fits; an empty answer where none does."""
    if question is None:
        return {}
    asked = {name: value for name, value in values.items() if value}
    if any(f"{{{name}}}" in word for name in values.keys() - asked.keys() for word in question.command):
        return {}  # asks about something that nobody has said
    text = _told(filled(question.command, asked), environment) or ""
    # Long paths stand on a line of their own.
    found = re.search(question.find, text, re.MULTILINE)
    return {name: value for name, value in found.groupdict().items() if value is not None} if found else {}


def _told(command: tuple[str, ...], environment: Mapping[str, str] | None) -> str | None:
    """What a command prints; None when it is missing, fails or takes too long."""
    own = dict(os.environ if environment is None else environment)
    program = shutil.which(command[0], path=own.get("PATH"))
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, env=own, timeout=_PATIENCE_S,
            check=False, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _number(text: str | None) -> float | None:
    with suppress(ValueError):
        return float(text.replace(",", "")) if text else None
    return None


def _labels(text: str) -> tuple[dict[str, str], str]:
    """Labels of an image and when it was made, from what podman, docker and apptainer print."""
    labels: dict[str, str] = {}
    created = ""
    with suppress(ValueError):
        for name, value in _words(json.loads(text)):
            labels[name] = value
            created = value if name == "Created" else created
    return labels, created


def _words(content: Any) -> Iterator[tuple[str, str]]:
    """Every name with a text, however deep."""
    if isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, str):
                yield name, value
            else:
                yield from _words(value)
    elif isinstance(content, list):
        for one in content:
            yield from _words(one)


def _expiry(labels: Mapping[str, str], created: str) -> datetime | None:
    """When an image expires: a date in gm2sim.expires, or so long after it was made (quay.expires-after)."""
    with suppress(ValueError):
        return _date(labels["gm2sim.expires"]) if "gm2sim.expires" in labels else _after(labels, created)
    return None


def _after(labels: Mapping[str, str], created: str) -> datetime | None:
    found = _AFTER.fullmatch(labels.get("quay.expires-after", ""))
    if not found or not created:
        return None
    return _date(created) + timedelta(hours=int(found[1]) * _HOURS[found[2]])


def _date(text: str) -> datetime:
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
