"""Positrons where they come to the tracker stations: the flight of `detectors.transport`, ended there."""

from decay.positron import Positrons
from detectors.straw_entrances import Entrances
from detectors.straws import Stations
from detectors.transport import TransportSettings, fly_positrons
from fields.total import FieldTables
from gpu.rng import FillKey

__all__ = ["Entrances", "approach"]


def approach(
    positrons: Positrons,
    fields: FieldTables,
    stations: Stations,
    key: FillKey,
    settings: TransportSettings | None = None,
    backend: str = "cpu",
) -> Entrances:
    """Positrons at the tracker stations, in the order of their births; parameters as in `transport.fly_positrons`."""
    return fly_positrons(positrons, fields, stations.geometry, key, settings, stations, backend=backend).entrances
