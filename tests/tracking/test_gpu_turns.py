"""The CUDA loop over turns: on the simulator against the CPU loop, and as PTX."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from tracking.marks import make_marks
from tracking.runner import runner
from tracking.state import Samples
from tracking.turns import _from_bunch, _matter

CASE = Path(__file__).with_name("gpu_case.py")
ROOT = CASE.parents[2]
needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed (extra gpu-cu12)"
)
needs_toolkit = pytest.mark.skipif(
    any(importlib.util.find_spec(f"nvidia.{part}") is None for part in ("cuda_nvcc", "cuda_nvrtc"))
    if importlib.util.find_spec("nvidia")
    else True,
    reason="the CUDA compiler is not installed: pip install nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12",
)


def _run(backend: str, case: str, **environment: str) -> dict[str, np.ndarray]:
    done = subprocess.run(
        [sys.executable, str(CASE), backend, case],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {name: np.array(column) for name, column in json.loads(done.stdout).items()}


@needs_numba_cuda
@pytest.mark.parametrize("case", ["static", "kicked"])
def test_cuda_loop_gives_the_numbers_of_the_cpu_loop(case: str) -> None:
    on_gpu = _run("gpu", case, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    for name, expected in _run("cpu", case).items():
        if expected.dtype.kind in "ib":
            assert np.array_equal(on_gpu[name], expected), name
        else:
            # The simulator is plain Python: it fuses no multiply-adds. Three turns of 35 stations, each rounds
            # by 1e-16 of coordinates below 1 (spin) or 0.05 m.
            np.testing.assert_allclose(on_gpu[name], expected, rtol=1e-13, atol=1e-14, err_msg=name)
    if case == "static":
        assert sorted(on_gpu["state"]) == [0, 0, 1, 2]
    else:
        assert on_gpu["crossings"].max() > 0
        assert on_gpu["crossed_path"].size > 0


@needs_numba_cuda
@needs_toolkit
def test_cuda_loop_becomes_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the kicked ring: it has every kind of station, those of a ring without kickers among them."""
    from numba import cuda
    from numba.cuda import dispatcher

    spec = importlib.util.spec_from_file_location("gpu_case", CASE)
    case = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(case)
    monkeypatch.setattr("tracking.runner.cuda_module", lambda: cuda)
    # private name of numba-cuda: device functions ask the driver which device they are for
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(8, 0)))
    tables = case.kicked_tables()
    assert {*tables.options._replace(pulsed=-1).kinds} < {*tables.options.kinds}
    kernel = runner(tables.options).on_gpu
    kernel._globals["cuda"] = cuda
    sample = Samples(1, np.zeros((8, 1, 3, 4)), np.zeros((1, 3, 4), bool), np.zeros((1, 1, 4, 5), np.int64), 0)
    arguments = (
        _from_bunch(case.bunch(), tables), np.arange(4), 0, 3, 3,
        tables.stations, tables.parameters, make_marks(tables, [0.9]), _matter(None, tables), sample,
    )  # fmt: skip
    signature = (numba.int64, *(numba.typeof(argument) for argument in arguments))
    text = cuda.compile_ptx(kernel._gpu_loop, signature, cc=(8, 0))[0]
    assert ".visible .entry" in text
    assert "fma.rn.f64" in text
    assert re.search(r"atom\S*\.add", text)
    assert not re.search(r"(div|sqrt|rcp)\.approx", text)
