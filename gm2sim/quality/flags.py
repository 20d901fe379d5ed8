"""What can be wrong with a fill, as bits of a number."""

from enum import IntFlag


class Flag(IntFlag):
    """Reasons to cut an event. Written into databases: add at the end, never renumber."""

    KICK = 1  # amplitude, time, width or zero crossing of a kicker's pulse
    QUADS = 2  # voltage of a plate on the flat top, or a breakdown
    LOSSES = 4  # too many lost muons for the positrons
    LASER = 8  # no pulse of the laser, or a head that is too dim or too bright
    CRATES = 16  # banks of a crate are missing
    PEDESTALS = 32  # a calorimeter's pedestals have moved
    TRACKERS = 64  # a station without hits where there are positrons
    CTAGS = 128  # too few or too many late positrons
    T0 = 256  # time or size of the injected bunch
    FIELD = 512  # the magnet is not where it was


MEANING = {
    Flag.KICK: "kicker pulse",
    Flag.QUADS: "quad voltages, sparks",
    Flag.LOSSES: "lost muons",
    Flag.LASER: "laser pulse",
    Flag.CRATES: "missing banks",
    Flag.PEDESTALS: "pedestals",
    Flag.TRACKERS: "tracker voltage",
    Flag.CTAGS: "late positrons",
    Flag.T0: "injected bunch",
    Flag.FIELD: "magnetic field",
}
"""In the order in which the live fraction applies them."""

BAD_FOR_POSITRONS = ~Flag.TRACKERS
"""Fills with any of these are left out of the wiggle fit."""
BAD_FOR_TRACKS = ~(Flag.LASER | Flag.PEDESTALS | Flag.CRATES)
"""Fills with any of these are left out of the tracks."""
