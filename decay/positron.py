"""The positron of each decayed muon, in the lab."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decay.michel import ENERGY_END, rest_asymmetry, sample_cosine, sample_energy
from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, uniform2
from tracking.bunch import Bunch, State, momentum
from tracking.muon import MASS, POSITRON_MASS, Reference

FloatArray = NDArray[np.float64]

_STAGE = int(Stage.DECAY_KINEMATICS)


class Positrons(NamedTuple):
    """Positrons where they were born; all arrays have shape (n,)."""

    x: FloatArray  # radial offset from R0, outwards [m]
    y: FloatArray  # height [m]
    theta: FloatArray  # azimuth from the inflector exit, downstream [rad]
    px: FloatArray  # momentum in the local frame at theta: radial, [GeV/c]
    py: FloatArray  # vertical, [GeV/c]
    ps: FloatArray  # and along the beam [GeV/c]
    time: FloatArray  # time of the decay [s]
    number: NDArray[np.int64]  # index of the parent muon in the fill

    @property
    def n(self) -> int:
        """Number of positrons."""
        return int(self.x.size)

    @property
    def energy(self) -> FloatArray:
        """Total energies, mass included [GeV]."""
        return np.sqrt(self.px**2 + self.py**2 + self.ps**2 + POSITRON_MASS**2)


@scalar
def around(nx: float, ny: float, nz: float, cosine: float, azimuth: float) -> tuple[float, float, float]:
    """Return the unit vector at polar angle acos(cosine) and `azimuth` [rad] about the unit vector n.

    The two transverse axes are those of T. Duff et al., J. Computer Graphics Techniques 6 (1), 1 (2017),
    which hold for every n.
    """
    sign = 1.0 if nz >= 0.0 else -1.0
    a = -1.0 / (sign + nz)
    b = nx * ny * a
    sine = math.sqrt(max(1.0 - cosine * cosine, 0.0))
    s, c = sincos(azimuth)
    e, f = sine * c, sine * s
    x = e * (1.0 + sign * nx * nx * a) + f * b + cosine * nx
    y = e * sign * b + f * (sign + ny * ny * a) + cosine * ny
    z = -e * sign * nx - f * ny + cosine * nz
    return x, y, z


@scalar
def boost(
    ux: float, uy: float, us: float, kx: float, ky: float, ks: float, energy: float
) -> tuple[float, float, float]:
    """Take a momentum k of energy `energy` from a frame that moves with u = gamma beta to the lab."""
    gamma = math.sqrt(1.0 + ux * ux + uy * uy + us * us)
    along = energy + (ux * kx + uy * ky + us * ks) / (gamma + 1.0)
    return kx + ux * along, ky + uy * along, ks + us * along


@Kernel
def _decay(
    i: int,
    muon_px: FloatArray,
    muon_py: FloatArray,
    muon_ps: FloatArray,
    sx: FloatArray,
    sy: FloatArray,
    ss: FloatArray,
    positrons: Positrons,
    key: FillKey,
    polarization: float,
) -> None:
    u, v = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, positrons.number[i], 0)
    w, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, positrons.number[i], 1)
    x, p = sample_energy(u)
    cosine = sample_cosine(polarization * rest_asymmetry(x, p), v)
    nx, ny, ns = around(sx[i], sy[i], ss[i], cosine, 2.0 * math.pi * w)
    p *= ENERGY_END
    px, py, ps = boost(muon_px[i] / MASS, muon_py[i] / MASS, muon_ps[i] / MASS, p * nx, p * ny, p * ns, x * ENERGY_END)
    positrons.px[i] = px
    positrons.py[i] = py
    positrons.ps[i] = ps


def decay(
    bunch: Bunch, reference: Reference, key: FillKey, polarization: float = 1.0, backend: str = "cpu"
) -> Positrons:
    """Draw the positron of every muon of the bunch whose state is DECAYED.

    The muon's spin is given in the rest frame that a pure boost from the lab reaches, as the Thomas-BMT
    equation wants it, so the positron's momentum is drawn about it there and taken to the lab with the same
    boost. Radiative corrections are left out.

    Parameters
    ----------
    bunch
        Muons after tracking; those that did not decay are passed over.
    reference
        Reference of the ring, for the unit of the momenta.
    key
        Fill that the random numbers belong to (stage DECAY_KINEMATICS).
    polarization
        Degree of polarisation of the muons, 0 to 1.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Positrons
        One per decayed muon, in the order of the bunch.

    Raises
    ------
    ValueError
        If the polarisation is outside 0 to 1.
    """
    if not 0.0 <= polarization <= 1.0:
        raise ValueError(f"polarization = {polarization} is out of bounds: give a number from 0 to 1.")
    decayed = bunch.select(bunch.state == State.DECAYED)
    px, py, ps = momentum(decayed, reference)
    positrons = Positrons(
        decayed.x,
        decayed.y,
        decayed.theta,
        np.empty_like(px),
        np.empty_like(px),
        np.empty_like(px),
        decayed.time,
        decayed.number,
    )
    spin = decayed.sx, decayed.sy, decayed.ss
    _decay(decayed.n, px, py, ps, *spin, positrons, key, float(polarization), backend=backend)
    return positrons
