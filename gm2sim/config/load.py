"""TOML presets and files -> a checked Config, with the origin of every value."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gm2sim.config.check import flatten, known_keys, refuse_unknown, unit_of, validated
from gm2sim.config.model import Config
from gm2sim.errors import ConfigError, nearest

_COMMENTED_VALUE = re.compile(r"^\s*(?P<key>[A-Za-z0-9_]+)\s*=\s*(?P<value>[^#]*?)\s*#\s*(?P<note>.+?)\s*$")


@dataclass(frozen=True)
class Resolved:
    """A configuration with the origin of each value.

    Attributes
    ----------
    config : Config
    origin : dict of str to str
        Dotted name -> "preset run1a", "file my.toml", "--set" or "default".
    note : dict of str to str
        Dotted name -> the source written beside the value in its file.
    name : str
        What was asked for.
    """

    config: Config
    origin: dict[str, str]
    note: dict[str, str]
    name: str

    def lines(self) -> list[str]:
        """The configuration as TOML, with origin and source of each value beside it; reads back as it stands."""
        text = [f"# {' '.join(self.name.splitlines())}, sha256 {self.config.hash}"]
        table = ""
        for key, value in flatten(self.config.model_dump()).items():
            section, _, field = key.rpartition(".")
            if section != table:
                text += ["", f"[{section}]"]
                table = section
            source = self.note.get(key, describe(key))
            text.append(f"{f'{field} = {toml_value(value)}':<44} # {self.origin.get(key, 'default')}: {source}")
        return text


def presets() -> dict[str, str]:
    """Names of the built-in presets and what each is, in one line."""
    folder = resources.files("gm2sim") / "presets"
    found = {}
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        if path.name.endswith(".toml"):
            found[path.name.removesuffix(".toml")] = tomllib.loads(path.read_text("utf-8")).get("description", "")
    return found


def load(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a preset or TOML file; see :func:`resolve`."""
    return resolve(name, overrides).config


def resolve(
    name: str | Path, overrides: Mapping[str, Any] | None = None, labels: Mapping[str, str] | None = None
) -> Resolved:
    """Read a preset or a TOML file with all it extends, apply overrides, check everything.

    Parameters
    ----------
    name : str or Path
        A preset's name or the path of a ``.toml`` file (which may say ``extends = "run1a"``).
    overrides : mapping, optional
        Dotted names to values; strings are read as TOML values where they can be.
    labels : mapping, optional
        Where an override was written, when that is not ``--set``: shown in messages.

    Raises
    ------
    ConfigError
        One sentence: what is wrong, where, and how to mend it.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    note: dict[str, str] = {}
    for label, text in reversed(_chain(str(name))):
        table = _parse(text, label)
        table.pop("extends", None)
        flat = flatten(table)
        refuse_unknown(Config, flat, label)
        values |= flat
        notes = _notes(text)
        for key in flat:
            origin[key] = label
            note.pop(key, None)
            if key in notes:
                note[key] = notes[key]
    extra = {key: _from_text(value) for key, value in (overrides or {}).items()}
    refuse_unknown(Config, extra, "--set")
    values |= extra
    origin |= {key: (labels or {}).get(key, "--set") for key in extra}
    for key in extra:
        note.pop(key, None)
    return Resolved(validated(Config, values, origin), origin, note, str(name))


def describe(key: str) -> str:
    """What a dotted name means, with its unit."""
    return f"{known_keys(Config)[key]}{f' [{unit}]' if (unit := unit_of(key)) else ''}"


def toml_value(value: Any) -> str:
    """A value as it is written in TOML."""
    import tomli_w

    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()


def _chain(name: str) -> list[tuple[str, str]]:
    """The texts to apply, most specific first, following ``extends``."""
    chain: list[tuple[str, str]] = []
    seen: list[str] = []
    here: Path | None = None
    while name:
        if name in seen:
            raise ConfigError(f"'{' extends '.join([*seen, name])}' goes in a circle: remove one 'extends'")
        seen.append(name)
        label, text, folder = _read(name, here)
        chain.append((label, text))
        here = folder
        base = _parse(text, label).get("extends", "")
        if not isinstance(base, str):
            raise ConfigError(f"extends = {base!r} in {label} is not a name: write a preset's name in quotes")
        name = base
    return chain


def _read(name: str, beside: Path | None) -> tuple[str, str, Path | None]:
    built_in = resources.files("gm2sim") / "presets" / f"{name}.toml"
    if "/" not in name and not name.endswith(".toml"):
        if built_in.is_file():
            return f"preset {name}", built_in.read_text("utf-8"), None
        raise ConfigError(f"there is no preset '{name}': {nearest(name, presets())}")
    path = Path(name)
    label = f"file {' '.join(name.splitlines())}"
    if beside is not None and not path.is_absolute():
        path = beside / path
    try:
        return label, path.read_text("utf-8"), path.parent
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file '{name}': check the path, or name a preset") from None
    except (OSError, ValueError) as err:
        raise ConfigError(f"cannot read the configuration file '{name}': {err}") from None


def _parse(text: str, label: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{label} is not valid TOML: {err}") from None


def _notes(text: str) -> dict[str, str]:
    """The comment beside each value of a TOML text, by dotted name."""
    notes: dict[str, str] = {}
    table = ""
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            table = line.split("#")[0].strip().strip("[]") + "."
        elif match := _COMMENTED_VALUE.match(line):
            notes[f"{table}{match['key']}"] = match["note"]
    return notes


def _from_text(value: Any) -> Any:
    """A string as TOML would read it, or the string itself."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return value
