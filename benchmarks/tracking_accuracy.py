"""Accuracy of the tracker against the Cartesian truth over 3000 turns, for each scheme, with and without a map.

``python -m benchmarks.tracking_accuracy`` prints the table in about a minute. The truth is the one of the tests,
computed anew.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch import Bunch, momentum
from tracking.muon import MASS
from tracking.stations import ring_tables
from tracking.turns import track

TESTS = Path(__file__).resolve().parents[1] / "tests" / "tracking"
SCHEMES: tuple[dict[str, Any], ...] = (
    {"scheme": "saba2c"},
    {"scheme": "saba2c", "refine": 2},
    {"scheme": "pefrl"},
    {"scheme": "pefrl", "refine": 4, "map_stations": 160},
)


def _load(name: str) -> Any:
    """Import a module of the tests by its file."""
    spec = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{TESTS / name}.py is missing: the truth comes with the tests of the repository.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def against_truth() -> list[dict[str, Any]]:
    """Differences ours - truth: tunes, omega_a and period [ppb], mean radius [nm]."""
    truth, made = _load("truth"), _load("make_truth_numbers")
    rows = []
    for name in ("pure", "map"):
        posed = made.problem(name)
        starts = [posed.start(*values) for values in made.AMPLITUDES.values()]
        expected = [truth.numbers(posed.truth(start, made.TURNS)) for start in starts]
        for how in SCHEMES:
            kicks = posed.tables(**how).kicks
            for case, motion, true in zip(
                made.AMPLITUDES, posed.ours(starts, made.TURNS, **how), expected, strict=True
            ):
                ours = truth.numbers(motion)
                rows.append(
                    {
                        "field": name,
                        "scheme": f"{how['scheme']} {kicks}",
                        "case": case,
                        "nu_x": ours["nu_x"] - true["nu_x"],
                        "nu_y": ours["nu_y"] - true["nu_y"],
                        "omega_a_ppb": 1e9 * (ours["omega_a"] / true["omega_a"] - 1.0),
                        "period_ppb": 1e9 * (ours["period"] / true["period"] - 1.0),
                        "x_nm": 1e9 * posed.ring.radius * (ours["mean_u"] - true["mean_u"]),
                    }
                )
    return rows


def energy_error(turns: int = 5000, muons: int = 512) -> float:
    """Largest relative change of kinetic plus potential energy over many turns, real plates to the 20-pole.

    Muons stop at random places, inside quads too. The total energy is a coordinate of the tracker, so this is a
    check of the bookkeeping; that orbit and clock belong to that energy is what the truth above tells.
    """
    rng = np.random.default_rng(1)
    storage = StorageField.uniform()
    tables = ring_tables(Ring.e989(), QuadSettings(), storage)
    bunch = Bunch.empty(muons).with_momentum(rng.normal(0, 1e-3, muons), tables.reference)
    bunch.x[:], bunch.y[:] = rng.normal(0, 8e-3, muons), rng.normal(0, 8e-3, muons)
    bunch.stop_time[:] = rng.uniform(0.9, 1.0, muons) * turns * tables.reference.period
    end = track(bunch, tables, turns + 50).bunch
    kinetic = np.sqrt(sum(p**2 for p in momentum(end, tables.reference)) + MASS**2)
    return float(np.abs((kinetic + 1e-9 * end.potential) / bunch.energy - 1.0).max())


def main() -> None:
    """Print the table."""
    write = sys.stdout.write
    write("field scheme      case     d nu_x    d nu_y   omega_a ppb  period ppb     x nm\n")
    for row in against_truth():
        write(
            f"{row['field']:5} {row['scheme']:11} {row['case']:7} {row['nu_x']:+.1e}  {row['nu_y']:+.1e}"
            f"   {row['omega_a_ppb']:+9.4f}   {row['period_ppb']:+9.4f} {row['x_nm']:+8.3f}\n"
        )
    write(f"kinetic + potential energy over 5000 turns: {energy_error():.1e} relative\n")


if __name__ == "__main__":
    main()
