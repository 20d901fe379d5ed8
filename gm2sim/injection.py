"""Injection of a configuration: from the inflector exit through the first quad and the kickers into the ring."""

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fields.kicker_map import load_kicker_map
from fields.kicker_plates import kicker_multipoles
from fields.plates import PLATE_ORDER, PlateGeometry, cross_section
from fields.pulse import EddyTail, KickerPulse, Kickers, load_pulse
from fields.quads import QuadSettings
from fields.ring import RING
from fields.ring import Ring as Layout
from fields.spark import Spark
from fields.transients import KickerTransient
from fields.voltage import Charging, Mode, PlateRF, Scraping, VoltageProgram, slow_plates
from gm2sim.config import Config
from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.bunch_shape import POINT, T0, TimeTable, bunches, flat_profile, gaussian_profile
from tracking.bunch_trace import load_bunch
from tracking.changes import Changes, DipoleChange
from tracking.entry import EntryTable, OuterPlate, enter, entry_table
from tracking.inject import InjectedBeam, sample_injected
from tracking.pulses import KickerPulses
from tracking.stations import RingTables

FloatArray = NDArray[np.float64]
_PULSE_STEP = 2e-9  # of the table that the tracker interpolates [s]
_SETTLED = 1e-5  # quads within this share of their voltage count as constant
_TURN = 149.1433e-9  # a bunch of this length fills the ring evenly [s]; T_c at 1.4513 T
_PER_PERCENT = 1e-3 / 1e-2  # mrad per percent -> rad per unit
OUTER = PLATE_ORDER.index("outer")


def bunch_profile(config: Config, bunch: int = 0) -> TimeTable:
    """Time profile of the injected bunch.

    Parameters
    ----------
    config : Config
    bunch : int
        Which of the sixteen, where they differ.

    Raises
    ------
    fields.maps.FieldMapError
        The file of a measured trace is missing or broken.
    """
    beam = config.beam
    if beam.bunch == "bunches":
        shapes = bunches()
        return shapes[bunch % len(shapes)]
    if beam.bunch == "file":
        return load_bunch(Path(beam.bunch_file))
    profiles = {
        "point": POINT,
        "gaussian": gaussian_profile(beam.bunch_rms_ns * 1e-9),
        "flat": flat_profile(_TURN),
        "t0": T0,
    }
    return profiles[beam.bunch]


def injected_beam(config: Config, bunch: int = 0) -> InjectedBeam:
    """Distribution of the muons at the inflector exit."""
    beam, injected = config.beam, config.injection
    return InjectedBeam(
        x_mean=injected.x_mean_mm * 1e-3,
        angle_mean=injected.angle_mean_mrad * 1e-3,
        emittance_x=injected.emittance_x_um * 1e-6,
        beta_x=injected.beta_x_m,
        alpha_x=injected.alpha_x,
        dispersion=injected.dispersion_m,
        dispersion_angle=injected.dispersion_angle,
        y_mean=injected.y_mean_mm * 1e-3,
        angle_y_mean=injected.angle_y_mean_mrad * 1e-3,
        emittance_y=injected.emittance_y_um * 1e-6,
        beta_y=injected.beta_y_m,
        alpha_y=injected.alpha_y,
        delta_mean=injected.delta_mean_percent * 1e-2,
        delta_sigma=injected.delta_sigma_percent * 1e-2,
        delta_time_slope=injected.delta_time_slope_percent_per_ns * 1e-2 * 1e9,
        phase=beam.spin_phase_rad,
        phase_slope=beam.spin_phase_slope_mrad_per_percent * _PER_PERCENT,
        phase_spread=beam.spin_phase_spread_mrad * 1e-3,
        profile=bunch_profile(config, bunch),
    )


def kickers(config: Config, ring: Layout) -> Kickers:
    """The three kickers with their timing."""
    settings = config.kickers
    if settings.pulse == "square":
        pulse = KickerPulse.square(settings.width_ns * 1e-9)
    elif settings.pulse == "file":
        pulse = load_pulse(Path(settings.pulse_file))
    else:
        pulse = KickerPulse.named(settings.pulse)
    pulse = pulse if settings.ringing else main_lobe(pulse)
    peaks = tuple(kv * settings.gauss_per_kv * 1e-4 for kv in settings.voltage_kv)
    return Kickers.e989(pulse, peaks, settings.delay_ns * 1e-9, eddy_tail(config), ring)


def eddy_tail(config: Config) -> EddyTail | None:
    """Field of the eddy currents after the kick; None where there is none."""
    settings = config.kickers
    if settings.eddy_mg == 0.0:
        return None
    return EddyTail(field=settings.eddy_mg * 1e-7, time_constant=settings.eddy_us * 1e-6)


def main_lobe(pulse: KickerPulse) -> KickerPulse:
    """The pulse without what comes after its main lobe: zero from the first value that is not positive on."""
    top = int(pulse.values.argmax())
    after = np.flatnonzero(pulse.values[top:] <= 0.0)
    end = top + int(after[0]) if after.size else pulse.values.size
    return replace(pulse, values=np.where(np.arange(pulse.values.size) < end, pulse.values, 0.0))


def kicker_pulses(config: Config, ring: Layout) -> KickerPulses:
    """Pulses and transverse shape of the kickers as the tracker reads them: they lower the vertical field.

    The eddy currents are not in them: they act during the whole fill, as :func:`changes` of the ring.
    """
    table = replace(kickers(config, ring), eddy=None).table(_PULSE_STEP, config.kickers.duration_us * 1e-6)
    file = config.kickers.map_file
    shape = load_kicker_map(Path(file)) if file else kicker_multipoles()
    return KickerPulses(tuple(map(complex, shape)), -table.field, table.start, table.step)


def voltage_program(config: Config, spark: Spark | None = None) -> VoltageProgram:
    """How the voltages of the quads change during the fill."""
    settings = config.scraping
    slow = slow_plates(settings.slow_resistors) if settings.slow_resistors != "none" else None
    if config.injected and settings.on:
        return VoltageProgram(
            Charging(),
            Scraping.e989(settings.depth, settings.end_us * 1e-6),
            slow,
            rf=radio_frequency(config),
            spark=spark,
        )
    return VoltageProgram(slow_plates=slow, rf=radio_frequency(config), spark=spark)


def radio_frequency(config: Config) -> tuple[PlateRF, ...]:
    """Radio frequency on the plates of one quad or of all; none where it is off."""
    settings = config.rf
    if not settings.on:
        return ()
    names = tuple(quad.name for quad in RING.quads if quad.name.startswith(settings.quad))
    return (
        PlateRF(
            settings.frequency_khz * 1e3, settings.amplitude_kv * 1e3, settings.phase_rad, settings.on_us * 1e-6,
            settings.off_us * 1e-6, Mode[settings.mode.upper()], names,
        ),
    )  # fmt: skip


def dipole_changes(config: Config, ring: Layout) -> tuple[DipoleChange, ...]:
    """Fields of eddy currents along the kickers."""
    eddy = eddy_tail(config)
    if eddy is None:
        return ()
    local = KickerTransient(eddy, ring).local
    starts = (config.kickers.delay_ns * 1e-9 + unit.offset for unit in kickers(config, ring).units)
    return tuple(
        DipoleChange(kicker.theta_start, kicker.theta_end, lambda t, start=start: local(t - start))  # type: ignore[misc]
        for kicker, start in zip(ring.kickers, starts, strict=True)
    )


def changes(config: Config, quads: QuadSettings, ring: Layout = RING, spark: Spark | None = None) -> Changes | None:
    """What changes from turn to turn, quad voltages and eddy currents; None where nothing does."""
    program = voltage_program(config, spark)
    until = program.constant_after(_SETTLED)
    dipoles = dipole_changes(config, ring)
    if until == 0.0 and not dipoles:
        return None

    def potential(name: str, times: FloatArray) -> NDArray[np.complex128]:
        volts = program.voltages(name, quads.plate_voltages(name), times)
        return np.asarray(volts @ quads.plate_coefficients(name))

    return Changes(math.inf if dipoles else until, potential if until > 0.0 else None, dipoles)


def _potential_of(geometry: PlateGeometry, volts: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Potential [V] of four plates at their voltages."""
    return np.asarray(np.tensordot(volts, _per_volt(geometry, x.shape, x.tobytes(), y.tobytes()), axes=(0, 0)))


@lru_cache(maxsize=8)
def _per_volt(geometry: PlateGeometry, shape: tuple[int, ...], x: bytes, y: bytes) -> FloatArray:
    """Potential of each plate per volt at points whose coordinates are given as bytes; seconds, so made once."""
    points = (np.frombuffer(one, np.float64).reshape(shape) for one in (x, y))
    return cross_section(geometry).potential(*points)


@dataclass(frozen=True, eq=False)
class Injection:
    """How muons come into the ring.

    Attributes
    ----------
    config : Config
    layout : fields.ring.Ring
    quads : fields.quads.QuadSettings
    tables : tracking.stations.RingTables
        The ring with its kickers.
    """

    config: Config
    layout: Layout
    quads: QuadSettings
    tables: RingTables

    @cached_property
    def entry(self) -> EntryTable:
        """The way from the inflector exit to the end of the first quad."""
        sections = []
        for quad in self.layout.quads[:2]:
            start, end = self.quads.effective_edges(quad)
            geometry = self.quads.plates(quad.name)
            volts = self.quads.plate_voltages(quad.name)
            x0, _, y0, y1 = geometry.boxes()[OUTER]

            potential = partial(_potential_of, geometry, volts)
            half = 0.5 * (y1 - y0)
            sections.append(OuterPlate(start, end, x0, half, self.config.injection.q1_plate_mm * 1e-3, potential))
        chamber = self.quads.plates(self.layout.quads[0].name).chamber
        return entry_table(self.tables, sections, (chamber.x_inner, chamber.x_outer, chamber.half_height))

    def inject(self, key: FillKey, n: int | None = None, *, backend: str = "cpu") -> Bunch:
        """Muons of one fill at the end of the first quad, those lost on the way among them."""
        count = self.config.injection.muons_per_fill if n is None else n
        beam = injected_beam(self.config, bunch=key.fill)
        at_exit = sample_injected(beam, key, count, self.tables.reference, backend=backend)
        return self.enter(at_exit, key, backend=backend)

    def enter(self, at_exit: Bunch, key: FillKey, *, backend: str = "cpu") -> Bunch:
        """Muons at the inflector exit, taken to the end of the first quad (:func:`tracking.entry.enter`)."""
        return enter(at_exit, self.tables, self.entry, key, backend=backend)
