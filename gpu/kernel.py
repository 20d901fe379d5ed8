"""From a scalar step to a CPU loop and a CUDA loop; the one place with compiler flags and launches."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from gpu import cache, cpu, linking, threads
from gpu.device import cuda_module
from gpu.fingerprint import fingerprint

log = logging.getLogger(__name__)

# contract, reassoc and arcp buy fused multiply-adds and half of the speed for 1e-14 after 100 turns; nnan and
# ninf are left out on purpose, so that a comparison with NaN keeps its meaning (the orbits of lost muons
# overflow).
FAST = frozenset({"contract", "nsz", "arcp", "reassoc"})
# For code whose order of operations matters (argument reduction, compensated sums): only fused multiply-adds.
EXACT = frozenset({"contract", "nsz"})

Arrays = TypeVar("Arrays", bound=tuple)
Copies = dict[int, tuple[Any, np.ndarray]]  # identity of a host array -> (array on the device, host array)
BLOCK = 256  # threads of a CUDA block; CPU threads share out particles in whole blocks too

# The guard lets LLVM see that the index is never negative: numba's negative indices would stop the
# vectoriser.
_LOOPS = """
def {name}_on_cpu(first, last, {args}):
    if first < 0:
        return
    for k in range(last - first):
        step(first + k, {args})


def {name}_on_gpu(n, {args}):
    i = cuda.grid(1)
    if i < n:
        step(i, {args})
"""


def scalar(function: Callable | None = None, *, exact: bool = False, inline: bool = True) -> Any:
    """Compile a function of plain numbers so that it melts into every kernel that calls it.

    Parameters
    ----------
    function
        Numbers in, a number or a tuple of numbers out; no arrays written, no defaults, no keywords, no raise.
    exact
        Keep the written order of operations (used as ``@scalar(exact=True)``); fused multiply-adds remain.
    inline
        False for a long function with loops that cannot be vectorised anyway: compiled once, then called.

    Returns
    -------
    numba dispatcher
        Callable from Python, from other scalar functions and from kernels on CPU and GPU; ``.py_func`` is
        the plain Python function, which also takes complex or counting numbers.
    """
    if function is None:
        return functools.partial(scalar, exact=exact, inline=inline)
    flags = set(EXACT if exact else FAST)
    # _nrt=False: no reference counts for the arrays that pass through (that halves the positron transport).
    options = {"error_model": "numpy", "fastmath": flags, "no_cfunc_wrapper": True, "_nrt": False}
    dispatcher = numba.njit(forceinline=inline, **options)(function)
    # Kernels call one of its own, without the code that unpacks Python's objects: a fifth of the time of compiling.
    within = numba.njit(forceinline=inline, no_cpython_wrapper=True, **options)(function)
    return _finish(dispatcher, within)


def compiled(function: FunctionType, *, allocates: bool = True) -> Any:
    """Compile a function with loops over arrays: free of the interpreter's lock, kept on disk, written once.

    `Kernel` builds its CPU loop with it; use it directly for work that is not one particle at a time.

    Parameters
    ----------
    function
        Arrays in, written in place.
    allocates
        False for a loop that makes no array of its own: it then counts no references.
    """
    function.__qualname__ += f"_{fingerprint(function)}"  # names the file on disk
    dispatcher = _finish(numba.njit(nogil=True, error_model="numpy", fastmath=set(FAST), _nrt=allocates)(function))
    if numba.config.DISABLE_JIT:
        return dispatcher
    before, place = numba.config.CACHE_DIR, cache.folder()
    if place is not None and Path(inspect.getfile(function)).exists():
        numba.config.CACHE_DIR = str(place)
        dispatcher.enable_caching()
        numba.config.CACHE_DIR = before
    dispatcher.compile = functools.partial(_compile_once, dispatcher)
    return dispatcher


def read_only(arrays: Arrays) -> Arrays:
    """Give the arrays of a NamedTuple to a kernel that only reads them.

    numba compiles a version for each mixture of arrays that may be written and arrays that may not (those of
    `numpy.broadcast_to`, or of the bytes of a file): so there is one.
    """
    return type(arrays)(*map(_locked, arrays))


def _locked(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def _finish(dispatcher: Any, within: Any = None) -> Any:
    """Let one version of a function serve all constants it is called with; numba would compile one for each.

    Compiled functions call `within`, if given, in its place. Where compiling is switched off (NUMBA_DISABLE_JIT) the
    plain function gets its `py_func`.
    """
    if numba.config.DISABLE_JIT:
        dispatcher.py_func = dispatcher
        return dispatcher
    within = within or dispatcher
    resolve = within.get_call_template

    def get_call_template(arguments: Any, keywords: Any) -> Any:
        plain = numba.types.unliteral
        return resolve(tuple(map(plain, arguments)), {name: plain(kind) for name, kind in keywords.items()})

    dispatcher.get_call_template = get_call_template
    dispatcher.get_overload = within.get_overload
    return dispatcher


def _widen_vectors() -> None:
    """Ask numba for the widest vectors; numba forgets it when its environment variables change."""
    wanted = cpu.wanted()
    if wanted is not None:
        numba.config.CPU_FEATURES = wanted


class _Announce(event.Listener):
    """Passes on that numba did not find a function on disk and compiles it."""

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher

    def on_start(self, what: event.Event) -> None:
        if what.data["dispatcher"] is self.dispatcher:
            cache.compiling(self.dispatcher.py_func.__qualname__)

    def on_end(self, what: event.Event) -> None:
        pass


def _compile_once(dispatcher: Any, signature: Any) -> Any:
    """Load from disk or compile; of all processes that need a function one compiles, the others wait."""
    begin = time.perf_counter()
    name = f"{dispatcher.py_func.__module__} {dispatcher.py_func.__qualname__}"
    # numba's own lock first: a thread waiting for it must not hold the lock between processes. numba's
    # start-up work, most of a second, before that lock: else many processes would do it one after the other.
    with global_compiler_lock:
        _widen_vectors()
        dispatcher.targetctx.refresh()
        entry = _compile_locked(dispatcher, signature, name)
    cache.tally.seconds += time.perf_counter() - begin
    return entry


def _compile_locked(dispatcher: Any, signature: Any, name: str) -> Any:
    with cache.lock(name), event.install_listener("numba:compile", _Announce(dispatcher)):
        known, hits = len(dispatcher.overloads), dispatcher.stats.cache_hits.total()
        if dispatcher.stats.cache_path is not None:  # a long run may find its folder cleared away
            with contextlib.suppress(OSError):
                Path(dispatcher.stats.cache_path).mkdir(parents=True, exist_ok=True)
        try:
            entry = type(dispatcher).compile(dispatcher, signature)
        except OSError as trouble:
            if len(dispatcher.overloads) == known:
                raise
            log.warning("compiled code could not be kept on disk: %s", trouble)
            entry = type(dispatcher).compile(dispatcher, signature)
        loaded = dispatcher.stats.cache_hits.total() - hits
        cache.tally.loaded += loaded
        cache.tally.compiled += len(dispatcher.overloads) - known - loaded
    return entry


class Kernel:
    """One particle's step, run over n particles on the CPU or on a GPU.

    Used as a decorator on ``step(i, a, b, ...)``: `i` is the particle's index, the other arguments are
    arrays, NamedTuples of arrays, or numbers, all positional. The step writes only to its own index of the
    arrays, and does not raise, allocate or print. The decorated name is then called as ``step(n, a, b, ...,
    backend="cpu")``.

    Attributes
    ----------
    step
        The compiled step of one particle; ``step.py_func`` is plain Python.
    on_cpu
        The CPU loop, called as ``on_cpu(first, last, a, b, ...)``; it can be called from other compiled
        functions.
    """

    def __init__(self, step: Callable) -> None:
        functools.update_wrapper(self, step)
        self.step = scalar(step)
        names = list(inspect.signature(step).parameters)[1:]
        source = _LOOPS.format(name=step.__name__, args=", ".join(names))
        loops: dict[str, Any] = {"step": self.step, "__name__": step.__module__}
        # numba's disk cache wants a file: the loops live in the file of their step.
        exec(compile(source, inspect.getfile(step), "exec"), loops)
        loop = loops[f"{step.__name__}_on_cpu"]
        loop.__qualname__ = f"{step.__qualname__}_on_cpu"
        self.on_cpu = compiled(loop, allocates=False)
        self._gpu_loop, self._globals = loops[f"{step.__name__}_on_gpu"], loops

    @functools.cached_property
    def on_gpu(self) -> Any:
        """The CUDA loop, one thread per particle, launched as ``on_gpu[blocks, threads](n, a, b, ...)``."""
        # The simulator looks for numba.cuda among the globals of the loop.
        self._globals["cuda"] = cuda_module()
        return self._globals["cuda"].jit(self._gpu_loop)

    def __call__(self, n: int, *arguments: Any, backend: str = "cpu") -> None:
        """Step particles 0 to n-1.

        Parameters
        ----------
        n
            Number of particles.
        *arguments
            As in the step, without the index. With backend "gpu", arrays on the device (numba or cupy) are
            used in place; arrays of the host are copied there and, unless they are read-only, back. Arrays
            may be the same one, but not overlap otherwise.
        backend
            "cpu" or "gpu"; "gpu" never runs on the CPU.

        Raises
        ------
        DeviceError
            If "gpu" is asked for and there is none.
        ValueError
            If `n` is negative or the backend has another name.
        """
        if n < 0:
            raise ValueError(f"n = {n} particles is out of bounds: give 0 or more.")
        if backend == "cpu":
            threads.share_out(self.on_cpu, int(n), arguments, BLOCK)
        elif backend == "gpu":
            run_on_gpu(lambda: self.on_gpu, int(n), arguments)
        else:
            raise ValueError(f"backend {backend!r} is not known: choose 'cpu' or 'gpu'.")


def run_on_gpu(loop: Callable[[], Any], n: int, arguments: tuple[Any, ...]) -> None:
    """Launch a CUDA loop over n particles; `loop` gives it once a device is known to be there.

    Raises
    ------
    DeviceError
        If there is no GPU, no driver or no numba-cuda.
    """
    cuda = cuda_module()
    copies: Copies = {}
    moved = [_to_device(cuda, argument, copies) for argument in arguments]
    if n > 0:
        loop()[(n + BLOCK - 1) // BLOCK, BLOCK](n, *moved)
    for device_array, host_array in copies.values():
        if host_array.flags.writeable:
            host_array[...] = device_array.copy_to_host()


def _to_device(cuda: Any, argument: Any, copies: Copies) -> Any:
    """Copy host arrays, each once and noted in `copies` by its identity; pass device arrays as they are."""
    if isinstance(argument, tuple):
        parts = [_to_device(cuda, part, copies) for part in argument]
        return type(argument)(*parts) if hasattr(argument, "_fields") else tuple(parts)
    if isinstance(argument, np.ndarray):
        if id(argument) not in copies:
            copies[id(argument)] = cuda.to_device(np.ascontiguousarray(argument)), argument
        return copies[id(argument)][0]
    if hasattr(argument, "__cuda_array_interface__"):
        return cuda.as_cuda_array(argument)
    return argument


# LLVM gives up vectorising a loop that needs more than 128 checks that arrays do not overlap, as one over
# a bunch of 17 arrays does; the checks take nanoseconds.
llvm.set_option("gm2sim", "--vectorize-memory-check-threshold=10000")
linking.keep_copies_private()
_widen_vectors()
