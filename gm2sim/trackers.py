"""Straw trackers and positron transport of a configuration: border units become SI, switches folders to look up."""

from detectors.straw_constants import StrawConstantsSettings
from detectors.straw_crossings import CrossingSettings
from detectors.straw_drift import StrawSettings
from detectors.transport import TransportSettings
from gm2sim.conditions.folders import STRAW_STATUS, TRACKER_MODULES, TRACKER_STATIONS
from gm2sim.config import Config


def transport_settings(config: Config) -> TransportSettings:
    """How the positrons of a configuration fly."""
    transport = config.transport
    return TransportSettings(
        material=transport.material,
        photons=transport.photons,
        photon_threshold=transport.photon_threshold_mev * 1e-3,
        side_entry=transport.side_entry,
        straws=CrossingSettings(scattering=transport.straw_material, loss=transport.straw_material),
    )


def straw_settings(config: Config) -> StrawSettings:
    """Gas and electronics of the straws."""
    straws = config.straws
    return StrawSettings(
        threshold=straws.threshold_electrons,
        jitter=1e-9 * straws.jitter_ns,
        diffusion=1e-5 * straws.diffusion_um,  # it grows with the root of the drift: 1 cm here, 1 m there
        dead_time=1e-9 * straws.dead_time_ns,
        crosstalk=1e-2 * straws.crosstalk_percent,
        noise_rate=straws.noise_hz,
        window=(0.0, 1e-6 * config.tracking.fill_duration_us),
    )


def straw_constants_settings(config: Config) -> StrawConstantsSettings:
    """What the built-in constants of the trackers are drawn from."""
    straws = config.straws
    return StrawConstantsSettings(
        aligned=not straws.alignment,
        module_shift=1e-6 * straws.module_shift_um,
        module_turn=1e-3 * straws.module_turn_mrad,
        dead_straws=straws.dead_straws * straws.channel_status,
    )


def tracker_folders(config: Config) -> tuple[str, ...]:
    """Folders of conditions that the trackers of a configuration need: those of effects that are on."""
    if not config.transport.trackers:
        return ()
    aligned = (TRACKER_MODULES.name, TRACKER_STATIONS.name) if config.straws.alignment else ()
    return (*aligned, STRAW_STATUS.name) if config.straws.channel_status else aligned
