"""What this machine has and lacks for gm2sim, and what to type to mend it."""

import importlib.metadata
import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

OK, MISSING, BAD = "ok", "missing", "bad"

# Optional parts: what they are for, the module that shows they are there, the extra that brings them.
_EXTRAS = (
    ("MPI", "mpi4py", "pip install 'gm2sim[mpi]'"),
    ("CUDA compiler", "numba_cuda", "pip install 'gm2sim[gpu-cu12]'"),
    ("PostgreSQL", "psycopg", "pip install 'gm2sim[postgres]'"),
    ("ROOT files", "uproot", "pip install 'gm2sim[root]'"),
    ("openPMD beams", "beamphysics", "pip install 'gm2sim[openpmd]'"),
    ("peers for make bench", "xtrack", "pip install 'gm2sim[peers]'"),
)


def doctor() -> list[dict[str, str]]:
    """Examine the machine.

    Returns
    -------
    list of dict
        ``part``, ``state`` (ok, missing or bad), ``found`` and ``do`` (what to type; empty when nothing is needed).
    """
    return [_python(), *_core(), _cpu(), _cache(), _gpu(), _mpi_library(), *_extras(), _disk()]


def _row(part: str, state: str, found: str, do: str = "") -> dict[str, str]:
    return {"part": part, "state": state, "found": found, "do": do}


def _python() -> dict[str, str]:
    good = sys.version_info >= (3, 11)
    return _row(
        "Python",
        OK if good else BAD,
        platform.python_version(),
        "" if good else "install Python 3.11 or newer",
    )


def _core() -> list[dict[str, str]]:
    rows = []
    for requirement in importlib.metadata.requires("gm2sim") or []:
        if "extra ==" in requirement:
            continue
        name, _, least = requirement.partition(">=")
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows.append(_row(name, MISSING, "", f"pip install '{requirement}'"))
            continue
        new_enough = _numbers(version) >= _numbers(least)
        rows.append(
            _row(name, OK if new_enough else BAD, version, "" if new_enough else f"pip install '{requirement}'")
        )
    return rows


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _cpu() -> dict[str, str]:
    from gpu import cpu

    return _row("CPU", OK, f"{cpu.describe()}, {os.cpu_count()} cores")


def _cache() -> dict[str, str]:
    from gpu import cache

    folder = cache.folder()
    if folder is not None:
        return _row("compiled code", OK, str(folder))
    return _row("compiled code", BAD, "no folder can be written", "set NUMBA_CACHE_DIR to a folder of your own")


def _gpu() -> dict[str, str]:
    from gpu.device import DeviceError, cuda_module, devices

    try:
        cuda_module()
    except DeviceError as err:
        return _row("GPU", MISSING, "none usable", str(err))
    return _row("GPU", OK, ", ".join(device.describe() for device in devices()))


def _mpi_library() -> dict[str, str]:
    if find_spec("mpi4py") is None:
        return _row("MPI library", MISSING, "", "pip install 'gm2sim[mpi]'")
    launcher = Path(sys.executable).with_name("mpiexec")
    found = str(launcher) if launcher.exists() else shutil.which("mpiexec")
    if found is None:
        return _row(
            "MPI library",
            MISSING,
            "mpi4py without mpiexec",
            "pip install mpich, or load your site's MPI module",
        )
    return _row("MPI library", OK, found)


def _extras() -> list[dict[str, str]]:
    return [
        _row(part, OK, "installed") if find_spec(module) else _row(part, MISSING, "optional", do)
        for part, module, do in _EXTRAS
    ]


def _disk() -> dict[str, str]:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > 2e9  # one raw file of the experiment is 2 GB
    return _row(
        "disk here",
        OK if enough else BAD,
        f"{free / 1e9:.0f} GB free",
        "" if enough else "make room: a raw file may take 2 GB",
    )
