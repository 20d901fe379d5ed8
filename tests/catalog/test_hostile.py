"""Hostile texts in every field: kept as they are or refused in one sentence, never obeyed by database or terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, inspect

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
    printable,
    retire,
    snapshot,
)
from gm2sim.catalog import (
    record as find,
)
from gm2sim.catalog.syntax import Compare

Make = Callable[..., FileRecord]
HOSTILE = (
    "'; DROP TABLE catalog_files; --", '" OR 1=1 --', "%27%20OR", "Robert'); DELETE FROM catalog_files WHERE ('1'='1",
    "<script>alert(1)</script>", "[red]x[/red]", "[link=file:///etc/passwd]x[/link]", ":bomb:", "{{7*7}}", "${jndi:x}",
    "$(touch hacked)", "`touch hacked`", "; touch hacked", "| touch hacked", "-rf", "--db=/etc/passwd", "../../etc/passwd",
    "/etc/passwd", "..", "con", "\0", "a\0b", "\x1b[2J\x1b]0;title\x07", "\x9b31m", "\r\nSet-Cookie: x", "\u202egpj.exe",
    "\u2066x\u2069", "\u200b", "\ufeff", "ï¿½", "\ud800", "x" * 65536, "é" * 65536, "%" * 300, "\\", "\\'", "'", '"', "\t",
    "NULL", "nan", "1e999", "true", "gm2pro_daq_raw_run3", "gm2sim_x'; --", "\U0001f4a9" * 64,
)  # fmt: skip
PLACES = ("name", "campaign", "owner", "tier", "format", "sha256", "crc32c", "status", "description", "folder", "parent",
          "version", "config_hash", "preset", "conditions")  # fmt: skip


def put(record: FileRecord, place: str, text: str) -> FileRecord:
    if place in Settings._fields:
        return record._replace(settings=record.settings._replace(**{place: text}))
    if place in ("folder", "parent"):
        return record._replace(**{f"{place}s": (text if place == "parent" else f"/{text}",)})
    return record._replace(**{place: text})


def one_sentence(err: Exception) -> bool:
    text = str(err)
    lines = text.split("\n")
    return all(line.isprintable() for line in lines) and len(lines) in ((1, 3) if isinstance(err, QueryError) else (1,))


def test_hostile_texts_are_given_back_or_refused(catalog: Engine, record: Make) -> None:
    tables = set(inspect(catalog).get_table_names())
    kept = 0
    for number, (place, text) in enumerate((place, text) for place in PLACES for text in HOSTILE):
        plain = record(f"f{number}.mid", run=None, subrun=None, campaign=f"gm2sim_{number}")
        wanted = put(plain, place, text)
        try:
            declare(catalog, [wanted])
        except CatalogError as err:
            assert one_sentence(err), (place, text)
            continue
        kept += 1
        with catalog.connect() as connection:
            assert find(connection, wanted.name) == wanted, (place, text)
            if place not in ("parent", "sha256", "crc32c"):
                query = str(Compare(place, "=", f"/{text}" if place == "folder" else text))
                assert names(connection, query) == [wanted.name] or place in ("status", "owner"), (place, text)
    assert kept > 150
    assert set(inspect(catalog).get_table_names()) == tables
    with catalog.connect() as connection:
        assert count(connection, "status in (good, bad, retired)")[0] == kept


def test_no_command_of_the_catalogue_obeys_a_text(catalog: Engine, record: Make, tmp_path: Path) -> None:
    declare(catalog, [record()])
    tables = set(inspect(catalog).get_table_names())
    for text in HOSTILE:
        with catalog.connect() as connection:
            for ask in (
                lambda text=text, c=connection: names(c, text),
                lambda text=text, c=connection: names(c, f"name = '{text}'"),
                lambda text=text, c=connection: names(c, f"defname: {text}"),
                lambda text=text, c=connection: page(c, "run > 5", 5, text),
                lambda text=text, c=connection: ancestors(c, text),
            ):
                try:
                    ask()
                except CatalogError as err:
                    assert one_sentence(err), text
        for act in (
            lambda text=text: define(catalog, text, "run > 5", "alice"),
            lambda text=text: define(catalog, f"gm2sim_{text}", "run > 5", "alice"),
            lambda text=text: define(catalog, f"gm2sim_{HOSTILE.index(text)}", "run > 5", text, text),
            lambda text=text: snapshot(catalog, text, text),
            lambda text=text: retire(catalog, [text], text, text),
        ):
            try:
                act()
            except CatalogError as err:
                assert one_sentence(err), text
    assert set(inspect(catalog).get_table_names()) == tables
    assert all(one["name"].startswith("gm2sim_") for one in list_definitions(catalog))
    with catalog.connect() as connection:
        assert names(connection, "name like %") == [record().name]
    assert list(tmp_path.glob("hacked*")) == []


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=200))
def test_what_is_printed_steers_no_terminal(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert all(letter in shown for letter in text if letter.isprintable())


@pytest.fixture
def hostile_run(tmp_path: Path, write_run: Callable[..., None]) -> Path:
    """A run whose metadata hold escapes of the terminal, markup and marks of direction."""
    folder = tmp_path / "run\x1b[2J[bold]"
    write_run(folder, subruns=1)
    path = folder / "gm2_run15921_00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"preset": "\x1b]0;x\x07[red]a[/red]\u202eb"}))
    return folder


def test_the_terminal_shows_texts_as_they_are(hostile_run: Path, tmp_path: Path) -> None:
    def gm2sim(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "gm2sim", "catalog", *arguments],
            cwd=tmp_path, env=os.environ | {"GM2SIM_CATALOG": str(tmp_path / "c.sqlite"), "COLUMNS": "200"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

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
