"""Acceptance of the calorimeters: which positrons are seen, with which asymmetry and which phase."""

import math

import numpy as np
from numpy.typing import ArrayLike

from decay.michel import lab_energy_end, lab_spectrum
from gm2sim.panels import Curve, Image, Panel
from gm2sim.report.published import ANALYSIS, Published
from gm2sim.studies.acceptance_map import Acceptance, measure_acceptance
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.registry import study

_TOY_KNEE, _TOY_TOP = 2.35, 0.75  # toy acceptance, nkinnaird/PrecessionFrequencyAnalysis @54b9b45 [GeV]
# Phase by energy over the endpoint [mrad], the same; hongran/QMethodUtilities has it too.
_PHASE = (-0.255134, 65.3034, -705.492, 5267.21, -23986.5, 68348.1, -121761.0, 131393.0, -78343.0, 19774.1)
_COMPARED = (1.0, 1.7, 2.0, 2.8, 3.0)  # [GeV]
_MRAD, _MM, _PERCENT = 1e3, 1e3, 1e2


@study("acceptance", key="asymmetry", muons=400_000, saves=True)
def acceptance(case: Case) -> Finding:
    """Acceptance of the calorimeters by energy and place: N(E), A(E) and phi(E) of the positrons that are seen.

    Isotropic decays at the places of the stored beam are flown to the calorimeters, each with the asymmetry vector of
    its energy and direction, turned by the precession in its time of flight
    (:mod:`gm2sim.studies.acceptance_map`). The result is the asymmetry above the threshold (``fit.threshold_gev``) with
    the configured polarisation; the formula beside it is that of all decays. The precession in the time of flight, the
    larger part of phi(E), is compared with the polynomial of published toys. ``--save`` writes the maps.
    """
    found = measure_acceptance(case)
    polarisation, threshold = case.config.beam.polarization, found.threshold
    gamma = case.reference.gamma0
    energies = np.linspace(threshold, lab_energy_end(gamma), 4001)
    number, polarised = (float(np.trapezoid(part, energies)) for part in lab_spectrum(energies, gamma))
    share, asymmetry, phase, flight = found.total
    share_error, asymmetry_error, phase_error, flight_error = found.total_error
    table = [
        Number(f"A above {threshold:g} GeV", polarisation * asymmetry, polarisation * asymmetry_error, "",
               polarisation * polarised / number, remark=f"polarisation {polarisation:g}; formula: all decays"),
        Number("the same, fully polarised", asymmetry, asymmetry_error, "", polarised / number),
        Number("seen above the threshold", share * _PERCENT, share_error * _PERCENT, "%", number * _PERCENT,
               remark="of all decays; formula: born above it"),
        Number("phase above the threshold", phase * _MRAD, phase_error * _MRAD, "mrad",
               remark="of flight and side of birth"),
        Number("of the flight alone", flight * _MRAD, flight_error * _MRAD, "mrad"),
        *_phases(found, lab_energy_end(gamma)),
        *_reached(found),
    ]  # fmt: skip
    remark = f"{found.decays} decays in the beam, {found.place_decays} at each of {found.x.size} places."
    return Finding(tuple(table), _panels(found, gamma), remark, found)


def toy_acceptance(energy: ArrayLike) -> Floats:
    """Acceptance of the published toy: rises to 0.75 at 2.35 GeV, then flat; energies in GeV."""
    return np.asarray(np.minimum(_TOY_TOP * np.asarray(energy, float) / _TOY_KNEE, _TOY_TOP))


def toy_phase(energy: ArrayLike, end: float) -> Floats:
    """Phase of the published polynomial in energy over the endpoint ``end`` [rad]; energies in GeV."""
    phase = np.polynomial.polynomial.polyval(np.asarray(energy, float) / end, _PHASE)
    return np.asarray(phase / _MRAD)


def _at(found: Acceptance, energy: float, values: Floats, errors: Floats) -> tuple[float, float]:
    """Value and error in the bin around an energy [GeV]; between two bins' middles: the nearer."""
    k = int(np.argmin(np.abs(found.middle - energy)))
    return float(values[k]), float(errors[k])


def _phases(found: Acceptance, end: float) -> list[Number]:
    """Precession in flight by energy beside the polynomial."""
    rows = []
    for energy in _COMPARED:
        value, error = _at(found, energy, found.flight, found.flight_error)
        theirs = Published(round(float(toy_phase(energy, end)) * _MRAD, 1), math.nan, ANALYSIS, "polynomial")
        remark = "of those born with this energy, 0.1 GeV wide"
        rows.append(Number(f"flight, {energy:g} GeV", value * _MRAD, error * _MRAD, "mrad", None, theirs, remark))
    return rows


def _reached(found: Acceptance) -> list[Number]:
    """Acceptance by energy at birth beside the toy."""
    rows = []
    for energy in (0.5, 1.0, 1.7, 2.4, 2.9):
        value, error = _at(found, energy, found.reached, found.reached_error)
        toy = _PERCENT * float(toy_acceptance(energy))
        remark = "of decays with this energy; formula: published toy"
        rows.append(Number(f"seen, {energy:g} GeV", value * _PERCENT, error * _PERCENT, "%", toy, None, remark))
    return rows


def _panels(found: Acceptance, gamma: float) -> tuple[Panel, ...]:
    middle, fine = found.middle, np.linspace(0.05, lab_energy_end(gamma) - 1e-3, 300)
    number, polarised = lab_spectrum(fine, gamma)
    label = "energy [GeV]"
    phase = found.phase_error < 0.03
    image = [_image(found, values, name) for values, name in (
        (found.place_above * _PERCENT, f"seen above {found.threshold:g} GeV [% of decays]"),
        (found.place_asymmetry, f"A above {found.threshold:g} GeV"),
        (found.place_phase * _MRAD, "phase [mrad]"),
    )]  # fmt: skip
    low, high = 5, found.edges.size - 4
    return (
        Panel(label + " at birth", "share of the decays", (
            Curve("reaches a calorimeter", middle, found.reached, found.reached_error),
            Curve(f"seen above {found.threshold:g} GeV", middle, found.above, found.above_error),
            Curve("published toy", fine, toy_acceptance(fine), line=True),
        )),
        Panel(label, "positrons per decay and GeV", (
            Curve("seen", middle, found.number, found.number_error), Curve("all decays", fine, number, line=True))),
        Panel(label, "asymmetry A(E), fully polarised", (
            Curve("seen", middle[:-1], found.asymmetry[:-1], found.asymmetry_error[:-1]),
            Curve("all decays", fine, polarised / number, line=True))),
        Panel(label, "phase [mrad]", (
            Curve("flight and side, by energy seen", middle[phase], found.phase[phase] * _MRAD,
                  found.phase_error[phase] * _MRAD),
            Curve("flight, by energy at birth", middle, found.flight * _MRAD, found.flight_error * _MRAD),
            Curve("published polynomial", fine, toy_phase(fine, lab_energy_end(gamma)) * _MRAD, line=True))),
        *(Panel("x, outward [mm]", "y, up [mm]", (), "place of the decay", one) for one in image),
        Panel("x, outward [mm]", label + " at birth", (), "at y = 0", Image(
            "reaches a calorimeter", *_midplane(found, low, high))),
    )  # fmt: skip


def _image(found: Acceptance, values: Floats, label: str) -> Image:
    """A map with its mirror image below the midplane."""
    spacing = 10.0
    edges = np.arange(-45.0, 46.0, spacing)
    cells = np.full((edges.size - 1, edges.size - 1), np.nan)
    column = np.rint((found.x * _MM + 40.0) / spacing).astype(int)
    for sign in (1.0, -1.0):
        cells[np.rint((sign * found.y * _MM + 40.0) / spacing).astype(int), column] = values
    return Image(label, edges, edges, cells)


def _midplane(found: Acceptance, low: int, high: int) -> tuple[Floats, Floats, Floats]:
    """Edges of x [mm] and energy [GeV], and what reaches a calorimeter of the decays at y = 0."""
    on = np.flatnonzero(np.abs(found.y) < 1e-9)
    on = on[np.argsort(found.x[on])]
    x = found.x[on] * _MM
    return np.append(x - 5.0, x[-1] + 5.0), found.edges[low : high + 1], found.place_reached[on, low:high].T
