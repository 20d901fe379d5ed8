"""Configuration: typos, bounds and provenance are caught before any work."""

import string
from importlib import resources

import pytest

from gm2sim.config import Config, ConfigError, load, presets, resolve
from gm2sim.config.check import flatten, known_keys


def test_every_preset_resolves_and_says_what_it_is():
    found = presets()
    assert {"ideal", "gasgun", "run1a", "run1b", "run1c", "run1d"} <= set(found)
    for name, description in found.items():
        assert description
        assert isinstance(load(name), Config)


def test_every_value_of_every_preset_has_a_source_beside_it():
    for name in presets():
        resolved = resolve(name)
        for key, origin in resolved.origin.items():
            assert key == "description" or key in resolved.note, f"{key} of {origin} has no source"


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_key_with_one_letter_changed_is_refused_with_the_nearest_name(name, tmp_path):
    text = (resources.files("gm2sim") / "presets" / f"{name}.toml").read_text("utf-8")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key = line.split("=")[0].strip() if "=" in line and not line.lstrip().startswith("#") else ""
        key = key or (line.strip()[1:-1] if line.startswith("[") else "")
        if not key:
            continue
        for place in {0, len(key) // 2, len(key) - 1}:
            letter = next(c for c in string.ascii_lowercase if c != key[place])
            typo = key[:place] + letter + key[place + 1 :]
            damaged = tmp_path / "typo.toml"
            damaged.write_text("\n".join([*lines[:number], line.replace(key, typo, 1), *lines[number + 1 :]]))
            with pytest.raises(ConfigError, match=typo) as caught:
                load(damaged)
            assert key in str(caught.value) or "valid names" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("quads.voltage_kv", -1.0, ["quads.voltage_kv", "-1", "greater than or equal to 0", "kV"]),
        ("run.fills", -3, ["run.fills", "-3", "greater than or equal to 1"]),
        ("beam.polarization", 1.5, ["beam.polarization", "1.5", "less than or equal to 1"]),
        ("magnet.map", "measured", ["magnet.map", "measured", "'uniform'"]),
        ("magnet.field_t", float("nan"), ["magnet.field_t", "finite"]),
        ("run.fills", "many", ["run.fills", "many", "integer"]),
        ("ring.collimators", ["full", "hlaf", "out", "out", "out"], ["ring.collimators", "'hlaf'", "'inner'", "'out'"]),
        ("ring.collimators", ["full"] * 4, ["ring.collimators", "4 words", "C1 to C5"]),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_limit_and_unit(key, value, words):
    with pytest.raises(ConfigError) as caught:
        load("ideal", {key: value})
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no preset 'run1e': did you mean 'run1"):
        load("run1e")


def test_a_file_extends_a_preset_and_remembers_where_each_value_comes_from(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "run1a"\n[quads]\nvoltage_kv = 17.0  # my study\n')
    resolved = resolve(mine, {"run.seed": "7"})
    assert resolved.config.quads.voltage_kv == 17.0
    assert resolved.config.run.seed == 7
    assert resolved.origin["quads.voltage_kv"] == f"file {mine}"
    assert resolved.note["quads.voltage_kv"] == "my study"
    assert resolved.origin["run.seed"] == "--set"
    assert resolved.origin["magnet.map"] == "preset run1a"


def test_extends_in_a_circle_is_refused(tmp_path):
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text('extends = "b.toml"\n')
    second.write_text('extends = "a.toml"\n')
    with pytest.raises(ConfigError, match="circle"):
        load(first)


@pytest.mark.parametrize("text", ["fills =", "[run]\nfills = 1\nfills = 2\n", "run = 3\n", "[run]\nfills = [1]\n"])
def test_a_malformed_file_gets_one_sentence(text, tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(broken)
    assert "\n" not in str(caught.value)


def test_the_resolved_configuration_fed_back_is_the_same(tmp_path):
    import tomli_w

    config = load("run1c", {"run.fills": 3, "run.subruns": 1})
    again = tmp_path / "again.toml"
    again.write_text(tomli_w.dumps(config.model_dump(mode="json")))
    assert load(again) == config
    assert load(again).hash == config.hash


def test_with_changes_one_value_and_checks_it():
    config = load("run1a")
    assert config.with_(quads__voltage_kv=18.0).quads.voltage_kv == 18.0
    with pytest.raises(ConfigError, match=r"did you mean 'quads\.voltage_kv'"):
        config.with_(quads__voltage_kb=18.0)


def test_every_key_has_a_description():
    assert set(flatten(Config().model_dump())) == set(known_keys(Config))
    assert all(known_keys(Config).values())


def test_importing_the_program_pulls_in_no_heavy_library(run_python):
    heavy = ("numba", "matplotlib", "h5py", "mpi4py", "scipy", "numpy", "pydantic")
    found = run_python("import sys, gm2sim; print(' '.join(sorted(sys.modules)))").split()
    assert not set(heavy) & set(found)


def test_the_printed_configuration_names_every_source_and_reads_back(tmp_path):
    resolved = resolve("run1b", {"quads.voltage_kv": "20.0"})
    printed = tmp_path / "printed.toml"
    printed.write_text("\n".join(resolved.lines()))
    assert load(printed) == resolved.config
    assert len([line for line in resolved.lines() if " # " in line]) == len(known_keys(Config))
    assert any(line.startswith("voltage_kv = 20.0") and "# --set: " in line for line in resolved.lines())
