"""The sections of a run's configuration: units in the names, bounds in the fields.

These are border units (kV, mm, us); :mod:`gm2sim.machine` turns them into the SI settings of the physics packages.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gm2sim.config.check import flatten, refuse_unknown, validated
from gm2sim.config.errors import ConfigError
from gm2sim.config.monitors import MonitorsSection
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


class TransportSection(Section):
    """Positrons from their birth to calorimeters and trackers; each switch leaves all other random numbers alone."""

    material: bool = Field(
        True, description="plates, collimators and chamber walls take energy from positrons and scatter them"
    )
    photons: bool = Field(
        True, description="follow the photons radiated in metal, and the pairs that they make in metal"
    )
    photon_threshold_mev: float = Field(20.0, ge=1, le=1000, description="photons of less energy are not followed")
    side_entry: bool = Field(
        True, description="calorimeters can be entered through their sides too, not through the front face alone"
    )
    trackers: bool = Field(
        True, description="straw trackers stand in front of calorimeters 13 and 19, where the chamber is open for them"
    )
    straw_material: bool = Field(True, description="walls and gas of the straws take energy and scatter")


class SipmSection(Section):
    """What changes the height of a pulse in the SiPMs; sizes are those of the built-in constants."""

    gain_sag: bool = Field(True, description="sag of the gain in the fill: flash of the injection and true rate")
    flash_amplitude: float = Field(0.03, ge=0, le=0.5, description="sag at injection, mean over the channels")
    flash_us: float = Field(8.8, gt=0.1, le=1000, description="time constant of that sag: 1e-3 is left at 30 us")
    drop_per_gev: float = Field(4.27e-4, ge=0, le=0.1, description="sag that a pulse of 1 GeV adds for later ones")
    drop_us: float = Field(18.0, gt=0.1, le=1000, description="time constant of that sag")
    double_pulse: bool = Field(True, description="pixels that still recover from the pulse before (STDP)")
    recovery_ns: float = Field(15.0, gt=0.1, le=1000, description="time constant of their recovery")
    temperature: bool = Field(True, description="drift of the gain with the temperature, out of fill")
    gain_percent_per_k: float = Field(-4.0, ge=-20, le=20, description="change of the gain with temperature")
    begin_k: float = Field(0.5, ge=-20, le=20, description="temperature at the begin of run above the calibration's")
    drift_k_per_hour: float = Field(0.05, ge=-5, le=5, description="drift of the temperature")
    day_swing_k: float = Field(0.3, ge=0, le=10, description="amplitude of its swing in 24 hours")
    light_yields: bool = Field(True, description="light yield of each crystal, in place of one for all")
    light_yield_spread: float = Field(0.1, ge=0, le=0.5, description="relative spread of the light yields")


class DetectorsSection(Section):
    """Calorimeters and their electronics."""

    light_yield_pe_per_mev: float = Field(1.4, gt=0, le=20, description="photoelectrons a MeV")
    counts_per_gev: float = Field(612.0, gt=10, le=5000, description="pulse height of 1 GeV in one crystal [counts]")
    gain_spread: float = Field(0.17, ge=0, le=0.5, description="relative spread of the channel gains")
    pedestal_counts: float = Field(1750.0, ge=-2000, le=2040, description="mean pedestal")
    noise_counts: float = Field(4.0, ge=0, le=200, description="RMS noise of a sample")
    threshold_mev: float = Field(50.0, ge=30, le=3000, description="energy in one crystal that opens an island")
    pre_samples: int = Field(8, ge=1, le=64, description="samples kept before the threshold crossing")
    post_samples: int = Field(18, ge=4, le=256, description="samples kept after it")
    injection_sample: int = Field(800, ge=0, le=500_000, description="sample number of t = 0 in the fill")
    templates: bool = Field(True, description="pulse shape of each channel, in place of one for all")
    template_spread: float = Field(0.02, ge=0, le=0.2, description="relative spread of rise and fall times")
    template_file: str = Field("", description="measured average pulse, time in ns and height; built in when empty")
    time_alignment: bool = Field(True, description="time offsets of calorimeters and crystals")
    calo_offset_ns: float = Field(2.0, ge=0, le=100, description="spread of the offsets of calorimeters")
    crystal_offset_ns: float = Field(0.5, ge=0, le=20, description="spread of the offsets of crystals")
    clock_ppm: float = Field(0.0, ge=-100, le=100, description="how much faster than 40 MHz the clock runs")
    common_noise_counts: float = Field(
        0.0, ge=0, le=200, description="RMS noise that a calorimeter's channels share; the threshold must allow it"
    )
    channel_status: bool = Field(False, description="dead and noisy channels")
    dead_channels: int = Field(3, ge=0, le=1296, description="number of dead channels")
    noisy_channels: int = Field(3, ge=0, le=1296, description="number of noisy channels, which open no islands")


class ShowerSection(Section):
    """Showers in the crystals of the calorimeters."""

    attenuation_length_mm: float = Field(
        1000.0, ge=0, le=100_000, description="of the light on its way to the sensor; 0 for none"
    )
    albedo_percent: float = Field(
        0.5, ge=0, le=5, description="share of the energy in soft photons, from the face to all crystals"
    )
    crosstalk_percent: float = Field(
        0.0, ge=0, le=10, description="share of a crystal's light that each neighbour sees through the wrapping"
    )
    profile_fluctuation: float = Field(
        0.45, ge=0, le=1, description="factor on the published spreads of depth and shape of a shower"
    )
    light_fluctuation: float = Field(0.66, ge=0, le=1, description="relative spread of the light of one spot")


class ConditionsSection(Section):
    """Constants by run and subrun, for the simulation and its reconstruction alike."""

    file: str = Field("", description="file of constants (see gm2sim conditions write); built in when empty")


class LaserSection(Section):
    """The laser that shines into all crystals."""

    sync: bool = Field(True, description="a pulse before every fill, which aligns the calorimeters in time")
    sync_us: float = Field(-0.5, ge=-10, le=0, description="time of that pulse")
    in_fill_every: int = Field(
        10, ge=0, le=1_000_000, description="pulses inside the last of every so many fills of muons; 0 for none"
    )
    start_us: float = Field(5.0, ge=0, le=700, description="time of the first pulse inside a fill")
    spacing_us: float = Field(320.0, ge=1, le=700, description="time between two pulses inside a fill")
    step_us: float = Field(20.0, ge=0, le=700, description="how much later they come in the next such fill")
    steps: int = Field(16, ge=1, le=100_000, description="after so many such fills the pattern begins anew")
    fill_every: int = Field(
        4, ge=0, le=1_000_000, description="a fill of the laser behind every so many fills of muons; 0 for none"
    )
    energy_gev: float = Field(2.0, gt=0, le=10, description="light of a pulse in a crystal, as energy of a positron")
    spread: float = Field(0.2, ge=0, le=0.5, description="relative spread of that over the crystals")
    jitter: float = Field(0.01, ge=0, le=0.2, description="relative spread of a laser head from pulse to pulse")


class DaqSection(Section):
    """What goes into the raw file besides the islands."""

    calo_sum: bool = Field(True, description="write the decimated calorimeter sums (CS banks)")
    q_method: bool = Field(True, description="write the Q-method histograms (CQ banks)")
    q_samples_per_bin: int = Field(60, ge=8, le=10_000, description="samples summed into one Q-method bin")
    pedestal_every: int = Field(
        8, ge=0, le=1_000_000, description="a look at the pedestals behind every so many fills of muons; 0 for none"
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
    monitors: MonitorsSection = MonitorsSection()
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
