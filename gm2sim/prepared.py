"""Tables and compiled code that a process makes ready before the ranks of its node part from it."""

from gm2sim import together
from gm2sim.config import Config
from gm2sim.setup import Setup
from gm2sim.warm import compiled_set, warm_up
from gpu import cache
from gpu.device import may_be_there

_made: dict[tuple[Config, str], Setup] = {}


def prepare(config: Config, backend: str) -> None:
    """Make what all ranks of the node will want, where they are still one process; nothing else.

    Parameters
    ----------
    config : Config
    backend : str
        "cpu", "gpu" or "auto". A GPU cannot be used by two processes of which one is the copy of the other, so that
        nothing but the program itself is shared where there may be one.
    """
    if not together.waiting() or backend == "gpu" or (backend == "auto" and may_be_there()):
        return
    setup = Setup.of(config, "cpu")
    cache.ensure_compiled(lambda: warm_up(setup), None, compiled_set(setup))
    _made.clear()
    _made[config, "cpu"] = setup


def setup_of(config: Config, backend: str) -> Setup:
    """What :func:`prepare` has made for the same configuration, or new."""
    return _made.get((config, backend)) or Setup.of(config, backend)
