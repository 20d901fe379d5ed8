"""Make the picture of the README from a real run: 60 fills of the gasgun preset, decoded, reconstructed and fitted.

python docs/images/make.py
"""

import tempfile
from pathlib import Path

from gm2sim.analysis import analyse
from gm2sim.config import load
from gm2sim.plots import wiggle_modulo
from gm2sim.run import run

SETTINGS = {
    "run.fills": 60,
    "run.subruns": 4,
    "beam.muons_per_fill": 10_000,
    "daq.calo_sum": False,
    "daq.q_method": False,
    "fit.start_us": 4.0,
    "fit.stop_us": 400.0,
}


def main() -> None:
    """Simulate, reconstruct, fit and draw."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        run(load("gasgun", SETTINGS), out, preset="gasgun", report=False)
        found = analyse(out)
    if found.fit is None:
        raise SystemExit(found.verdict)
    figure = wiggle_modulo(found.histogram, found.fit)
    figure.patch.set(facecolor="white", alpha=1.0)  # readable on dark pages too
    figure.savefig(Path(__file__).with_name("wiggle.png"), dpi=110)


if __name__ == "__main__":
    main()
