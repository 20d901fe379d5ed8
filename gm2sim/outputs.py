"""The folder of a run: names of its files, who owns it, and which subruns are done."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from gm2sim import __version__
from gm2sim.atomic import sha256, write_json, write_text
from gm2sim.config import Config, ConfigError

METADATA_FORMAT = 1
_OURS = (
    "gm2_run*.mid",
    "gm2_run*.truth.h5",
    "gm2_run*.json",
    ".gm2_run*.part",
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
    """

    folder: Path
    run: int
    subrun: int

    @property
    def stem(self) -> str:
        """``gm2_run<RUN>_<SUBRUN>``, digits as the experiment's production scripts parse them."""
        return f"gm2_run{self.run:05d}_{self.subrun:05d}"

    @property
    def raw(self) -> Path:
        """The MIDAS file."""
        return self.folder / f"{self.stem}.mid"

    @property
    def truth(self) -> Path:
        """The truth beside it."""
        return self.folder / f"{self.stem}.truth.h5"

    @property
    def metadata(self) -> Path:
        """Written last: the subrun exists when this says so."""
        return self.folder / f"{self.stem}.json"

    def clear(self) -> None:
        """Remove what an interrupted or damaged attempt at this subrun left, temporary files too."""
        for left_over in (self.metadata, self.raw, self.truth, *self.folder.glob(f".{self.stem}.*.part")):
            left_over.unlink(missing_ok=True)


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
    held = sorted(path for pattern in _OURS for path in folder.glob(pattern))
    if held and force:
        for path in held:
            path.unlink()
    elif held:
        _agree(folder, config, resume)
    write_text(folder / "config.toml", _as_toml(config))


def write_metadata(paths: SubrunPaths, config: Config, content: dict[str, Any]) -> None:
    """The last file of a subrun: sizes and checksums of the others, and what made them.

    Parameters
    ----------
    paths : SubrunPaths
    config : Config
    content : dict
        Event numbers, counts, checksums of the raw file and timings, as :func:`gm2sim.run.run_subrun` gives them.
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
    write_json(paths.metadata, head | content | {"files": files})


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of one subrun.

    Raises
    ------
    ConfigError
        The file is not readable JSON of this format.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        content["files"], content["config_hash"], content["run"]
    except (OSError, ValueError, KeyError, TypeError) as err:
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
    """
    try:
        content = read_metadata(paths.metadata)
    except ConfigError:
        return False
    same = content["config_hash"] == config.hash and content.get("conditions") == conditions
    return same and all(
        (path := paths.folder / name).is_file()
        and path.stat().st_size == facts["size"]
        and sha256(path) == facts["sha256"]
        for name, facts in content["files"].items()
    )


def _agree(folder: Path, config: Config, resume: bool) -> None:
    recorded = folder / "config.toml"
    same = recorded.is_file() and f"# sha256 {config.hash}" in recorded.read_text("utf-8")
    if not same:
        raise ConfigError(
            f"'{folder}' holds another run: choose another --out, or replace it with --force"
            + (" (--resume needs the same configuration)" if resume else "")
        )
    if not resume:
        raise ConfigError(f"'{folder}' holds this run already: finish it with --resume or replace it with --force")


def _as_toml(config: Config) -> str:
    values = config.model_dump(mode="json")
    return f"# gm2sim {__version__}, resolved configuration\n# sha256 {config.hash}\n{tomli_w.dumps(values)}"
