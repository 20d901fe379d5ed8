"""Constants by run and subrun: files read back, intervals hold, mistakes are named, the reconstruction undoes them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.digitizer import DigitizerSettings
from detectors.gain import GainSettings
from detectors.straw_constants import straw_constants
from gm2sim.conditions import (
    FOLDERS,
    BuiltinConditions,
    Conditions,
    ConditionsError,
    FileConditions,
    Interval,
    Table,
    calorimeter_constants,
    require,
    write_conditions,
)
from gm2sim.conditions.calorimeter import as_columns
from gm2sim.conditions.interval import WITHOUT_END, Subrun, Validity
from gm2sim.conditions.show import channels, overview
from gm2sim.conditions.trackers import straw_columns
from tests.gm2sim.condition_files import entry, gain_text, gm2sim

Floats = NDArray[np.float64]
SHAPE = (24, 54)
ALL_ON = CalorimeterSettings(gain=GainSettings(sag=True, double_pulse=True, temperature=True))


class Given:
    """Conditions of two arrays, for all runs."""

    version = "given"

    def __init__(self, gain: Floats, pedestal: Floats) -> None:
        changed = {"counts_per_gev": gain, "pedestal": pedestal, "even_odd": 0.5 * np.sign(pedestal)}
        self._columns = as_columns(ALL_ON.constants(1.0)._replace(**changed)) | straw_columns(straw_constants())

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        return Interval((1, 0), (WITHOUT_END, WITHOUT_END))

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        return Table.of(FOLDERS[folder], self.interval(folder, run), self._columns[folder])


HEAD = 'format = "gm2sim conditions 1"\ntag = "test"\n'
GAIN = gain_text(np.full(SHAPE, 600.0))
GOOD = HEAD + entry("calo_gain", GAIN, "1")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], FileConditions]:
    def from_text(text: str) -> FileConditions:
        path = tmp_path / "my.toml"
        path.write_text(text, "utf-8")
        return FileConditions(path)

    return from_text


# --- built in, and round trips


def test_built_in_constants_are_those_that_the_digitiser_draws_for_every_run() -> None:
    settings = CalorimeterSettings(digitizer=DigitizerSettings(gain_spread=0.1))
    drawn = settings.constants()
    for at in ((1, 0), (15921, 7), (2**24 - 1, 99_999)):
        for name, mine, theirs in zip(
            drawn._fields, calorimeter_constants(BuiltinConditions(settings), *at), drawn, strict=True
        ):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)


def test_tables_cannot_be_written_to() -> None:
    table = BuiltinConditions(CalorimeterSettings()).table("calo_gain", 1)
    with pytest.raises(ValueError, match="read-only"):
        table["counts_per_gev"][0, 0] = 1.0


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    odd=st.floats(1.0, 1e5),
    low=st.floats(-4096.0, 4096.0),
)
def test_a_written_file_reads_back_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, seed: int, odd: float, low: float
) -> None:
    rng = np.random.default_rng(seed)
    gain, pedestal = rng.uniform(1.0, 1e5, SHAPE), rng.uniform(-4096.0, 4096.0, SHAPE)
    gain[3, 17], pedestal[23, 53] = odd, low
    made: Conditions = Given(gain, pedestal)
    path = tmp_path_factory.mktemp("conditions") / "c.toml"
    write_conditions(made, path, 'a "tag"')
    found = FileConditions(path)
    assert found.tag == 'a "tag"'
    for folder, layout in FOLDERS.items():
        for column in layout.columns:
            expected = made.table(folder, 5, 3)[column.name]
            np.testing.assert_array_equal(found.table(folder, 5, 3)[column.name], expected)


def test_rows_may_come_in_any_order_with_comments_between(read: Callable[[str], FileConditions]) -> None:
    gain = np.arange(1296.0).reshape(SHAPE) + 100.0
    header, *rows = gain_text(gain).splitlines()
    np.random.default_rng(1).shuffle(rows)
    found = read(HEAD + entry("calo_gain", "\n".join([header, "# swapped", *rows, ""]), "1")).table("calo_gain", 1)
    np.testing.assert_array_equal(found["counts_per_gev"], gain)


def test_version_changes_with_any_constant(read: Callable[[str], FileConditions]) -> None:
    one = read(GOOD).version
    assert one == read(GOOD).version
    assert one != read(GOOD.replace("7,31,600.0", "7,31,600.1")).version


# --- intervals


subruns = st.tuples(st.integers(1, 6), st.integers(0, 4))


@given(st.lists(st.tuples(subruns, st.none() | subruns), max_size=5), subruns)
def test_intervals_hold_what_they_say_and_never_two_at_once(
    spans: list[tuple[Subrun, Subrun | None]], at: Subrun
) -> None:
    def holds(k: int) -> bool:
        first, last = spans[k]
        begun = first <= at
        if last is not None:
            return begun and at <= last
        return begun and not any(first < other <= at for other, _ in spans)

    firsts = [first for first, _ in spans]
    backwards = any(last is not None and last < first for first, last in spans)
    overlapping = len(set(firsts)) < len(firsts) or any(
        last is not None and any(first < other <= last for other in firsts) for first, last in spans
    )
    if backwards or overlapping:
        with pytest.raises(ValueError, match=r"overlaps|before it begins|two intervals begin"):
            Validity(spans)
        return
    validity = Validity(spans)
    found = validity.find(*at)
    assert [k for k in range(len(spans)) if holds(k)] == ([] if found is None else [found])
    if found is not None:
        assert validity.intervals[found].first <= at <= validity.intervals[found].last


def test_each_subrun_gets_the_table_of_its_interval(read: Callable[[str], FileConditions]) -> None:
    text = HEAD + entry("calo_gain", gain_text(np.full(SHAPE, 500.0)), "[7, 2]", "8")
    text += entry("calo_gain", GAIN, "5", "[7, 1]") + entry("calo_gain", gain_text(np.full(SHAPE, 700.0)), "9")
    conditions = read(text)
    for at, expected in (
        ((5, 0), 600), ((6, 4000), 600), ((7, 1), 600), ((7, 2), 500), ((8, 9), 500), ((9, 0), 700), ((10**6, 1), 700),
    ):  # fmt: skip
        assert conditions.table("calo_gain", *at)["counts_per_gev"][0, 0] == expected
    require(conditions, ("calo_gain",), 7, 100_000)
    with pytest.raises(ConditionsError, match=r"no calo_gain for run 4 subrun 0.*5\.0 to 7\.1"):
        conditions.table("calo_gain", 4)


def test_a_gap_is_found_before_the_run_begins(read: Callable[[str], FileConditions]) -> None:
    conditions = read(HEAD + entry("calo_gain", GAIN, "3", "[3, 5]") + entry("calo_gain", GAIN, "[3, 7]"))
    require(conditions, ("calo_gain",), 3, 6)
    with pytest.raises(ConditionsError, match=r"run 3 subrun 6.*3\.0 to 3\.5 and from 3\.7 on"):
        require(conditions, ("calo_gain",), 3, 20)


# --- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("3,17,600.0", "3,17,-600.0"), ("counts_per_gev = -600 of calonum 3 xtalnum 17", "1 to 100000 counts/GeV")),
        (("3,17,600.0", "3,17,nan"), ("counts_per_gev = nan of calonum 3 xtalnum 17", "out of bounds")),
        (("3,17,600.0", "3,17,inf"), ("counts_per_gev = inf of calonum 3 xtalnum 17", "out of bounds")),
        (("3,17,600.0", "3,17,six"), ("row 126", "'six' is no number")),
        (("3,17,600.0", "3,17"), ("row 126", "2 numbers", "3 names")),
        (("3,17,600.0\n", ""), ("1295 channels", "1296", "calonum 3 xtalnum 17 is missing")),
        (("3,17,600.0", "3,16,600.0"), ("calonum 3 xtalnum 16 comes twice",)),
        (("3,17,600.0", "25,17,600.0"), ("calonum = 25", "row 126", "1 to 24")),
        (("3,17,600.0", "3,54,600.0"), ("xtalnum = 54", "0 to 53")),
        (("3,17,600.0", "3,17.5,600.0"), ("xtalnum = 17.5", "does not exist")),
        (("[counts/GeV]", "[counts/MeV]"), ("'counts/MeV'", "write counts_per_gev [counts/GeV]")),
        ((" [counts/GeV]", ""), ("no unit", "counts_per_gev [counts/GeV]")),
        (("counts_per_gev", "counts_per_mev"), ("counts_per_mev", "did you mean 'counts_per_gev'")),
        (("calonum,xtalnum", "calonum,calonum"), ("'calonum' comes twice",)),
        (("[[folders.calo_gain]]", "[[folders.calo_gian]]"), ("unknown folder 'calo_gian'", "'calo_gain'")),
        (("first = 1", 'first = "1.0"'), ("first = '1.0'", "[run, subrun]")),
        (("first = 1", "first = [1, 2, 3]"), ("first = [1, 2, 3]", "[run, subrun]")),
        (("first = 1", "first = true"), ("first = True", "[run, subrun]")),
        (("first = 1", "first = 3\nlast = 2"), ("calo_gain", "3.0 to 2.end", "ends before it begins")),
        (("first = 1", "firts = 1"), ("first is missing",)),
        (("first = 1", "first = 1\nlst = 2"), ("lst", "did you mean 'last'")),
        (('tag = "test"\n', ""), ("tag is missing",)),
        (("conditions 1", "conditions 7"), ("format = 'gm2sim conditions 7'", "'gm2sim conditions 1'")),
        (("tag =", "tag"), ("not valid TOML",)),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_one_sentence(
    read: Callable[[str], FileConditions], change: tuple[str, str], words: tuple[str, ...]
) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConditionsError) as refused:
        read(GOOD.replace(*change, 1))
    message = str(refused.value)
    assert "\n" not in message
    for word in ("my.toml", *words):
        assert word in message


def test_overlapping_intervals_are_named(read: Callable[[str], FileConditions]) -> None:
    text = HEAD + entry("calo_gain", GAIN, "1", "[2, 3]") + entry("calo_gain", GAIN, "[2, 3]")
    with pytest.raises(ConditionsError, match=r"calo_gain in .*my\.toml.*1\.0 to 2\.3 overlaps.*2\.3"):
        read(text)


def test_a_folder_that_is_missing_is_named_with_the_run(read: Callable[[str], FileConditions]) -> None:
    conditions = read(GOOD)
    with pytest.raises(ConditionsError, match=r"my\.toml.*calo_pedestal, which run 15921 needs.*conditions write"):
        calorimeter_constants(conditions, 15921)
    for known in (conditions, BuiltinConditions(CalorimeterSettings())):
        with pytest.raises(ConditionsError, match="no folder of conditions 'calo_gian': did you mean 'calo_gain'"):
            known.table("calo_gian", 1)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConditionsError, match=r"no conditions file '.*none\.toml'"):
        FileConditions(tmp_path / "none.toml")
    with pytest.raises(ConditionsError, match="cannot read the conditions file"):
        FileConditions(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConditionsError, match=r"bytes\.toml' is not valid TOML"):
        FileConditions(tmp_path / "bytes.toml")


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), letter=st.sampled_from('0a[]",\n=-.#e'))
def test_a_damaged_file_is_read_or_refused_but_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, place: int, letter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_text(GOOD[:place] + letter + GOOD[place + 1 :], "utf-8")
    try:
        gain = FileConditions(path).table("calo_gain", 2**24 - 1)["counts_per_gev"]
    except ConditionsError as err:
        refused = str(err)
        assert "\n" not in refused
    else:
        assert np.isfinite(gain).all()
        assert gain.shape == SHAPE


# --- commands


def test_show_lists_folders_and_channels(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = str(tmp_path / "c.toml")
    assert gm2sim("conditions", "write", "run1a", "--out", path) == 0
    capsys.readouterr()
    for source in ((), ("--set", f"conditions.file={path}")):
        assert gm2sim("conditions", "show", "run1a", "--run", "7", "--json", *source) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["column"] for row in rows][:3] == ["counts_per_gev", "pedestal", "even_odd"]
        # Mean of 1296 channels whose spread is 17 %: 0.5 % of 612.
        assert rows[0]["mean"] == pytest.approx(612.0, abs=5 * 612 * 0.17 / 36)
        assert gm2sim("conditions", "show", "run1a", "--folder", "calo_gain", "--json", *source) == 0
        rows = json.loads(capsys.readouterr().out)
        assert len(rows) == 1296
        assert list(rows[0]) == ["calonum", "xtalnum", "counts_per_gev [counts/GeV]"]
        assert (rows[54]["calonum"], rows[54]["xtalnum"]) == (2, 0)
    assert gm2sim("conditions", "show", "run1a") == 0
    out = capsys.readouterr().out
    assert "calo_gain" in out
    assert "calo_pedestal" in out
    Path(path).write_text(Path(path).read_text().replace("run1a built in", "[/red]"))
    assert gm2sim("conditions", "show", "run1a", "--folder", "calo_gain", "--set", f"conditions.file={path}") == 0
    out = capsys.readouterr().out
    assert "[/red]" in out
    assert "counts_per_gev [counts/GeV]" in out


def test_rows_for_people_are_those_of_the_table() -> None:
    known = BuiltinConditions(CalorimeterSettings())
    table = known.table("calo_gain", 1)["counts_per_gev"]
    assert overview(known, 1)[0]["lowest"] == table.min()
    assert [row["counts_per_gev [counts/GeV]"] for row in channels(known, "calo_gain", 1)] == table.ravel().tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("conditions", "show", "run1a", "--folder", "calo_gian"), ("calo_gian", "calo_gain")),
        (("conditions", "show", "run1a", "--set", "conditions.file=none.toml"), ("none.toml",)),
        (("conditions", "write", "run1a", "--out", "{tmp}/there.toml"), ("there.toml", "--force")),
        (("conditions", "write", "run1a", "--out", "{tmp}/no/such.toml"), ("no folder", "--out")),
        (("conditions", "show", "run1a", "--run", "0"), ("run.run", "--run")),
        (("run", "gasgun", "--set", "conditions.file={tmp}/there.toml", "--out", "{tmp}/o"), ("there.toml", "TOML")),
        (
            ("run", "gasgun", "--subruns", "3", "--set", "conditions.file={tmp}/gap.toml", "--out", "{tmp}/o"),
            ("gap.toml", "calo_gain", "run 1 subrun 2"),
        ),
    ],
)
def test_a_wrong_request_ends_with_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "there.toml").write_text("gasgun")
    (tmp_path / "gap.toml").write_text(HEAD + entry("calo_gain", GAIN, "1", "[1, 1]"))
    assert gm2sim(*(word.replace("{tmp}", str(tmp_path)) for word in arguments)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("gm2sim: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    assert (tmp_path / "there.toml").read_text() == "gasgun"
    assert not (tmp_path / "o").exists()
