"""The CPU that code is compiled for."""

import platform
import subprocess
import sys

import numba
import pytest

from gpu import cpu, kernel

VECTORS = """
import sys
from gpu import rng
rng.normals(rng.FillKey(1, 2, 3, 4), 5, range(10))
loop = rng._fill_normals.on_cpu
sys.stdout.write(loop.inspect_asm(loop.signatures[0]))
"""
# one array more than LLVM checks for overlap by its own choice
MANY_ARRAYS = """
import sys
from collections import namedtuple
import numpy as np
from gpu.kernel import Kernel

Many = namedtuple("Many", [f"x{k}" for k in range(18)])

@Kernel
def step(i, many, dt):
    BODY

step(8, Many(*np.ones((18, 8))), 2.0)
sys.stdout.write(step.on_cpu.inspect_asm(step.on_cpu.signatures[0]))
""".replace("BODY", "\n    ".join(f"many.x{k}[i] += dt * many.x{(k + 1) % 18}[i]" for k in range(18)))


@pytest.fixture(autouse=True)
def _fresh():
    for function in (cpu.name, cpu.features, cpu.wanted):
        function.cache_clear()
    yield
    for function in (cpu.name, cpu.features, cpu.wanted):
        function.cache_clear()


@pytest.fixture
def no_choice(monkeypatch):
    for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX"):
        monkeypatch.delenv(name, raising=False)


class Host(dict):
    """Features of an imagined CPU, as llvmlite lists them."""

    def flatten(self):
        return ",".join(f"+{name}" for name in self)


@pytest.mark.parametrize(
    ("host", "features", "bits"),
    [
        ({"avx2": True, "avx512f": True}, "+avx2,+avx512f,-prefer-256-bit", 512),
        ({"avx2": True}, "+avx2", 256),
        ({"sse2": True}, "+sse2", 128),
    ],
)
def test_wide_vectors_are_asked_for_where_the_cpu_has_them(no_choice, monkeypatch, host, features, bits):
    monkeypatch.setattr(cpu.llvm, "get_host_cpu_features", lambda: Host(host))
    assert cpu.features() == features
    assert cpu.wanted() == (features if bits == 512 else None)
    assert cpu.describe().endswith(f", {bits}-bit vectors")


def test_numba_is_told(no_choice, monkeypatch):
    monkeypatch.setattr(cpu, "wanted", lambda: "+avx512f,-prefer-256-bit")
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    kernel._widen_vectors()
    assert numba.config.CPU_FEATURES == "+avx512f,-prefer-256-bit"


def test_a_users_choice_of_cpu_comes_first(monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+sse2")
    assert cpu.wanted() is None
    assert cpu.features() == "+sse2"
    assert cpu.describe() == "generic, 128-bit vectors"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for the vector registers of x86")
@pytest.mark.parametrize(
    ("program", "least"),
    [
        # ten rounds of the generator, a logarithm and a sine: hundreds of instructions, all on whole vectors
        pytest.param(VECTORS, 100, id="normal numbers"),
        pytest.param(MANY_ARRAYS, 36, id="many arrays"),
    ],
)
def test_kernels_use_the_widest_vectors(tmp_path, program, least):
    # a fresh folder, since numba keeps no assembly of code that it loads from disk
    source = tmp_path / "program.py"
    source.write_text(program)
    process = subprocess.run(
        [sys.executable, str(source)],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    bits = int(cpu.describe().split(", ")[1].split("-")[0])
    register = {512: "%zmm", 256: "%ymm", 128: "%xmm"}[bits]
    assert process.stdout.count(register) > least
