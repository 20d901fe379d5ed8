"""The sections of a run's configuration: units in the names, bounds in the fields.

These are border units (kV, mm, us); :mod:`gm2sim.machine` turns them into the SI settings of the physics packages.
"""

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gm2sim.config.check import flatten, refuse_unknown, validated
from gm2sim.config.detectors import (
    DetectorsSection,
    LaserSection,
    ShowerSection,
    SipmSection,
    StrawsSection,
    TransportSection,
)
from gm2sim.config.faults import FaultsSection
from gm2sim.config.monitors import MonitorsSection
from gm2sim.config.ring import (
    BeamSection,
    InjectionSection,
    KickersSection,
    MagnetSection,
    QuadsSection,
    RfSection,
    RingSection,
    ScrapingSection,
)
from gm2sim.config.section import Section
from gm2sim.errors import ConfigError


class PhysicsSection(Section):
    """What is put in and later measured."""

    anomaly: float = Field(1.165920705e-3, gt=0, lt=1, description="magnetic anomaly a_mu")
    spin: bool = Field(True, description="track the spin")


class TrackingSection(Section):
    """How the orbit is integrated."""

    scheme: Literal["saba2c", "pefrl"] = Field(
        "saba2c", description="splitting of the quads: 24 or 48 kicks a turn in the discrete ring"
    )
    refine: int = Field(1, ge=1, le=64, description="factor on the number of slices")
    fill_duration_us: float = Field(700.0, gt=1, le=700, description="how long muons are followed")
    moments_every: int = Field(1, ge=1, le=5000, description="turns between samples of the beam moments")
    observer_deg: float = Field(180.0, ge=0, lt=360, description="azimuth of the beam moments, from the inflector exit")


class ConditionsSection(Section):
    """Constants by run and subrun, for the simulation and its reconstruction alike."""

    file: str = Field("", description="file of constants (see gm2sim conditions write); built in when empty")
    database: str = Field("", description="database of constants or a snapshot of one: a path or postgresql://")
    tag: str = Field("", description="tag of the database; may be left out where there is only one")
    allow_open: bool = Field(False, description="use a tag that is not frozen and may still change")


class DaqSection(Section):
    """What goes into the raw file besides the islands."""

    calo_sum: bool = Field(True, description="write the decimated calorimeter sums (CS banks)")
    q_method: bool = Field(True, description="write the Q-method histograms (CQ banks)")
    q_samples_per_bin: int = Field(60, ge=8, le=10_000, description="samples summed into one Q-method bin")
    pedestal_every: int = Field(
        8, ge=0, le=1_000_000, description="a look at the pedestals behind every so many fills of muons; 0 for none"
    )
    async_every: int = Field(
        16,
        ge=0,
        le=1600,
        description="an asynchronous readout of the laser's monitors behind every so many fills of "
        "muons, where there is a laser; 0 for none",
    )
    compression: Literal["none", "gz", "lz4"] = Field("none", description="of the raw file: .mid, .mid.gz or .mid.lz4")
    frontend_compression: Literal["none", "event", "bank"] = Field(
        "none", description="by the calorimeters' front ends: one FZ bank a crate, or bank by bank"
    )
    subrun_limit_mb: int = Field(
        2000, ge=1, le=2_000_000, description="most content of a raw file; the experiment closed its subruns at 2 GB"
    )
    q_flush_fills: int = Field(4, ge=1, le=1000, description="fills summed into one Q-method histogram")
    waveform_channels: tuple[Annotated[str, Field(pattern=r"^\d{1,2}:\d{1,2}$")], ...] = Field(
        (), description="channels (calorimeter:crystal) whose whole waveforms are kept in every fill"
    )
    waveform_prescale: int = Field(
        0, ge=0, le=1_000_000, description="keep those of whole calorimeters every n-th fill of a subrun; 0 for never"
    )
    waveform_calorimeters: tuple[Annotated[int, Field(ge=1, le=24)], ...] = Field(
        (), description="calorimeters whose whole waveforms are kept then"
    )


class FitSection(Section):
    """The wiggle fit of the report and of `gm2sim fit`."""

    threshold_gev: float = Field(1.7, ge=0.1, lt=3.1, description="lowest positron energy used")
    start_us: float = Field(30.2876, ge=0, lt=690, description="first time used")
    stop_us: float = Field(650.0644, gt=1, le=700, description="last time used")


class RunSection(Section):
    """Numbering and size of a run."""

    run: int = Field(1, ge=1, lt=2**24, description="run number")
    seed: int = Field(1, ge=0, lt=2**32, description="seed of every random number of the run")
    fills: int = Field(8, ge=1, lt=2**31, description="fills in all, spread evenly over the subruns")
    subruns: int = Field(2, ge=1, lt=100_000, description="subruns, one raw file each")
    start_time: str = Field(
        "2018-03-26T00:00:00Z", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="begin of run (UTC)"
    )


class Config(Section):
    """One run, whole: what was asked for and nothing that depends on the machine it runs on."""

    description: str = Field("", description="one line for people")
    ring: RingSection = RingSection()
    magnet: MagnetSection = MagnetSection()
    quads: QuadsSection = QuadsSection()
    beam: BeamSection = BeamSection()
    injection: InjectionSection = InjectionSection()
    kickers: KickersSection = KickersSection()
    scraping: ScrapingSection = ScrapingSection()
    rf: RfSection = RfSection()
    physics: PhysicsSection = PhysicsSection()
    tracking: TrackingSection = TrackingSection()
    transport: TransportSection = TransportSection()
    sipm: SipmSection = SipmSection()
    detectors: DetectorsSection = DetectorsSection()
    shower: ShowerSection = ShowerSection()
    conditions: ConditionsSection = ConditionsSection()
    laser: LaserSection = LaserSection()
    daq: DaqSection = DaqSection()
    straws: StrawsSection = StrawsSection()
    monitors: MonitorsSection = MonitorsSection()
    faults: FaultsSection = FaultsSection()
    fit: FitSection = FitSection()
    run: RunSection = RunSection()

    def with_(self, **changes: Any) -> "Config":
        """A copy with some values changed, checked as when read from a file.

        Parameters
        ----------
        **changes
            ``section__field=value``, for example ``quads__voltage_kv=18.0``.

        Raises
        ------
        ConfigError
            For a name that does not exist or a value out of bounds.
        """
        named = {name.replace("__", "."): value for name, value in changes.items()}
        refuse_unknown(Config, named, "with_")
        return validated(Config, flatten(self.model_dump()) | named, dict.fromkeys(named, "with_"))

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        if self.fit.stop_us <= self.fit.start_us:
            raise ConfigError(
                f"fit.stop_us = {self.fit.stop_us:g} us is not after fit.start_us = {self.fit.start_us:g} us: "
                "give a later stop"
            )
        if self.run.subruns > self.run.fills:
            raise ConfigError(
                f"run.subruns = {self.run.subruns} is more than run.fills = {self.run.fills}: a subrun holds at "
                "least one fill"
            )
        conditions = self.conditions
        if conditions.file and conditions.database:
            raise ConfigError("conditions.file and conditions.database are both given: keep one of them")
        if (conditions.tag or conditions.allow_open) and not conditions.database:
            raise ConfigError("conditions.tag and conditions.allow_open go with conditions.database: give it too")
        if re.match(r"[^/]*://[^/@]*:[^/@]*@", conditions.database) or "password=" in conditions.database:
            raise ConfigError(
                "conditions.database holds a password, which would be kept in every file: leave it out and use "
                "~/.pgpass or PGPASSFILE"
            )
        for wanted, file, names in (
            (self.magnet.map, self.magnet.map_file, "magnet.map_file and magnet.map"),
            (self.beam.bunch, self.beam.bunch_file, "beam.bunch_file and beam.bunch"),
            (self.kickers.pulse, self.kickers.pulse_file, "kickers.pulse_file and kickers.pulse"),
        ):
            if (wanted == "file") != bool(file):
                raise ConfigError(f"{names} = 'file' go together: give both or neither")
        if (self.beam.source == "file") != bool(self.beam.file):
            raise ConfigError("beam.file and beam.source = 'file' go together: give both or neither")
        if self.rf.off_us <= self.rf.on_us:
            raise ConfigError(
                f"rf.off_us = {self.rf.off_us:g} us is not after rf.on_us = {self.rf.on_us:g} us: give a later end"
            )
        for channel in self.daq.waveform_channels:
            calo, crystal = map(int, channel.split(":"))
            if not (1 <= calo <= 24 and crystal <= 53):
                raise ConfigError(
                    f"daq.waveform_channels: there is no channel '{channel}': give calorimeter 1 to 24 and crystal "
                    "0 to 53"
                )
        if self.daq.waveform_prescale and not self.daq.waveform_calorimeters:
            raise ConfigError("daq.waveform_prescale without daq.waveform_calorimeters keeps nothing: give both")
        if self.monitors.harps == "in" and self.ring.layout == "continuous":
            raise ConfigError("monitors.harps = 'in' needs free space: ring.layout = 'continuous' has none")
        given = len(self.ring.collimators)
        if given not in (0, 5):
            raise ConfigError(f"ring.collimators holds {given} words: give one for each of C1 to C5, or none")
        quads = 1 if self.ring.layout == "continuous" else 8
        for name in ("offset_x_mm", "offset_y_mm", "roll_mrad"):
            given = len(getattr(self.quads, name))
            if given not in (0, quads):
                raise ConfigError(f"quads.{name} holds {given} numbers: give one for each of {quads} quads, or none")
        return self

    @property
    def injected(self) -> bool:
        """Whether the muons come through the inflector."""
        beam = self.beam
        return beam.source == "injected" or (beam.source == "file" and beam.file_kind == "injected")

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON: equal hashes give equal bytes on one kind of machine."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
