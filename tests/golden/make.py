"""Make the golden sample: one small real fill, kept to show when the bytes of a run change.

    python tests/golden/make.py

writes golden.mid, golden.truth.h5 and facts.json beside this file. Do so only when a change of the bytes is meant, and
say it in CHANGELOG.md under "Bytes".
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from gm2sim.config import load
from gm2sim.raw import open_run
from gm2sim.reco import reconstruct
from gm2sim.run import run

HERE = Path(__file__).resolve().parent
# A fill of 200 muons without the two bank families that are mostly noise: 1 MB in place of 60.
SETTINGS = {
    "run.fills": 1,
    "run.subruns": 1,
    "beam.muons_per_fill": 200,
    "daq.calo_sum": False,
    "daq.q_method": False,
}
PRESET = "run1a"
STEM = "gm2_run15921_00000"


def make(folder: Path) -> dict[str, object]:
    """Run the sample into a folder; returns the facts that facts.json keeps."""
    run(load(PRESET, SETTINGS), folder, preset=PRESET, report=False)
    raw = folder / f"{STEM}.mid"
    (event,) = list(open_run(raw))
    clusters = reconstruct(raw)
    strong = np.sort(clusters.energy[clusters.energy > 1.0])
    return {
        "preset": PRESET,
        "settings": SETTINGS,
        "islands": int(sum(event.islands(crate).length.size for crate in event.crates)),
        "positrons_above_1_gev": int(strong.size),
        "energies_above_1_gev": [round(float(energy), 6) for energy in strong],
    }


def main() -> None:
    """Remake the sample in place."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "out"
        facts = make(folder)
        for end in (".mid", ".truth.h5"):
            shutil.copy(folder / f"{STEM}{end}", HERE / f"golden{end}")
    (HERE / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
