"""Data quality from raw files alone: flags of every fill, status of every subrun, and the book that keeps them."""

from gm2sim.quality.assess import Assessment, assess, assess_events
from gm2sim.quality.cuts import Cuts
from gm2sim.quality.flags import BAD_FOR_POSITRONS, BAD_FOR_TRACKS, Flag
from gm2sim.quality.live import live_fractions

__all__ = [
    "BAD_FOR_POSITRONS",
    "BAD_FOR_TRACKS",
    "Assessment",
    "Cuts",
    "Flag",
    "assess",
    "assess_events",
    "live_fractions",
]
