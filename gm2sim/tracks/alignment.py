"""What a reconstruction must know of the trackers; travels in the raw file's run database as /Simulation/trackers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors.straw_constants import StrawConstants
from gm2sim.config import ConfigError


def as_tree(constants: StrawConstants) -> dict[str, Any]:
    """Plain numbers: shifts [m] and turns [rad] of modules (2, 8, 6) and stations (2, 6), numbers of dead straws."""
    return {
        "modules": constants.modules.tolist(),
        "stations": constants.stations.tolist(),
        "dead_straws": np.flatnonzero(constants.status).tolist(),
    }


def from_odb(odb: Mapping[str, Any]) -> StrawConstants:
    """Read the constants of a raw file.

    Raises
    ------
    ConfigError
        If /Simulation/trackers is missing or incomplete.
    """
    nothing = StrawConstants.neutral()
    try:
        tree = odb["Simulation"]["trackers"]
        status = nothing.status.copy()
        status[np.array(tree["dead_straws"], np.int64)] = 1.0
        return StrawConstants(
            np.array(tree["modules"], np.float64).reshape(nothing.modules.shape),
            np.array(tree["stations"], np.float64).reshape(nothing.stations.shape),
            status,
        )
    except (KeyError, TypeError, ValueError, IndexError) as err:
        raise ConfigError(
            f"the run database has no usable /Simulation/trackers ({type(err).__name__}: {err}): "
            "find tracks in files that gm2sim has written with its trackers"
        ) from None
