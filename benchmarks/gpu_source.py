"""Every kernel of the detectors compiled for a GPU, without one: python -m benchmarks.gpu_source

A small fill goes through the chain and the reconstruction on the CPU, as every kernel's first call is kept; the same
source is then compiled to PTX for the same kinds of arguments. Calls left in the PTX would be functions that were not
inlined, or of a library that GPUs do not have.
"""

import re
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gm2sim.config import load
from gm2sim.laser import laser_gains
from gm2sim.reco import reconstruct
from gm2sim.run import run
from gm2sim.tracks.files import tracks_of
from gpu.kernel import Kernel

_SETTINGS = {
    "run.fills": 1,
    "run.subruns": 1,
    "beam.muons_per_fill": 800,
    "tracking.fill_duration_us": 100.0,
    "laser.in_fill_every": 1,
    "laser.fill_every": 1,
    "detectors.common_noise_counts": 0.5,
    "detectors.channel_status": True,
}
_CALL = re.compile(r"^\s*call(?:\.uni)?\s.*$", re.MULTILINE)


@contextmanager
def first_calls() -> Any:
    """While this lasts, the arguments of each kernel's first call are kept."""
    kept: dict[str, tuple[Kernel, int, tuple[Any, ...]]] = {}
    call = Kernel.__call__

    def keep(self: Kernel, n: int, *arguments: Any, backend: str = "cpu") -> None:
        kept.setdefault(f"{self.__module__}.{self.__name__}", (self, n, arguments))
        call(self, n, *arguments, backend=backend)

    Kernel.__call__ = keep  # type: ignore[method-assign]
    try:
        yield kept
    finally:
        Kernel.__call__ = call  # type: ignore[method-assign]


def compiled(kernel: Kernel, n: int, arguments: tuple[Any, ...]) -> tuple[str, float]:
    """PTX of a kernel for the kinds of these arguments, and the seconds that it took."""
    from numba import cuda, typeof
    from numba.cuda import dispatcher

    # No GPU is asked: the code is for one of compute capability 8.0.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(8, 0))
    signature = tuple(typeof(one) for one in (n, *arguments))
    begin = time.perf_counter()
    kernel._globals["cuda"] = cuda
    text = cuda.compile_ptx(kernel._gpu_loop, signature, cc=(8, 0))[0]
    return text, time.perf_counter() - begin


def main(say: Callable[[str], None] = print) -> int:
    """Compile all of them; returns how many failed."""
    with first_calls() as kept, tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        run(load("run1a", _SETTINGS), out, report=False)
        raw = next(out.glob("*.mid"))
        reconstruct(raw)
        tracks_of(raw)
        laser_gains(raw)
    failed = 0
    for name, (kernel, n, arguments) in sorted(kept.items()):
        try:
            text, seconds = compiled(kernel, n, arguments)
        except Exception as err:  # whatever a compiler says
            failed += 1
            say(f"{name:55s} failed: {str(err).splitlines()[0][:150]}")
            continue
        calls = len(_CALL.findall(text))
        say(f"{name:55s} {len(text) / 1e3:8.0f} kB of PTX, {calls} calls, {seconds:.1f} s")
    say(f"{len(kept) - failed} of {len(kept)} kernels compiled")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
