"""Devices: found or refused by name, never replaced by the CPU."""

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gpu import device as devices
from gpu import rng


@pytest.fixture
def no_numba_cuda(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)


@pytest.fixture
def two_gpus(monkeypatch):
    chosen = []
    fake = SimpleNamespace(select_device=chosen.append)
    found = [devices.Device(k, f"card {k}", 2**34, (9, 0)) for k in range(2)]
    monkeypatch.setattr(devices, "cuda_module", lambda: fake)
    monkeypatch.setattr(devices, "devices", lambda: found)
    return chosen


def test_a_missing_gpu_package_is_named_with_what_to_install(no_numba_cuda):
    with pytest.raises(devices.DeviceError, match=r"numba-cuda, which is not installed: .*gm2sim\[gpu-cu12\]"):
        devices.cuda_module()
    with pytest.raises(devices.DeviceError):
        rng._fill_uniforms(1, backend="gpu")
    assert devices.devices() == []


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed")
@pytest.mark.parametrize("asked", ["_driver_may_be_there", "_driver_finds_gpu"])
def test_a_missing_gpu_is_refused_in_one_sentence(monkeypatch, asked):
    monkeypatch.setattr(devices, "_driver_may_be_there", lambda: True)
    monkeypatch.setattr(devices, asked, lambda *_: False)
    with pytest.raises(devices.DeviceError, match="needs an NVIDIA GPU with its driver, and none was found"):
        devices.choose()


def test_a_gpu_is_looked_for_where_the_system_shows_one_or_another_driver_is_named(monkeypatch):
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.delenv("NUMBA_CUDA_DRIVER", raising=False)
    monkeypatch.setattr(devices.Path, "exists", lambda path: str(path) == "/dev/nvidiactl")
    assert devices._driver_may_be_there()
    monkeypatch.setattr(devices.Path, "exists", lambda path: False)
    assert not devices._driver_may_be_there()
    monkeypatch.setenv("NUMBA_CUDA_DRIVER", "/opt/libcuda.so")
    assert devices._driver_may_be_there()


def test_only_auto_may_choose(no_numba_cuda):
    assert devices.choose_backend("auto") == "cpu"
    assert devices.choose_backend("cpu") == "cpu"
    with pytest.raises(devices.DeviceError):
        devices.choose_backend("gpu")
    with pytest.raises(ValueError, match="'cuda' is not known: choose 'auto', 'cpu' or 'gpu'"):
        devices.choose_backend("cuda")


def test_ranks_go_round_the_gpus_of_a_machine(two_gpus):
    assert [devices.choose(rank).number for rank in range(4)] == [0, 1, 0, 1]
    assert two_gpus == [0, 1, 0, 1]
    assert devices.choose_backend("auto") == devices.choose_backend("gpu") == "gpu"
    assert devices.devices()[1].describe() == "GPU 1: card 1, 16 GiB, compute capability 9.0"


def test_the_ground_floor_stands_without_numba_cuda():
    program = (
        "import sys\nsys.modules['numba_cuda'] = None\n"
        "from gpu import rng, device\n"
        "sys.stdout.write(str(rng.uniforms(rng.FillKey(1, 2, 3, 4), 5, [6]).shape))\n"
        "assert 'numba.cuda' not in sys.modules\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stdout == "(2, 1)", process.stderr
