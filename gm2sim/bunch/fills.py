"""The fills of a run from one file of muons: fill after fill takes the next ones, in the order of the file."""

import numpy as np

from fields.ring import Ring as Layout
from gm2sim.bunch.file import read_bunch
from gm2sim.bunch.frame import Frame
from gm2sim.bunch.table import with_lifetimes
from gm2sim.config import Config, ConfigError
from gm2sim.timeline import muon_fills
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import Reference


def muons_of_a_fill(config: Config) -> int:
    """How many a fill takes from a file."""
    return config.injection.muons_per_fill if config.injected else config.beam.muons_per_fill


def muons_for_fills(config: Config, reference: Reference, acceptance: float, layout: Layout) -> Bunch:
    """The stored muons of the configured file, enough for all fills.

    Parameters
    ----------
    config : Config
    reference : Reference
        Of the ring.
    acceptance : float
        Largest relative momentum offset that the ring stores.
    layout : fields.ring.Ring

    Raises
    ------
    ConfigError
        The file cannot be used, or is too small.
    """
    path = config.beam.file
    frame = Frame.at("inflector exit" if config.injected else "design orbit", layout)
    found = read_bunch(path, config, reference, acceptance, frame)
    muons = found.select(found.state == State.STORED)
    if np.any(muons.theta != 0.0):
        raise ConfigError(
            f"{path}: its muons stand at {muons.theta[0]:g} rad; bring them to azimuth 0, the inflector exit"
        )
    fill, fills = muons_of_a_fill(config), config.run.fills
    if muons.n < fill * fills:
        section = "injection" if config.injected else "beam"
        raise ConfigError(
            f"{path}: {muons.n} muons are too few for {fills} fills of {fill}, and none is used twice; "
            f"lower run.fills or {section}.muons_per_fill"
        )
    return muons


def next_muons(muons: Bunch, config: Config, key: FillKey) -> Bunch:
    """The muons of one fill of a run, in the order of the file, numbered from 0, with decay times."""
    fill = muons_of_a_fill(config)
    first = muon_fills(config, key.subrun)[key.fill] * fill
    chosen = muons.select(np.arange(first, min(first + fill, muons.n)))
    return with_lifetimes(chosen._replace(number=np.arange(chosen.n)), key)
