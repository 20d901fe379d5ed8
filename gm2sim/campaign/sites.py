"""Places where campaigns run, and how a node there is put to work: nersc/sites.toml, and the user's own beside it."""

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from gm2sim.campaign.job import Farming
from gm2sim.config.section import Section
from gm2sim.errors import ConfigError, nearest

SAID = ("account", "qos", "partition", "constraint")
"""What a user may say of a site; each becomes an option of sbatch."""
_WORD = r"^[A-Za-z0-9@._:+/=&|,-]{0,200}$"
_MEGABYTES = 1000.0  # in a gigabyte
Word = Annotated[str, Field(pattern=_WORD)]
Line = Annotated[str, Field(pattern=r"^[^\r\n\x00]{1,500}$")]
Option = Annotated[str, Field(pattern=r"^--[a-z][a-z-]*(=[A-Za-z0-9@._:+/=&|,%-]{1,200})?$")]


class Question(Section):
    """What the machine is asked at run time."""

    command: tuple[Line, ...] = Field(min_length=1, description="with {account}, {qos}, {user} and others put in")
    find: str = Field(description="pattern of the answer, line by line, with named groups")
    unit: float = Field(1.0, gt=0, description="of the numbers found, in bytes or hours")

    @field_validator("find")
    @classmethod
    def _is_a_pattern(cls, found: str) -> str:
        try:
            re.compile(found)
        except re.error as err:
            raise ConfigError(f"find = {found!r} is no pattern ({err}): mend it") from None
        return found


class Site(Section):
    """One place."""

    description: str = Field("", description="one line for people")
    account: Word = Field("", description="who pays; empty for the one of Slurm")
    qos: Word = Field("", description="quality of service; empty for the one of Slurm")
    partition: Word = Field("", description="empty for the one of Slurm")
    constraint: Word = Field("", description="kind of nodes")
    ask: tuple[str, ...] = Field((), description="of account, qos, partition, constraint: what the user must say")
    options: tuple[Option, ...] = Field((), description="more options of sbatch")
    cores: int = Field(0, ge=0, le=4096, description="of a node; 0: those of this machine")
    threads_per_core: int = Field(1, ge=1, le=8, description="that the hardware runs at once")
    ranks: int = Field(0, ge=0, le=4096, description="ranks of a node; 0: one a core")
    memory_gb: float = Field(0.0, ge=0, description="of a node; 0: not known")
    gpus: tuple[int, ...] = Field((), max_length=64, description="of a node, in the order of its ranks: nearest first")
    scratch: Line | None = Field(None, description="where campaigns lie unless they say otherwise: $SCRATCH")
    launcher: tuple[Line, ...] = Field(min_length=1, description="starts the ranks; {ranks} stands for their number")
    container: tuple[Line, ...] = Field((), description="put before python; {image} and {folder} stand for them")
    container_facts: tuple[Line, ...] = Field((), description="prints what is known of an {image} as JSON")
    together: bool = Field(
        False, description="the first rank of a node reads the program, the others are its copies; not in containers"
    )
    template: str = Field("cpu_farm.sbatch.j2", pattern=r"^[a-z_]+\.sbatch\.j2$", description="in nersc/templates")
    setup: tuple[Line, ...] = Field((), description="lines of shell before the ranks start")
    leave_s: int = Field(300, ge=10, description="how long before its end a job is asked to leave [s]")
    longest_array: int = Field(1000, ge=1, description="most elements of one job; fewer where the machine says so")
    longest: Question | None = Field(None, description="longest time of a job: group 'time'")
    array: Question | None = Field(None, description="most elements of a job: group 'size'")
    charge: Question | None = Field(None, description="hours that are charged for a node-hour: group 'factor'")
    allocation: Question | None = Field(None, description="node-hours of the account: groups 'used' and 'limit'")
    quota: Question | None = Field(None, description="disk: groups 'used', 'limit'; of files 'files', 'most'")

    @field_validator("ask")
    @classmethod
    def _is_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SAID:
                raise ConfigError(f"ask = {list(names)}: '{name}' is nothing to ask for: {nearest(name, SAID)}")
        return names

    def with_said(self, said: Mapping[str, str | None]) -> "Site":
        """The site with what the user says of it.

        Parameters
        ----------
        said : mapping
            ``{"account": "m0000", "qos": "regular"}``; what is None or empty leaves the site's own.

        Raises
        ------
        ConfigError
            A value is no plain word, or something that the site asks for is missing.
        """
        given = {name: value for name, value in said.items() if value}
        for name, value in given.items():
            if not re.fullmatch(_WORD[1:-1], value):
                raise ConfigError(f"--{name} {value!r} is no plain word: give letters, digits and . _ : + / = & | , -")
        found = self.model_copy(update=given)
        missing = [name for name in self.ask if not getattr(found, name)]
        if missing:
            raise ConfigError(f"the site wants to know --{' and --'.join(missing)}: give --{missing[0]} NAME")
        return found

    def farming(self, container: str = "", folder: Path | None = None, memory_mb: int = 0) -> Farming:
        """How a node is put to work.

        Parameters
        ----------
        container : str
            Image to run in; empty for none.
        folder : Path, optional
            Of the campaign, to be seen in the container.
        memory_mb : int
            Most memory of a rank: no more ranks than fit.

        Raises
        ------
        ConfigError
            The site knows no containers, a rank does not fit, or there is nothing to start ranks with.
        """
        if container and not self.container:
            raise ConfigError("the site knows no containers: leave 'container' out, or give 'container' in sites.toml")
        cores = self.cores or len(os.sched_getaffinity(0))
        ranks = self.ranks or cores
        if self.memory_gb and memory_mb:
            ranks = min(ranks, int(self.memory_gb * _MEGABYTES / memory_mb))
            if not ranks:
                raise ConfigError(
                    f"a rank of {memory_mb} MB does not fit on a node of {self.memory_gb:g} GB: lower 'memory_mb'"
                )
        inside = filled(self.container, {"image": container, "folder": str(folder or "")}) if container else ()
        python = "python3" if container else sys.executable
        launcher = tuple(_found(word) for word in filled(self.launcher, {"ranks": str(ranks)}))
        program = ("gm2sim.start",) if self.together and not inside else ("mpi4py", "-m", "gm2sim")
        told = tuple(f"--{name}={getattr(self, name)}" for name in SAID if getattr(self, name))
        return Farming(
            ranks=ranks, threads=max(1, cores // ranks),
            command=(*launcher, *inside, python, "-m", *program), template=self.template,
            options=(*told, *self.options), setup=self.setup, leave_s=self.leave_s, longest_array=self.longest_array,
            gpus=self.gpus,
        )  # fmt: skip

    def require_launcher(self) -> None:
        """See that this machine can start ranks.

        Raises
        ------
        ConfigError
        """
        program = _found(self.launcher[0])
        if shutil.which(program) is None:
            hint = "pip install 'gm2sim[mpi]'" if program == "mpiexec" else "log in to a node of the site"
            raise ConfigError(f"there is no '{program}' to start ranks with: {hint}, or choose another --site")


def filled(words: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """Words of a command with ``{name}`` replaced."""
    found = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        found.append(word)
    return tuple(found)


def _found(word: str) -> str:
    """The mpiexec that belongs to this Python's MPI, where there is one."""
    beside = Path(sys.executable).with_name(word)
    return str(beside) if word == "mpiexec" and beside.exists() else word


def own_file() -> Path:
    """The user's own sites, beside those that come with the program."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gm2sim" / "sites.toml"


def sites() -> dict[str, Site]:
    """All sites by name, the user's own before those that come with the program.

    Raises
    ------
    ConfigError
        A file of sites is wrong.
    """
    shipped = files("nersc") / "sites.toml"
    found = _parsed(shipped.read_text("utf-8"), "nersc/sites.toml", {})
    return found | _read(own_file(), found) if own_file().is_file() else found


def site(name: str, beside: Path | None = None) -> Site:
    """A site by its name, or from a file of its own.

    Parameters
    ----------
    name : str
        ``local``, or the path of a TOML file with one site.
    beside : Path, optional
        Folder that a path is relative to.

    Raises
    ------
    ConfigError
        There is none of that name, or its file is wrong.
    """
    known = sites()
    if name.endswith(".toml"):
        path = (beside or Path()) / Path(name).expanduser()
        found = _read(path, known)
        if len(found) != 1:
            raise ConfigError(f"'{path}' holds {len(found)} sites: a file that a campaign names holds one")
        return next(iter(found.values()))
    if name not in known:
        raise ConfigError(f"there is no site '{name}': choose one of {', '.join(known)}, or write one ({own_file()})")
    return known[name]


def _read(path: Path, known: Mapping[str, Site]) -> dict[str, Site]:
    try:
        return _parsed(path.read_text("utf-8"), str(path), known)
    except FileNotFoundError:
        raise ConfigError(f"there is no file of sites '{path}': check the path") from None
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"'{path}' cannot be read ({err}): give a TOML file") from None


def _parsed(text: str, where: str, known: Mapping[str, Site]) -> dict[str, Site]:
    """Sites of a file; one of a known name changes only what it says, with ``like`` another one's."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"'{where}' is no TOML ({err}): mend it") from None
    found = {}
    for name, own in content.items():
        if not isinstance(own, dict):
            raise ConfigError(f"'{name}' in '{where}' belongs to no site: write it under [name-of-the-site]")
        found[name] = _one(name, own, where, known)
    return found


def _one(name: str, own: dict[str, Any], where: str, known: Mapping[str, Site]) -> Site:
    like = own.pop("like", name)
    if like != name and like not in known:
        raise ConfigError(f"'{name}' in '{where}' is like '{like}', which is no site: {nearest(str(like), known)}")
    base = known[like].model_dump(exclude_unset=True) if like in known else {}
    try:
        return Site.model_validate(base | own)
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join([name, *(str(part) for part in first["loc"])])
        cause = first.get("ctx", {}).get("error")
        if first["type"] == "extra_forbidden":
            told = f"is unknown: {nearest(str(first['loc'][-1]), Site.model_fields)}"
        else:
            told = f"is wrong: {cause if isinstance(cause, ConfigError) else first['msg']}"
        raise ConfigError(f"'{place}' in '{where}' {told}") from None
