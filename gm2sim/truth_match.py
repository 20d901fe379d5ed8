"""Truth beside reconstruction for the folder of a run: matched, counted in bins, written and drawn."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.atomic import write_bytes, write_json, write_text
from gm2sim.config import ConfigError
from gm2sim.match import MATCH_WINDOW, Kind, Match, Status, TrueHits, match, read_true_hits
from gm2sim.reco import Clusters, reconstruct
from gm2sim.resolution import Bin, Share, all_bins, share, whole

_STEM = "truth_match"
_THRESHOLD = 1.7  # [GeV] of the wiggle fit, N. Kinnaird, dissertation (2020)
_FIT_START = 30e-6  # [s]


@dataclass(frozen=True)
class TruthMatch:
    """What the reconstruction found of a run.

    Attributes
    ----------
    folder : Path
    fills : int
    window : float [s]
    found : Match
    bins : list of Bin
    overall : Bin
        All positrons and clusters above 1.7 GeV.
    files : list of Path
        What was written.
    """

    folder: Path
    fills: int
    window: float
    found: Match
    bins: list[Bin]
    overall: Bin
    files: list[Path]

    def summary(self) -> dict[str, Any]:
        """Numbers of the whole run."""
        hits, clusters = self.found.hits, self.found.clusters
        positron, late = hits.kind == Kind.POSITRON, clusters.time >= _FIT_START
        fakes, piled = int((self.found.particle < 0).sum()), int((self.found.members > 1).sum())
        all_clusters = clusters.time.size
        return {
            "fills": self.fills,
            "window_ns": self.window * 1e9,
            "positrons_per_fill": float(positron.sum()) / self.fills,
            "lost_muons_in_calorimeters_per_fill": float((~positron).sum()) / self.fills,
            "clusters_per_fill": all_clusters / self.fills,
            "clusters_after_30_us_per_fill": float(late.sum()) / self.fills,
            "clusters_above_1.7_gev_after_30_us_per_fill": float((late & (clusters.energy >= _THRESHOLD)).sum())
            / self.fills,
            "missed": int((self.found.status[positron] == Status.MISSED).sum()),
            "merged": int((self.found.status[positron] == Status.MERGED).sum()),
            "fakes": fakes,
            "fake_share": list(share(fakes, all_clusters)) if all_clusters else None,
            "piled_share": list(share(piled, all_clusters)) if all_clusters else None,
            "above_1.7_gev": self.overall.record(),
        }

    def record(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return {"summary": self.summary(), "bins": [one.record() for one in self.bins]}


def truth_match(
    folder: Path | str, *, window: float = MATCH_WINDOW, plots: bool = True, write: bool = True
) -> TruthMatch:
    """Match the reconstructed clusters of a run to the particles of its truth.

    Parameters
    ----------
    folder : Path
        Output folder of a run, with raw files and truth.
    window : float [s]
        Largest distance in time of a cluster from its particle.
    plots : bool
        Draw pictures.
    write : bool
        Write ``truth_match.json``, ``.csv``, ``.h5`` and the pictures into the folder.

    Raises
    ------
    ConfigError
        If the folder holds no run, no raw file or no truth, or the window is not positive.
    RawFormatError
        If a raw file is damaged.
    """
    from gm2sim.outputs import configuration, raw_files

    folder = Path(folder)
    if not window > 0.0:
        raise ConfigError(f"window = {window * 1e9:g} ns is out of bounds: give a positive time")
    configuration(folder)
    raw = raw_files(folder)
    truth = [path.with_name(f"{path.stem}.truth.h5") for path in raw]
    missing = [path.name for path in truth if not path.is_file()]
    if missing:
        raise ConfigError(
            f"'{folder}' lacks the truth {missing[0]} of a raw file: keep both in one folder, as gm2sim run leaves them"
        )
    clusters = Clusters.concatenate(reconstruct(path) for path in raw)
    hits = read_true_hits(truth)
    made = matched(folder, hits, clusters, _fills(truth), window)
    if write:
        made.files.extend(_write(made))
        if plots:
            made.files.extend(_draw(made))
    return made


def matched(folder: Path, hits: TrueHits, clusters: Clusters, fills: int, window: float = MATCH_WINDOW) -> TruthMatch:
    """The same from particles and clusters that are at hand; writes nothing."""
    found = match(hits, clusters, window)
    return TruthMatch(folder, max(fills, 1), window, found, all_bins(found), whole(found, _THRESHOLD), [])


def table_rows(bins: list[Bin]) -> Iterator[tuple[str, ...]]:
    """Bins as cells of a table for people; empty cells where nothing could be counted."""
    for one in bins:
        if one.particles or one.clusters:
            yield (
                f"{one.variable} {one.low:g} to {one.high:g} {one.unit}",
                str(one.particles),
                _percent(one.efficiency),
                _percent(one.merged_share),
                f"{one.fakes}/{one.clusters}" if one.clusters else "",
                _percent(one.piled_share),
                _value(100 * one.bias, 100 * one.bias_error),
                _value(100 * one.resolution, 100 * one.resolution_error),
                _value(one.delay_ps, one.delay_error_ps, 0),
                _value(one.time_resolution_ps, one.time_resolution_error_ps, 0),
            )


TABLE_COLUMNS = (
    "positrons by", "true", "found [%]", "merged [%]", "fakes", "pileup [%]", "ΔE [%]", "σE [%]", "Δt [ps]", "σt [ps]",
)  # fmt: skip


def _percent(part: Share) -> str:
    if np.isnan(part.value):
        return ""
    return f"{100 * part.value:.2f}+{100 * (part.high - part.value):.2f}−{100 * (part.value - part.low):.2f}"


def _value(value: float, error: float, digits: int = 2) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}±{error:.{digits}f}"


def _fills(truth: list[Path]) -> int:
    from gm2sim.truth import open_truth

    count = 0
    for path in truth:
        with open_truth(path) as file:
            count += np.unique(file["muons/fill"][:]).size
    return count


def _write(made: TruthMatch) -> list[Path]:
    """Numbers as JSON and CSV, particles and clusters as HDF5."""
    import io

    from gm2sim.hdf5 import new_file

    numbers, rows, tables = (made.folder / f"{_STEM}.{end}" for end in ("json", "csv", "h5"))
    write_json(numbers, made.record(), replace=True)
    records = [one.record() for one in made.bins]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_text(rows, text.getvalue(), replace=True)
    units = {"energy": "GeV", "time": "s", "u": "m", "v": "m", "x": "m", "y": "m", "true_energy": "GeV"}
    found = made.found
    groups = {
        "particles": found.hits._asdict() | {"status": found.status, "cluster": found.cluster},
        "clusters": found.clusters._asdict()
        | {"particle": found.particle, "members": found.members, "true_energy": found.true_energy},
    }
    with new_file(tables, replace=True) as file:
        for group, columns in groups.items():
            for name, values in columns.items():
                column = file.create_dataset(f"{group}/{name}", data=values, compression="gzip", shuffle=True)
                column.attrs["unit"] = units.get(name, "")
    return [numbers, rows, tables]


def _draw(made: TruthMatch) -> list[Path]:
    from gm2sim.plots import match_efficiency, match_resolution

    paths = []
    for name, plot in (("efficiency", match_efficiency(made.bins)), ("resolution", match_resolution(made.bins))):
        path = made.folder / f"{_STEM}_{name}.png"
        write_bytes(path, plot.picture("png", dpi=120), replace=True)
        paths.append(path)
    return paths
