"""Figures of a run: arrays in, a matplotlib figure with its alternative text and its table out."""

from gm2sim.plots.beam import beam_profiles, turn_by_turn
from gm2sim.plots.calorimeter import island_waveforms
from gm2sim.plots.field import field_map
from gm2sim.plots.lost_muons import lost_muons
from gm2sim.plots.occupancy import occupancy
from gm2sim.plots.pileup import pileup_spectrum
from gm2sim.plots.positrons import energy_spectrum
from gm2sim.plots.study import study_plot
from gm2sim.plots.style import Plot, Table
from gm2sim.plots.truth_match import match_efficiency, match_resolution
from gm2sim.plots.wiggle import residual_fft, wiggle_modulo

__all__ = [
    "Plot",
    "Table",
    "beam_profiles",
    "energy_spectrum",
    "field_map",
    "island_waveforms",
    "lost_muons",
    "match_efficiency",
    "match_resolution",
    "occupancy",
    "pileup_spectrum",
    "residual_fft",
    "study_plot",
    "turn_by_turn",
    "wiggle_modulo",
]
