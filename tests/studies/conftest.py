"""Configurations of the studies' tests: they share one compiled loop, that of ideal quads in a uniform field."""

import pytest

from gm2sim.config import Config, load


@pytest.fixture(scope="session")
def ideal() -> Config:
    """Continuous ring of index 0.108."""
    return load("ideal")


@pytest.fixture(scope="session")
def built() -> Config:
    """Ring as built with ideal quads, and the phase-momentum correlation of the beam line."""
    return load("gasgun").with_(beam__spin_phase_slope_mrad_per_percent=-10.3)
