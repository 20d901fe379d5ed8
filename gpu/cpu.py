"""The CPU that code is compiled for: all of this one, with the widest vectors it has."""

from __future__ import annotations

import functools
import os

import llvmlite.binding as llvm

_CHOICES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX")


@functools.cache
def name() -> str:
    """Return LLVM's name of the CPU, or the user's NUMBA_CPU_NAME."""
    return os.environ.get("NUMBA_CPU_NAME") or str(llvm.get_host_cpu_name())


@functools.cache
def features() -> str:
    """Return the LLVM features that code is compiled for, or the user's NUMBA_CPU_FEATURES."""
    chosen = os.environ.get("NUMBA_CPU_FEATURES")
    return wanted() or str(llvm.get_host_cpu_features().flatten()) if chosen is None else chosen


@functools.cache
def wanted() -> str | None:
    """Return the LLVM features to ask numba for; None leaves the choice to numba, or to its user.

    On Intel CPUs with AVX-512 LLVM prefers 256-bit vectors, a choice made for programs with little vector work;
    our loops are nothing else and run 1.6 to 2 times faster with 512 bits.
    """
    host = llvm.get_host_cpu_features()
    if any(choice in os.environ for choice in _CHOICES) or not host.get("avx512f"):
        return None
    return f"{host.flatten()},-prefer-256-bit"


def describe() -> str:
    """Return one line for a person: the CPU's name and the width of the vectors that are compiled for."""
    enabled = features().split(",")
    wide = "+avx512f" in enabled and "+prefer-256-bit" not in enabled
    bits = 512 if wide else 256 if "+avx2" in enabled else 128
    return f"{name()}, {bits}-bit vectors"
