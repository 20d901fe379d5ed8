"""A misaligned quad: closed orbit, coupling and precession."""

import math
from dataclasses import replace

import numpy as np

from fields.quads import Placement, QuadSettings
from fields.ring import R_REFERENCE, Quad
from gm2sim.machine import quad_settings
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.muon import LIGHT_SPEED
from tracking.optics import Lattice, Optics, optics
from tracking.stations import RingTables, ring_tables

_QUAD = "Q2 long"  # where the configuration displaces none
_STEPS = Placement(1e-3, 1e-3, 5e-3)  # then
_AROUND, _INSIDE = 48, 16  # azimuths: of the ring, and of the thin lenses of the formula
_TURNS = 1000
_PPB, _MM, _DEG = 1e9, 1e3, 180.0 / math.pi


@study("quad-misalignment", muons=128)
def quad_misalignment(case: Case) -> Finding:
    """Closed orbit of a displaced quad against its dipole kicks, coupling of a rolled one, shift of omega_a.

    A quad of gradient K = k/(beta c B0 R0) that stands off by (dx, dy) kicks by -K dx and +K dy a metre; each kick
    alpha at s moves the orbit by sqrt(beta(s) beta(theta)) cos(pi nu - |phi|) alpha/(2 sin pi nu) (E. D. Courant, H.
    S. Snyder, Ann. Phys. 3 (1958) 1, eq. 4.8). Rolled by psi it has the skew gradient 2 psi K, of which the first
    order of the one-turn matrix follows. The muons of a pair have the same betatron motion about the closed orbits.
    """
    quads = replace(quad_settings(case.config), placement={})
    quad, steps = _which(case, quad_settings(case.config))
    inside = np.linspace(quad.theta_start, quad.theta_end, 2 * _INSIDE + 1)[1::2]
    around = 2.0 * math.pi * np.arange(1, _AROUND) / _AROUND
    places = np.sort(np.concatenate([around, inside]))
    tables = _tables(case, quads)
    base = optics(tables, places)
    lenses = 1 + np.searchsorted(places, inside)
    start, end = quads.effective_edges(quad)
    gradient = -2.0 * float(quads.coefficients(quad.name)[2].real) / R_REFERENCE**2
    reference = case.reference
    strength = gradient / (reference.beta0 * LIGHT_SPEED * reference.b0 * reference.r0)
    kicks = np.full(_INSIDE, strength * (end - start) * reference.r0 / _INSIDE)  # of each lens over the displacement

    muons = case.stored(_TURNS)
    plain = case.precession(muons, _TURNS, tables).omega
    rows, curves, shifts = [], [], []
    for axis, step in steps:
        moved = _tables(case, replace(quads, placement={quad.name: Placement(**{axis: step})}))
        found = optics(moved, places)
        pair = _about(muons, base.lattice, found.lattice)
        shift, error = mean(case.precession(pair, _TURNS, moved).omega / plain - 1.0)
        shifts.append(Number(f"shift of omega_a, {_name(axis, step)}", shift * _PPB, error * _PPB, "ppb",
                             remark="paired"))  # fmt: skip
        if axis == "roll":
            rows += _coupling(base, found, lenses, 2.0 * step * kicks)
            continue
        orbit = getattr(found.lattice, axis) - getattr(base.lattice, axis)
        wanted = _response(base, axis, lenses, (-1.0 if axis == "x" else 1.0) * step * kicks)
        ratio = float(np.sum(orbit * wanted) / np.sum(wanted**2))
        rows += [
            Number(f"orbit over its formula, {_name(axis, step)}", ratio, formula=1.0,
                   remark="least squares over the azimuth"),
            Number(f"mean orbit, {_name(axis, step)}", orbit.mean() * _MM, unit="mm", formula=wanted.mean() * _MM),
            Number(f"largest orbit, {_name(axis, step)}", _largest(orbit) * _MM, unit="mm",
                   formula=_largest(wanted) * _MM),
        ]  # fmt: skip
        at = np.concatenate([[0.0], places]) * _DEG
        curves.append(Panel("azimuth [deg]", f"closed orbit, {axis} [mm]", (
            Curve(f"tracker, {_name(axis, step)}", at, orbit * _MM),
            Curve("dipole kicks", at, wanted * _MM, line=True),
        )))  # fmt: skip
    numbers = Panel("displacement: 1 x, 2 y, 3 roll", "shift of ω_a [ppb]", (
        Curve("paired", 1.0 + np.array([Placement._fields.index(axis) for axis, _ in steps]),
              [one.value for one in shifts], [one.error for one in shifts]),
    ))  # fmt: skip
    return Finding((*rows, *shifts), (*curves, numbers), f"{quad.name} stands off, all others as designed.")


def _which(case: Case, quads: QuadSettings) -> tuple[Quad, list[tuple[str, float]]]:
    """The quad and its displacements, one after the other: the first that the configuration displaces."""
    by_name = {quad.name: quad for quad in case.tables.ring.quads}
    name, place = next(iter(quads.placement.items()), (_QUAD if _QUAD in by_name else next(iter(by_name)), _STEPS))
    return by_name[name], [(axis, step) for axis, step in place._asdict().items() if step != 0.0]


def _tables(case: Case, quads: QuadSettings) -> RingTables:
    config = case.config
    return ring_tables(
        case.tables.ring, quads, case.storage, scheme=config.tracking.scheme, refine=config.tracking.refine,
        anomaly=config.physics.anomaly, electric_order=case.tables.options.electric,
    )  # fmt: skip


def _about(muons: Bunch, old: Lattice, new: Lattice) -> Bunch:
    """The same muons about another closed orbit."""
    return muons._replace(**{
        name: getattr(muons, name) + (getattr(new, name)[0] - getattr(old, name)[0]) for name in ("x", "px", "y", "py")
    })  # fmt: skip


def _response(ring: Optics, axis: str, lenses: np.ndarray, kicks: Floats) -> Floats:
    """Closed orbit of some kicks at the places of the lattice [m]."""
    beta, phase = getattr(ring.lattice, f"beta_{axis}"), getattr(ring.lattice, f"phase_{axis}")
    nu = getattr(ring, f"nu_{axis}")
    distance = np.abs(phase[:, None] - phase[None, lenses])
    shape = np.cos(math.pi * nu - 2.0 * math.pi * distance) / (2.0 * math.sin(math.pi * nu))
    return np.asarray(np.sqrt(beta[:, None] * beta[None, lenses]) * shape @ kicks)


def _coupling(base: Optics, found: Optics, lenses: np.ndarray, skew: Floats) -> list[Number]:
    """Vertical motion after one turn for a radial offset and a radial slope, against the first order."""
    at = base.lattice
    phi_x, phi_y = 2.0 * math.pi * at.phase_x[lenses], 2.0 * math.pi * at.phase_y[lenses]
    to_end = np.sqrt(at.beta_y[0] * at.beta_y[lenses]) * np.sin(2.0 * math.pi * base.nu_y - phi_y)
    of_offset = np.sqrt(at.beta_x[lenses] / at.beta_x[0]) * (np.cos(phi_x) + at.alpha_x[0] * np.sin(phi_x))
    of_slope = np.sqrt(at.beta_x[lenses] * at.beta_x[0]) * np.sin(phi_x)
    return [
        Number("height per radial offset after a turn", found.matrix[2, 0] - base.matrix[2, 0],
               formula=float(np.sum(to_end * skew * of_offset)), remark="rolled quad; formula: first order"),
        Number("height per radial slope after a turn", found.matrix[2, 1] - base.matrix[2, 1], unit="m",
               formula=float(np.sum(to_end * skew * of_slope))),
    ]  # fmt: skip


def _largest(orbit: Floats) -> float:
    return float(orbit[np.argmax(np.abs(orbit))])


def _name(axis: str, step: float) -> str:
    return f"{axis} {step * 1e3:g} {'mrad' if axis == 'roll' else 'mm'}"
