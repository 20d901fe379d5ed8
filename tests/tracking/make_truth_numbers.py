"""Write truth_numbers.json: 3000 turns of the Cartesian truth, for tests that would take too long.

Run as ``python tests/tracking/make_truth_numbers.py`` (one minute) after a change of the truth or of a case.
"""

import json
from pathlib import Path

import numpy as np
import truth

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.muon import RIGIDITY, magic_momentum

ANOMALY = 0.00116592059  # of the reference numbers of the discrete ring
TURNS = 3000
MAP_PPM = (0.0, 2 + 1j, 3 - 2j, 1.5 + 1j, -1 + 0.7j, 1 - 0.5j)  # multipoles at 45 mm, constant in azimuth
AMPLITUDES = {  # x [m], y [m], dp/p
    "small": (0.010, 0.010, 5e-4),
    "radial": (0.020, 0.005, 2e-3),
    "large": (0.030, 0.028, -1e-3),
    "outer": (0.042, 0.010, 1e-3),
    "high": (0.010, 0.040, -2e-3),
    "edge": (0.040, 0.005, 5e-3),
}


def problem(name: str) -> truth.Problem:
    """The discrete ring at the magic momentum: "pure" quads, or "map" for a field map besides."""
    ring = Ring.reference()
    b0 = magic_momentum(ANOMALY) / (RIGIDITY * ring.radius)
    c = np.array(MAP_PPM) * 1e-6 * b0 * (name == "map")
    c[0] = b0
    reference = truth.reference(b0, ring.radius)
    quads = QuadSettings.ideal(0.108, ring, b0, reference.beta0)
    return truth.Problem(ring, quads, StorageField.from_coefficients(c), ANOMALY)


def main() -> None:
    """Compute and write all cases."""
    table = {
        name: {case: truth.numbers(posed.truth(posed.start(*values), TURNS)) for case, values in AMPLITUDES.items()}
        for name, posed in (("pure", problem("pure")), ("map", problem("map")))
    }
    contents = {"made_by": "tests/tracking/make_truth_numbers.py", "turns": TURNS, "cases": table}
    Path(__file__).with_name("truth_numbers.json").write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main()
