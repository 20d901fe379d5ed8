"""Sections of the configuration: what positrons meet, and the detectors."""

from pydantic import Field

from gm2sim.config.section import Section


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


class StrawsSection(Section):
    """Gas and electronics of the straw trackers, and where their modules are."""

    threshold_electrons: int = Field(2, ge=1, le=100, description="electrons that make the discriminator fire")
    jitter_ns: float = Field(0.8, ge=0, le=10, description="time jitter of the discriminator")
    diffusion_um: float = Field(190.0, ge=0, le=5000, description="spread of an electron after a drift of 1 cm")
    dead_time_ns: float = Field(50.0, ge=0, le=1000, description="dead time of a discriminator after a hit")
    crosstalk_percent: float = Field(1.0, ge=0, le=100, description="chance of a hit in either neighbour")
    noise_hz: float = Field(100.0, ge=0, le=100_000, description="hits of nobody in a straw")
    alignment: bool = Field(True, description="modules and stations where the conditions say, not where they should be")
    module_shift_um: float = Field(50.0, ge=0, le=1000, description="built-in spread of the modules' shifts")
    module_turn_mrad: float = Field(0.2, ge=0, le=5, description="built-in spread of the modules' turns")
    channel_status: bool = Field(False, description="dead straws")
    dead_straws: int = Field(20, ge=0, le=2048, description="built-in number of dead straws")
