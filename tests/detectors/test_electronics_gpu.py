"""The steps of gains and waveforms become CUDA code; no GPU is asked."""

import importlib.util
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from detectors import digitizer, gain, islands
from detectors.shower import CRYSTALS
from detectors.windows import every_calorimeter, rows_of
from gm2sim import pulsefit
from gm2sim.calibration import Calibration
from gpu.kernel import Kernel
from tests.detectors.fills import CROWD, SHAPE, SHORT, pulse
from tests.detectors.showers import KEY


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    not all(map(_there, ("numba_cuda", "nvidia.cuda_nvcc", "nvidia.cuda_nvrtc"))),
    reason="the CUDA compiler is not installed: pip install numba-cuda nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12",
)


def ptx(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, *arguments: object) -> str:
    from numba import cuda
    from numba.cuda import dispatcher

    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(8, 0)))
    kernel._globals["cuda"] = cuda
    signature = (numba.int64, *(numba.typeof(argument) for argument in arguments))
    return cuda.compile_ptx(kernel._gpu_loop, signature, cc=(8, 0))[0]


def test_gains_waveforms_and_fits_become_cuda_code(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = CROWD.constants()
    gains, x, k = constants.gains(57344), np.zeros(3), np.zeros(3, np.int64)
    rows, blocks, touching = rows_of(every_calorimeter(0, 3), pulse(0, 0, 1.0, 1.0), SHORT, SHAPE)
    f, s = np.zeros(4, np.float32), np.zeros(4, np.int16)
    waves = pulsefit.Waveforms(s, k, k, x, k)
    for kernel, arguments in (
        (gain._apply_step, (k, k, x, x, x, gains, x)),
        (gain._undo_step, (k, k, x, x, gains, x)),
        (digitizer._pulses_step, (rows, blocks, touching, SHAPE, x, x, x, f, k, k, f, f)),
        (digitizer._samples_step, (k, f, f, KEY, np.float32(0), np.float32(1), s)),
        (digitizer.common_step, (k, 0, KEY, 1.0, f)),
        (islands._over_step, (islands._Pieces(k, k, k, k, k, k), s, s, np.zeros(CRYSTALS, bool))),
        (pulsefit.fit_pulses, (waves, Calibration.of(CROWD).templates, pulsefit.Found.empty(3))),
    ):
        assert ".visible .entry" in ptx(monkeypatch, kernel, *arguments)
