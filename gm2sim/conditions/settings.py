"""What a configuration sets, as tables of conditions: `gm2sim conditions load PRESET` writes them."""

from pathlib import Path

import numpy as np

from detectors.straw_drift import drift_distance
from gm2sim.atomic import sha256
from gm2sim.conditions.interval import EVERY_RUN, Interval
from gm2sim.conditions.records import FIELD_MAP, KICKER_SETTINGS, QUAD_SETTINGS, STRAW_DRIFT
from gm2sim.conditions.table import ConditionsError, Table, known_folder
from gm2sim.config import Config
from gm2sim.trackers import straw_settings

SETTINGS = (QUAD_SETTINGS.name, KICKER_SETTINGS.name, STRAW_DRIFT.name, FIELD_MAP.name)
"""Folders that a configuration fills beside those that the program draws."""


class SettingsConditions:
    """The settings of a configuration, the same for every run.

    Parameters
    ----------
    config : Config

    Raises
    ------
    ConditionsError
        The file of the field map cannot be read.
    """

    version = "settings"

    def __init__(self, config: Config) -> None:
        quads, kickers, scraping = config.quads, config.kickers, config.scraping
        low = quads.voltage_kv * (1.0 - scraping.depth) if scraping.on else quads.voltage_kv
        times = 1e-9 * np.arange(STRAW_DRIFT.keys[0].last + 1.0)
        self._columns = {
            QUAD_SETTINGS.name: {
                "voltage": np.full(QUAD_SETTINGS.shape, quads.voltage_kv),
                "scraping_voltage": np.full(QUAD_SETTINGS.shape, low),
            },
            KICKER_SETTINGS.name: {
                "voltage": np.array(kickers.voltage_kv),
                "delay": np.full(KICKER_SETTINGS.shape, kickers.delay_ns),
            },
            STRAW_DRIFT.name: {"radius": 1e3 * drift_distance(times, straw_settings(config))},
            FIELD_MAP.name: {"field": np.array(config.magnet.field_t)},
        }
        self._texts = {FIELD_MAP.name: _field_map(config)}

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        """Every run there is; see :class:`gm2sim.conditions.Conditions`."""
        return self.table(folder, run, subrun).interval

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """The settings of a folder; see :class:`gm2sim.conditions.Conditions`."""
        known = known_folder(folder)
        if folder not in self._columns:
            raise ConditionsError(f"a configuration sets no {folder}: it sets {', '.join(SETTINGS)}")
        return Table.of(known, EVERY_RUN, self._columns[folder], self._texts.get(folder))


def _field_map(config: Config) -> dict[str, tuple[str, ...]]:
    """Name and checksum of the map, and of the table of its multipoles where they are in a file."""
    magnet = config.magnet
    if magnet.map != "file":
        seed = f" {magnet.map_seed}" if magnet.map != "uniform" else ""
        return {"map": (f"{magnet.map}{seed}",), "sha256": ("",), "multipoles": ("",)}
    path = Path(magnet.map_file)
    try:
        return {"map": (path.stem,), "sha256": (sha256(path),), "multipoles": (path.name,)}
    except OSError as err:
        raise ConditionsError(f"cannot read the field map '{path}': {err.strerror}") from None
