"""What the calorimeters see of the decays: by energy, and by where the muon was; measured, saved and loaded.

Decays are isotropic in the muon's rest frame and spread evenly around the ring; each counts with the asymmetry vector
of its own energy and direction, as in :mod:`gm2sim.studies.phase_map`, turned by the precession in its time of flight.
Every decay comes with its mirror image, the radial momentum reversed: of the two as much is born to either side, so
that only pairs of which one is seen and one is not have a say in the phase, and its error is halved.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decay.positron import Positrons
from detectors.geometry import Geometry
from detectors.transport import Fate, transport
from fields.total import field_tables
from gm2sim.hdf5 import new_file
from gm2sim.machine import quad_settings
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Floats
from gm2sim.studies.phase_map import Vectors, isotropic_decays, upper_grid
from gm2sim.studies.precession import BLOCKS, jackknife_sums
from gpu.rng import FillKey, Stage, normals

FORMAT = "gm2sim acceptance 1"
_LEAST, _HIGHEST, _WIDTH = 0.05, 3.15, 0.1  # bins of energy [GeV]: the transport follows positrons above 0.05
_STATISTICAL, _CONSTANT = 0.045, 0.015  # resolution of a calorimeter: nkinnaird/PrecessionFrequencyAnalysis @54b9b45
_DRAW = 0xFFFE  # of the stage of the showers: no shower uses it
_BATCH = 100_000
_PLACES_SHARE = 16  # decays at each place of the map: so many times fewer than of the beam

# Column -> (unit, meaning). Errors are statistical, one standard deviation.
COLUMNS: dict[str, tuple[str, str]] = {
    "edges": ("GeV", "edges of the bins of energy"),
    "reached": ("", "by the energy at birth: share of the decays whose positron reaches a calorimeter"),
    "reached_error": ("", "its error"),
    "above": ("", "by the energy at birth: share that is seen above the threshold"),
    "above_error": ("", "its error"),
    "number": ("1/GeV", "N(E): positrons seen with an energy, for each decay"),
    "number_error": ("1/GeV", "its error"),
    "asymmetry": ("", "A(E) of the positrons seen with an energy, fully polarised muons"),
    "asymmetry_error": ("", "its error"),
    "phase": ("rad", "phi(E): what their flight and the side they are born to add to the phase of the wiggle"),
    "phase_error": ("rad", "its error"),
    "flight": ("rad", "by the energy at birth: mean precession in the time of flight to a calorimeter"),
    "flight_error": ("rad", "its error"),
    "x": ("m", "radial place of the decay, outward from the design orbit"),
    "y": ("m", "height of the decay; below the midplane as above"),
    "place_reached": ("", "by place and energy at birth: share of the decays whose positron reaches a calorimeter"),
    "place_reached_error": ("", "its error"),
    "place_above": ("", "by place: share of all decays that is seen above the threshold"),
    "place_above_error": ("", "its error"),
    "place_asymmetry": ("", "by place: A above the threshold"),
    "place_asymmetry_error": ("", "its error"),
    "place_phase": ("rad", "by place: phase above the threshold"),
    "place_phase_error": ("rad", "its error"),
    "total": ("", "decays seen above the threshold: share, asymmetry, phase [rad], precession in flight [rad]"),
    "total_error": ("", "their errors"),
}


@dataclass(frozen=True)
class Acceptance:
    """Acceptance of the calorimeters for b bins of energy and g places; see :data:`COLUMNS` for each array.

    Shapes: edges (b + 1); reached, above, number, asymmetry, phase, flight (b,); x, y, place_above, place_asymmetry,
    place_phase (g,); place_reached (g, b); total (4,); errors as what they belong to. Bins without a positron are NaN.

    Attributes
    ----------
    threshold : float [GeV]
        On the energy as a calorimeter measures it.
    decays, place_decays : int
        Decays in the beam, and at each place.
    """

    threshold: float
    decays: int
    place_decays: int
    edges: Floats
    reached: Floats
    reached_error: Floats
    above: Floats
    above_error: Floats
    number: Floats
    number_error: Floats
    asymmetry: Floats
    asymmetry_error: Floats
    phase: Floats
    phase_error: Floats
    flight: Floats
    flight_error: Floats
    x: Floats
    y: Floats
    place_reached: Floats
    place_reached_error: Floats
    place_above: Floats
    place_above_error: Floats
    place_asymmetry: Floats
    place_asymmetry_error: Floats
    place_phase: Floats
    place_phase_error: Floats
    total: Floats
    total_error: Floats

    @property
    def middle(self) -> Floats:
        """Middles of the bins [GeV], shape (b,)."""
        return 0.5 * (self.edges[:-1] + self.edges[1:])

    def save(self, path: Path) -> None:
        """Write an HDF5 file with units and meanings as attributes; it appears whole or not at all."""
        with new_file(path, replace=True) as file:
            file.attrs["format"] = FORMAT
            for name in ("threshold", "decays", "place_decays"):
                file.attrs[name] = getattr(self, name)
            file.attrs["threshold_unit"] = "GeV"
            for name, (unit, meaning) in COLUMNS.items():
                data = file.create_dataset(name, data=getattr(self, name))
                data.attrs["unit"], data.attrs["meaning"] = unit, meaning


def load_acceptance(path: Path) -> Acceptance:
    """Read what :meth:`Acceptance.save` wrote.

    Raises
    ------
    ValueError
        The file is not such a map.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise KeyError("format")
            numbers: dict[str, Any] = {
                name: file.attrs[name].item() for name in ("threshold", "decays", "place_decays")
            }
            return Acceptance(**numbers, **{one.name: file[one.name][:] for one in fields(Acceptance)[3:]})
    except (OSError, KeyError) as err:
        raise ValueError(
            f"{path} is no acceptance map ({err}): make one with gm2sim study acceptance PRESET --save FILE"
        ) from None


class _Flown(NamedTuple):
    """Positrons that reached a calorimeter; arrays (m,)."""

    which: NDArray[np.int64]  # of those born
    energy: Floats  # as a calorimeter measures it [GeV]
    flight: Floats  # time [s]


class _Sums(NamedTuple):
    """Sums over each part of the decays."""

    born: Vectors  # by energy at birth (BLOCKS, 4, b): decays, those seen, those above the threshold, turns of the seen
    seen: Vectors  # by energy seen (BLOCKS, 2, b): positrons, their turned vectors
    above: Vectors  # above the threshold (BLOCKS, 4): decays, positrons, their turned vectors, their turn in flight


def resolution(energy: Floats) -> Floats:
    """Relative resolution of a calorimeter, sqrt(1.5 %^2 + 4.5 %^2 GeV/E)."""
    return np.asarray(np.sqrt(_CONSTANT**2 + _STATISTICAL**2 / energy))


def mirrored(born: Positrons, vector: Vectors) -> tuple[Positrons, Vectors]:
    """The decays, and behind them the same with the radial momentum reversed."""
    both = Positrons._make(np.concatenate([column, column]) for column in born)
    both.px[born.n :] *= -1.0
    return both, np.concatenate([vector, np.conj(vector)])


class Flight:
    """Flies positrons of a configuration to the calorimeters."""

    def __init__(self, case: Case) -> None:
        self._fields = field_tables(case.storage, quad_settings(case.config), case.tables.ring)
        self._geometry = Geometry(ring=case.tables.ring)
        self._key = FillKey(case.seed, case.config.run.run, 0, 0)

    def __call__(self, born: Positrons) -> _Flown:
        """Those that arrive, and what a calorimeter measures of them."""
        parts = []
        for first in range(0, born.n, _BATCH):
            some = Positrons._make(column[first : first + _BATCH] for column in born)
            _, ends = transport(some, self._fields, self._geometry, self._key)
            which = np.flatnonzero(ends.fate == Fate.HIT)
            spread, _ = normals(self._key, Stage.SHOWER, some.number[which], _DRAW)
            energy = ends.energy[which]
            parts.append(
                _Flown(which + first, energy * (1.0 + resolution(energy) * spread), (ends.time - some.time)[which])
            )
        return _Flown(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def sum_up(born: Positrons, vector: Vectors, flown: _Flown, edges: Floats, threshold: float, omega_a: float) -> _Sums:
    """Sums over parts of the decays; a decay and its mirror image, half of all apart, are in the same part."""
    half, bins = born.n // 2, edges.size - 1
    block = (np.arange(born.n) % half) * BLOCKS // half
    part, energy = block[flown.which], born.energy
    above = flown.energy > threshold
    turn = omega_a * flown.flight
    turned = vector[flown.which] * np.exp(-1j * turn)

    def histogram(at: Floats, where: NDArray[np.int64], weight: ArrayLike = 1.0) -> Vectors:
        cell = np.searchsorted(edges, at, side="right") - 1
        use = (cell >= 0) & (cell < bins)
        flat, value = where[use] * bins + cell[use], np.broadcast_to(np.asarray(weight), at.shape)[use]
        return _complex_sums(flat, value, BLOCKS * bins).reshape(BLOCKS, bins)

    at_birth = energy[flown.which]
    by_birth = [
        histogram(energy, block), histogram(at_birth, part), histogram(at_birth[above], part[above]),
        histogram(at_birth, part, turn),
    ]  # fmt: skip
    by_seen = [histogram(flown.energy, part, weight) for weight in (1.0, turned)]
    counts = [(block, np.ones(born.n)), *((part[above], one[above]) for one in (np.ones(above.size), turned, turn))]
    return _Sums(
        np.stack(by_birth, axis=1),
        np.stack(by_seen, axis=1),
        np.stack([_complex_sums(where, one, BLOCKS) for where, one in counts], axis=1),
    )


def _complex_sums(where: NDArray[np.int64], values: NDArray[Any], size: int) -> Vectors:
    return np.bincount(where, values.real, size) + 1j * np.bincount(where, values.imag, size)


def wiggle(sums: Vectors) -> Floats:
    """Number, asymmetry and phase [rad] of sums (2, ...) of positrons and their vectors: shape (3, ...).

    The asymmetry has the sign of the component along the momentum: where it is below 0 the phase is not moved by pi.
    """
    number, vector = sums[0].real, sums[1] * np.where(sums[1].real < 0.0, -1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        asymmetry = np.copysign(np.abs(vector), sums[1].real) / number
        return np.stack([number, asymmetry, -np.angle(vector)])


def _shares(sums: Vectors) -> Floats:
    """Share that reaches a calorimeter, share above the threshold, mean turn [rad] of sums by the energy at birth."""
    born, reached, above, turn = sums.real
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([reached / born, above / born, turn / reached])


def _above(sums: Vectors) -> Floats:
    """Share of the decays, asymmetry, phase and precession in flight of sums (4,)."""
    number, asymmetry, phase = wiggle(sums[1:3])
    return np.array([number / sums[0].real, asymmetry, phase, sums[3].real / number])


def measure_acceptance(case: Case) -> Acceptance:
    """Decays at the places of the stored beam, averaged over its coherent motion, and at the places of a grid.

    Parameters
    ----------
    case : Case
        ``muons`` decays in the beam, a sixteenth of that at each place; ``fit.threshold_gev``.
    """
    edges = np.arange(_LEAST, _HIGHEST + 0.5 * _WIDTH, _WIDTH)
    threshold, fly = case.config.fit.threshold_gev, Flight(case)
    born, vector = mirrored(*isotropic_decays(case, case.muons // 2, 0.0))
    beam = case.drawn(case.muons // 2, cbo_amplitude=0.0)
    born = born._replace(x=np.tile(beam.x, 2), y=np.tile(beam.y, 2))
    sums = sum_up(born, vector, fly(born), edges, threshold, case.omega_a)
    shares, shares_error = jackknife_sums(_shares, sums.born)
    seen, seen_error = jackknife_sums(wiggle, sums.seen)
    few = sums.seen[:, 0].real.sum(axis=0) < BLOCKS
    seen[1:, few] = seen_error[1:, few] = np.nan
    per_gev = np.array([1.0 / (born.n * _WIDTH), 1.0, 1.0])[:, None]
    total, total_error = jackknife_sums(_above, sums.above)
    columns: dict[str, Any] = {"edges": edges, "total": total, "total_error": total_error}
    for k, name in enumerate(("reached", "above", "flight")):
        columns |= {name: shares[k], f"{name}_error": shares_error[k]}
    for k, name in enumerate(("number", "asymmetry", "phase")):
        columns |= {name: (seen * per_gev)[k], f"{name}_error": (seen_error * per_gev)[k]}
    return Acceptance(threshold=threshold, decays=born.n, **_places(case, fly, edges), **columns)


def _places(case: Case, fly: Flight, edges: Floats) -> dict[str, Any]:
    """The maps: the same decays at each place."""
    born, vector = mirrored(*isotropic_decays(case, max(case.muons // (2 * _PLACES_SHARE), BLOCKS), 0.0))
    x, y = upper_grid()
    reached, error = np.zeros((2, x.size, edges.size - 1))
    found, found_error = np.zeros((2, x.size, 4))
    for g in range(x.size):
        placed = born._replace(x=np.full(born.n, x[g]), y=np.full(born.n, y[g]))
        sums = sum_up(placed, vector, fly(placed), edges, case.config.fit.threshold_gev, case.omega_a)
        shares, shares_error = jackknife_sums(_shares, sums.born)
        reached[g], error[g] = shares[0], shares_error[0]
        found[g], found_error[g] = jackknife_sums(_above, sums.above)
    columns: dict[str, Any] = {"place_decays": born.n, "x": x, "y": y}
    columns |= {"place_reached": reached, "place_reached_error": error}
    for k, name in enumerate(("above", "asymmetry", "phase")):
        columns |= {f"place_{name}": found[:, k], f"place_{name}_error": found_error[:, k]}
    return columns
