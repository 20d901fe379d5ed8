"""Folders that are recorded beside those that the simulation reads: what was set, and the experiment's own tables."""

from gm2sim.conditions.folders import CRYSTAL, FOLDERS, Column, Folder, Key, Text

_LAST_RUN = 2.0**24 - 1

STRAW_DRIFT = Folder(
    "straw_drift",
    "distance from the wire that belongs to a drift time, r(t), every nanosecond",
    (Key("time_ns", 0, 70),),  # drift times up to 70 ns are accepted (GT, TH)
    (Column("radius", "mm", "distance from the wire", 0.0, 2.5),),
)
FIELD_MAP = Folder(
    "field_map",
    "map of the magnetic field of a field period",
    (),
    (Column("field", "T", "azimuthal average of the dipole", 0.0, 10.0),),
    (
        Text("map", "name of the map"),
        Text("sha256", "SHA-256 of its file, empty where it has none", 64),
        Text("multipoles", "name of its table of multipoles, empty where it has none"),
    ),
)
TROLLEY_PERIOD = Folder(
    "trolley_period",
    "which trolley runs enclose the data",
    (),
    (
        Column("trolley_period", "", "number of the period between two trolley runs", 0.0, 1e6, True),
        Column("field_period", "", "number of the period of the field analysis", 0.0, 1e6, True),
        Column("before", "", "trolley run before", 0.0, _LAST_RUN, True),
        Column("after", "", "trolley run after", 0.0, _LAST_RUN, True),
    ),
)
QUAD_SETTINGS = Folder(
    "quad_settings",
    "set voltages of the quads",
    (Key("quad", 1, 4),),
    (
        Column("voltage", "kV", "voltage on the plates", 0.0, 40.0),
        Column("scraping_voltage", "kV", "voltage of the low plates while scraping", 0.0, 40.0),
    ),
)
KICKER_SETTINGS = Folder(
    "kicker_settings",
    "settings of the kickers",
    (Key("kicker", 1, 3),),
    (
        Column("voltage", "kV", "high voltage", 0.0, 300.0),
        Column("delay", "ns", "delay of the pulse's peak after the bunch centre", -500.0, 500.0),
    ),
)

ENERGY_CALIBRATION = Folder(
    "energy_calibration",
    "the experiment's energy calibration, of pulse integrals",
    CRYSTAL,
    (Column("pulseintegral_to_mev", "", "energy in MeV for a unit of the pulse integral", 0.0, 1e6),),
)
CHANNEL_QUALITY = Folder(
    "channel_quality",
    "the experiment's judgement of calorimeters and crystals; its values are not public",
    CRYSTAL,
    (
        Column("calo_quality", "", "of the calorimeter", -1e6, 1e6, True),
        Column("xtal_quality", "", "of the crystal", -1e6, 1e6, True),
    ),
)
PEDESTAL_OFFSETS = Folder(
    "pedestal_offsets",
    "the experiment's difference of even and odd samples, and noise",
    CRYSTAL,
    (
        Column("wfd5_evenodd_offset", "", "offset between even and odd samples", -4096.0, 4096.0),
        Column("noiselevel", "", "noise of the samples", 0.0, 4096.0),
    ),
)


def _in_fill_gain(kind: str, meaning: str) -> Folder:
    """Five parameters of the experiment's in-fill gain, whose formula and units are not public."""
    return Folder(
        f"infill_gain_{kind}",
        f"the experiment's in-fill gain {meaning}; formula and units are not public",
        CRYSTAL,
        tuple(Column(f"p{k}", "", f"parameter {k}", -1e12, 1e12) for k in range(5)),
    )


IN_FILL_GAIN_WITH_STDP = _in_fill_gain("withexpstdp", "with short-term double pulses")
IN_FILL_GAIN_WITHOUT_STDP = _in_fill_gain("nostdp", "without short-term double pulses")

RECORDS = {
    folder.name: folder
    for folder in (
        STRAW_DRIFT,
        FIELD_MAP,
        TROLLEY_PERIOD,
        QUAD_SETTINGS,
        KICKER_SETTINGS,
        ENERGY_CALIBRATION,
        CHANNEL_QUALITY,
        PEDESTAL_OFFSETS,
        IN_FILL_GAIN_WITH_STDP,
        IN_FILL_GAIN_WITHOUT_STDP,
    )
}
"""Folders that are kept and looked up, but change nothing in a simulation."""
KNOWN = FOLDERS | RECORDS
"""All folders by name."""
