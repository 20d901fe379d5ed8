"""Configuration: frozen, typed, read from TOML presets; every value with a unit, bounds and a place it comes from."""

from gm2sim.config.load import Resolved, load, presets, resolve
from gm2sim.config.model import Config
from gm2sim.errors import ConfigError, RunError

__all__ = ["Config", "ConfigError", "Resolved", "RunError", "load", "presets", "resolve"]
