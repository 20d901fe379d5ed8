"""The page of a campaign: its numbers are those of the status, nothing is hidden, and it can be looked at anywhere."""

import csv
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import matplotlib.image
import numpy as np
import pytest

from gm2sim.campaign import nearline_runs, page, page_figures
from gm2sim.campaign.nearline import read_nearline
from gm2sim.campaign.nearline_runs import by_run
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.status import Flag, Group, Status, Told, Unexplained
from gm2sim.text import visible
from tests.campaign import browser
from tests.campaign.staged import Staged, seen_like
from tests.reliability.strings import hostile

WIDTH = 390  # of a phone's screen


class Page(HTMLParser):
    """Tags, text by id, and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.by_id: dict[str, str] = {}
        self._inside: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        if tag == "a" and told.get("href"):
            self.links.append(str(told["href"]))
        if tag not in ("meta", "br", "path", "use", "rect", "img"):
            self._inside.append(told.get("id") or "")
            self.by_id.setdefault(self._inside[-1], "")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag not in ("path", "use", "rect"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        for name in self._inside:
            if name:
                self.by_id[name] += data


@pytest.fixture(scope="module")
def index(status: Status, staged: Staged) -> Path:
    return page.write(status, staged.folder.page, refresh_s=60)


@pytest.fixture(scope="module")
def html(index: Path) -> str:
    return index.read_text("utf-8")


def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take seconds to draw."""
    monkeypatch.setattr(page, "figures", lambda *_: iter(()))


def test_the_page_has_the_numbers_of_the_status(html: str, status: Status) -> None:
    found = Page(html)
    assert found.by_id["count"] == status.sentence
    assert found.by_id["tile-present"] == f"{status.present:,} / {status.expected:,}"
    assert found.by_id["unfinished-count"] == str(status.expected - status.present)
    for stage in status.stages:
        row = re.search(rf'<tr id="stage-{stage.name}">.*?</tr>', html, re.DOTALL)
        assert row is not None
        shown = {state: int(count) for state, count in re.findall(r'data-state="(\w+)">([\d,]+)<', row[0])}
        assert shown == {state.value: count for state, count in stage.states.items()}
        assert f"data-present>{stage.present}<" in row[0]
        assert f"data-expected>{stage.expected}<" in row[0]
    groups = [int(number) for number in re.findall(r'data-shards="(\d+)"', html)]
    assert groups == [one.shards for one in status.groups]
    assert sum(groups) == status.explained
    for one in status.groups:
        assert one.command in unescape(html)
    assert all(name in html for name in ("Node-hours against plan", "First look, by run", "Shards over time"))


def test_every_link_leads_somewhere_in_the_campaign(html: str, index: Path, status: Status, staged: Staged) -> None:
    found = Page(html)
    anchors = set(re.findall(r'\bid="([^"]+)"', html))
    for link in found.links:
        if link.startswith("#"):
            assert link[1:] in anchors
        elif not link.startswith("data:"):
            target = index.parent / unquote(link)
            assert target.is_file(), link
            assert target.resolve().is_relative_to(staged.folder.path.resolve())
    reports = [link for link in found.links if link.startswith("reports/")]
    done = [one.row.run for one in status.shards if one.row.stage == "report" and one.row.state is State.DONE]
    assert [int(link[-10:-5]) for link in reports] == done
    assert "run 15921" in (index.parent / unquote(reports[0])).read_text()
    shards = [link for link in found.links if link.startswith("../shards/")]
    assert shards
    assert json.loads((index.parent / shards[0]).read_text())["state"] == "failed"


def test_nothing_from_elsewhere_and_no_script(html: str) -> None:
    assert "default-src 'none'" in html
    assert '<meta http-equiv="refresh" content="60">' in html
    assert not re.search(r"<script|<link|<iframe|<img|javascript:|@import|https?://(?!www\.w3\.org)", html)


def test_all_shards_are_in_the_table_beside_the_page(index: Path, status: Status) -> None:
    with (index.parent / page.SHARDS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["shard"], row["state"]) for row in rows] == [
        (one.row.stage, one.row.name, one.row.state.value) for one in status.shards
    ]
    assert all(row["why"] for row in rows if row["state"] != "done")
    with (index.parent / page.JOBS).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(status.jobs)


def test_what_is_not_shown_is_counted_and_said_where(
    status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_figures(monkeypatch)
    monkeypatch.setattr(page, "_SHOWN", 3)
    text = page.write(status, tmp_path / "page").read_text("utf-8")
    unfinished = status.expected - status.present
    assert f"the other {unfinished - 3} are in" in text
    assert f"And {len(status.groups) - 3} more reasons" in text
    assert "The first 3 of 8 runs" in text
    assert f"The last 3 of {len(status.jobs)}" in text
    assert "refresh" not in text


def test_a_count_that_does_not_come_out_is_an_alarm(
    status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_figures(monkeypatch)
    lost = replace(status, unexplained=(Unexplained("raw", "run15999_00001", "nobody knows"),))
    text = page.write(lost, tmp_path).read_text("utf-8")
    assert 'class="count off" role="alert"' in text
    assert "THE COUNT DOES NOT COME OUT" in text
    assert "run15999_00001" in text
    assert "nobody knows" in text


def test_hostile_texts_are_text(status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)
    monkeypatch.setattr(page, "_write_tables", lambda *_: None)
    monkeypatch.setattr(page, "_runs", lambda *_: iter(()))
    monkeypatch.setattr(page, "_simulated", lambda *_: iter(()))
    row = next(one.row for one in status.shards if one.row.state is State.FAILED)

    def with_texts(texts: list[str]) -> str:
        first = texts[0]
        job = status.jobs[0]
        one = replace(
            status, description=first, owner=first, busy=first, plan_remark=first, planned=None, target=first,
            shards=tuple(Told(row._replace(reason=text, job=text), text) for text in texts),
            groups=tuple(Group("raw", State.FAILED, text, 1, text, text, text, True) for text in texts),
            flags=tuple(Flag("raw", text, 1, text, text) for text in texts),
            unexplained=tuple(Unexplained("raw", text, text) for text in texts),
            jobs=tuple(job._replace(who=text, state=text, token=text, slurm_id=text) for text in texts),
        )  # fmt: skip
        return page.write(one, tmp_path).read_text("utf-8")

    texts = [one for one in hostile(120) if one]
    plain = Page(with_texts(["plain"] * len(texts))).tags
    for turn in (0, 5, 10, 40):  # others stand where there is place for one
        html = with_texts(texts[turn:] + texts[:turn])
        found = Page(html)
        assert found.tags == plain
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    words = "".join(found.words)
    assert all(visible(text).replace("\r", "\n") in words for text in texts)


def test_the_table_of_shards_holds_no_formula(status: Status, tmp_path: Path) -> None:
    told = [Told(one.row, text) for one, text in zip(status.shards, ("=1+1", "@x", "-2", 'a,"b"\nc'), strict=False)]
    page._write_tables(replace(status, shards=tuple(told), jobs=()), tmp_path, [])
    with (tmp_path / page.SHARDS).open(newline="") as file:
        assert [row["why"] for row in csv.DictReader(file)] == ["'=1+1", "'@x", "'-2", 'a,"b"\\nc']


def test_a_page_that_cannot_be_written_leaves_the_last_one(
    status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_figures(monkeypatch)
    index = page.write(status, tmp_path)
    before = index.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr("gm2sim.atomic.write_all", full)
    with pytest.raises(OSError, match="No space"):
        page.write(status, tmp_path)
    assert index.read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))


def test_nearline_is_merged_by_run_and_read_once(
    tmp_path: Path, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = type(staged.folder)(tmp_path)
    draw = np.random.default_rng(3)
    shards = [Shard("raw", run, subrun, 10) for run in (1, 2) for subrun in range(3)]
    for shard in shards[:-1]:  # of one nothing was seen
        folder.nearline(shard).parent.mkdir(parents=True, exist_ok=True)
        seen_like(draw, 10, 50_000, low=shard == shards[1]).write(folder.nearline(shard))
    read: list[Path] = []

    def counting(path: Path) -> object:
        read.append(path)
        return read_nearline(path)

    monkeypatch.setattr(nearline_runs, "read_nearline", counting)
    first = by_run(folder, shards, tmp_path / "kept.json")
    assert [(one.run, one.shards) for one in first] == [(1, 3), (2, 2)]
    parts = [read_nearline(folder.nearline(shard)) for shard in shards[:3]]
    assert first[0].seen.clusters == sum(one.clusters for one in parts if one)
    assert first[0].seen.energy == np.sum([one.energy for one in parts if one], axis=0).tolist()
    rates = [one.checks["rate"] for one in parts if one]
    weights = np.array([1 / rate["error"] ** 2 for rate in rates])
    mean = float(np.sum(weights * [rate["value"] for rate in rates]) / weights.sum())
    assert first[0].seen.checks["rate"]["value"] == pytest.approx(mean)
    assert first[0].seen.checks["rate"]["error"] == pytest.approx(weights.sum() ** -0.5)
    assert [one.seen.checks["rate"]["outside"] for one in first] == [1, 0]
    assert len(read) == 6
    assert by_run(folder, shards, tmp_path / "kept.json") == first
    assert len(read) == 6
    seen_like(draw, 10, 60_000).write(folder.nearline(shards[-1]))
    assert [one.shards for one in by_run(folder, shards, tmp_path / "kept.json")] == [3, 3]
    assert len(read) == 9
    (tmp_path / "kept.json").write_text('{"format": 1, "runs": {"raw/1": {"of": "", "shards": 1, "seen": {}}}}')
    assert [one.shards for one in by_run(folder, shards, tmp_path / "kept.json")] == [3, 3]


def test_many_runs_are_put_together_for_the_picture(
    staged: Staged, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_figures, "_MOST_POINTS", 4)
    simulated = page._simulated(status)
    looks = by_run(staged.folder, simulated, staged.folder.path / "kept.json")
    plot = page_figures._nearline(looks)
    assert plot is not None
    assert len(plot.table.rows) == 4
    runs, rates, outside = plot.table.rows[:, 0], plot.table.rows[:, 1], plot.table.rows[:, 5]
    assert runs[0] == 15921.5
    assert (np.abs(rates - 0.11) < 0.02).all()
    assert outside.sum() == 1


def test_a_campaign_that_has_just_begun_has_a_page(status: Status, tmp_path: Path) -> None:
    begun = replace(
        status, shards=tuple(one for one in status.shards if one.row.state is State.WAITING), nodes=(), running=(),
        timeline=None, disk=None, flags=(), planned=None, plan_remark="no plan",
        stages=tuple(replace(stage, cpu=None, memory=None) for stage in status.stages), cpu=None, memory=None,
    )  # fmt: skip
    text = page.write(begun, tmp_path).read_text("utf-8")
    assert "no plan" in text
    assert "<figure" not in text


PROBE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="page" src="{page}" style="width:{width}px;height:2400px;border:0"></iframe><pre id="found"></pre>
<script>
document.getElementById("page").onload = event => {{
  const seen = event.target.contentDocument, words = id => seen.getElementById(id).textContent;
  const wide = [...seen.querySelectorAll("main > section, header > *, .cards li")].filter(
    one => one.getBoundingClientRect().right > {width} + 0.5).length;
  const facts = {{
    width: seen.documentElement.scrollWidth, wide: wide, count: words("count"), present: words("tile-present"),
    cpu: words("tile-cpu"), hours: words("tile-hours"), unfinished: words("unfinished-count"),
    figures: [...seen.querySelectorAll("figure svg")].filter(one => one.getBoundingClientRect().height > 50).length,
    shards: [...seen.querySelectorAll("[data-shards]")].map(one => +one.dataset.shards),
  }};
  document.getElementById("found").textContent = JSON.stringify(facts);
  console.log("the probe is done");
}};
</script>"""


def test_a_browser_shows_the_numbers_on_a_phone_without_a_complaint(
    index: Path, status: Status, tmp_path: Path
) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(page=index.absolute().as_uri(), width=WIDTH))
    out, complaints = browser.run(
        probe, tmp_path / "profile", "--window-size=800,2500", "--virtual-time-budget=8000", "--dump-dom"
    )
    assert [("the probe is done" in one) for one in complaints] == [True]  # the console is heard, and said no more
    found = re.search(r'<pre id="found">(.*?)</pre>', out, re.DOTALL)
    assert found is not None
    facts = json.loads(unescape(found[1]))
    assert facts["width"] <= WIDTH
    assert facts["wide"] == 0
    assert facts["count"] == status.sentence
    assert facts["present"] == f"{status.present:,} / {status.expected:,}"
    assert status.cpu is not None
    assert facts["cpu"] == f"{100 * status.cpu.median:.3g} %"
    assert facts["hours"] == f"{status.node_hours:.3g}"
    assert facts["unfinished"] == str(status.expected - status.present)
    assert facts["shards"] == [one.shards for one in status.groups]
    assert facts["figures"] == 6


def test_a_browser_draws_it_in_light_and_dark(index: Path, tmp_path: Path) -> None:
    def paper(name: str, *options: str) -> float:
        shot = tmp_path / f"{name}.png"
        _, complaints = browser.run(
            index, tmp_path / name, "--window-size=900,1200", f"--screenshot={shot}", *options
        )  # fmt: skip
        assert not complaints
        picture = matplotlib.image.imread(shot)[..., :3]
        assert picture.std() > 0.02  # something is on it
        return float(np.median(picture))

    assert paper("light") > 0.9
    assert paper("dark", "--blink-settings=preferredColorScheme=0") < 0.2
