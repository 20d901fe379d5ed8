"""Rings whose motion is known in closed form, as one-turn maps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.linalg import expm

from tracking.muon import LIGHT_SPEED, P_MAGIC, RIGIDITY, Reference, reference

R0 = 7.112
MAGIC = reference(P_MAGIC / (RIGIDITY * R0), R0)
# The reference ring of published comparisons: 4 x [23.5 free, 13 quad, 4 free, 26 quad, 23.5 free] deg.
DISCRETE = tuple(
    (math.radians(width), quad) for _ in range(4) for width, quad in ((23.5, 0), (13, 1), (4, 0), (26, 1), (23.5, 0))
)
CONTINUOUS = ((2 * math.pi, 1),)


def generator(n: float, ring: Reference) -> np.ndarray:
    """S times the Hessian of the smooth ring's Hamiltonian in (x, px, y, py, ct, -e/p0), for one radian."""
    hessian = np.zeros((6, 6))
    hessian[0, 0], hessian[1, 1] = (1 - n) / ring.r0, ring.r0
    hessian[2, 2], hessian[3, 3] = n / ring.r0, ring.r0
    hessian[0, 5] = hessian[5, 0] = 1 / ring.beta0  # path length of a radial offset
    hessian[5, 5] = ring.r0 / (ring.beta0 * ring.gamma0) ** 2  # velocity
    symplectic = np.kron(np.eye(3), np.array([[0.0, 1.0], [-1.0, 0.0]]))
    return symplectic @ hessian


@dataclass
class LinearTurn:
    """Linear turn of a ring of quads (field index n averaged over the ring) and free bends.

    Optionally with a tune that depends on the momentum (continuous ring only) and an orbit offset.
    """

    azimuths: np.ndarray
    n: float = 0.108
    sections: tuple[tuple[float, int], ...] = CONTINUOUS
    chromaticity: tuple[float, float] = (0.0, 0.0)
    orbit: tuple[float, float] = (0.0, 0.0)
    known: dict[float, np.ndarray] = field(default_factory=dict)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        to_canonical = np.array([1, 1, 1, 1, LIGHT_SPEED, -1 / MAGIC.p0_gev])[:, None]
        origin = np.array([self.orbit[0], 0, self.orbit[1], 0, 0, -MAGIC.energy0 / MAGIC.p0_gev])[:, None]
        canonical = state * to_canonical - origin
        results = []
        for angle in [*self.azimuths, 2 * math.pi]:
            moved = self.matrix(angle) @ canonical
            moved[4] += R0 * angle / MAGIC.beta0
            self._chromatic(moved, canonical, angle)
            results.append((moved + origin) / to_canonical)
        return np.array(results)

    def matrix(self, angle: float) -> np.ndarray:
        """From theta = 0 to an azimuth."""
        local = self.n * 2 * math.pi / sum(width for width, quad in self.sections if quad)
        if angle in self.known:
            return self.known[angle]
        product, left = np.eye(6), angle
        for width, quad in self.sections:
            product = expm(generator(local * quad, MAGIC) * min(width, left)) @ product
            left = max(0.0, left - width)
        self.known[angle] = product
        return product

    def _chromatic(self, moved: np.ndarray, start: np.ndarray, angle: float) -> None:
        """Turn the phase of each plane a little more for muons of higher momentum."""
        delta = -start[5] / MAGIC.beta0
        for plane, xi in zip((0, 2), self.chromaticity, strict=True):
            if xi == 0.0:
                continue
            beta = R0 / math.sqrt(1 - self.n if plane == 0 else self.n)
            centre = R0 / (1 - self.n) * delta if plane == 0 else 0.0
            s, c = np.sin(xi * delta * angle), np.cos(xi * delta * angle)
            x, px = moved[plane] - centre, moved[plane + 1].copy()
            moved[plane] = centre + c * x + s * beta * px
            moved[plane + 1] = -s * x / beta + c * px


@pytest.fixture(scope="session")
def linear_turn() -> Callable[..., LinearTurn]:
    """Factory of linear turns: ``linear_turn(azimuths, discrete=False, **options)``."""

    def make(azimuths: object = (), discrete: bool = False, **options: object) -> LinearTurn:
        sections = DISCRETE if discrete else CONTINUOUS
        return LinearTurn(np.asarray(azimuths, float), sections=sections, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def magic() -> Reference:
    """Reference of the magic momentum at R0."""
    return MAGIC
