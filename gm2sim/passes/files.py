"""The raw files of one run, and what they say of themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from gm2sim.config import Config, ConfigError
from gm2sim.raw import open_run


class RunFiles(NamedTuple):
    """Raw files of a run in order of subrun.

    Attributes
    ----------
    paths : list of Path
    run : int
    subruns : list of int
    config : Config
        With which they were made: which effects are on.
    """

    paths: list[Path]
    run: int
    subruns: list[int]
    config: Config


def run_files(paths: Sequence[Path]) -> RunFiles:
    """Look into raw files.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ConfigError
        They are of several runs, or do not say how they were made.
    """
    opened = [open_run(path) for path in paths]
    first = opened[0]
    for one in opened[1:]:
        if one.run != first.run:
            raise ConfigError(f"'{one.path}' is of run {one.run}, '{first.path}' of run {first.run}: give one run")
    try:
        config = Config.model_validate(first.odb["Simulation"]["configuration"])
    except (KeyError, TypeError, ValidationError):
        raise ConfigError(
            f"'{first.path}' does not say how it was made (/Simulation/configuration): give files of this version"
        ) from None
    subruns = [one.subrun if one.subrun is not None else place for place, one in enumerate(opened)]
    return RunFiles(list(paths), first.run, subruns, config)
