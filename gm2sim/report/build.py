"""Builds report.html from the files of a run."""

import base64
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from decay.michel import lab_energy_end, lab_spectrum
from gm2sim import __version__, plots
from gm2sim.analysis import Analysis, analyse, cbo_frequency, design_reference
from gm2sim.atomic import write_text
from gm2sim.calibration import Calibration
from gm2sim.config.check import flatten
from gm2sim.config.load import toml_value
from gm2sim.match import match
from gm2sim.outputs import configuration, raw_files
from gm2sim.pileup import Pileup
from gm2sim.plots import Plot, Table
from gm2sim.raw import open_run
from gm2sim.report.laser import laser_pages
from gm2sim.report.load import (
    RunFolder,
    fills_of,
    hits_of,
    load_folder,
    losses_of,
    moments_by_turn,
    positron_energies,
    snapshots,
)
from gm2sim.report.monitors import monitor_pages
from gm2sim.report.numbers import Row, rows
from gm2sim.report.quality import quality_pages
from gm2sim.report.svg import inline_svg
from gm2sim.report.trackers import tracker_pages
from gm2sim.resolution import Bin, all_bins
from gm2sim.text import visible
from gm2sim.wiggle import residual_spectrum

_TABLE_ROWS = 40  # shown; all rows are in the CSV behind the link
_FEWEST_LOST = 10
_SHOWN_ENERGY = (2.0, 3.0)  # GeV, of the island that is drawn


class Figure(NamedTuple):
    """A figure as the template wants it."""

    name: str
    title: str
    caption: str
    svg: Markup
    columns: tuple[str, ...]
    cells: list[list[str]]
    rows: int
    csv: str


def build_report(folder: Path | str, analysis: Analysis | None = None) -> Path:
    """Write ``report.html`` into the folder of a run.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    analysis : Analysis, optional
        Where the raw files have been reconstructed already.

    Returns
    -------
    Path
        The report: one file without links to others.

    Raises
    ------
    ConfigError
        If the folder holds no run.
    RawFormatError
        If a raw file is damaged.
    """
    folder = Path(folder)
    config = configuration(folder)
    found = analysis or analyse(folder, config)
    run = load_folder(folder, config)
    table = rows(run, found)
    sources = list(dict.fromkeys(row.theirs.source for row in table if row.theirs and row.theirs.source))
    environment = pages()
    style = environment.get_template("style.css").render()
    text = environment.get_template("report.html.j2").render(
        style=Markup(style),
        version=run.summary.get("version", __version__),
        preset=run.preset or "run",
        config=config,
        verdict="" if found.fit is not None and found.fit.valid else found.verdict,
        tiles=list(_tiles(run, found)),
        rows=table,
        sources=sources,
        figures=list(_figures(run, found)),
        timings=_timings(run),
        compile_seconds=run.summary.get("compile_s"),
        peak_memory_mb=run.summary.get("peak_memory_mb"),
        subruns=_subruns(run),
        settings=[(key, toml_value(value)) for key, value in flatten(config.model_dump()).items()],
    )
    path = folder / "report.html"
    write_text(path, text, replace=True)
    return path


report = build_report


def pages() -> Environment:
    """The templates; whatever is put into them is escaped, and cannot turn the direction of reading."""
    environment = Environment(
        loader=PackageLoader("gm2sim", "report"),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else visible(value),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, pull=pull, plain=plain, megabytes=lambda n: f"{n / 1e6:.1f} MB")
    return environment


def number(value: float, error: float = math.nan) -> str:
    """A value and its error, rounded to two digits of the error; a value alone with five digits."""
    if not math.isfinite(value):
        return "–"
    if math.isfinite(error) and error > 0:
        digits = max(0, 1 - math.floor(math.log10(error)))
        text = f"{value:.{digits}f} ± {error:.{digits}f}"
    else:
        text = f"{value:.5g}" if abs(value) < 1e4 else plain(round(value))
    return text.replace("-", "−")


def pull(value: float) -> str:
    """Standard deviations with a sign, and none on zero."""
    return f"{value:+.1f} σ".replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")


def plain(value: int) -> str:
    """An integer with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def _tiles(run: RunFolder, found: Analysis) -> Iterator[tuple[str, str, str]]:
    """Label, value and unit of what a reader looks for first."""
    counts = run.summary.get("counts", {})
    if found.fit is not None:
        yield f"R ({found.fit.reference_frequency * 1e-6:.4f} MHz)", number(*found.fit.r_ppm), "ppm"
        yield "χ² / ndf", f"{found.fit.chi2:.0f} / {found.fit.ndf}", f"p = {number(round(found.fit.probability, 3))}"
        yield "in the fit", plain(found.fit.positrons), f"positrons > {run.config.fit.threshold_gev:g} GeV"
    yield "reconstructed", plain(len(found.clusters.time)), "positrons"
    for key, label in (("fills", "fills"), ("muons", "muons stored")):
        if key in counts:
            yield label, plain(int(counts[key])), f"in {len(run.metadata)} subruns" if key == "fills" else ""


def _figures(run: RunFolder, found: Analysis) -> Iterator[Figure]:
    """All figures whose data the folder has, in the order of the chain."""
    matches = _match(run, found)
    makers: list[tuple[str, str, str, Callable[[], Plot | None]]] = [
        ("wiggle", "The wiggle", "Reconstructed positrons above threshold against time modulo 100 μs, with the "
         "fit and its pulls. Times are randomised by one cyclotron period.", lambda: _wiggle(found)),
        ("residuals", "What the fit leaves", "Fourier spectrum of the pulls. Beam motion that the fit does not "
         "describe would stand out at the marked frequencies.", lambda: _residuals(run, found)),
        ("energy", "Positron energies", "At the decay beside the closed form, and as reconstructed. Low energies "
         "curl inward and miss the calorimeters, or hit matter on their way.", lambda: _energies(run, found)),
        ("occupancy", "Occupancy", "Reconstructed clusters by calorimeter, by crystal of the face, and against time.",
         lambda: _occupancy(run, found)),
        ("pileup", "Pileup", "Energies of clusters beside the estimate of pileup by the shadow window: where no single "
         "positron can be, nothing should be left. Below, its share of the clusters above threshold.",
         lambda: _pileup(run, found)),
        ("efficiency", "What the reconstruction finds", "Clusters matched to the true particles at the calorimeters: "
         "efficiency, merged and fake clusters.", lambda: _matched(matches, plots.match_efficiency)),
        ("resolution", "How well it measures", "Clusters of one positron beside its true energy and time: median "
         "difference, and half of the middle 68 %.", lambda: _matched(matches, plots.match_resolution)),
        ("island", "One island", "The 54 waveforms of one island as digitised, seen from the beam.",
         lambda: _island(run, found)),
        ("radius", "The beam turn by turn", "Mean radius and widths of the true muons at one place of the ring. The "
         "swing is the coherent betatron oscillation.", lambda: _radius(run)),
        ("profile", "The beam in cross-section", "Where the true muons are at three times.", lambda: _profile(run)),
        ("losses", "Muon losses", "Muons that left the beam, from the truth: the share of those stored that is lost "
         "per microsecond, and the sum since 30 μs with the decay divided out.", lambda: _losses(run)),
        ("field", "The magnetic field", "Dipole and multipoles of the storage field over azimuth, as felt by the "
         "muons.", lambda: _field(run)),
        *tracker_pages(run),
        *laser_pages(run),
        *monitor_pages(run),
        *quality_pages(run),
    ]  # fmt: skip
    for name, title, caption, make in makers:
        plot = make()
        if plot is not None:
            yield figure(name, title, caption, plot)


def figure(name: str, title: str, caption: str, plot: Plot) -> Figure:
    """A plot with its caption, and the numbers behind it."""
    table = plot.table
    step = -(-len(table.rows) // _TABLE_ROWS)
    columns = table.columns if len(table.columns) < 12 else table.columns[:8]
    cells = [[number(float(v)) for v in row[: len(columns)]] for row in table.rows[::step]]
    return Figure(name, title, caption, inline_svg(plot, name), columns, cells, len(table.rows), _csv(table))


def _csv(table: Table) -> str:
    """The whole table as a data link."""
    buffer = io.StringIO()
    buffer.write(",".join(table.columns) + "\n")
    np.savetxt(buffer, table.rows, fmt="%.6g", delimiter=",")
    return "data:text/csv;base64," + base64.b64encode(buffer.getvalue().encode()).decode()


def _wiggle(found: Analysis) -> Plot | None:
    return None if found.fit is None else plots.wiggle_modulo(found.histogram, found.fit)


def _residuals(run: RunFolder, found: Analysis) -> Plot | None:
    if found.fit is None:
        return None
    f_a, f_cbo = found.fit.omega_a[0] / (2 * math.pi), cbo_frequency(run.config)
    f_c = 1 / design_reference(run.config).period
    # Vertical width: f_c - 2 f_y with f_y = sqrt(n) f_c and n from the CBO frequency (public Run-1 fit
    # functions).
    width = f_c - 2 * math.sqrt(max(2 * f_c * f_cbo - f_cbo**2, 0))
    marks = {"CBO − a": f_cbo - f_a, "a": f_a, "CBO": f_cbo, "CBO + a": f_cbo + f_a, "VW": width}
    return plots.residual_fft(*residual_spectrum(found.histogram, found.fit), marks)


def _energies(run: RunFolder, found: Analysis) -> Plot | None:
    if "positrons" not in run.truth:
        return None
    gamma, polarization = design_reference(run.config).gamma0, 0.0
    if "muons" in run.truth:
        # Turning spins do not average out wholly: of the spin along the momentum a percent is left.
        polarization = run.config.beam.polarization * float(run.truth["muons"]["ss"].mean())

    def density(energy: NDArray[np.float64]) -> NDArray[np.float64]:
        number_of, turning = lab_spectrum(energy, gamma)
        return np.asarray(number_of + polarization * turning)

    return plots.energy_spectrum(
        positron_energies(run.truth["positrons"]),
        found.clusters.energy,
        density,
        lab_energy_end(gamma),
        run.config.fit.threshold_gev,
    )


def _occupancy(run: RunFolder, found: Analysis) -> Plot | None:
    if not len(found.clusters.time):
        return None
    return plots.occupancy(found.clusters, fills_of(run), run.config.fit.threshold_gev)


def _pileup(run: RunFolder, found: Analysis) -> Plot | None:
    if not len(found.clusters.time):
        return None
    return plots.pileup_spectrum(Pileup(found.clusters), run.config.fit.threshold_gev)


def _match(run: RunFolder, found: Analysis) -> list[Bin]:
    """Bins of clusters matched to the truth; none where the folder has no true hits."""
    hits = hits_of(run)
    return all_bins(match(hits, found.clusters)) if len(hits.time) else []


def _matched(bins: list[Bin], draw: Callable[[list[Bin]], Plot]) -> Plot | None:
    return draw(bins) if bins else None


def _island(run: RunFolder, found: Analysis) -> Plot | None:
    """The island of the first positron of 2 to 3 GeV, or of the highest one if there is none."""
    clusters = found.clusters
    if not len(clusters.energy):
        return None
    good = (clusters.energy > _SHOWN_ENERGY[0]) & (clusters.energy < _SHOWN_ENERGY[1])
    best = int(np.argmax(clusters.energy if not good.any() else good * clusters.multiplicity))
    fill, calo, time = int(clusters.fill[best]), int(clusters.calo[best]), float(clusters.time[best])
    for path in raw_files(run.folder):
        raw = open_run(path)
        known = Calibration.from_odb(raw.odb)
        sample = time / known.sample_period + known.zero_sample
        for event in raw:
            if event.serial != fill:
                continue
            for island in event.islands(calo + 1):
                if island.time <= sample < island.time + island.length:
                    return plots.island_waveforms(
                        island.samples,
                        time=(island.time - known.zero_sample) * known.sample_period,
                        sample_period=known.sample_period,
                        counts_per_gev=known.counts_per_gev[calo],
                        pedestals=event.pedestals(calo + 1),
                    )
    return None


def _radius(run: RunFolder) -> Plot | None:
    if "beam" not in run.truth:
        return None
    m = moments_by_turn(run.truth["beam"])
    return plots.turn_by_turn(m["time"], m["count"], m["mean_x"], m["rms_x"], m["mean_y"], m["rms_y"])


def _profile(run: RunFolder) -> Plot | None:
    return plots.beam_profiles(snapshots(run.truth["profile"])) if "profile" in run.truth else None


def _losses(run: RunFolder) -> Plot | None:
    """Drawn when enough muons are lost for a spectrum."""
    losses = losses_of(run)
    return plots.lost_muons(losses) if losses is not None and losses.lost.size >= _FEWEST_LOST else None


def _field(run: RunFolder) -> Plot | None:
    return plots.field_map(run.field["theta"], run.field["normal"], run.field["skew"]) if run.field else None


def _timings(run: RunFolder) -> list[tuple[str, float, float]]:
    """Stage, seconds and share of the longest, longest first."""
    seconds = {str(k): float(v) for k, v in run.summary.get("seconds", {}).items()}
    longest = max(seconds.values(), default=0.0) or 1.0
    return [(name, s, 100 * s / longest) for name, s in sorted(seconds.items(), key=lambda item: -item[1])]


def _subruns(run: RunFolder) -> list[dict[str, Any]]:
    """One line for each file of each subrun."""
    return [
        {
            "subrun": one.get("subrun", ""),
            "name": name,
            "size": int(facts.get("size", 0)),
            "sha256": str(facts.get("sha256", "")),
        }
        for one in run.metadata
        for name, facts in one.get("files", {}).items()
    ]


__all__ = ["Row", "build_report", "report"]
