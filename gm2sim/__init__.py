"""gm2sim: the Fermilab Muon g-2 experiment, from the fitted field to the raw data file.

    import gm2sim as g2

    cfg = g2.load("run1a")
    ring = g2.Ring(cfg)
    track = ring.track(g2.Bunch.stored(cfg, n=10_000, seed=7), turns=1000)

Runs that write files: :func:`gm2sim.run.run`; the page about them: :func:`gm2sim.report.build_report`. Everything is
loaded on first use, so that ``import gm2sim`` costs next to nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "load": "gm2sim.config",
    "presets": "gm2sim.config",
    "Config": "gm2sim.config",
    "ConfigError": "gm2sim.config",
    "Ring": "gm2sim.machine",
    "Bunch": "gm2sim.muons",
    "Frame": "gm2sim.bunch.frame",
    "write_bunch": "gm2sim.bunch.file",
    "open_run": "gm2sim.raw",
    "reconstruct": "gm2sim.reco",
    "analyse": "gm2sim.analysis",
    "fit": "gm2sim.analysis",
    "studies": "gm2sim.studies",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        place = import_module(_PLACES[name])
        return place if name == "studies" else getattr(place, name)
    raise AttributeError(f"module 'gm2sim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
