"""Positron tracks from straw hits, and where they left the beam. No truth is used."""

from gm2sim.tracks.drift import DriftTable, calibrate_drift, linear_drift, tabulate_drift
from gm2sim.tracks.fit import Status
from gm2sim.tracks.image import Acceptance, BeamImage, acceptance, beam_image
from gm2sim.tracks.reconstruct import Tracks, find_and_fit, good_tracks, good_vertices
from gm2sim.tracks.settings import Cuts, TrackSettings

__all__ = [
    "Acceptance",
    "BeamImage",
    "Cuts",
    "DriftTable",
    "Status",
    "TrackSettings",
    "Tracks",
    "acceptance",
    "beam_image",
    "calibrate_drift",
    "find_and_fit",
    "good_tracks",
    "good_vertices",
    "linear_drift",
    "tabulate_drift",
]
