"""Everything that is the same for all fills of a run: ring, fields, detectors and their constants."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.channels import ChannelConstants
from detectors.geometry import Geometry
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.straw_constants import StrawConstants
from detectors.straw_drift import StrawSettings
from detectors.straws import Stations
from detectors.sums import q_bins
from detectors.transport import TransportSettings
from fields.spark import Spark
from fields.total import FieldTables, field_tables
from fields.transients import FieldDrift
from fields.voltage import VoltageProgram
from gm2sim.bunch.fills import muons_for_fills, next_muons
from gm2sim.conditions import Conditions, calorimeter_constants, open_conditions, require
from gm2sim.conditions.trackers import tracker_constants
from gm2sim.config import Config
from gm2sim.electronics import at_time, calorimeter_folders, calorimeter_settings, middle_of, waveform_channels
from gm2sim.errors import ConfigError
from gm2sim.farm import ranks
from gm2sim.faults import NONE, FillFaults, kicked
from gm2sim.injection import voltage_program
from gm2sim.machine import Ring, falloff_map, stored_beam
from gm2sim.trackers import straw_constants_settings, straw_settings, tracker_folders, transport_settings
from gpu.rng import FillKey
from tracking.bunch import Bunch as TrackingBunch
from tracking.source import StoredBeam, sample


def conditions_of(config: Config, *, builtin: bool = False) -> Conditions:
    """The constants that a configuration means: those of its file or database, or those that the program draws.

    Parameters
    ----------
    config : Config
    builtin : bool
        Those that the program draws, even where there is a file or a database.

    Raises
    ------
    ConditionsError
        The file or the database cannot be read or holds something wrong.
    ConfigError
        Several ranks would each connect to a server.
    """
    given = type(config.conditions)() if builtin else config.conditions
    if "://" in given.database and ranks().size > 1:
        raise ConfigError(
            "each rank of the job would connect to the server of conditions.database: give a snapshot of it instead "
            "(gm2sim conditions snapshot)"
        )
    return open_conditions(
        given.file, calorimeter_settings(config), partial(middle_of, config), straw_constants_settings(config),
        given.database, given.tag, allow_open=given.allow_open,
    )  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """Everything that is the same for all fills."""

    config: Config
    ring: Ring
    beam: StoredBeam
    fields: FieldTables
    geometry: Geometry
    transport: TransportSettings
    designed: Stations | None  # the trackers, with every module in place
    straws: StrawSettings
    calorimeters: CalorimeterSettings
    conditions: Conditions
    backend: str
    given: TrackingBunch | None = None  # the muons of a file, for all fills
    subrun: int = 0  # that the constants are looked up for
    seconds: float | None = None  # since the begin of run
    faults: FillFaults = NONE  # of the fill

    @classmethod
    def of(cls, config: Config, backend: str = "cpu") -> "Setup":
        """Fit and tabulate what the configuration describes; constants must be there for all its subruns."""
        settings = calorimeter_settings(config)
        conditions = conditions_of(config)
        wanted = (*calorimeter_folders(config), *tracker_folders(config))
        require(conditions, wanted, config.run.run, config.run.subruns)
        ring = Ring(config)
        geometry = Geometry(ring=ring.layout)
        return cls(
            config=config,
            ring=ring,
            beam=stored_beam(config),
            fields=field_tables(ring.storage, ring.quads, ring.layout, falloff_map(config)),
            geometry=geometry,
            transport=transport_settings(config),
            designed=Stations(geometry=geometry) if config.transport.trackers else None,
            straws=straw_settings(config),
            calorimeters=settings,
            conditions=conditions,
            backend=backend,
            given=muons_for_fills(config, ring.reference, ring.momentum_acceptance, ring.layout)
            if config.beam.source == "file"
            else None,
        )

    def after(self, seconds: float) -> "Setup":
        """The same some time after the begin of run: the magnetic field of the tracker and the SiPMs have drifted."""
        rate = self.config.magnet.drift_ppm_per_hour * 1e-6 / 3600.0
        relative = float(FieldDrift(rate).relative(seconds))
        if relative == 0.0 and not self.calorimeters.gain.temperature:
            return self
        return replace(self, ring=self.ring.drifted(relative) if relative else self.ring, seconds=seconds)

    def suffering(self, faults: FillFaults) -> "Setup":
        """The same with what goes wrong in a fill; quads break down in :func:`gm2sim.chain.track_muons`."""
        if faults == NONE:
            return self
        config, ring = self.config, self.ring
        if faults.kick != 1.0:
            config = kicked(config, faults.kick)
            ring = ring.with_kick(config)
        if faults.field:
            ring = ring.drifted(faults.field)
        return replace(self, config=config, ring=ring, faults=faults)

    @property
    def spark(self) -> Spark | None:
        """The breakdown of the quads in the fill; None where there is none."""
        if self.faults.spark is None:
            return None
        return Spark(self.faults.spark, 1e-6 * self.config.faults.quad_spark_us)

    @property
    def voltage_program(self) -> VoltageProgram:
        """How the voltages of the quads change during the fill."""
        return voltage_program(self.config, self.spark)

    def muons(self, key: FillKey) -> TrackingBunch:
        """The muons of one fill: stored ones at theta = 0, or injected ones at the end of the first quad.

        Without a kick there are no stored ones.
        """
        muons = self._muons(key)
        return muons if self.injected or self.faults.kick else muons.select(np.zeros(muons.n, np.bool_))

    def _muons(self, key: FillKey) -> TrackingBunch:
        if self.given is not None:
            muons = next_muons(self.given, self.config, key)
            return self.ring.injection.enter(muons, key, backend=self.backend) if self.injected else muons
        if self.injected:
            return self.ring.injection.inject(key, self.config.injection.muons_per_fill, backend=self.backend)
        beam = stored_beam(self.config, key.fill) if self.config.beam.bunch == "bunches" else self.beam
        return sample(beam, key, self.config.beam.muons_per_fill, self.ring.optics())

    @property
    def injected(self) -> bool:
        """Whether the muons come through the inflector."""
        return self.config.injected

    @cached_property
    def constants(self) -> ChannelConstants:
        """Gains and pedestals of every channel; drawn by a kernel, so not before the kernels are compiled."""
        constants = calorimeter_constants(
            self.conditions,
            self.config.run.run,
            self.subrun,
            settings=self.calorimeters,
            folders=calorimeter_folders(self.config),
        )
        if self.seconds is None:
            return constants
        return at_time(constants, self.calorimeters.gain, middle_of(self.config, self.subrun), self.seconds)

    @cached_property
    def tracker_constants(self) -> StrawConstants:
        """Alignment and status of the straw trackers; drawn by a kernel too."""
        return tracker_constants(self.conditions, self.config.run.run, self.subrun, tracker_folders(self.config))

    @cached_property
    def stations(self) -> Stations | None:
        """The trackers, with modules where they are; None when they are left out."""
        if self.designed is None:
            return None
        return replace(self.designed, misalignment=self.tracker_constants.misalignment)

    def waveform_channels(self, fill: int) -> NDArray[np.int64]:
        """Channels whose whole waveforms are kept in a fill of a subrun."""
        return waveform_channels(self.config, fill)

    def in_subrun(self, subrun: int) -> "Setup":
        """The same with the constants of another subrun of the run."""
        return self if subrun == self.subrun else replace(self, subrun=subrun)

    def empty_histogram(self) -> NDArray[np.int32] | None:
        """Room for the Q-method histograms of one flush, (24, 54, bins); None when they are switched off."""
        digitizer = self.calorimeters.digitizer
        if not digitizer.q_method:
            return None
        return np.zeros((CALORIMETERS, CRYSTALS, q_bins(digitizer)), np.int32)

    def with_config(self, config: Config) -> "Setup":
        """The same machine with other numbers of muons or times, which need no new tables."""
        return replace(self, config=config)
