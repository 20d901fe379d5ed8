"""Sections of the configuration: the ring, its magnet and plates, and the beam."""

from typing import Annotated, Literal

from pydantic import Field

from gm2sim.config.section import Section

Orders = Annotated[tuple[Annotated[float, Field(ge=-1000, le=1000)], ...], Field(max_length=5)]
EachQuad = tuple[Annotated[float, Field(ge=-10, le=10)], ...]


class RingSection(Section):
    """Layout of the storage ring."""

    layout: Literal["e989", "reference", "continuous"] = Field(
        "e989", description="as built, symmetric four-fold reference, or quads everywhere (analytic)"
    )
    collimator_radius_mm: float = Field(45.0, gt=5, le=60, description="aperture of the five collimators")
    collimators: tuple[Literal["full", "inner", "outer", "out"], ...] = Field(
        (), description="C1 to C5: full, copper on the inner or outer side only (half), or out; all full if empty"
    )


class MagnetSection(Section):
    """Dipole field and its multipoles at 45 mm, in parts per million of the dipole."""

    field_t: float = Field(1.4513, ge=1.0, le=2.0, description="azimuthal average of the dipole field")
    map: Literal["uniform", "synthetic", "trolley", "file"] = Field(
        "uniform", description="uniform, made to the averages below, the fit of trolley readings of that, or a file"
    )
    map_file: str = Field("", description="measured multipole map, when map = 'file'")
    map_in_tesla: bool = Field(False, description="multipoles of the map file are in tesla, not relative to the dipole")
    falloff_file: str = Field("", description="R-Z map of the main magnet outside the aperture; built in when empty")
    map_seed: int = Field(1, ge=0, lt=2**32, description="seed of the synthetic map")
    dipole_rms_ppm: float = Field(0.0, ge=0, le=500, description="spread of the dipole around the azimuth")
    normal_ppm: Orders = Field((), description="azimuthal mean of the normal terms, orders 1, 2, ...")
    skew_ppm: Orders = Field((), description="azimuthal mean of the skew terms, orders 1, 2, ...")
    normal_rms_ppm: Orders = Field((), description="azimuthal spread of the normal terms, orders 1, 2, ...")
    skew_rms_ppm: Orders = Field((), description="azimuthal spread of the skew terms, orders 1, 2, ...")
    trolley_noise_ppb: float = Field(
        10.0, ge=0, le=10_000, description="noise of a probe reading, when map = 'trolley'"
    )
    drift_ppm_per_hour: float = Field(0.0, ge=-100, le=100, description="drift of the field since the begin of run")
    inflector_leakage_ut: float = Field(
        0.0, ge=-1000, le=1000, description="field [uT] of the inflector at x = 45 mm beside its exit, beyond the map"
    )


class QuadsSection(Section):
    """Electrostatic quadrupoles."""

    voltage_kv: float = Field(18.3, ge=0, le=40, description="voltage on the plates")
    effective_scale: float = Field(
        1.0, ge=0.8, le=1.2, description="factor on the potential of the plates, for studies; the plates need none"
    )
    plates: Literal["real", "ideal"] = Field(
        "real", description="plates in the chamber with soft ends, or ideal hyperbolic plates with hard ends"
    )
    multipoles: bool = Field(True, description="higher multipoles of the real plates up to the 20-pole")
    q1_outer_plate: Literal["in place", "displaced"] = Field(
        "in place", description="outer plate of Q1 long: as the others, or 20 mm further out at 2.2 times the voltage"
    )
    offset_x_mm: EachQuad = Field((), description="radial displacement of Q1 short, Q1 long ... Q4 long; none if empty")
    offset_y_mm: EachQuad = Field((), description="vertical displacement of each quad, in the same order")
    roll_mrad: EachQuad = Field((), description="rotation of each quad about the beam, x toward y, in the same order")


class BeamSection(Section):
    """Stored muons at the inflector exit, before the collimators have cut the distribution."""

    source: Literal["stored", "injected", "file"] = Field(
        "stored", description="stored muons as below, injected through inflector and kickers, or those of a file"
    )
    file: str = Field("", description="file of muons, when source = 'file': fill after fill takes the next ones")
    file_kind: Literal["injected", "stored"] = Field(
        "injected", description="whether the muons of the file leave the inflector, or are stored at azimuth 0"
    )
    muons_per_fill: int = Field(5000, ge=1, le=10_000_000, description="stored muons at t = 0")
    x_e_mean_mm: float = Field(6.0, ge=-40, le=40, description="mean equilibrium radius from the design orbit")
    x_e_sigma_mm: float = Field(9.0, ge=0, le=45, description="spread of the equilibrium radius")
    betatron_x_sigma_mm: float = Field(10.0, ge=0, le=45, description="incoherent radial betatron spread")
    betatron_y_sigma_mm: float = Field(12.9, ge=0, le=45, description="incoherent vertical betatron spread")
    cbo_amplitude_mm: float = Field(10.0, ge=0, le=45, description="coherent radial amplitude at the mean x_e")
    cbo_phase_rad: float = Field(0.0, ge=-7, le=7, description="phase of the coherent motion at theta = 0, t = 0")
    kick_correlation: float = Field(
        1.0, ge=0, le=1, description="fall of the coherent amplitude per x_e: 1 for one virtual injection point"
    )
    breathing_y: float = Field(
        0.0, ge=-0.5, le=0.5, description="relative excess of the vertical width at injection: it oscillates"
    )
    y_offset_mm: float = Field(0.0, ge=-40, le=40, description="coherent vertical displacement at injection")
    spin_phase_rad: float = Field(2.08, ge=-7, le=7, description="g-2 phase: spin behind momentum at t = 0")
    spin_phase_slope_mrad_per_percent: float = Field(
        -10.3, ge=-100, le=100, description="change of that phase with momentum at injection"
    )
    spin_phase_spread_mrad: float = Field(0.0, ge=0, le=1000, description="spread of that phase")
    bunch: Literal["point", "gaussian", "flat", "t0", "bunches", "file"] = Field(
        "t0", description="time profile of the injected bunch; 'bunches' are sixteen, one after the other"
    )
    bunch_file: str = Field("", description="measured T0 trace, when bunch = 'file'")
    bunch_rms_ns: float = Field(35.0, ge=0, le=70, description="width when bunch = 'gaussian'")
    x_e_time_slope_mm_per_ns: float = Field(
        0.0, ge=-1, le=1, description="momentum-time correlation of the stored beam"
    )
    edge_mm: float = Field(0.0, ge=0, le=5, description="how far beyond the collimators muons may reach at first")
    polarization: float = Field(0.95, ge=0, le=1, description="degree of polarisation of the stored muons")


class InjectionSection(Section):
    """Muons at the inflector exit, when beam.source = 'injected'; time profile and spin are those of [beam]."""

    muons_per_fill: int = Field(100_000, ge=1, le=10_000_000, description="muons that leave the inflector in a fill")
    x_mean_mm: float = Field(74.4, ge=50, le=100, description="mean radial offset from the design orbit")
    angle_mean_mrad: float = Field(-0.9, ge=-20, le=20, description="mean radial slope, outward")
    emittance_x_um: float = Field(8.0, ge=0, le=100, description="radial emittance (rms)")
    beta_x_m: float = Field(2.0, gt=0, le=100, description="radial beta function")
    alpha_x: float = Field(0.0, ge=-20, le=20, description="radial alpha")
    dispersion_m: float = Field(0.0, ge=-10, le=10, description="radial dispersion")
    dispersion_angle: float = Field(0.0, ge=-10, le=10, description="change of the radial slope with relative momentum")
    y_mean_mm: float = Field(0.0, ge=-28, le=28, description="mean height")
    angle_y_mean_mrad: float = Field(0.0, ge=-20, le=20, description="mean vertical slope")
    emittance_y_um: float = Field(8.0, ge=0, le=100, description="vertical emittance (rms)")
    beta_y_m: float = Field(10.0, gt=0, le=100, description="vertical beta function")
    alpha_y: float = Field(0.0, ge=-20, le=20, description="vertical alpha")
    delta_mean_percent: float = Field(0.0, ge=-3, le=3, description="mean momentum offset from the design momentum")
    delta_sigma_percent: float = Field(1.6, ge=0, le=5, description="momentum spread before any acceptance")
    delta_time_slope_percent_per_ns: float = Field(
        0.0, ge=-0.1, le=0.1, description="momentum-time correlation of the injected beam"
    )
    q1_plate_mm: float = Field(
        0.1, ge=0, le=1, description="thickness of the outer plates of Q1, which the beam crosses"
    )
    kicked_turns: int = Field(20, ge=1, le=200, description="turns in which the kickers' field is felt")


class KickersSection(Section):
    """The three kickers, for an injected beam."""

    pulse: Literal["run2", "run3a", "run3b", "square", "file"] = Field(
        "run2", description="measured pulse, built in or from a file, or a square one"
    )
    pulse_file: str = Field("", description="measured pulse, when pulse = 'file'")
    map_file: str = Field("", description="map of the field across the aperture; that of the plates when empty")
    voltage_kv: tuple[float, float, float] = Field((130.0, 130.0, 130.0), description="high voltage of each kicker")
    gauss_per_kv: float = Field(
        1.40, ge=0, le=5, description="peak field at the centre for a kilovolt, fitted to the mean C_e of Run-1"
    )
    delay_ns: float = Field(
        25.0, ge=-500, le=500, description="delay of the pulses' peaks after the bunch centre; this stores most muons"
    )
    width_ns: float = Field(120.0, ge=2, le=1000, description="width of the pulse when pulse = 'square'")
    duration_us: float = Field(3.0, ge=0.5, le=30, description="how long the pulses and their ringing are followed")
    ringing: bool = Field(True, description="follow a measured pulse beyond its main lobe")
    eddy_mg: float = Field(
        0.0, ge=0, le=1000, description="field of the eddy currents 30 us after the kick, felt in the whole fill"
    )
    eddy_us: float = Field(65.0, gt=1, le=1000, description="time constant of that field")


class ScrapingSection(Section):
    """How the voltages of the quads change during the fill."""

    on: bool = Field(True, description="scrape an injected beam: some plates low in the first microseconds")
    depth: float = Field(7.0 / 24.0, ge=0, le=0.9, description="missing share of the voltage of the low plates")
    end_us: float = Field(8.0, ge=0, le=100, description="end of scraping")
    slow_resistors: Literal["none", "1a", "1b", "1c", "1d"] = Field(
        "none", description="damaged resistors of Q1 long, with the strength they had in a set of Run-1"
    )


class RfSection(Section):
    """Radio frequency on the plates of the quads, against a coherent motion."""

    on: bool = Field(False, description="put it on the plates")
    frequency_khz: float = Field(372.0, gt=0, le=10_000, description="frequency: that of the CBO to damp it")
    amplitude_kv: float = Field(1.0, ge=0, le=10, description="amplitude on each plate")
    phase_rad: float = Field(0.0, ge=-7, le=7, description="phase of the sine at t = 0")
    on_us: float = Field(8.0, ge=0, le=700, description="begin")
    off_us: float = Field(28.0, gt=0, le=700, description="end")
    mode: Literal["horizontal", "vertical", "quadrupole"] = Field("horizontal", description="signs on the plates")
    quad: Literal["all", "Q1", "Q2", "Q3", "Q4"] = Field(
        "Q2", description="which quad: a dipole on all alike averages to nothing at the CBO frequency"
    )
