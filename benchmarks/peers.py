"""The same ring tracked by public codes, in their fastest settings: xtrack (with and without spin) and pyAT.

None of them has electrostatic quads, so theirs are magnetic gradients of the same strength (k1 in sector bends); their
spin motion is then that of a magnetic ring, good for speed only. One core, one thread, aperture tests included.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from fields.ring import R0
from tracking.muon import ANOMALY, MASS, P_MAGIC

# The symmetric reference ring: four times (sector angle [deg], whether it is a quad); n = 0.108 averaged.
CELL = ((23.5, False), (13.0, True), (4.0, False), (26.0, True), (23.5, False))
FIELD_INDEX = 0.108
COVERAGE = 39.0 / 90.0
GRADIENT = FIELD_INDEX / COVERAGE / R0**2  # vertical focusing k1 [1/m^2]
APERTURE = 0.045  # [m]


@dataclass(frozen=True)
class PeerSpeed:
    """One measured configuration of a peer.

    Attributes
    ----------
    name : str
    spin : bool
    ns_per_turn : float
        Best time for one particle and turn [ns].
    tunes : tuple of float
        Its own nu_x and nu_y, to show that it is the same ring.
    """

    name: str
    spin: bool
    ns_per_turn: float
    tunes: tuple[float, float]


def peers(particles: int = 1000, turns: int = 200, repeats: int = 3) -> list[PeerSpeed]:
    """Measure every peer that is installed; an empty list when none is."""
    found: list[PeerSpeed] = []
    for measure in (_xtrack, _pyat):
        try:
            found += measure(particles, turns, repeats)
        except ImportError:
            continue
    return found


def _beam(particles: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x, y = draw.normal(0.0, 8e-3, (2, particles)).clip(-0.03, 0.03)
    return x, y


def _best(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()  # as ours: other programs on the machine slow nobody
        run()
        times.append(time.process_time() - start)
    return min(times)


def _xtrack(particles: int, turns: int, repeats: int) -> list[PeerSpeed]:
    import xobjects
    import xtrack

    elements = []
    for _ in range(4):
        for degrees, quad in CELL:
            angle = math.radians(degrees)
            bend = xtrack.Bend(length=R0 * angle, angle=angle, k0_from_h=True, k1=-GRADIENT if quad else 0.0)
            bend.model, bend.integrator, bend.num_multipole_kicks = "mat-kick-mat", "uniform", 1
            elements.append(bend)
        elements.append(xtrack.LimitEllipse(a=APERTURE, b=APERTURE))
    line = xtrack.Line(elements=elements)
    line.particle_ref = xtrack.Particles(p0c=P_MAGIC * 1e9, mass0=MASS * 1e9, q0=1, anomalous_magnetic_moment=ANOMALY)
    line.build_tracker(_context=xobjects.ContextCpu())
    twiss = line.twiss(method="4d")
    x, y = _beam(particles)
    speeds = []
    for spin in (False, True):
        if spin:
            line.configure_spin("auto")
        start = {"spin_z": np.ones(particles)} if spin else {}
        bunch = line.build_particles(x=x, y=y, **start)
        line.track(bunch, num_turns=2)
        best = _best(partial(line.track, bunch, num_turns=turns), repeats)
        alive = int((bunch.state > 0).sum())
        speeds.append(
            PeerSpeed("xtrack mat-kick-mat", spin, best / turns / alive * 1e9, (float(twiss.qx), float(twiss.qy)))
        )
    return speeds


def _pyat(particles: int, turns: int, repeats: int) -> list[PeerSpeed]:
    import at

    elements = []
    for cell in range(4):
        for number, (degrees, quad) in enumerate(CELL):
            angle = math.radians(degrees)
            elements.append(
                at.Dipole(
                    f"B{cell}{number}",
                    R0 * angle,
                    angle,
                    -GRADIENT if quad else 0.0,
                    PassMethod="BndMPoleSymplectic4Pass",
                    NumIntSteps=1,
                    EApertures=np.array([APERTURE, APERTURE]),
                )
            )
    lattice = at.Lattice(elements, energy=math.hypot(P_MAGIC, MASS) * 1e9)
    tunes = lattice.get_tune()
    x, y = _beam(particles)
    start = np.zeros((6, particles), order="F")
    start[0], start[2] = x, y
    lattice.track(start.copy(order="F"), nturns=2, refpts=None)
    best = _best(lambda: lattice.track(start.copy(order="F"), nturns=turns, refpts=None), repeats)
    return [
        PeerSpeed(
            "pyAT symplectic-4, 1 step", False, best / turns / particles * 1e9, (float(tunes[0]), float(tunes[1]))
        )
    ]
