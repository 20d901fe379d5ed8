"""Compile the kernels of a run before its first fill: in processes of their own, side by side, and then load the code.

numba compiles on one core; tracker and detectors take about equally long.
"""

import subprocess
import sys

from gm2sim.chain import detect_decays, simulate_fill, track_muons
from gm2sim.config import Config
from gm2sim.monitors import crates, simulate_monitors
from gm2sim.setup import Setup
from gm2sim.summary import Tally
from gpu import cache
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.crossings import Crossings

_MUONS = 40
_INJECTED = 4000  # of which some tens are stored
_DURATION_US = 10.0
_KEY = FillKey(0, 0, 0, 0)


def compiled_set(setup: Setup) -> str:
    """Name of the set of kernels that a run needs: options of the tracking, and straws, make the difference."""
    kicked = f"_{setup.ring.injection.tables.options.name}" if setup.injected else ""
    straws = "_straws" if setup.designed is not None else ""
    monitors = "_monitors" if crates(setup) else ""
    return f"run_{setup.ring.tables.options.name}{kicked}{straws}{monitors}"


def warm_up(setup: Setup) -> None:
    """Call every kernel of a run once, with a few muons that stop within some microseconds.

    Parameters
    ----------
    setup : Setup
    """
    if cache.folder() is not None and not cache.is_ready(compiled_set(setup)):
        cache.compiling("the kernels of a run")
        _compile_elsewhere(setup.config)
    small = _few_muons(setup)
    simulate_fill(small, _KEY, setup.empty_histogram(), Tally())


def _few_muons(setup: Setup) -> Setup:
    tracking = setup.config.tracking.model_copy(update={"fill_duration_us": _DURATION_US})
    beam = setup.config.beam.model_copy(update={"muons_per_fill": _MUONS})
    injection = setup.config.injection.model_copy(update={"muons_per_fill": _INJECTED})
    few = {"tracking": tracking, "beam": beam, "injection": injection}
    return setup.with_config(setup.config.model_copy(update=few))


def _compile_elsewhere(config: Config) -> None:
    """Compile in two processes; what fails there is compiled by this one when it is called."""
    jobs = []
    for part in ("tracker", "detectors"):
        command = [sys.executable, "-c", f"from gm2sim.warm import compile_{part}; compile_{part}()"]
        job = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if job.stdin is not None:
            job.stdin.write(config.model_dump_json())
            job.stdin.close()
        jobs.append(job)
    for job in jobs:
        job.wait()


def compile_tracker() -> None:
    """Compile the beam and the tracker; the configuration comes on standard input."""
    setup = _few_muons(_setup_from_input())
    track_muons(setup, setup.muons(_KEY), _KEY)


def compile_detectors() -> None:
    """Compile decay, transport, showers, digitisers and monitors; the configuration comes on standard input."""
    setup = _setup_from_input()
    muons = Bunch.empty(_MUONS).with_momentum(0.0, setup.ring.reference)
    muons.state[:] = State.DECAYED
    detect_decays(setup, muons, _KEY, setup.empty_histogram(), Tally())
    simulate_monitors(setup, _KEY, Crossings.none())


def _setup_from_input() -> Setup:
    return Setup.of(Config.model_validate_json(sys.stdin.read()))
