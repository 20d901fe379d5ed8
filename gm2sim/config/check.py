"""Checking values by dotted name against a model: unknown names, bounds, and the one sentence about them."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gm2sim.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)
_UNITS = {
    "_kv": "kV", "_mm": "mm", "_us": "us", "_ns": "ns", "_t": "T", "_gev": "GeV", "_mev": "MeV", "_rad": "rad",
    "_ppm": "ppm", "_counts": "ADC counts", "_mm_per_ns": "mm/ns", "_mrad": "mrad", "_ppb": "ppb", "_deg": "deg",
    "_ppm_per_hour": "ppm per hour", "_ut": "uT",
    "_mrad_per_percent": "mrad per percent", "_pe_per_mev": "pe/MeV",
}  # fmt: skip


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@cache
def known_keys(whole: type[BaseModel]) -> dict[str, str]:
    """Every dotted name of the configuration and its description."""

    def walk(model: type[BaseModel], prefix: str) -> dict[str, str]:
        keys: dict[str, str] = {}
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys |= walk(kind, f"{prefix}{name}.")
            else:
                keys[f"{prefix}{name}"] = field.description or ""
        return keys

    return walk(whole, "")


def refuse_unknown(whole: type[BaseModel], flat: Mapping[str, Any], label: str) -> None:
    """Raise ConfigError for a dotted name that the model does not have; ``label`` says where it was written."""
    known = known_keys(whole)
    for key in flat:
        if key in known:
            continue
        if any(name.startswith(f"{key}.") for name in known):
            raise ConfigError(f"'{key}' in {label} is a table, not a value: write [{key}] and the names below it")
        section = key.rpartition(".")[0]
        sections = {name.rpartition(".")[0] for name in known}
        if section in sections:
            beside = [name for name in known if name.rpartition(".")[0] == section]
            if not section:
                beside += [s for s in sections if s] + ["extends"]
            hint = nearest(key, beside)
        else:
            hint = nearest(key, known)
        raise ConfigError(f"unknown key '{key}' in {label}: {hint}")


def unit_of(key: str) -> str:
    """Unit of a value, from the end of its name; empty where it has none."""
    for suffix, unit in sorted(_UNITS.items(), key=lambda item: -len(item[0])):
        if key.endswith(suffix):
            return unit
    return ""


def validated(whole: type[Model], flat: Mapping[str, Any], origin: Mapping[str, str]) -> Model:
    """A model of dotted names and values; ConfigError for the first value out of bounds."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, field = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[field] = value
    try:
        return whole.model_validate(nested)
    except ValidationError as err:
        raise ConfigError(_sentence(err, origin)) from None


def _sentence(err: ValidationError, origin: Mapping[str, str]) -> str:
    """pydantic's first complaint as one sentence: field, value, limit, unit, place."""
    errors = err.errors()
    first = errors[0]
    if not first["loc"]:  # a rule between sections: its own words
        return str(first["msg"]).removeprefix("Value error, ")
    key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
    unit = unit_of(key)
    limit = first["msg"].replace("Input should be", "must be").replace("String should", "must")
    where = f" (in {origin[key]})" if key in origin else ""
    more = f"; {len(errors) - 1} more value(s) are wrong too" if len(errors) > 1 else ""
    return f"{key} = {first['input']!r}{where} {limit}{f' {unit}' if unit else ''}{more}"
