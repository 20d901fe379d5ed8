"""The folder of a run: names of its files, who owns it, and which subruns are done."""

import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from gm2sim import __version__
from gm2sim.atomic import (
    SEAL,
    check_seal,
    inside,
    protect,
    remove_left_overs,
    sealed,
    sha256,
    write_json,
    write_text,
)
from gm2sim.config import Config, ConfigError, load
from gm2sim.config.check import flatten
from gm2sim.errors import NewerFormatError, refuse_newer
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.stream import SUFFIXES
from gm2sim.summary import Clock, Tally
from gpu import threads

METADATA_FORMAT = 2  # 1 had no sum of its own
_SHOWN = 3  # values that differ
_OURS = (
    *(f"gm2_run*{suffix}" for suffix in SUFFIXES.values()),
    "gm2_run*.truth.h5",
    "gm2_run*.json",
    "gm2_run*.timing",
    ".gm2_run*.part",
    ".gm2_run*.partial*",
    ".gm2_run*.checkpoint",
    "summary.json",
    "report.html",
    "tracks.h5",
    "truth_match*",
    "quality.*",
    "config.toml",
)


@dataclass(frozen=True)
class SubrunPaths:
    """The three files of one subrun.

    Parameters
    ----------
    folder : Path
    run, subrun : int
    compression : str
        Of the raw file, as ``daq.compression``.
    """

    folder: Path
    run: int
    subrun: int
    compression: str = "none"

    @property
    def stem(self) -> str:
        """``gm2_run<RUN>_<SUBRUN>``, digits as the experiment's production scripts parse them."""
        return f"gm2_run{self.run:05d}_{self.subrun:05d}"

    @property
    def raw(self) -> Path:
        """The MIDAS file."""
        return self.folder / f"{self.stem}{SUFFIXES[self.compression]}"

    @property
    def truth(self) -> Path:
        """The truth beside it."""
        return self.folder / f"{self.stem}.truth.h5"

    @property
    def metadata(self) -> Path:
        """Written last: the subrun exists when this says so."""
        return self.folder / f"{self.stem}.json"

    @property
    def timing(self) -> Path:
        """How long it took, and where: all that differs between equal subruns."""
        return self.folder / f"{self.stem}.timing"

    @property
    def partial(self) -> Path:
        """The raw file while it is being written."""
        return self.folder / f".{self.raw.name}.partial"

    @property
    def checkpoint(self) -> Path:
        """What is finished of a subrun that is being made."""
        return self.folder / f".{self.stem}.checkpoint"

    def clear(self, *, partial: bool = True) -> None:
        """Remove what an interrupted or damaged attempt at this subrun left, temporary files too.

        Parameters
        ----------
        partial : bool
            Also what the attempt could be gone on from.
        """
        raw = (self.folder / f"{self.stem}{suffix}" for suffix in SUFFIXES.values())
        for left_over in (self.metadata, *raw, self.truth, self.timing):
            left_over.unlink(missing_ok=True)
        remove_left_overs(self.folder, f"{self.stem}.")
        if partial:
            self.checkpoint.unlink(missing_ok=True)
            for unfinished in self.folder.glob(f".{self.stem}.*.partial*"):
                unfinished.unlink()


def configuration(folder: Path) -> Config:
    """The configuration that a run left in its folder."""
    path = Path(folder) / "config.toml"
    if not path.is_file():
        raise ConfigError(f"'{folder}' holds no run (no config.toml): name the folder given to --out")
    return load(path)


def raw_files(folder: Path) -> list[Path]:
    """Raw files of a run in order of subrun."""
    found = sorted(path for suffix in SUFFIXES.values() for path in Path(folder).glob(f"gm2_run*{suffix}"))
    if not found:
        raise ConfigError(f"'{folder}' holds no raw file gm2_run*.mid: simulate with gm2sim run first")
    return found


def make_folder(folder: Path) -> None:
    """Make the output folder if it does not exist.

    Raises
    ------
    ConfigError
        It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except PermissionError as err:
        raise ConfigError(f"no permission to write in '{folder}' ({err.strerror}): choose another --out") from None
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"'{folder}' is not a folder: choose another --out") from None
    except ValueError as err:
        raise ConfigError(f"'{folder}' is no name of a folder ({err}): choose another --out") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"no permission to write in '{folder}': choose another --out")


def claim_folder(folder: Path, config: Config, *, resume: bool, force: bool) -> None:
    """Make ``folder`` the home of this run, or say in one sentence why it cannot be.

    Parameters
    ----------
    folder : Path
        An existing folder that no other process writes to.
    config : Config
        Written to ``config.toml``; feeding that file back gives the same run.
    resume : bool
        Go on with the same run: finished subruns are kept.
    force : bool
        Replace whatever run the folder holds (only this program's files are removed).

    Raises
    ------
    ConfigError
        The folder holds a run and neither ``resume`` nor ``force`` allows to touch it.
    """
    remove_left_overs(folder)
    held = sorted(path for pattern in _OURS for path in folder.glob(pattern))
    if held and force:
        for path in held:
            path.unlink()
    elif held:
        _agree(folder, config, resume)
    path, text = folder / "config.toml", _as_toml(config)
    if not (path.is_file() and path.read_text("utf-8", "replace") == text):
        write_text(path, text, replace=True)


def write_metadata(paths: SubrunPaths, config: Config, content: dict[str, Any]) -> None:
    """The last file of a subrun: sizes and checksums of the others and of itself, and what made them.

    From then on nobody can write to the three files by mistake: they lose the rights to it.

    Parameters
    ----------
    paths : SubrunPaths
    config : Config
    content : dict
        Event numbers, counts and checksums of the raw file, as :func:`gm2sim.subrun.run_subrun` gives them.
    """
    truth = {"size": paths.truth.stat().st_size, "sha256": sha256(paths.truth)}
    files = {paths.raw.name: content.pop("raw"), paths.truth.name: truth}
    head = {
        "format": METADATA_FORMAT,
        "data_tier": "raw",
        "simulated": True,
        "run": paths.run,
        "subrun": paths.subrun,
        "version": __version__,
        "config_hash": config.hash,
        "seed": config.run.seed,
        "parents": [],
    }
    told = head | content | {"files": files}
    for product in (paths.raw, paths.truth):
        protect(product)
    write_json(paths.metadata, sealed(told), read_only=True)


def write_timing(paths: SubrunPaths, clock: Clock, tally: Tally, *, events: int, resumed: int) -> None:
    """Say beside a finished subrun how long it took: no part of the data, and the only file that differs every time.

    Parameters
    ----------
    paths : SubrunPaths
    clock : Clock
        Begun with the subrun.
    tally : Tally
        Seconds by stage.
    events, resumed : int
        Of the subrun, and those of them that an earlier process had made.
    """
    tally.note_memory()
    told = {
        "host": os.uname().nodename, "process": os.getpid(), "events": events, "resumed": resumed, **clock.facts(),
        "threads": threads.count(), "peak_memory_mb": tally.peak_memory_mb, "seconds": dict(tally.seconds),
    }  # fmt: skip
    write_json(paths.timing, told, replace=True)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of one subrun.

    Raises
    ------
    ConfigError
        The file is not readable JSON of this format, or its own sum does not hold.
    NewerFormatError
        A later version of the program wrote it.
    """
    try:
        text = path.read_text("utf-8")
        content = json.loads(text)
        content["files"], content["config_hash"], content["run"]
        made = content.get("format", 1)
        refuse_newer(f"'{path}'", made, METADATA_FORMAT)
        if made > 1 or SEAL in content:
            check_seal(text, content)
    except NewerFormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ConfigError(
            f"'{path}' is not the metadata of a subrun ({err}): run again with --resume to remake it"
        ) from None
    return dict(content)


def subrun_is_done(paths: SubrunPaths, config: Config, conditions: str = "built in") -> bool:
    """Whether a subrun is there, of this configuration, with every checksum right: sums decide, not names.

    Parameters
    ----------
    paths : SubrunPaths
    config : Config
    conditions : str
        Version of the constants: the configuration names their file only.

    Raises
    ------
    NewerFormatError
        A later version of the program made it: nothing of it is to be replaced.
    """
    try:
        content = read_metadata(paths.metadata)
    except NewerFormatError:
        raise
    except ConfigError:
        return False
    same = content["config_hash"] == config.hash and content.get("conditions") == conditions
    files = content["files"]
    return (
        same
        and isinstance(files, dict)
        and {paths.raw.name, paths.truth.name} <= files.keys()
        and all(_as_recorded(paths.folder, name, facts) for name, facts in files.items())
    )


def _as_recorded(folder: Path, name: str, facts: Any) -> bool:
    """Whether a file is there with its size and every sum that was recorded."""
    try:
        path = inside(folder, name)
        sums = Checksums.of_file(path)
        return (sums.size, sums.sha256) == (facts["size"], facts["sha256"]) and all(
            getattr(sums, kind) == facts[kind] for kind in ("adler32", "crc32c") if kind in facts
        )
    except (OSError, KeyError, TypeError, ConfigError):
        return False


def _agree(folder: Path, config: Config, resume: bool) -> None:
    recorded = folder / "config.toml"
    text = recorded.read_text("utf-8", "replace") if recorded.is_file() else ""
    if f"# sha256 {config.hash}" not in text:
        differs = _differences(text, config) if resume else ""
        raise ConfigError(
            f"'{folder}' holds another run, {_run_of(text)}, and this is {describe(config)}: choose another --out, or "
            "replace it with --force" + (f" (--resume needs the same configuration{differs})" if resume else "")
        )
    if not resume:
        raise ConfigError(
            f"'{folder}' holds this run already, {describe(config)}: finish it with --resume or replace it with --force"
        )


def _differences(text: str, config: Config) -> str:
    """The first few values that differ between a config.toml and a configuration, as the end of a sentence."""
    try:
        there = flatten(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return ""
    here = flatten(config.model_dump(mode="json"))
    differ = [
        f"{name} = {there.get(name, 'not there')!r} there, {here.get(name, 'not there')!r} here"
        for name in [*here, *(name for name in there if name not in here)]
        if there.get(name) != here.get(name)
    ]
    if not differ:
        return ""
    more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    return f": {'; '.join(differ[:_SHOWN])}{more}"


def describe(config: Config) -> str:
    """A run in a few words: its number and the begin of the configuration's hash."""
    return f"run {config.run.run} (sha256 {config.hash[:8]})"


def _run_of(text: str) -> str:
    """The run of a config.toml, as :func:`describe` has it."""
    number, own = re.search(r"(?m)^run = (\d{1,9})$", text), re.search(r"(?m)^# sha256 ([0-9a-f]{8})", text)
    return f"run {number[1]} (sha256 {own[1]})" if number and own else "of unknown configuration"


def _as_toml(config: Config) -> str:
    values = config.model_dump(mode="json")
    return f"# gm2sim {__version__}, resolved configuration\n# sha256 {config.hash}\n{tomli_w.dumps(values)}"
