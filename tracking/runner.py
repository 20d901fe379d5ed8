"""Compiled loops over turns for one set of options."""

import functools
from collections.abc import Callable
from typing import Any

from gpu.device import cuda_module, simulated
from gpu.kernel import Kernel, compiled, scalar
from gpu.march import March, bind
from tracking import block
from tracking.step import CONSTANTS, ORBIT, SPIN, Options, make_potential, make_scale, make_steps


@scalar
def add_alone(array, place, value):
    """Add to an element that no other thread touches."""
    array[place] += value


class Runner:
    """March and turn loops, compiled when first called.

    Parameters
    ----------
    options
        What the steps hold.

    Attributes
    ----------
    march
        The march past stations.
    on_cpu
        :func:`tracking.block.on_cpu` with the march bound, called as loop(first_block, last_block, ...).
    """

    _PARTS = (
        block.record,
        block.finish,
        block.take_out_stopping,
        block.walk_aside,
        block.count_outside,
        block.cross_in_lane,
        block.take_out_lost,
        block.look,
    )

    def __init__(self, options: Options) -> None:
        self.options = options
        state = (*ORBIT, *SPIN) if options.spin else ORBIT
        passive = () if options.spin else SPIN
        scale = make_scale(options)
        self.march = March(options.name, state, passive, CONSTANTS, make_steps(options), options.row_length, scale)
        self._space: dict[str, Any] = {
            "march_block": self.march.block,
            "march_one": self.march.one,
            "march_part": self.march.part,
            "march_row": self.march.row,
            "potential": make_potential(options),
            "scale": scale,
        }
        self.on_cpu = compiled(self._bound(block.on_cpu, add_alone, "cpu"))

    @functools.cached_property
    def on_gpu(self) -> Kernel:
        """:func:`tracking.block.on_gpu` as a kernel over muons."""
        cuda = cuda_module()

        @scalar
        def add_together(array, place, value):
            cuda.atomic.add(array, place, value)

        # The simulator knows atomic addition in the kernel itself only.
        add = add_alone if simulated() else add_together
        return Kernel(self._bound(block.on_gpu, add, "gpu"))

    def _bound(self, function: Callable, add: Any, name: str) -> Any:
        """Bind the march and an addition to a loop and to all functions that it calls."""
        space = self._space | {"add": add}
        for part in self._PARTS:
            title = f"{part.__name__}_{name}_{self.options.name}"
            space[part.__name__] = scalar(bind(part, title, **space), inline=False)
        return bind(function, f"{function.__name__}_{self.options.name}", **space)


@functools.cache
def runner(options: Options) -> Runner:
    """The loops for some options, made once in a process."""
    return Runner(options)
