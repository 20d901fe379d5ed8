"""What the folder of a run holds besides raw data: summary, metadata, truth."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.config import Config
from gm2sim.lost_muons import Losses
from gm2sim.match import TrueHits, has_hits, read_true_hits
from gm2sim.truth import open_truth

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

# The columns that the report looks at; other tables and columns are left on the disk.
_WANTED = {
    "muons": ("state", "time", "energy", "y", "ss"),
    "positrons": ("px", "py", "ps"),
    "beam": ("turn", "count", "time", "mean_x", "rms_x", "mean_y", "rms_y"),
    "profile": ("turn", "time", "x", "y"),
}


@dataclass(frozen=True)
class RunFolder:
    """A run as its files tell it.

    Attributes
    ----------
    folder : Path
    config : Config
    summary : dict
        summary.json, empty when it is not there yet.
    metadata : list of dict
        One for each subrun.
    truth : dict of str to dict of str to array
        Tables of all subruns behind one another; a table is missing when no file has it.
    field : dict of str to array
        ``theta``, ``normal``, ``skew`` of the first subrun; empty when not written.
    """

    folder: Path
    config: Config
    summary: dict[str, Any]
    metadata: list[dict[str, Any]]
    truth: dict[str, Columns]
    field: Columns

    @property
    def preset(self) -> str:
        """The preset that was asked for, or the file's name without its suffix."""
        return Path(str(self.summary.get("preset", ""))).stem


def load_folder(folder: Path, config: Config) -> RunFolder:
    """Read everything but the raw files.

    Parameters
    ----------
    folder : Path
    config : Config
    """
    summary = _json(folder / "summary.json")
    metadata = [_json(path) for path in sorted(folder.glob("gm2_run*.json"))]
    truth, field = _truth(sorted(folder.glob("gm2_run*.truth.h5")))
    return RunFolder(folder, config, summary, metadata, truth, field)


def moments_by_turn(beam: Columns) -> Columns:
    """Beam moments of all fills together, turn by turn.

    Parameters
    ----------
    beam : dict of str to array
        Columns of the truth's /beam.
    """
    turns, row = np.unique(beam["turn"], return_inverse=True)
    count = beam["count"].astype(float)
    total = np.bincount(row, count)
    kept = total > 0

    def average(values: NDArray[Any]) -> Floats:
        return np.bincount(row, count * values)[kept] / total[kept]

    out: Columns = {"turn": turns[kept], "count": total[kept], "time": average(beam["time"])}
    for axis in ("x", "y"):
        mean = average(beam[f"mean_{axis}"])
        square = average(beam[f"rms_{axis}"] ** 2 + beam[f"mean_{axis}"] ** 2)
        out[f"mean_{axis}"] = mean
        out[f"rms_{axis}"] = np.sqrt(np.maximum(square - mean**2, 0))
    return out


def snapshots(profile: Columns, most: int = 3) -> list[tuple[float, Floats, Floats]]:
    """Time, x and y of the muons at each turn of the truth's /profile."""
    return [
        (float(profile["time"][here].mean()), profile["x"][here], profile["y"][here])
        for turn in np.unique(profile["turn"])[:most]
        if (here := profile["turn"] == turn).any()
    ]


def positron_energies(positrons: Columns) -> Floats:
    """Energy at the decay [GeV]; the mass is 1e-7 of it."""
    return np.asarray(np.sqrt(sum(positrons[name] ** 2 for name in ("px", "py", "ps"))))


def losses_of(run: RunFolder) -> Losses | None:
    """When muons left the beam; None without truth."""
    muons = run.truth.get("muons")
    return None if muons is None else Losses.of(muons["state"], muons["time"])


def hits_of(run: RunFolder) -> TrueHits:
    """True particles at the calorimeters; none without truth."""
    paths = sorted(run.folder.glob("gm2_run*.truth.h5"))
    return read_true_hits(path for path in paths if has_hits(path))


def fills_of(run: RunFolder) -> int:
    """Fills of the run: those that were made, or those asked for where no summary says."""
    return max(int(run.summary.get("counts", {}).get("fills", run.config.run.fills)), 1)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _truth(paths: list[Path]) -> tuple[dict[str, Columns], Columns]:
    parts: dict[str, list[Columns]] = {}
    field: Columns = {}
    for path in paths:
        with open_truth(path) as file:
            for table, names in _WANTED.items():
                if table in file and all(name in file[table] for name in names):
                    columns = {name: file[table][name][:] for name in names}
                    parts.setdefault(table, []).append(columns)
            if not field and "field" in file:
                field = {name: file["field"][name][:] for name in ("theta", "normal", "skew")}
    joined = {
        table: {name: np.concatenate([part[name] for part in some]) for name in _WANTED[table]}
        for table, some in parts.items()
    }
    return {table: columns for table, columns in joined.items() if len(next(iter(columns.values())))}, field
