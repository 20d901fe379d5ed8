"""A thousand hostile texts in every place that takes text: none runs, leaves its folder or steers a terminal."""

import io
import json
import logging
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import pytest
from markupsafe import Markup
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from gm2sim import terminal
from gm2sim.atomic import inside, write_text
from gm2sim.bunch.file import read_bunch
from gm2sim.bunch.frame import Frame
from gm2sim.conditions import FileConditions
from gm2sim.config import ConfigError, load, resolve
from gm2sim.database import opened
from gm2sim.log import set_up
from gm2sim.outputs import SubrunPaths, claim_folder, read_metadata, write_metadata
from gm2sim.plots.style import Plot
from gm2sim.raw import odb
from gm2sim.report.build import pages
from gm2sim.text import label, one_line, visible
from tests.reliability.strings import hostile
from tests.reliability.writers import _conditions, config, write_raw, write_truth

TEXTS = hostile(1000)
TEMPLATE = pages().get_template("report.html.j2")
STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """What is written to standard output and error."""
    return lambda: "".join(capsys.readouterr())


def test_the_terminal_shows_every_text_and_obeys_none(printed: Any) -> None:
    for text in TEXTS:
        terminal.say(text)
        shown = printed()
        assert not STEERING.search(shown)
        if "\t" not in text:  # a tab is as wide as the place where it stands
            assert shown == f"{visible(text)}\n"  # markup and :names: as they stand
        terminal.complain(text)
        assert printed() == f"{one_line(text)}\n"


def test_tables_and_the_bar_of_a_run_obey_none(printed: Any, tmp_path: Path) -> None:
    counts = dict.fromkeys(("injected", "fills", "muons", "decayed", "lost", "hits", "islands"), 1)
    summary = {"raw_files": 1, "raw_bytes": 1, "counts": counts, "wall_s": 1.0, "compile_s": 0.0, "peak_memory_mb": 1.0}
    for text in [one for one in TEXTS if len(one) < 200][:300]:
        terminal.print_table(text, (text, "b"), [(text, text)])
        terminal.print_records(text, [{text: text}])
        with terminal.RunDisplay() as display:
            display.note(text)
            display.begin(1, text, True)
            display.finish(summary | {"report": text.replace("\0", "")}, tmp_path)
        shown = printed()
        assert not STEERING.search(shown.replace("\x1b[?25l", "").replace("\x1b[?25h", ""))
        if text.startswith("[red]markup"):
            assert "[red]markup[/red]" in shown


def test_the_log_obeys_none(printed: Any) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        set_up(verbose=True)
        for text in [one for one in TEXTS if len(one) < 500][:300]:
            logging.getLogger("gm2sim.test").info("read %s", text)
            assert not STEERING.search(printed())
    finally:
        root.handlers, root.level = before, level


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page_with(text: str) -> str:
    """The report with a text in every place that can hold one."""
    settings = SimpleNamespace(description=text, hash=text, run=SimpleNamespace(run=1, seed=1, start_time=text))
    row = SimpleNamespace(
        what=text, ours=(1.0, 0.1), unit=text, pull=0.0, note=text,
        theirs=SimpleNamespace(value=1.0, error=0.1, remark=text, source=text),
    )  # fmt: skip
    figure = SimpleNamespace(
        name="figure",
        title=text,
        caption=text,
        svg=Markup("<svg></svg>"),
        columns=(text,),
        cells=[[text]],
        rows=1,
        csv="",
    )
    return TEMPLATE.render(
        style=Markup(""), version=text, preset=text, config=settings, verdict=text, tiles=[(text, text, text)],
        rows=[row], sources=[text], figures=[figure], timings=[(text, 1.0, 1.0)], compile_seconds=None,
        peak_memory_mb=None,
        subruns=[{"subrun": text, "name": text, "size": 1, "sha256": text}], settings=[(text, text)],
    )  # fmt: skip


def test_the_report_holds_every_text_as_text() -> None:
    plain = Page(page_with("plain"))
    for text in TEXTS:
        if not text:  # leaves parts of the page out
            continue
        html = page_with(text)
        page = Page(html)
        assert page.tags == plain.tags
        assert not STEERING.search(html)
        assert "<script" not in html
        assert "default-src 'none'" in html
        if visible(text).strip():
            assert visible(text).replace("\r", "\n") in "".join(page.words)


def test_names_of_files_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    made = refused = 0
    for text in TEXTS:
        try:
            path = inside(folder, text)
            write_text(path, "x", replace=True)
            made += 1
        except (ConfigError, UnicodeEncodeError):
            refused += 1
        else:
            assert path.parent == folder
            assert path.name == text
    assert made > 100
    assert refused > 100
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(folder.iterdir())
    assert not any(Path(place, "HACKED").exists() for place in (".", tmp_path, folder, "/"))


def test_the_description_of_a_run_comes_back_and_changes_nothing_else(tmp_path: Path) -> None:
    """Through the file that is fed back, and through the listing that can be."""
    for number, text in enumerate(TEXTS[:300]):
        if STEERING.search(text) and any("\ud800" <= letter <= "\udfff" for letter in text):
            continue
        settings = load("gasgun").model_copy(update={"description": text})
        out = tmp_path / str(number)
        out.mkdir()
        claim_folder(out, settings, resume=False, force=False)
        again = resolve(out / "config.toml")
        assert again.config == settings
        assert {path.name for path in out.iterdir()} == {"config.toml"}
    listing = tmp_path / "listing.toml"
    listing.write_text("\n".join(again.lines()), "utf-8")
    assert load(listing) == settings


def test_a_name_of_a_file_with_lines_adds_no_setting_to_the_listing(tmp_path: Path) -> None:
    path = tmp_path / "a\n[run]\nseed = 666\n.toml"
    path.write_text('extends = "gasgun"\n[run]\nfills = 3\n')
    found = resolve(str(path))
    assert not any(line.startswith("seed = 666") for line in "\n".join(found.lines()).splitlines())


def test_tags_of_constants_come_back(tmp_path: Path) -> None:
    import gm2sim.conditions.file as conditions

    for text in TEXTS[:200]:
        if not text:
            continue
        quoted = conditions._quoted(text)
        content = f'format = "gm2sim conditions 1"\ntag = {quoted}\ncomment = {quoted}\n[folders]\n'
        path = tmp_path / "constants.toml"
        try:
            path.write_text(content, "utf-8", newline="")
        except UnicodeEncodeError:
            continue
        assert FileConditions(path).tag == text
    _conditions(tmp_path, 1)


def test_the_run_database_and_the_metadata_give_every_text_back(tmp_path: Path) -> None:
    paths = SubrunPaths(tmp_path, 17, 0)
    write_truth(paths.truth, 1)
    raw = write_raw(paths.raw, 1)
    assert raw.written is not None
    for text in TEXTS:
        tree = {"Simulation": {"preset": one_line(text)}, "Runinfo": {}}
        assert json.loads(odb.encode(tree)) == tree
    for text in TEXTS[:150]:
        paths.metadata.unlink(missing_ok=True)
        told = {"preset": one_line(text), "counts": {}, "raw": raw.written.facts()}
        write_metadata(paths, config(), told)
        assert read_metadata(paths.metadata)["preset"] == one_line(text)


def test_truth_takes_every_text_as_an_attribute(tmp_path: Path) -> None:
    from gm2sim.hdf5 import new_file

    with new_file(tmp_path / "a.h5") as file:
        for number, text in enumerate(TEXTS):
            file.attrs[f"text{number}"] = one_line(text)
        for number, text in enumerate(TEXTS):
            assert file.attrs[f"text{number}"] == one_line(text)


def test_columns_of_files_of_muons_are_refused_in_one_sentence(tmp_path: Path, printed: Any) -> None:
    from gm2sim.machine import Ring

    ring, path = Ring(config()), tmp_path / "m.csv"
    for text in TEXTS[:300]:
        path.write_bytes(f"x [m],{text}\n0,0\n".encode("utf-8", "replace"))
        with pytest.raises(ConfigError) as refused:
            read_bunch(path, config(), ring.reference, 0.005, Frame())
        terminal.complain(refused.value)
        shown = printed()
        assert not STEERING.search(shown)
        assert shown.count("\n") == 1
        assert len(shown) <= 2001


@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # a long name leaves no room for the axes
def test_names_of_channels_are_drawn_and_no_formula() -> None:
    for text in TEXTS[:40]:
        plot = Plot(8.0, 4.0)
        axes = plot.subplots()
        axes.plot([0, 1], [0, 1], label=f"n {label(text)}")
        axes.legend()
        drawn = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "none"}):
            plot.savefig(drawn, format="svg")
        assert "<script" not in drawn.getvalue()


def test_a_database_keeps_every_text_and_runs_none(tmp_path: Path) -> None:
    files = Table("files", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))
    texts = [visible(text) for text in TEXTS]
    with opened(tmp_path / "book.sqlite", create=True) as engine:
        files.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(files), [{"id": number, "name": text} for number, text in enumerate(texts)])
        with engine.connect() as connection:
            assert list(connection.execute(select(files.c.name).order_by(files.c.id)).scalars()) == texts
            for text in texts[:100]:
                found = connection.execute(select(files.c.id).where(files.c.name == text)).scalars()
                assert all(texts[number] == text for number in found)


def test_nothing_was_executed() -> None:
    assert not hasattr(os, "HACKED")
    assert not Path("HACKED").exists()
