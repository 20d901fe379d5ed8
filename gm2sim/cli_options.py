"""Options that several commands share, and how they print."""

import json
import sys
from typing import Annotated, Any

import typer

Preset = Annotated[str, typer.Argument(metavar="PRESET_OR_TOML", help="a preset (see gm2sim presets) or a .toml file")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override one value, for example quads.voltage_kv=18.0"),
]
Json = Annotated[bool, typer.Option("--json", help="print machine-readable JSON and nothing else")]


def overrides(pairs: list[str] | None) -> dict[str, Any]:
    """The values of ``--set``, by dotted name."""
    from gm2sim.config import ConfigError

    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair} has no '=': write --set section.key=value")
        found[key.strip()] = value.strip()
    return found


def show(rows: Any, as_json: bool, display: Any) -> None:
    """Print rows as JSON, or as ``display`` does."""
    if as_json:
        print_json(rows)
    else:
        display(rows)


def print_json(content: Any) -> None:
    """Machine-readable JSON on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
