"""Every writer of files, each with a small product and the reader that judges what is there afterwards."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import h5py
import numpy as np

from gm2sim.atomic import write_bytes, write_json, write_text
from gm2sim.bunch.file import write_bunch
from gm2sim.clusters import Clusters, load_clusters, save_clusters
from gm2sim.conditions import FileConditions, write_conditions
from gm2sim.conditions.folders import FOLDERS
from gm2sim.conditions.interval import EVERY_RUN
from gm2sim.conditions.table import Table
from gm2sim.config import Config, load
from gm2sim.farm import Ranks
from gm2sim.machine import Ring
from gm2sim.muons import Bunch
from gm2sim.outputs import SubrunPaths, read_metadata, subrun_is_done, write_metadata
from gm2sim.plots.style import Plot
from gm2sim.raw import Readout, RunWriter, check, open_run, run_tree
from gm2sim.run import _claimed
from gm2sim.truth import TABLES, TruthWriter, open_truth
from tests.raw.conftest import START, make_fill


class Writer(NamedTuple):
    """A way to write a product.

    Attributes
    ----------
    files : tuple of str
        What it leaves, in its folder; the first appears last.
    write : callable
        Called with the folder and the size of the product, from 1.
    read : callable
        Called with the path of the first file; raises when it, or one that it speaks of, is not valid.
    replaces : bool
        Whether an existing file is replaced.
    """

    files: tuple[str, ...]
    write: Callable[[Path, int], None]
    read: Callable[[Path], Any]
    replaces: bool


@cache
def config() -> Config:
    """What the products say they are made from."""
    return load("gasgun", {"run.run": 17, "run.fills": 1, "run.subruns": 1})


@cache
def _fills(count: int) -> list[Any]:
    return [make_fill(serial, crates=1) for serial in range(count)]


@cache
def _tree() -> dict[str, Any]:
    readout = Readout(samples_per_fill=3200, histogram_samples_per_bin=64, histogram_flush_fills=2, crates=1)
    return run_tree(17, 0, START, readout, {"version": "test", "seed": 1})


def write_raw(path: Path, size: int) -> RunWriter:
    """A raw file of ``size`` fills."""
    with RunWriter(path, 17, 0, _tree()) as writer:
        for fill in _fills(size):
            writer.write_fill(fill)
    return writer


def read_raw(path: Path) -> None:
    """Opens whole and breaks no rule of the format."""
    problems = check(path)
    assert problems == []
    assert len(open_run(path)) >= 0


# Of sixty columns, which take a tenth of a second to make, these.
_FEW = {"muons": {name: TABLES["muons"][name] for name in ("fill", "number", "x")}}


def write_truth(path: Path, size: int) -> None:
    """A truth file of ``size`` fills of one muon, a few columns of it."""
    with mock.patch.dict(TABLES, _FEW, clear=True), TruthWriter(path, {"run": 17}) as truth:
        for fill in range(size):
            truth.append("muons", fill, {name: np.arange(1) for name in ("number", "x")})


def read_truth(path: Path) -> None:
    """Every column is readable."""
    with open_truth(path) as file:
        for name in _FEW["muons"]:
            file[f"muons/{name}"][:]


def write_subrun(folder: Path, size: int) -> None:
    """The three files of a subrun in the order of a run."""
    paths = SubrunPaths(folder, 17, 0)
    paths.clear()
    write_truth(paths.truth, size)
    raw = write_raw(paths.raw, size)
    assert raw.written is not None
    write_metadata(paths, config(), {"counts": {}, "conditions": "built in", "raw": raw.written.facts()})


def read_subrun(path: Path) -> None:
    """Metadata that are there speak the truth."""
    read_metadata(path)
    assert subrun_is_done(SubrunPaths(path.parent, 17, 0), config())


def _clusters(size: int) -> Clusters:
    return Clusters._make(np.arange(10 * size).astype(column.dtype) for column in Clusters.empty())


def _report(folder: Path, size: int) -> None:
    # The pages of a real report take minutes to make; the last step of making one is this.
    write_text(folder / "report.html", "<p>page</p>" * 1000 * size, replace=True)


class _Constants:
    """Tables at their lowest values."""

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """See :class:`gm2sim.conditions.Conditions`."""
        one = FOLDERS[folder]
        return Table.of(one, EVERY_RUN, {column.name: np.full(one.shape, column.lowest) for column in one.columns})


def _conditions(folder: Path, size: int) -> None:
    # The folder with the fewest channels: the others take a quarter of a second.
    with mock.patch.dict(FOLDERS, {"tracker_align_external": FOLDERS["tracker_align_external"]}, clear=True):
        write_conditions(_Constants(), folder / "constants.toml", "test" * size, force=True)


@cache
def _ring() -> Ring:
    return Ring(config())


def _bunch(path: Path, size: int) -> None:
    write_bunch(Bunch.empty(4 * size), path, _ring().reference)


def _picture(folder: Path, size: int) -> None:
    write_bytes(folder / "picture.png", _drawn() * size, replace=True)


@cache
def _drawn() -> bytes:
    return Plot(1.0, 1.0).picture("png", dpi=20)


def _columns(path: Path) -> None:
    with h5py.File(path) as file:
        assert all(len(data[:]) for data in file.values())


def _claim(folder: Path, size: int) -> None:
    with _claimed(folder / "out", config(), Ranks(), resume=True, force=False):
        pass


_SUBRUN = SubrunPaths(Path(), 17, 0)
WRITERS = {
    "raw": Writer(("a.mid",), lambda folder, size: write_raw(folder / "a.mid", size), read_raw, False),
    "truth": Writer(("a.truth.h5",), lambda folder, size: write_truth(folder / "a.truth.h5", size), read_truth, False),
    "subrun": Writer((_SUBRUN.metadata.name, _SUBRUN.raw.name, _SUBRUN.truth.name), write_subrun, read_subrun, True),
    "folder": Writer(("out/config.toml",), _claim, lambda path: load(str(path)), True),
    "summary": Writer(
        ("summary.json",),
        lambda folder, size: write_json(folder / "summary.json", {"n": [size] * 100}, replace=True),
        lambda path: json.loads(path.read_text("utf-8")),
        True,
    ),
    "report": Writer(("report.html",), _report, lambda path: path.read_text("utf-8"), True),
    "constants": Writer(("constants.toml",), _conditions, FileConditions, True),
    "clusters": Writer(
        ("clusters.h5",),
        lambda folder, size: save_clusters(folder / "clusters.h5", _clusters(size)),
        load_clusters,
        True,
    ),
    "muons": Writer(("muons.h5",), lambda folder, size: _bunch(folder / "muons.h5", size), _columns, True),
    "text": Writer(
        ("m.csv",), lambda folder, size: _bunch(folder / "m.csv", size), lambda path: path.read_text("utf-8"), True
    ),
    "picture": Writer(("picture.png",), _picture, lambda path: path.read_bytes().index(b"IEND"), True),
}
