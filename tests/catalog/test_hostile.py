"""Hostile texts in every field: kept as they are or refused in one sentence, never obeyed by database or terminal."""

import json
from collections.abc import Callable
from pathlib import Path
from unicodedata import category

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, inspect

from gm2sim.__main__ import main
from gm2sim.catalog import (
    CatalogError,
    FileRecord,
    QueryError,
    Settings,
    ancestors,
    count,
    declare,
    define,
    list_definitions,
    names,
    page,
    retire,
    snapshot,
)
from gm2sim.catalog import (
    record as find,
)
from gm2sim.catalog.record import checked
from gm2sim.catalog.syntax import Compare
from gm2sim.text import visible

Make = Callable[..., FileRecord]
# One to a line would be a page; the sorts are SQL, HTML, markup, templates, shell, paths, NUL and escapes, marks of
# direction, halves of characters, length, quotes, words with a meaning.
HOSTILE = (
    "'; DROP TABLE catalog_files; --", '" OR 1=1 --', "%27%20OR", "Robert'); DELETE FROM catalog_files WHERE ('1'='1",
    "<script>alert(1)</script>", "[red]x[/red]", "[link=file:///etc/passwd]x[/link]", ":bomb:", "{{7*7}}", "${jndi:x}",
    "$(touch hacked)", "`touch hacked`", "; touch hacked", "| touch hacked", "-rf", "--db=/etc/passwd",
    "../../etc/passwd", "/etc/passwd", "..", "con", "\0", "a\0b", "\x1b[2J\x1b]0;title\x07", "\x9b31m",
    "\r\nSet-Cookie: x", "\u202egpj.exe", "\u2066x\u2069", "\u200b", "\ufeff", "ï¿½", "\ud800", "x" * 65536,
    "é" * 65536, "%" * 300, "\\", "\\'", "'", '"', "\t", "NULL", "nan", "1e999", "true", "gm2pro_daq_raw_run3",
    "gm2sim_x'; --", "\U0001f4a9" * 64,
)  # fmt: skip
PLACES = (
    "name", "campaign", "owner", "tier", "format", "sha256", "crc32c", "status", "description", "folder", "parent",
    "version", "config_hash", "preset", "conditions",
)  # fmt: skip


def put(record: FileRecord, place: str, text: str) -> FileRecord:
    if place in Settings._fields:
        return record._replace(settings=record.settings._replace(**{place: text}))
    if place in ("folder", "parent"):
        return record._replace(**{f"{place}s": (text if place == "parent" else f"/{text}",)})
    return record._replace(**{place: text})


def refusal(action: Callable[[], object]) -> str:
    """What an action is refused with, which has to be one sentence; empty when it is done."""
    try:
        action()
    except CatalogError as err:
        lines = str(err).split("\n")
        good = all(visible(line, lines=False) == line for line in lines) and len(lines) == (
            3 if isinstance(err, QueryError) else 1
        )
        return str(err) if good else pytest.fail(f"not one sentence: {err!r}")
    return ""


def test_hostile_texts_are_given_back_or_refused(catalog: Engine, record: Make) -> None:
    tables = set(inspect(catalog).get_table_names())
    wanted, places = [], 0
    for number, text in enumerate(HOSTILE):
        one = record(f"f{number}.mid", run=None, subrun=None, campaign=f"gm2sim_{number}")
        for place in PLACES:
            changed = put(one, place, text)
            if place != "parent" and not refusal(lambda changed=changed: checked(changed)):
                one, places = changed, places + 1
        wanted.append(one)
    assert places > 200
    declare(catalog, wanted)
    with catalog.connect() as connection:
        assert [find(connection, one.name) for one in wanted] == wanted
        for one in wanted:
            values = {"name": one.name, "campaign": one.campaign, "description": one.description,
                      "folder": one.folders[0], **one.settings._asdict()}  # fmt: skip
            for field in values.keys() - {"seed"}:
                assert one.name in names(connection, str(Compare(field, "=", values[field])))
        assert count(connection, "status in (good, bad, retired)")[0] == len(wanted)
    assert set(inspect(catalog).get_table_names()) == tables


def test_no_request_to_the_catalogue_obeys_a_text(catalog: Engine, record: Make) -> None:
    declare(catalog, [record()])
    tables = set(inspect(catalog).get_table_names())

    def ask(text: str) -> None:
        with catalog.connect() as connection:
            refusal(lambda: names(connection, text))
            refusal(lambda: names(connection, f"name = '{text}'"))
            refusal(lambda: names(connection, f"defname: {text}"))
            refusal(lambda: names(connection, f"description like '{text}'"))
            refusal(lambda: page(connection, "run > 5", 5, text))
            refusal(lambda: ancestors(connection, text))

    def act(text: str) -> None:
        refusal(lambda: define(catalog, text, "run > 5", "alice"))
        refusal(lambda: define(catalog, f"gm2sim_{text}", "run > 5", "alice"))
        refusal(lambda: define(catalog, f"gm2sim_{HOSTILE.index(text)}", "run > 5", text, text))
        refusal(lambda: snapshot(catalog, text, text))
        refusal(lambda: retire(catalog, [text], text, text))

    for text in HOSTILE:
        ask(text)
        act(text)
    assert set(inspect(catalog).get_table_names()) == tables
    assert all(one["name"].startswith("gm2sim_") for one in list_definitions(catalog))
    with catalog.connect() as connection:
        assert names(connection, "name like %") == [record().name]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=200))
def test_what_is_printed_steers_no_terminal(text: str) -> None:
    shown = visible(text, lines=False)
    assert not {category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert all(letter in shown for letter in text if letter.isprintable())
    assert visible(text).replace("\n", r"\n").replace("\t", r"\t") == shown


@pytest.fixture
def hostile_run(tmp_path: Path, write_run: Callable[..., None]) -> Path:
    """A run whose metadata hold escapes of the terminal, markup and marks of direction."""
    folder = tmp_path / "run\x1b[2J[bold]"
    write_run(folder, subruns=1)
    path = folder / "gm2_run15921_00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"preset": "\x1b]0;x\x07[red]a[/red]\u202eb"}))
    return folder


def test_the_terminal_shows_texts_as_they_are(
    hostile_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GM2SIM_CATALOG", str(tmp_path / "c.sqlite"))

    def gm2sim(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["catalog", *arguments])
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out + said.err

    raw = "gm2_run15921_00000.mid"
    assert gm2sim("init")[0] == 0
    assert gm2sim("declare", str(hostile_run), "--campaign", "gm2sim_x")[0] == 0
    for arguments in (["show", raw], ["locate", raw], ["query", "run > 5"], ["verify"], ["query", "run = '\x1b[2J'"],
                      ["define", "gm2pro_daq_\x1b[2J", "run > 5"], ["declare", "/absent\x1b[2J"]):  # fmt: skip
        code, said = gm2sim(*arguments)
        assert code in (0, 2)
        assert not any(letter in said for letter in "\x1b\x07\u202e"), arguments
    assert "[red]a[/red]" in gm2sim("show", raw)[1]
    assert "run\\x1b[2J[bold]" in gm2sim("locate", raw)[1]
