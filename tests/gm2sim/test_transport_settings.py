"""The section transport of the configuration."""

import pytest

from gm2sim.config import ConfigError, load
from gm2sim.trackers import transport_settings


def test_switches_reach_the_flight():
    every = transport_settings(load("run1a"))
    assert (every.material, every.photons, every.side_entry, every.straws.loss) == (True, True, True, True)
    assert every.photon_threshold == pytest.approx(0.020)
    bare = {f"transport.{name}": False for name in ("material", "photons", "side_entry", "straw_material")}
    none = transport_settings(load("run1a", bare | {"transport.photon_threshold_mev": 50.0}))
    assert (none.material, none.photons, none.side_entry) == (False, False, False)
    assert (none.straws.loss, none.straws.scattering) == (False, False)
    assert none.photon_threshold == pytest.approx(0.050)


def test_threshold_out_of_bounds_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"photon_threshold_mev.*MeV"):
        load("run1a", {"transport.photon_threshold_mev": 0.0})
