"""The CUDA side without a GPU: numbers from numba's simulator, and PTX of every kernel."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed (extra gpu-cu12)"
)
needs_toolkit = pytest.mark.skipif(
    any(importlib.util.find_spec(f"nvidia.{part}") is None for part in ("cuda_nvcc", "cuda_nvrtc"))
    if importlib.util.find_spec("nvidia")
    else True,
    reason="the CUDA compiler is not installed: pip install nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12",
)


@needs_numba_cuda
def test_the_simulated_gpu_gives_the_numbers_of_the_cpu(cases, tmp_path):
    out = tmp_path / "gpu.npz"
    process = subprocess.run(
        [sys.executable, str(Path(cases.__file__)), "gpu", str(out)],
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    on_cpu = cases.compute(20)
    assert on_cpu["grid"][:2].tolist() == [[1.0, 2.0], [1.0, 11.0]]
    with np.load(out) as on_gpu:
        assert set(on_gpu) == set(on_cpu)
        for name, expected in on_cpu.items():
            if expected.dtype.kind == "i" or name == "uniform":
                assert np.array_equal(on_gpu[name], expected), name
            else:
                # plain Python fuses no multiply-adds: a few units in the last place of sums of two numbers
                np.testing.assert_allclose(on_gpu[name], expected, rtol=4e-15, atol=1e-15, err_msg=name)


def ptx(monkeypatch, kernel, *arguments):
    """Compile a kernel's CUDA loop for compute capability 8.0 and return the PTX; no driver is asked."""
    from numba import cuda
    from numba.cuda import dispatcher

    # private name of numba-cuda: device functions ask the driver which device they are for
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(8, 0)))
    kernel._globals["cuda"] = cuda
    signature = (numba.int64, *(numba.typeof(argument) for argument in arguments))
    return cuda.compile_ptx(kernel._gpu_loop, signature, cc=(8, 0))[0]


@needs_numba_cuda
@needs_toolkit
def test_kernels_become_ptx_without_calls(cases, monkeypatch):
    draws, points = cases.empty_draws(4), cases.empty_points(4)
    texts = [
        ptx(monkeypatch, cases.elementary, points),
        ptx(monkeypatch, cases.random_draws, cases.KEY, draws, 3.0),
    ]
    for text in texts:
        assert ".visible .entry" in text
        assert "fma.rn.f64" in text
        # everything is melted into one function; nothing comes from CUDA's own library of functions, and
        # divisions and roots are those of IEEE 754
        assert not re.search(r"\bcall\b", text)
        assert not re.search(r"(div|sqrt|rcp)\.approx", text)
