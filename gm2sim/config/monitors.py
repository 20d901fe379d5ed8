"""The auxiliary detectors."""

from typing import Literal

from pydantic import Field

from gm2sim.config.section import Section


class MonitorsSection(Section):
    """Auxiliary detectors: waveforms of the injected beam, of the fields that pulse, and of fibres in the beam."""

    t0: bool = Field(True, description="write the waveforms of the T0 counter")
    ibms: bool = Field(True, description="write those of the three inflector beam monitors")
    kicker_traces: bool = Field(True, description="write the field of each kicker")
    quad_traces: bool = Field(True, description="write the voltages of the plates of the quads")
    injected_per_stored: float = Field(
        20.0, gt=0, le=1000, description="particles that T0 and IBMS see for each muon of a stored beam"
    )
    harps: Literal["out", "in"] = Field(
        "out", description="fibre harps: in the beam they scatter the muons, and their waveforms are written"
    )
    harp_us: float = Field(200.0, ge=1, le=700, description="how long the waveforms of the harps go on")
