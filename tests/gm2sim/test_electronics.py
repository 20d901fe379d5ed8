"""Switches of the electronics: what they look up, what they leave alone, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from detectors.sipm import SipmSettings, pulse_shape
from gm2sim.conditions import (
    CALORIMETER_FOLDERS,
    FOLDERS,
    BuiltinConditions,
    ConditionsError,
    FileConditions,
    calorimeter_constants,
    require,
    write_conditions,
)
from gm2sim.config import Config, ConfigError, load
from gm2sim.electronics import at_time, calorimeter_folders, calorimeter_settings, middle_of, waveform_channels

SWITCHES = {
    "sipm.gain_sag": "infill_gain",
    "sipm.double_pulse": "stdp",
    "sipm.temperature": "oof_correction",
    "sipm.light_yields": "light_yield",
    "detectors.templates": "pulse_template",
    "detectors.time_alignment": "time_alignment",
    "detectors.channel_status": "channel_status",
}
NO_LASER = {"laser.sync": False, "laser.in_fill_every": 0, "laser.fill_every": 0}
OFF = dict.fromkeys(SWITCHES, False) | NO_LASER


def config() -> Config:
    """Nothing on."""
    return load("ideal", OFF)


def of_folders(path: Path, names: tuple[str, ...]) -> FileConditions:
    """A file that holds some folders only."""
    write_conditions(BuiltinConditions(calorimeter_settings(config())), path, "some", force=True)
    text = path.read_text()
    for name in set(FOLDERS) - set(names):
        text = re.sub(rf'\[\[folders\.{name}\]\].*?""".*?"""\n', "", text, flags=re.DOTALL)
    path.write_text(text)
    return FileConditions(path)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_the_constants_of_its_folder_alone(switch: str) -> None:
    plain, on = calorimeter_settings(config()), calorimeter_settings(load("ideal", OFF | {switch: True}))
    tables = [BuiltinConditions(settings) for settings in (plain, on)]
    for name, folder in FOLDERS.items():
        same = all(np.array_equal(*(t.table(name, 1)[column.name] for t in tables)) for column in folder.columns)
        assert same == (name != SWITCHES[switch]), name
    assert calorimeter_folders(load("ideal", OFF | {switch: True})) == (*CALORIMETER_FOLDERS, SWITCHES[switch])


def test_a_file_without_the_new_folders_works_while_the_effects_are_off(tmp_path: Path) -> None:
    conditions = of_folders(tmp_path / "old.toml", CALORIMETER_FOLDERS)
    off = config()
    require(conditions, calorimeter_folders(off), 7, 3)
    settings = calorimeter_settings(off)
    found = calorimeter_constants(conditions, 7, settings=settings, folders=calorimeter_folders(off))
    for mine, drawn in zip(found, settings.constants(), strict=True):
        np.testing.assert_allclose(mine, drawn, rtol=1e-14)


@pytest.mark.parametrize("switch", SWITCHES)
def test_an_effect_without_its_folder_is_named_with_the_run(tmp_path: Path, switch: str) -> None:
    others = tuple(name for name in FOLDERS if name != SWITCHES[switch])
    conditions = of_folders(tmp_path / "short.toml", others)
    on = load("ideal", OFF | {switch: True})
    with pytest.raises(ConditionsError) as refused:
        require(conditions, calorimeter_folders(on), 15921, 2)
    message = str(refused.value)
    assert "\n" not in message
    for word in ("short.toml", SWITCHES[switch], "run 15921", "gm2sim conditions write"):
        assert word in message


def test_a_status_is_a_whole_number(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    of_folders(path, ("channel_status",))
    path.write_text(path.read_text().replace("\n3,17,0.0,1.0", "\n3,17,0.5,1.0"))
    with pytest.raises(ConditionsError, match=r"status = 0.5 of calonum 3 xtalnum 17 .* whole numbers from 0 to 2$"):
        FileConditions(path)


def test_temperature_is_looked_up_for_each_subrun_and_written_for_each(tmp_path: Path) -> None:
    warm = load("ideal", OFF | {
        "sipm.temperature": True, "sipm.drift_k_per_hour": 5.0, "run.fills": 4000, "run.subruns": 4, "run.run": 9,
    })  # fmt: skip
    settings = calorimeter_settings(warm)
    conditions = BuiltinConditions(settings, lambda subrun: middle_of(warm, subrun))
    require(conditions, calorimeter_folders(warm), 9, 4)
    path = tmp_path / "warm.toml"
    write_conditions(conditions, path, "warm", run=9, subruns=4)
    written = FileConditions(path)
    gains = []
    for subrun in range(4):
        gain = conditions.table("oof_correction", 9, subrun)["gain"]
        np.testing.assert_array_equal(written.table("oof_correction", 9, subrun)["gain"], gain)
        gains.append(gain.mean())
    # 1000 fills at 11.4 Hz: 87.5 s of 5 K an hour, -4 % a kelvin; the day swings by 0.3 K 2 pi 87.5/86400
    kelvin = 5.0 * 87.5 / 3600.0 + 0.3 * 2 * np.pi * 87.5 / 86400.0
    np.testing.assert_allclose(np.diff(gains), -0.04 * kelvin, rtol=0.02)


def test_within_a_subrun_the_gain_drifts_on_and_is_that_of_the_conditions_in_its_middle() -> None:
    warm = load("ideal", OFF | {"sipm.temperature": True, "sipm.drift_k_per_hour": 5.0})
    settings = calorimeter_settings(warm)
    constants = settings.constants(settings.gain.kelvin(100.0))
    assert at_time(constants, settings.gain, 100.0, 100.0) is constants
    later = at_time(constants, settings.gain, 100.0, 136.0)
    change = -0.04 * (settings.gain.kelvin(136.0) - settings.gain.kelvin(100.0))
    np.testing.assert_allclose(later.out_of_fill / constants.out_of_fill - 1.0, change, rtol=1e-9)


def test_channels_of_whole_waveforms_are_those_asked_for() -> None:
    asked = load("ideal", {
        "daq.waveform_channels": ["7:30", "1:0", "24:53"], "daq.waveform_prescale": 10,
        "daq.waveform_calorimeters": [7],
    })  # fmt: skip
    assert waveform_channels(asked, 3).tolist() == [0, 6 * 54 + 30, 1295]
    assert waveform_channels(asked, 20).tolist() == [0, *range(6 * 54, 7 * 54), 1295]
    assert waveform_channels(load("ideal"), 0).size == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"daq.waveform_channels": ["25:3"]}, "there is no channel '25:3'"),
        ({"daq.waveform_channels": ["3:54"]}, "there is no channel '3:54'"),
        ({"daq.waveform_channels": ["3-4"]}, "waveform_channels"),
        ({"daq.waveform_prescale": 5}, "waveform_prescale without daq.waveform_calorimeters"),
    ],
)
def test_impossible_channels_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load("ideal", given)


def test_an_average_pulse_becomes_the_shape_of_all_channels(tmp_path: Path) -> None:
    path = tmp_path / "pulse.txt"
    time = np.arange(-5.0, 40.0, 0.05)
    shape = pulse_shape(1e-9 * time, SipmSettings(rise_time=1.0e-9, fall_time=2.0e-9))
    np.savetxt(path, np.transpose([time, shape / shape.max()]))
    settings = calorimeter_settings(load("ideal", {"detectors.template_file": str(path)}))
    assert settings.sipm.rise_time == pytest.approx(1.0e-9, rel=0.01)
    assert settings.sipm.fall_time == pytest.approx(2.0e-9, rel=0.01)
    plain = SipmSettings()
    assert settings.sipm.laser_rise_time / settings.sipm.rise_time == pytest.approx(
        plain.laser_rise_time / plain.rise_time
    )
    with pytest.raises(ConfigError, match=r"detectors.template_file: cannot read the average pulse"):
        calorimeter_settings(load("ideal", {"detectors.template_file": str(tmp_path / "none.txt")}))
