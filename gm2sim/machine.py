"""The machine of a configuration: border units become the SI settings of the physics packages, in one place."""

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from fields.inflector import Leakage
from fields.maps import RZMap, load_multipole_map, load_rz_map
from fields.plates import PlateGeometry
from fields.quads import Placement, QuadSettings
from fields.ring import Ring as Layout
from fields.ring import fibre_harps
from fields.spark import Spark
from fields.storage import StorageField
from fields.synthetic import MapSpec, synthesise
from fields.trolley import fit_multipoles, simulate_run
from gm2sim.config import Config
from gm2sim.injection import Injection, bunch_profile, changes, kicker_pulses
from gpu.rng import FillKey
from tracking.bunch import Bunch as TrackingBunch
from tracking.changes import Changes
from tracking.muon import Reference
from tracking.optics import Optics, optics
from tracking.pulses import KickerPulses
from tracking.source import StoredBeam
from tracking.stations import RingTables, ring_tables
from tracking.turns import TrackResult, track

_PER_PERCENT = 1e-3 / 1e-2  # mrad per percent -> rad per unit
_SIDES = {"full": 0, "inner": -1, "outer": 1}  # of the copper of a collimator


def layout(config: Config) -> Layout:
    """Ring geometry with the configured collimators, and the harps where they are in the beam."""
    factories = {"e989": Layout.e989, "reference": Layout.reference, "continuous": Layout.continuous}
    ring = factories[config.ring.layout]()
    radius = config.ring.collimator_radius_mm * 1e-3
    kinds = config.ring.collimators or ("full",) * len(ring.collimators)
    collimators = tuple(
        replace(one, radius=radius, side=_SIDES[kind])
        for one, kind in zip(ring.collimators, kinds, strict=True)
        if kind != "out"
    )
    return replace(ring, collimators=collimators, harps=fibre_harps() if config.monitors.harps == "in" else ())


def storage_field(config: Config) -> StorageField:
    """Storage field, scaled so that its average dipole is the configured one.

    Raises
    ------
    fields.maps.FieldMapError
        The map file is missing, truncated or not a map.
    """
    magnet = config.magnet
    field = _mapped_field(config)
    if magnet.inflector_leakage_ut == 0.0:
        return field
    leakage = Leakage(magnet.inflector_leakage_ut * 1e-6).storage_field()
    return (field + leakage).scaled_to(magnet.field_t)


def _mapped_field(config: Config) -> StorageField:
    """The field without what leaks out of the inflector."""
    magnet = config.magnet
    if magnet.map == "uniform":
        return StorageField.uniform(magnet.field_t)
    if magnet.map == "file":
        measured = load_multipole_map(Path(magnet.map_file), multipoles_in_tesla=magnet.map_in_tesla)
        return measured.scaled_to(magnet.field_t)
    spec = MapSpec(
        "map",
        magnet.field_t,
        normal=magnet.normal_ppm,
        skew=magnet.skew_ppm,
        dipole_spread=magnet.dipole_rms_ppm,
        normal_spread=magnet.normal_rms_ppm,
        skew_spread=magnet.skew_rms_ppm,
    )
    truth = synthesise(spec, magnet.map_seed)
    if magnet.map == "synthetic":
        return truth
    readings = simulate_run(truth, noise=magnet.trolley_noise_ppb * 1e-9 * truth.b0, seed=magnet.map_seed)
    fitted = fit_multipoles(readings).storage_field()
    return fitted.scaled_to(magnet.field_t)


def falloff_map(config: Config) -> RZMap | None:
    """The user's own map of the magnet outside the aperture, where one is named."""
    file = config.magnet.falloff_file
    return load_rz_map(Path(file)) if file else None


def quad_settings(config: Config) -> QuadSettings:
    """Electrostatic quads: plates, voltages and where each quad stands."""
    quads = config.quads
    names = [quad.name for quad in layout(config).quads]
    columns = [values or (0.0,) * len(names) for values in (quads.offset_x_mm, quads.offset_y_mm, quads.roll_mrad)]
    places = {name: Placement(*(1e-3 * value for value in row)) for name, *row in zip(names, *columns, strict=True)}
    real = quads.plates == "real"
    settings = QuadSettings(
        voltage=quads.voltage_kv * 1e3,
        effective_scale=quads.effective_scale,
        geometry=PlateGeometry() if real else None,
        multipoles=quads.multipoles,
        fringe=real,
        placement={name: place for name, place in places.items() if any(place)},
    )
    return settings.with_displaced_outer_plate() if quads.q1_outer_plate == "displaced" else settings


def stored_beam(config: Config, bunch: int = 0) -> StoredBeam:
    """Distribution of the stored muons."""
    beam = config.beam
    return StoredBeam(
        x_e_mean=beam.x_e_mean_mm * 1e-3,
        x_e_sigma=beam.x_e_sigma_mm * 1e-3,
        betatron_x_sigma=beam.betatron_x_sigma_mm * 1e-3,
        betatron_y_sigma=beam.betatron_y_sigma_mm * 1e-3,
        cbo_amplitude=beam.cbo_amplitude_mm * 1e-3,
        cbo_phase=beam.cbo_phase_rad,
        kick_correlation=beam.kick_correlation,
        breathing_y=beam.breathing_y,
        y_offset=beam.y_offset_mm * 1e-3,
        phase=beam.spin_phase_rad,
        phase_slope=beam.spin_phase_slope_mrad_per_percent * _PER_PERCENT,
        phase_spread=beam.spin_phase_spread_mrad * 1e-3,
        profile=bunch_profile(config, bunch),
        x_e_time_slope=beam.x_e_time_slope_mm_per_ns * 1e6,
        aperture_radius=config.ring.collimator_radius_mm * 1e-3,
        edge=beam.edge_mm * 1e-3,
    )


class Ring:
    """The storage ring of a configuration, ready to track.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    layout : fields.ring.Ring
        Where everything is.
    storage : fields.storage.StorageField
        The field the muons feel.
    quads : fields.quads.QuadSettings
    tables : tracking.stations.RingTables
        Rows of numbers for the tracker.
    changes : tracking.changes.Changes or None
        How the voltages of the quads and the fields of eddy currents change during the fill.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = layout(config)
        self.storage = storage_field(config)
        self.quads = quad_settings(config)
        self.changes: Changes | None = changes(config, self.quads, self.layout)
        self.tables: RingTables = self._tables(None)

    def _tables(self, kickers: KickerPulses | None) -> RingTables:
        config = self.config
        return ring_tables(
            self.layout, self.quads, self.storage, scheme=config.tracking.scheme, refine=config.tracking.refine,
            anomaly=config.physics.anomaly, kickers=kickers,
            magnetic_order=1 if self.changes is not None and self.changes.dipoles else -1,
        )  # fmt: skip

    @cached_property
    def injection(self) -> Injection:
        """The way of the muons into the ring, and the ring with its kickers for the first turns."""
        tables = self._tables(kicker_pulses(self.config, self.layout))
        return Injection(self.config, self.layout, self.quads, tables)

    def drifted(self, relative: float) -> "Ring":
        """The same ring in a field that has changed by a relative amount; tunes and dispersion are kept.

        Parameters
        ----------
        relative : float
            Change of the dipole over the dipole.
        """
        other = copy(self)
        vars(other).pop("injection", None)
        other._optics = self._optics
        other.storage = self.storage.scaled_to(self.storage.b0 * (1.0 + relative))
        other.tables = other._tables(None)
        return other

    def sparked(self, spark: Spark) -> "Ring":
        """The same ring whose quads break down."""
        other = copy(self)
        other.changes = changes(self.config, self.quads, self.layout, spark)
        return other

    def with_kick(self, config: Config) -> "Ring":
        """The same ring with the kickers of another configuration."""
        other = copy(self)
        vars(other).pop("injection", None)
        other.config = config
        other.changes = changes(config, self.quads, self.layout)
        return other

    @property
    def reference(self) -> Reference:
        """Momentum, field and radius that everything is measured against."""
        return self.tables.reference

    def turns(self, duration: float) -> int:
        """Turns of the reference muon in a time [s], rounded up, with one more for those that run ahead."""
        return math.ceil(duration / self.reference.period) + 1

    @cached_property
    def _optics(self) -> Optics:
        return optics(self.tables, [collimator.theta for collimator in self.layout.collimators])

    def optics(self) -> Optics:
        """Tunes, closed orbit, dispersion and frequencies, measured on the tracker itself."""
        return self._optics

    @property
    def momentum_acceptance(self) -> float:
        """Relative momentum offset whose closed orbit touches the collimators, r (1 - n)/R0 in the smooth ring."""
        return self.config.ring.collimator_radius_mm * 1e-3 * (1.0 - self.tables.field_index) / self.reference.r0

    def track(
        self,
        beam: TrackingBunch,
        turns: int,
        *,
        every: int = 1,
        observers: Sequence[float] = (0.0,),
        moments: bool = False,
        collimators: bool = True,
        kicked: bool = False,
        plates: bool | None = None,
        metal_key: FillKey | None = None,
        harp_key: FillKey | None = None,
        backend: str = "cpu",
        progress: bool = True,
        watch: Callable[[int, int], None] | None = None,
    ) -> TrackResult:
        """Track muons turn by turn, with a progress bar on a terminal.

        Parameters
        ----------
        beam : Bunch
        turns : int
        every : int
            Turns between samples.
        observers : sequence of float [rad]
            Azimuths of the samples, from the inflector exit.
        moments : bool
            Keep means and variances only.
        collimators : bool
            Whether the apertures count.
        kicked : bool
            Whether the kickers' pulses are felt: in the first turns of an injected beam.
        plates : bool, optional
            Whether the plates of quads and kickers are apertures too; with ``metal_key`` if not given.
        metal_key : FillKey, optional
            Fill that the random numbers of muons in the metal of collimators belong to. Without it, whoever misses
            a collimator's hole is lost there.
        harp_key : FillKey, optional
            Fill that the random numbers of muons in the fibres of harps belong to; without it the harps are not felt.
        backend : str
            "cpu" or "gpu".
        progress : bool
            Draw a bar.
        watch : callable, optional
            Called with (turns done, turns) in place of the bar.
        """
        from gm2sim.terminal import turn_bar

        with turn_bar(turns, shown=progress and watch is None) as bar:
            return track(
                beam, self.injection.tables if kicked else self.tables, turns, spin=self.config.physics.spin,
                observers=observers, every=every, moments=moments, collimators=collimators,
                plates=metal_key is not None if plates is None else plates, changes=self.changes, metal_key=metal_key,
                harp_key=harp_key, backend=backend, progress=watch or bar,
            )  # fmt: skip

    def __repr__(self) -> str:
        index, field = self.tables.field_index, self.reference.b0
        return f"Ring({self.layout.name}, n = {index:.4f}, B0 = {field:.6f} T, p0 = {self.reference.p0_gev:.6f} GeV/c)"
