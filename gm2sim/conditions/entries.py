"""What a file or a preset has to load into a database of conditions."""

import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gm2sim.conditions.exchange import read_json
from gm2sim.conditions.file import FileConditions
from gm2sim.conditions.folders import FOLDERS
from gm2sim.conditions.loading import Entry, of_file, of_run
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.settings import SETTINGS, SettingsConditions
from gm2sim.conditions.table import ConditionsError, known_folder
from gm2sim.config import resolve
from gm2sim.setup import conditions_of


def entries_of(
    source: str,
    folders: Collection[str] = (),
    runs: tuple[int, int] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[Entry]:
    """The tables of a source, with their intervals.

    Parameters
    ----------
    source : str
        A file of conditions (.toml), a file of the experiment's programs (.json), or a preset or TOML configuration:
        its built-in constants and its settings.
    folders : collection of str
        Only these; all without.
    runs : (first, last), optional
        Of a preset: what its constants hold for, from run 1 on without.
    overrides : mapping, optional
        Of a preset: dotted names to values.

    Raises
    ------
    ConditionsError
        The source cannot be read or holds something wrong.
    ConfigError
        There is no such preset.
    """
    path = Path(source)
    is_file = path.suffix == ".json" or _is_conditions(path)
    if is_file and (runs or overrides):
        raise ConditionsError(f"'{source}' says itself what its constants hold for: leave --run and --set out")
    if path.suffix == ".json":
        return read_json(path, folders)
    wanted = {known_folder(name).name for name in folders}
    if is_file:
        return _only(of_file(FileConditions(path)), wanted)
    return _of_preset(source, wanted or set(KNOWN), runs, overrides)


def _only(entries: Iterable[Entry], wanted: Collection[str]) -> Iterator[Entry]:
    return (entry for entry in entries if not wanted or entry.table.folder.name in wanted)


def _of_preset(
    source: str, wanted: Collection[str], runs: tuple[int, int] | None, overrides: Mapping[str, Any] | None
) -> Iterator[Entry]:
    extra = {} if runs is None else {"run.run": runs[0]}
    config = resolve(source, {**(overrides or {}), **extra}, {"run.run": "--run"}).config
    drawn = [name for name in FOLDERS if name in wanted]
    yield from of_run(conditions_of(config, builtin=True), drawn, config.run.run, config.run.subruns, runs)
    yield from of_run(SettingsConditions(config), [name for name in SETTINGS if name in wanted], 1, 1, runs)


def _is_conditions(path: Path) -> bool:
    """Whether a TOML file is one of conditions, not a configuration; a broken one is told by who reads it next."""
    if path.suffix != ".toml":
        return False
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return True
    return "format" in content or "folders" in content
