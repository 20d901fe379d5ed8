"""From the [magnet] table of a configuration to what the muons feel: drift in time, leakage of the inflector."""

import math

import numpy as np
import pytest

from fields.inflector import Leakage
from gm2sim.config import ConfigError, load
from gm2sim.machine import Ring
from gm2sim.setup import Setup
from gm2sim.timeline import fill_time
from tracking.bunch import Bunch
from tracking.frequency import smooth_window, spin_phase
from tracking.one_turn import TrackedTurn, closed_orbits
from tracking.stations import ring_tables
from tracking.turns import track


def test_leakage_of_the_inflector_moves_the_closed_orbit_by_the_sum_of_its_dipole_kicks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With room for the orders of Run-1a: the loop compiled for its fills serves here too.
    wide = {"electric_order": 10, "magnetic_order": 6}
    monkeypatch.setattr("gm2sim.machine.ring_tables", lambda *given, **named: ring_tables(*given, **named | wide))
    ring = Ring(load("ideal", {"ring.layout": "continuous", "magnet.inflector_leakage_ut": 20.0}))
    assert ring.storage.b0 == pytest.approx(ring.config.magnet.field_t, rel=1e-14)
    ref, nu = ring.reference, math.sqrt(1.0 - ring.tables.field_index)
    # x'' + nu^2 x = -R0 dB/B0 by azimuth: E. D. Courant, H. S. Snyder, Ann. Phys. 3 (1958) 1, eq. 4.7
    theta = (np.arange(7200) + 0.5) * 2.0 * math.pi / 7200
    by = Leakage(20e-6).field(0.0, 0.0, np.where(theta > math.pi, theta - 2.0 * math.pi, theta))[1]
    kicks = -(by - by.mean()) / ref.b0 * (2.0 * math.pi / 7200)
    wanted = ref.r0 / (2.0 * nu * math.sin(math.pi * nu)) * np.sum(kicks * np.cos(nu * (theta - math.pi)))
    found = closed_orbits(TrackedTurn(ring.tables, []), ref, [0.0])[0, 0]
    assert abs(wanted) > 1e-5  # 20 uT along 1.7 m
    assert found == pytest.approx(wanted, rel=0.02)  # quadrupole of the leakage times the orbit, 60 mapped stations


def _omega_a(ring: Ring, energy: float) -> float:
    bunch = Bunch.empty(1)
    bunch.energy[:] = energy
    seen = track(bunch, ring.tables, 401, observers=[0.0], collimators=False).samples
    assert seen is not None
    phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], bunch.energy, ring.reference)
    weights = smooth_window(400)
    return float((weights @ np.diff(phase[:, 0])) / (weights @ np.diff(seen.time[0, :, 0])))


def test_field_drifts_with_the_time_since_the_begin_of_run() -> None:
    setup = Setup.of(
        load("ideal", {"ring.layout": "continuous", "magnet.drift_ppm_per_hour": 10.0, "sipm.temperature": False})
    )
    later = setup.after(1800.0)
    assert later.ring.storage.b0 == pytest.approx(setup.ring.storage.b0 * (1.0 + 5e-6), rel=1e-12)
    assert setup.after(0.0) is setup
    # The muon keeps its energy, so it moves onto another orbit: at the magic momentum its electric field does nothing.
    energy = setup.ring.reference.energy0
    ratio = _omega_a(later.ring, energy) / _omega_a(setup.ring, energy)
    assert ratio == pytest.approx(1.0 + 5e-6, abs=2e-10)


def test_fills_know_their_time_since_the_begin_of_run() -> None:
    config = load("ideal")
    first, later = fill_time(config, 0), fill_time(config, 16 * 100 + 9)
    assert first.since_begin == 0.0
    wall = later.seconds - first.seconds + 1e-6 * (later.microseconds - first.microseconds)
    assert later.since_begin == pytest.approx(wall, abs=1e-9)


def test_drift_out_of_bounds_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="ppm per hour"):
        load("run1a", {"magnet.drift_ppm_per_hour": 1e9})
