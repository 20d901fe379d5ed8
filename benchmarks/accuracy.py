"""Accuracy of the tracker beside its goals: circular orbits, the Cartesian truth, tunes, the symplectic condition.

``python -m benchmarks.accuracy`` prints the table (about a minute).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from benchmarks.row import Row, at_most
from benchmarks.tracking_accuracy import against_truth, energy_error
from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from gm2sim.config import load
from gm2sim.machine import Ring as Machine
from gm2sim.machine import stored_beam
from gpu.march import plain
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.frequency import smooth_window, spin_phase, tune
from tracking.muon import LIGHT_SPEED, MASS, RIGIDITY, magic_momentum, reference
from tracking.source import sample
from tracking.stations import RingTables, ring_tables
from tracking.step import make_steps
from tracking.turns import track

FloatArray = NDArray[np.float64]
ANOMALY = 0.00116592059  # of the published comparisons
N = 0.108
RADIUS = 7.112
B0 = magic_momentum(ANOMALY) / (RIGIDITY * RADIUS)
REFERENCE = reference(B0, RADIUS)
INDICES = (0.05, N, 0.15)
MUONS = 256  # of the check of the step
DISPLACED = {
    "quads.offset_x_mm": [0.3, -0.5] * 4, "quads.offset_y_mm": [-0.4, 0.2] * 4, "quads.roll_mrad": [1.0, -0.5] * 4,
}  # fmt: skip
DELTAS = (0.0, -5e-3, -1e-3, 1e-3, 5e-3)


def tables_of(ring: Ring, scheme: str = "saba2c", refine: int = 1, n: float = N) -> RingTables:
    """A ring of ideal quads with a field index in a uniform field, at the magic momentum."""
    quads = QuadSettings.ideal(n, ring, B0, REFERENCE.beta0)
    return ring_tables(ring, quads, StorageField.uniform(B0), scheme=scheme, refine=refine, anomaly=ANOMALY)


def circle(delta: float, n: float = N) -> tuple[float, float, float]:
    """Exact circular orbit: radius offset [m], omega_a [rad/s], total energy [GeV].

    Force balance p v / r = e v B0 - e E with E = kappa (r - R0), and the Thomas-BMT rate for beta, B, E at right
    angles; no expansion.
    """
    mass, p = MASS / REFERENCE.p0_gev, 1.0 + delta
    energy = math.hypot(p, mass)
    beta, gamma = p / energy, energy / mass
    kappa = n * REFERENCE.beta0
    u = brentq(lambda u: p / (1.0 + u) - 1.0 + kappa * u / beta, -0.02, 0.02, xtol=1e-17, rtol=1e-15)
    rate = (ANOMALY - (ANOMALY - 1.0 / (gamma**2 - 1.0)) * beta * kappa * u) / mass
    return u * RADIUS, rate * LIGHT_SPEED / RADIUS, REFERENCE.p0_gev * (energy - 0.5 * kappa * u * u)


def circular_orbits(n: float, scheme: str = "saba2c", refine: int = 4, turns: int = 1000) -> tuple[float, float]:
    """Largest differences to the exact circles: mean radius [m], relative shift of omega_a."""
    exact = [circle(delta, n) for delta in DELTAS]
    bunch = Bunch.empty(len(DELTAS))
    bunch.x[:], bunch.energy[:] = [one[0] for one in exact], [one[2] for one in exact]
    tables = tables_of(Ring.continuous(), scheme, refine, n)
    seen = track(bunch, tables, turns + 1, observers=[0.0], collimators=False).samples
    assert seen is not None
    phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], bunch.energy, REFERENCE)
    weights = smooth_window(turns)
    rate = (weights @ np.diff(phase, axis=0)) / (weights @ np.diff(seen.time[0], axis=0))
    shift = rate / rate[0] - np.array([one[1] for one in exact]) / exact[0][1]
    radius = smooth_window(turns + 1) @ seen.x[0] - np.array([one[0] for one in exact])
    return float(np.abs(radius).max()), float(np.abs(shift).max())


def continuous_tunes(refine: int, turns: int = 4000) -> tuple[float, float]:
    """Tunes of the continuous ring at 1 mm less sqrt(1 - n) and sqrt(n), at the default scheme refined."""
    bunch = Bunch.empty(1)._replace(x=np.array([1e-3]), y=np.array([1e-3])).with_momentum(0.0, REFERENCE)
    tables = tables_of(Ring.continuous(), refine=refine)
    seen = track(bunch, tables, turns, observers=[0.0], collimators=False).samples
    assert seen is not None
    nu_x = 1.0 - tune(seen.x[0, :, 0]).tune
    return float(nu_x - math.sqrt(1.0 - N)), float(tune(seen.y[0, :, 0]).tune - math.sqrt(N))


def halved_step(settings: Mapping[str, Any], turns: int = 1000) -> tuple[float, float, float]:
    """What half the step changes for stored muons of run1a: omega_a, largest and mean [ppb], mean radius [m].

    The ring as it runs: plates to the 20-pole, effective edges, a field map. Muons at the edge of the aperture and near
    a resonance, where the high multipoles act most, are the largest.
    """
    whole, half = (Machine(load("run1a", {**settings, "tracking.refine": refine})) for refine in (1, 2))
    bunch = sample(stored_beam(whole.config), FillKey(1, 1, 0, 0), MUONS, whole.optics())
    bunch = bunch._replace(stop_time=np.full(MUONS, np.inf))
    rates, radii, stored = [], [], np.ones(MUONS, bool)
    for ring in (whole, half):
        found = track(bunch, ring.tables, turns + 1, observers=[0.0])
        seen = found.samples
        assert seen is not None
        stored &= found.bunch.state == State.STORED
        phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], bunch.energy, ring.reference)
        weights = smooth_window(turns)
        rates.append((weights @ np.diff(phase, axis=0)) / (weights @ np.diff(seen.time[0], axis=0)))
        radii.append(smooth_window(turns + 1) @ seen.x[0])
    change = 1e9 * (rates[1][stored] / rates[0][stored] - 1.0)
    moved = np.abs(radii[1] - radii[0])[stored]
    return float(np.abs(change).max()), abs(float(change.mean())), float(moved.max())


def symplectic_error(scheme: str = "saba2c") -> float:
    """Largest element of J' S J - S of one turn, all multipoles and a rippled map on, by complex steps."""
    ring, theta = Ring.e989(), 2.0 * np.pi * np.arange(24) / 24
    ppm = np.array([0, 2 + 1j, 3 - 2j, 1.5 + 1j, -1 + 0.7j, 1 - 0.5j])
    c = np.asarray(np.outer(1.0 + np.cos(theta), ppm) * 1e-5 * B0, np.complex128)
    c[:, 0] = B0 * (1.0 + 1e-4 * np.cos(theta))
    quads = QuadSettings()
    tables = ring_tables(ring, quads, StorageField(c), scheme=scheme, spin=False)
    steps = {kind: plain(step) for kind, step in make_steps(tables.options).items()}
    mass = MASS / tables.reference.p0_gev

    def one_turn(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
        e = -z[5]
        momentum = (e * e - mass * mass) ** 0.5
        constants, state = (e, momentum - 1.0, 1.0 / momentum, 1.0 / (e + mass)), tuple(z[:5])
        for row, kind in zip(tables.stations.rows, tables.stations.kinds, strict=True):
            state = steps[int(kind)](*state, *constants, tuple(row.tolist()), tables.parameters)
        return np.array([*state[:4], state[4] + 2.0 * np.pi * e, z[5]])

    z = np.array([0.025 / RADIUS, 1e-3, 0.025 / RADIUS, -1e-3, 0.0, -math.hypot(1.0 + 7e-4, mass)])
    jacobian = np.stack([one_turn(z + 1e-30j * unit).imag / 1e-30 for unit in np.eye(6)], axis=1)
    s = np.kron(np.eye(3), np.array([[0.0, 1.0], [-1.0, 0.0]]))
    return float(np.abs(jacobian.T @ s @ jacobian - s).max())


def measure() -> list[Row]:
    """All checks, each beside its goal."""
    rows = []
    for n in INDICES:
        radius, shift = circular_orbits(n)
        what = f"circular orbits, n = {n:g}, dp/p to 5e-3"
        rows.append(at_most(f"{what}: mean radius", 1e9 * radius, "nm", 1.0, "continuous ring, refined 4 times"))
        rows.append(at_most(f"{what}: omega_a shift", 1e6 * shift, "ppm", 1e-5, "continuous ring, refined 4 times"))
        radius, shift = circular_orbits(n, refine=1)
        rows.append(Row(f"{what}, default step: mean radius", 1e9 * radius, "nm", "24 kicks a turn"))
        rows.append(Row(f"{what}, default step: omega_a shift", 1e6 * shift, "ppm", "24 kicks a turn"))
    for refine, goal, words in ((1, 1e-7, "default step"), (4, 1e-9, "refined 4 times")):
        for plane, value in zip("xy", continuous_tunes(refine), strict=True):
            rows.append(at_most(f"continuous ring, nu_{plane}, {words}", abs(value), "", goal, "smooth formula"))
    differences = against_truth()
    for field, scheme in dict.fromkeys((one["field"], one["scheme"]) for one in differences):
        rows += _truth_rows([one for one in differences if (one["field"], one["scheme"]) == (field, scheme)])
    for what, settings in (("ring of run1a", {}), ("the same, quads displaced and rolled", DISPLACED)):
        rate, mean, radius = halved_step(settings)
        most = f"largest of {MUONS} muons"
        rows.append(at_most(f"halving the step, {what}: omega_a", rate, "ppb", 1.0, most))
        rows.append(at_most(f"halving the step, {what}: mean of omega_a", mean, "ppb", 1.0, f"of {MUONS} muons"))
        rows.append(Row(f"halving the step, {what}: mean radius", 1e9 * radius, "nm", most))
    rows.append(at_most("kinetic + potential energy over 5000 turns", energy_error(), "", 1e-12, "relative, largest"))
    for scheme in ("saba2c", "pefrl"):
        error = symplectic_error(scheme)
        rows.append(at_most(f"symplectic condition of one turn, {scheme}", error, "", 1e-11, "20-pole and map on"))
    return rows


def _truth_rows(found: list[dict[str, Any]]) -> list[Row]:
    what = f"against the truth, {found[0]['field']}, {found[0]['scheme']} kicks"
    tunes = max(abs(case[key]) for case in found for key in ("nu_x", "nu_y"))
    omega = {case["case"]: abs(case["omega_a_ppb"]) for case in found}
    return [
        at_most(f"{what}: tunes", tunes, "", 3e-7, "largest of six muons"),
        at_most(f"{what}: omega_a, 10/10 mm", omega["small"], "ppb", 0.1),
        at_most(f"{what}: omega_a", max(omega.values()), "ppb", 0.5, "largest of six muons"),
        Row(f"{what}: mean radius", max(abs(case["x_nm"]) for case in found), "nm", "largest of six muons"),
    ]


if __name__ == "__main__":
    for row in measure():
        sys.stdout.write(f"{row.what:68} {row.value:10.3g} {row.unit:4} {row.met:4} {row.beside}\n")
