"""Fast rotation: the bunch structure at the cyclotron frequency, and the momentum distribution found from it."""

from gm2sim.fast_rotation.analysis import FastRotation, Radii, analyse_fast_rotation, electric_field_correction
from gm2sim.fast_rotation.debunching import Debunching, debunch
from gm2sim.fast_rotation.joint import JointFit, conditional, joint_fit
from gm2sim.fast_rotation.muons import (
    Comparison,
    JointComparison,
    Truth,
    analyse_muons,
    joint_fit_of_muons,
    variations,
)
from gm2sim.fast_rotation.reference import form_factor
from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Passages, Revolution, delta_of_energy, measured_ring, passages, smooth_ring

__all__ = [
    "Comparison",
    "Debunching",
    "FastRotation",
    "JointComparison",
    "JointFit",
    "Passages",
    "Radii",
    "Revolution",
    "Settings",
    "Truth",
    "analyse_fast_rotation",
    "analyse_muons",
    "conditional",
    "debunch",
    "delta_of_energy",
    "electric_field_correction",
    "form_factor",
    "joint_fit",
    "joint_fit_of_muons",
    "measured_ring",
    "passages",
    "smooth_ring",
    "variations",
]
