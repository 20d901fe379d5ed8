"""Measured maps for the tests of loaders and fits; tests that want one skip where it is absent."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def measured() -> Callable[[str], Path]:
    """Path of a measured map by file name, from the folder GM2SIM_DATA or ../shared/data."""
    folder = Path(os.environ.get("GM2SIM_DATA", _ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"measured map {name} is not in {folder}: set GM2SIM_DATA to its folder")
        return path

    return find
