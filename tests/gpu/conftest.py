"""Devices that the kernel tests run on, and the kernels they run."""

import importlib.util
from pathlib import Path

import pytest

from gpu import device as gpu_device


@pytest.fixture(params=["cpu", "gpu"])
def device(request):
    """Each backend in turn; the GPU is skipped by name where there is none."""
    if request.param == "gpu":
        try:
            gpu_device.cuda_module()
        except gpu_device.DeviceError as missing:
            pytest.skip(f"gpu: {missing}")
    return request.param


@pytest.fixture(scope="session")
def cases():
    """The module of kernels in cases.py, which also runs as a script."""
    spec = importlib.util.spec_from_file_location("gpu_cases", Path(__file__).with_name("cases.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
