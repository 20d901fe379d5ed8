"""Tags, and the tables of the first 23 folders of conditions."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from gm2sim.database.folder_tables import create_folder, create_tags

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


class Layout(NamedTuple):
    """A folder as it is in this version of the tables."""

    name: str
    keys: tuple[str, ...]
    real: tuple[str, ...]
    whole: tuple[str, ...]
    text: tuple[str, ...]


FOLDERS = (
    Layout("calo_gain", ("calonum", "xtalnum"), ("counts_per_gev",), (), ()),
    Layout("calo_pedestal", ("calonum", "xtalnum"), ("pedestal", "even_odd"), (), ()),
    Layout("infill_gain", ("calonum", "xtalnum"), ("amplitude", "tau", "drop_per_gev", "tau_pulse"), (), ()),
    Layout("stdp", ("calonum", "xtalnum"), ("amplitude", "tau"), (), ()),
    Layout("oof_correction", ("calonum", "xtalnum"), ("oofcorrection",), (), ()),
    Layout("light_yield", ("calonum", "xtalnum"), ("light_yield",), (), ()),
    Layout("pulse_template", ("calonum", "xtalnum"), ("rise", "fall", "laser_rise", "laser_fall"), (), ()),
    Layout("time_alignment", ("calonum", "xtalnum"), ("calo_offset", "xtal_offset"), (), ()),
    Layout("channel_status", ("calonum", "xtalnum"), ("noise_factor",), ("status",), ()),
    Layout("laser_light", ("calonum", "xtalnum"), ("light",), (), ()),
    Layout(
        "tracker_align_internal",
        ("station", "module"),
        ("shift_x", "shift_y", "shift_z", "turn_x", "turn_y", "turn_z"),
        (),
        (),
    ),
    Layout(
        "tracker_align_external", ("station",), ("shift_x", "shift_y", "shift_z", "turn_x", "turn_y", "turn_z"), (), ()
    ),
    Layout("straw_status", ("station", "module", "layer", "wire"), (), ("status",), ()),
    Layout("straw_drift", ("time_ns",), ("radius",), (), ()),
    Layout("field_map", (), ("field",), (), ("map", "sha256", "multipoles")),
    Layout("trolley_period", (), (), ("trolley_period", "field_period", "before", "after"), ()),
    Layout("quad_settings", ("quad",), ("voltage", "scraping_voltage"), (), ()),
    Layout("kicker_settings", ("kicker",), ("voltage", "delay"), (), ()),
    Layout("energy_calibration", ("calonum", "xtalnum"), ("pulseintegral_to_mev",), (), ()),
    Layout("channel_quality", ("calonum", "xtalnum"), (), ("calo_quality", "xtal_quality"), ()),
    Layout("pedestal_offsets", ("calonum", "xtalnum"), ("wfd5_evenodd_offset", "noiselevel"), (), ()),
    Layout("infill_gain_withexpstdp", ("calonum", "xtalnum"), ("p0", "p1", "p2", "p3", "p4"), (), ()),
    Layout("infill_gain_nostdp", ("calonum", "xtalnum"), ("p0", "p1", "p2", "p3", "p4"), (), ()),
)


def upgrade() -> None:
    """Make the tables."""
    create_tags()
    for folder in FOLDERS:
        kinds: tuple[tuple[tuple[str, ...], sa.types.TypeEngine[Any]], ...] = (
            (folder.real, sa.Double()),
            (folder.whole, sa.Integer()),
            (folder.text, sa.Text()),
        )
        columns: list[sa.Column[Any]] = [
            sa.Column(name, kind, nullable=False) for names, kind in kinds for name in names
        ]
        create_folder(folder.name, folder.keys, columns)
