"""Which device computes: the CPU, or one CUDA GPU chosen by the rank of this process."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

INSTALL = "pip install gm2sim[gpu-cu12]"


class DeviceError(RuntimeError):
    """A device was asked for that this machine or this environment does not have."""


@dataclass(frozen=True)
class Device:
    """One CUDA device: its number, name, memory [bytes] and compute capability."""

    number: int
    name: str
    memory: int
    compute_capability: tuple[int, int]

    def describe(self) -> str:
        """Return one line for a person."""
        major, minor = self.compute_capability
        size = f"{self.memory / 2**30:.0f} GiB"
        return f"GPU {self.number}: {self.name}, {size}, compute capability {major}.{minor}"


def simulated() -> bool:
    """Say whether CUDA kernels run on numba's simulator (NUMBA_ENABLE_CUDASIM, for tests only)."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")


def cuda_module() -> ModuleType:
    """Return `numba.cuda` with a device behind it.

    Raises
    ------
    DeviceError
        If numba-cuda is not installed, or if there is no driver or no GPU.
    """
    if find_spec("numba_cuda") is None:
        raise DeviceError(f"backend 'gpu' needs numba-cuda, which is not installed: {INSTALL}")
    missing = DeviceError(
        "backend 'gpu' needs an NVIDIA GPU with its driver, and none was found here: "
        f"run where nvidia-smi lists one (with {INSTALL}), or choose backend 'cpu'"
    )
    if not simulated() and not _driver_may_be_there():
        raise missing
    from numba import cuda

    if not simulated() and not _driver_finds_gpu(cuda):
        raise missing
    module: ModuleType = cuda
    return module


def may_be_there() -> bool:
    """Whether there may be a GPU, found out without touching one."""
    return simulated() or (find_spec("numba_cuda") is not None and _driver_may_be_there())


def _driver_may_be_there() -> bool:
    """Whether numba.cuda, which takes a second to import, is worth asking: no where Linux has no driver to load."""
    if not sys.platform.startswith("linux") or "NUMBA_CUDA_DRIVER" in os.environ:
        return True
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/dxg"))


def _driver_finds_gpu(cuda: ModuleType) -> bool:
    try:
        return bool(cuda.is_available()) and len(cuda.gpus) > 0
    except Exception:  # a broken driver raises many kinds of its own: all mean that no GPU can be used
        return False


def devices() -> list[Device]:
    """List the CUDA devices of this machine; empty where there is none or numba-cuda is missing."""
    try:
        cuda = cuda_module()
    except DeviceError:
        return []
    if simulated():
        return [Device(0, "numba CUDA simulator", 0, (0, 0))]
    found = []
    for number, gpu in enumerate(cuda.gpus):
        with gpu:
            memory = int(cuda.current_context().get_memory_info().total)
        name = gpu.name.decode() if isinstance(gpu.name, bytes) else str(gpu.name)
        major, minor = gpu.compute_capability
        found.append(Device(number, name, memory, (int(major), int(minor))))
    return found


def choose(rank: int = 0) -> Device:
    """Give this process a GPU by its rank on the machine, ranks going round where GPUs are fewer.

    Parameters
    ----------
    rank
        Number of this process among those on the same machine.

    Returns
    -------
    Device
        The device that kernels of this process are launched on from now on.

    Raises
    ------
    DeviceError
        If there is no GPU.
    """
    cuda = cuda_module()
    found = devices()
    device = found[rank % len(found)]
    if not simulated():
        cuda.select_device(device.number)
    return device


def choose_backend(wanted: str) -> str:
    """Turn "auto", "cpu" or "gpu" into "cpu" or "gpu"; only "auto" may choose.

    Raises
    ------
    DeviceError
        If "gpu" is wanted and there is none.
    ValueError
        If the word is another.
    """
    if wanted == "gpu":
        cuda_module()
    elif wanted == "auto":
        return "gpu" if devices() else "cpu"
    elif wanted != "cpu":
        raise ValueError(f"backend {wanted!r} is not known: choose 'auto', 'cpu' or 'gpu'.")
    return wanted
