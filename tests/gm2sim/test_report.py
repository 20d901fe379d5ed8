"""The report and its figures: what they say, that they say it to everybody, and that they stand alone."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from detectors.sipm import SipmSettings, pulse_shape
from gm2sim import plots
from gm2sim.analysis import analyse, fit, precession_frequency
from gm2sim.calibration import Calibration
from gm2sim.config import Config, ConfigError, load
from gm2sim.match import TrueHits, match
from gm2sim.pileup import Pileup
from gm2sim.plots.style import COLOUR_MAP, GRID, INK, MUTED, PALETTE, Plot
from gm2sim.raw import CalorimeterRecord, FillRecord, Readout, RunWriter, run_tree
from gm2sim.reco import Clusters
from gm2sim.report import build_report
from gm2sim.report.build import number, pull
from gm2sim.report.load import moments_by_turn
from gm2sim.report.numbers import fit_cbo
from gm2sim.resolution import all_bins
from gm2sim.truth import TruthWriter
from gm2sim.wiggle import fit_wiggle, histogram, residual_spectrum

SIPM = SipmSettings()
PERIOD = 149.2e-9
POSITRONS = 1500


def wiggle_times(n: int, seed: int, frequency: float = 229_078.0) -> np.ndarray:
    """Decay times with an asymmetry of 0.37, from 31 us on."""
    rng = np.random.default_rng(seed)
    t = 31e-6 + rng.exponential(64.4e-6, 4 * n)
    keep = 2 * rng.random(4 * n) < 1 + 0.37 * np.cos(2 * np.pi * frequency * t - 2.08)
    return np.sort(t[keep & (t < 600e-6)][:n])


def one_crystal(times: np.ndarray, known: Calibration) -> CalorimeterRecord:
    """A calorimeter whose crystal 22 has 2 GeV at each time."""
    sample = times / known.sample_period + known.zero_sample
    sample = sample[np.diff(sample, prepend=-1e9) > 40]
    start = np.floor(sample).astype(np.int32) - 8
    rows = np.full((len(start), 54, 27), 1750, np.int16)
    age = (start[:, None] + np.arange(27) - sample[:, None]) * known.sample_period
    rows[:, 22] -= np.rint(1200 * pulse_shape(age)).astype(np.int16)
    return CalorimeterRecord(start, np.full(len(start), 27, np.int32), rows.ravel(), np.full(54, 1750, np.float32))


def write_raw(folder: Path, config: Config, positrons: int) -> None:
    known = Calibration(np.full((24, 54), 600.0), SIPM.rise_time, SIPM.fall_time)
    readout = Readout(calo_sum=False, histogram=False, crates=4)
    tree = run_tree(1, 0, 1_500_000_000, readout, {"calibration": known.as_tree()})
    times = wiggle_times(positrons, 1)
    with RunWriter(folder / "gm2_run00001_00000.mid", 1, 0, tree) as writer:
        for fill in range(config.run.fills):
            mine = times[fill :: config.run.fills]
            calorimeters = tuple(one_crystal(mine[c::4], known) for c in range(4))
            writer.write_fill(FillRecord(fill, fill + 1, 1_500_000_001, 0, fill, calorimeters))


def write_truth(folder: Path) -> None:
    rng = np.random.default_rng(2)
    n, turns = 400, np.arange(700)
    time = turns * PERIOD
    none = np.zeros(n)
    with TruthWriter(folder / "gm2_run00001_00000.truth.h5", {}) as truth:
        for fill in range(2):
            orbit = {"x": rng.normal(6e-3, 15e-3, n), "y": rng.normal(0, 12e-3, n), "theta": none}
            orbit |= {"time": rng.exponential(64e-6, n), "number": np.arange(n)}
            muon = {"px": none, "py": none, "sx": none, "sy": none, "ss": none, "turn": np.zeros(n, int)}
            state = np.where(np.arange(n) < 3, 2, 1)
            truth.append("muons", fill, {**orbit, **muon, "state": state, "energy": rng.normal(3.0962, 3e-3, n)})
            p = {"px": none, "py": none, "ps": 3.09 * rng.random(n), "fate": none}
            truth.append("positrons", fill, {**orbit, **p})
            swing = 8e-3 * np.exp(-time / 150e-6) * np.cos(2 * np.pi * 372e3 * time)
            flat = np.full(700, 12e-3)
            truth.append("beam", fill, {"turn": turns, "time": time, "mean_x": 6e-3 + swing, "rms_x": flat,
                         "count": 5000 * np.exp(-time / 64e-6), "mean_y": 0 * flat, "rms_y": flat})  # fmt: skip
            for turn in (0, 200, 600):
                truth.append("profile", fill, {**orbit, "turn": np.full(n, turn), "time": np.full(n, turn * PERIOD)})
        theta = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        truth.write_field(theta, rng.normal(0, 5, (90, 6)), rng.normal(0, 5, (90, 6)))


def make_run(folder: Path, *, positrons: int = POSITRONS, truth: bool = True, **settings: object) -> Config:
    config = load("run1a", {"run.run": 1, "run.fills": 2, "run.subruns": 1, **settings})
    (folder / "config.toml").write_text(tomli_w.dumps(config.model_dump(mode="json")), "utf-8")
    write_raw(folder, config, positrons)
    if truth:
        write_truth(folder)
        summary = {"preset": "run1a", "version": "0.1.0", "counts": {"fills": 2, "muons": 800}, "compile_s": 12.0,
                   "peak_memory_mb": 600.0, "seconds": {"tracking": 3.0, "raw file": 0.5}}  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
        files = {"gm2_run00001_00000.mid": {"size": 1_000_000, "sha256": "ab" * 32}}
        metadata = {"subrun": 0, "files": files}
        (folder / "gm2_run00001_00000.json").write_text(json.dumps(metadata), "utf-8")
    return config


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_folder: Path) -> str:
    return build_report(run_folder).read_text("utf-8")


class Reader(HTMLParser):
    """Collects the tags of a page and complains about elements that are not closed."""

    VOID = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def found_and_true(rng: np.random.Generator) -> tuple[Clusters, TrueHits]:
    """Clusters and the particles that they are of, in two fills."""
    n = 4000
    fill, calo, time = rng.integers(0, 2, n), rng.integers(0, 24, n), rng.exponential(64e-6, n)
    energy, u, v = rng.uniform(0.1, 3.0, n), rng.uniform(-0.11, 0.11, n), rng.uniform(-0.07, 0.07, n)
    one = np.ones(n, np.int64)
    true = TrueHits(fill, calo, np.arange(n), 0 * one, energy, time, u, v, one)
    late, smeared = time + rng.normal(0, 30e-12, n), energy * rng.normal(1, 0.04, n)
    return Clusters(fill, calo, smeared, late, u, v, one, np.ones(n)), true


def all_plots() -> dict[str, Plot]:
    rng = np.random.default_rng(3)
    data = histogram(wiggle_times(20_000, 4), np.full(20_000, 2.0))
    fitted = fit_wiggle(data)
    t = np.arange(600) * PERIOD
    wave = 6e-3 + 8e-3 * np.cos(2 * np.pi * 372e3 * t)
    flat = np.full(600, 12e-3)
    x, y = rng.normal(0, 12e-3, (2, 500))
    some, particles = found_and_true(rng)
    return {
        "field": plots.field_map(np.linspace(0, 6.2, 60), rng.normal(0, 5, (60, 6)), rng.normal(0, 5, (60, 6))),
        "profiles": plots.beam_profiles([(0.0, x, y), (30e-6, x, y), (150e-6, x[:5], y[:5])]),
        "turns": plots.turn_by_turn(t, np.full(600, 4000), wave, flat, 0 * flat, flat),
        "energy": plots.energy_spectrum(3.09 * rng.random(5000), 3 * rng.random(900), np.ones_like, 3.098),
        "wiggle": plots.wiggle_modulo(data, fitted),
        "fft": plots.residual_fft(*residual_spectrum(data, fitted), {"CBO": 372e3}),
        "occupancy": plots.occupancy(some, 2),
        "pileup": plots.pileup_spectrum(Pileup(some)),
        "efficiency": plots.match_efficiency(all_bins(match(particles, some))),
        "matched resolution": plots.match_resolution(all_bins(match(particles, some))),
        "island": plots.island_waveforms(
            1750 - rng.poisson(50, (54, 27)), time=1e-6, sample_period=1.25e-9,
            counts_per_gev=np.full(54, 600.0), pedestals=np.full(54, 1750.0),
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def figures() -> dict[str, Plot]:
    return all_plots()


def test_every_figure_has_labels_with_units_words_and_a_table(figures: dict[str, Plot]) -> None:
    for name, plot in figures.items():
        labels = [text for axes in plot.axes for text in (axes.get_xlabel(), axes.get_ylabel())]
        with_unit = re.compile(r"\[.+\]|%|counts| ns|per |pull|points|amplitude")
        assert any(labels), name
        assert all(with_unit.search(label) for label in labels if label), (name, labels)
        assert len(plot.alt) > 60, name
        assert plot.table.rows.shape == (len(plot.table.rows), len(plot.table.columns)), name
        assert np.isfinite(plot.table.rows[:, 0]).any(), name


def test_every_figure_keeps_to_the_colour_blind_palette(figures: dict[str, Plot]) -> None:
    from matplotlib.colors import to_hex

    allowed = {*PALETTE, INK, MUTED, GRID}
    for name, plot in figures.items():
        for axes in plot.axes:
            colours = {to_hex(line.get_color()) for line in axes.lines}
            colours |= {to_hex(c) for one in axes.collections for c in one.get_edgecolor() if one.get_label() != "_x"}
            if axes.get_label() != "<colorbar>":
                assert colours <= allowed, (name, colours)
            assert all(image.get_cmap().name == COLOUR_MAP for image in axes.images), name


def test_data_points_have_error_bars(figures: dict[str, Plot]) -> None:
    for name in ("turns", "energy", "wiggle"):
        assert all(axes.collections for axes in figures[name].axes[:1]), name


def test_report_is_one_small_file_that_needs_nothing_else(page: str) -> None:
    assert len(page.encode()) < 5e6
    reader = read(page)
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            if (target := attributes.get(name)) is not None:
                assert target.startswith(("#", "data:")), (tag, target[:80])
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)", page)
    policy = next(a["content"] for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_report_shows_all_figures_with_alternative_text_and_tables(page: str) -> None:
    reader = read(page)
    drawings = [a for t, a in reader.tags if t == "svg"]
    assert len(drawings) == 9
    assert all(a.get("role") == "img" and a.get("aria-labelledby") for a in drawings)
    assert page.count("<figcaption>") == 9
    assert sum("download" in a for t, a in reader.tags if t == "a") == 9
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_report_follows_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert "var(--ink)" in drawing
    for colour in (INK, MUTED, GRID, *PALETTE):
        assert colour not in drawing


def test_report_names_configuration_seed_version_and_sources(page: str, run_folder: Path) -> None:
    config = load(run_folder / "config.toml")
    for text in (
        config.hash,
        "gm2sim 0.1.0",
        "nkinnaird/Dissertation @8f8e9eb",
        "best estimate (recalled)",
        "tracking",
    ):
        assert text in page
    assert "372.04" in page  # the published CBO frequency of Run-1a, kHz


def test_report_is_the_same_twice(page: str, run_folder: Path) -> None:
    assert build_report(run_folder).read_text("utf-8") == page


def test_text_of_users_is_escaped(tmp_path: Path) -> None:
    make_run(tmp_path, truth=False, description="<script>alert(1)</script> & more")
    page = build_report(tmp_path).read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_report_without_truth_or_positrons_says_so(tmp_path: Path) -> None:
    make_run(tmp_path, truth=False, positrons=12)
    page = build_report(tmp_path).read_text("utf-8")
    read(page)
    assert "too few for a wiggle fit" in page
    assert page.count("<svg") == 3  # occupancy, pileup and the island are still there


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no run \(no config.toml\)"):
        build_report(tmp_path)
    (tmp_path / "config.toml").write_text("", "utf-8")
    with pytest.raises(ConfigError, match=r"holds no raw file gm2_run\*.mid"):
        build_report(tmp_path)


def test_fit_of_a_folder_finds_the_frequency_that_was_put_in(run_folder: Path) -> None:
    found = fit(run_folder)
    name, value, error, unit = found["parameters"][0]
    assert (name, unit) == ("omega_a", "rad/s")
    assert abs(value - 2 * np.pi * 229_078.0) < 4 * error
    # sqrt(2)/(A tau sqrt N), twelve percent for the asymmetry's own fluctuation at N = 1500 (sigma_A = 0.037).
    expected = np.sqrt(2) / (0.37 * 64.4e-6 * np.sqrt(found["positrons"]))
    assert error == pytest.approx(expected, rel=0.3)
    assert "probability" in found["verdict"]


def test_too_few_positrons_are_an_error_of_fit_but_not_of_analyse(tmp_path: Path) -> None:
    make_run(tmp_path, truth=False, positrons=12)
    assert analyse(tmp_path).fit is None
    with pytest.raises(ConfigError, match="too few for a wiggle fit"):
        fit(tmp_path)


def test_frequency_put_in_is_the_published_one() -> None:
    # a_mu = 0.001165920705 at 1.4513 T: 229078.23 Hz.
    assert precession_frequency(load("run1a", {"magnet.field_t": 1.4513})) == pytest.approx(229_078.23, abs=0.01)


def test_numbers_are_rounded_to_their_errors() -> None:
    assert number(-131.26, 9.93) == "−131.3 ± 9.9"
    assert number(20_000.0) == "20\u202f000"
    assert number(float("nan")) == "–"
    assert pull(-0.04) == "0.0 σ"
    assert pull(-1.26) == "−1.3 σ"


def test_cbo_frequency_is_found_in_the_mean_radius() -> None:
    t = np.arange(600) * PERIOD
    noise = np.random.default_rng(6).normal(0, 12e-3 / np.sqrt(5000), 600)
    beam = {"turn": np.arange(600), "count": np.full(600, 5000), "time": t, "mean_y": 0 * t, "rms_y": 0 * t,
            "mean_x": 6e-3 + 8e-3 * np.exp(-t / 150e-6) * np.cos(2 * np.pi * 369e3 * t - 1) + noise,
            "rms_x": np.full(600, 12e-3)}  # fmt: skip
    value, error = fit_cbo(moments_by_turn(beam), 372e3)
    assert abs(value - 369e3) < 4 * error
    assert error < 50
