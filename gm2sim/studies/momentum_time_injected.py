"""Correlation of momentum and injection time that the kick makes in an injected beam."""

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.fast_rotation import correlation_panel, joint, momenta
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.precession import mean

_BINS = 16
_CURVE = 2  # order of the polynomial of x_e by time
_PPB, _MM, _NS = 1e9, 1e3, 1e9


def injected_momentum_time(case: Case) -> Finding:
    """Mean x_e by injection time of what is stored, and the bias of the fast-rotation analysis.

    Early and late parts of a bunch meet other parts of the kick, so other momenta of them are stored. The analysis
    takes all momenta to have one time profile (:mod:`gm2sim.fast_rotation`): its C_e is set beside that of the
    momenta, plain and with the form factor of each momentum, and that of the joint fit, which finds the correlation.
    """
    beam = momenta(case)
    x_e = beam.optics.mean_dispersion * beam.delta
    order = np.argsort(beam.time, kind="stable")
    parts = np.array_split(order, _BINS)
    middle = np.array([beam.time[part].mean() for part in parts])
    here, bars = (np.array(column) for column in zip(*(mean(x_e[part]) for part in parts), strict=True))
    width = np.array([x_e[part].std() for part in parts])
    (curve, covariance) = np.polyfit(beam.time * _NS, x_e * _MM, _CURVE, cov=True)
    (slope, height), errors = np.polyfit(beam.time * _NS, x_e * _MM, 1, cov=True)
    plain, corrected, fits = beam.compare(corrected=False), beam.compare(corrected=True), joint(beam)
    truth = plain.truth.radii
    between = float(np.var(here)) - float(np.mean(bars**2))
    n, reference = beam.optics.field_index, beam.reference
    scale = 2.0 * n * (1.0 - n) * reference.beta0**2 / reference.r0**2
    table = (
        Number("bias of C_e", plain.difference_ppb, plain.difference_error_ppb, "ppb", None, None,
               "fast rotation less momenta, same muons"),
        Number("bias with form factor", corrected.difference_ppb, corrected.difference_error_ppb, "ppb", 0.0),
        *fits.rows(),
        Number("C_e of the momenta", truth.c_e_ppb, scale * mean(x_e**2)[1] * _PPB, "ppb"),
        Number("slope of x_e", float(slope), float(np.sqrt(errors[0, 0])), "mm/ns", remark="straight line"),
        Number("curvature of x_e", float(curve[0]) * 40.0**2, float(np.sqrt(covariance[0, 0])) * 40.0**2, "mm",
               remark="second-order term at 40 ns from the centre"),
        Number("part of C_e by the mean of each time", scale * max(between, 0.0) * _PPB, unit="ppb",
               remark="variance of the mean x_e between times"),
        Number("mean x_e", float(x_e.mean()) * _MM, mean(x_e)[1] * _MM, "mm"),
        Number("bunch RMS, stored", float(beam.time.std()) * _NS, float(beam.time.std()) * _NS / np.sqrt(2 * x_e.size),
               "ns"),
        Number("muons stored", float(x_e.size), remark=f"of {case.muons} that left the inflector"),
    )  # fmt: skip
    fine = np.linspace(middle[0], middle[-1], 61) * _NS
    panels = (
        Panel("injection time [ns]", "mean x_e [mm]", (
            Curve("stored", middle * _NS, here * _MM, bars * _MM),
            Curve("second order", fine, np.polyval(curve, fine), line=True),
            Curve("straight line", fine, slope * fine + height, line=True),
        )),
        correlation_panel(beam, fits),
        Panel("injection time [ns]", "width of x_e [mm]", (
            Curve("stored", middle * _NS, width * _MM, width / np.sqrt(2.0 * np.array([p.size for p in parts])) * _MM),
        )),
    )  # fmt: skip
    return Finding(table, panels, "Injected muons that are left after 35 us; they do not decay.")
