"""Electric dipole moment and radial field: single effects with exact answers."""

import numpy as np
import pytest

from gm2sim.config import Config
from gm2sim.studies import edm, radial_field


def test_dipole_moment_tilts_the_spin_by_eta_beta_over_2a(ideal: Config) -> None:
    found = edm(ideal, muons=16)
    rows = {number.quantity: number for number in found.table}
    # tan(delta)^2 = 3e-6 is the next order; the beam's momenta and slopes enter at 1e-5.
    assert found.result.value == pytest.approx(found.result.formula, rel=3e-5)
    assert rows["growth of omega_a"].value == pytest.approx(rows["growth of omega_a"].formula, rel=1e-4)
    assert rows["phase of the vertical spin"].value == pytest.approx(90.0, abs=0.01)
    half = rows["tan(delta) at half of eta"]
    assert half.value == pytest.approx(half.formula, rel=3e-5)


def test_radial_field_lifts_the_beam_by_r0_over_n(ideal: Config) -> None:
    found = radial_field(ideal)
    # Second order in the 7 mm by which the beam is lifted: (y/R0)^2 and the muon's curvature, below 1e-3.
    assert found.result.value == pytest.approx(found.result.formula, rel=1e-3)
    shift = next(number for number in found.table if number.quantity.startswith("shift"))
    assert shift.value == pytest.approx(shift.formula, rel=0.01)
    curve = found.panels[1].curves[0]
    assert np.asarray(curve.y)[0] == pytest.approx(np.asarray(curve.y)[-1], rel=1e-3)  # even in the field
