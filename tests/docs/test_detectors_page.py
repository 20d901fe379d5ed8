"""The page of the detectors names every switch, and its pictures are there and made by the script."""

import ast
import re
from pathlib import Path
from typing import get_origin

import pytest
from pydantic.fields import FieldInfo

from gm2sim.conditions import FOLDERS
from gm2sim.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "detectors.md").read_text("utf-8")
PICTURES = ROOT / "docs" / "images" / "detectors"
SECTIONS = ("transport", "shower", "sipm", "detectors", "straws", "laser", "monitors")
WHERE = {"injection_sample"}  # a place in the fill, and 0 one like all others


def is_switch(field: FieldInfo) -> bool:
    """Whether a setting is on or off, or has a number of which 0 is none."""
    of_numbers = any(getattr(bound, "ge", None) == 0 for bound in field.metadata)
    return field.annotation is bool or of_numbers or get_origin(field.annotation) is not None or field.default == 0.0


def switches() -> list[str]:
    """Full names of all switches of the detectors."""
    config = Config()
    return [
        f"{section}.{name}"
        for section in SECTIONS
        for name, field in type(getattr(config, section)).model_fields.items()
        if is_switch(field) and name not in WHERE
    ]


def makers() -> set[str]:
    """Functions of the script that are marked as makers of a picture."""
    return {
        one.name
        for path in PICTURES.glob("*.py")
        for one in ast.parse(path.read_text("utf-8")).body
        if isinstance(one, ast.FunctionDef)
        and any(isinstance(mark, ast.Name) and mark.id == "picture" for mark in one.decorator_list)
    }


@pytest.mark.parametrize("name", switches())
def test_every_switch_is_named_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_table_names_no_setting_that_does_not_exist() -> None:
    config = Config()
    named = re.findall(r"`(\w+)\.(\w+)`", PAGE.partition("## All switches")[2].partition("\n## ")[0])
    unknown = [f"{one}.{two}" for one, two in named if not hasattr(getattr(config, one), two)]
    assert unknown == []


def test_every_folder_of_conditions_is_named_on_the_page() -> None:
    assert [name for name in FOLDERS if f"`{name}`" not in PAGE] == []


def test_every_picture_shown_exists_is_small_and_is_made_by_the_script() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(images/detectors/(\w+)\.png\)", PAGE)
    assert {name for _, name in shown} == makers()
    assert all(alternative for alternative, _ in shown)
    sizes = [(PICTURES / f"{name}.png").stat().st_size for _, name in shown]
    assert max(sizes) < 150_000
    assert sum(sizes) < 2_000_000
