"""Pictures of fields: multipoles around the ring with errors, residuals of a trolley fit, the field map."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fields.ring import R_REFERENCE, TWO_PI
from fields.storage import StorageField
from fields.trolley import TERM_NAMES, TERMS, MultipoleFit

_PPM = 1e6


def plot_trolley_fit(fit: MultipoleFit) -> Figure:
    """Multipoles over azimuth with error bars, and residuals and chi2 below.

    Parameters
    ----------
    fit
        Result of `fit_multipoles`.

    Returns
    -------
    Figure
        Eight panels: dipole, orders 1 to 5, residuals, chi2.
    """
    b0 = fit.average()[0][0]
    degrees = np.degrees(fit.theta)
    errors = _PPM * fit.errors / b0
    figure = Figure(figsize=(11.0, 12.0), layout="constrained")
    panels = figure.subplots(4, 2).ravel()
    for panel, order in zip(panels[:6], range(6), strict=True):
        for k, (n, skew) in enumerate(TERMS):
            if n == order:
                offset = b0 if n == 0 else 0.0
                ppm = _PPM * (fit.coefficients[:, k] - offset) / b0
                color = "tab:red" if skew else "tab:blue"
                label = f"{TERM_NAMES[k]} ± {errors[k]:.2g} ppm"
                panel.errorbar(degrees, ppm, yerr=errors[k], fmt=",", ms=1.0, lw=0.4, color=color, label=label)
        panel.set_xlabel("azimuth from inflector exit [deg]")
        panel.set_ylabel("deviation from average [ppm]" if order == 0 else "strength at 45 mm [ppm]")
        panel.legend(loc="upper right", fontsize=7)
    _plot_quality(panels[6], panels[7], fit, b0)
    return figure


def _plot_quality(residual_panel: Axes, chi2_panel: Axes, fit: MultipoleFit, b0: float) -> None:
    """Spread of the residuals per probe, and chi2 of the azimuths with its expectation."""
    spread = 1e9 * fit.residuals.std(axis=0) / b0
    probes = np.arange(spread.size)
    residual_panel.errorbar(probes, 1e9 * fit.residuals.mean(axis=0) / b0, yerr=spread, fmt="o", ms=3, color="black")
    residual_panel.axhline(0.0, color="grey", lw=0.5)
    residual_panel.set_xlabel("probe")
    residual_panel.set_ylabel("residual, mean and standard deviation [ppb]")
    highest = max(float(np.quantile(fit.chi2, 0.999)), 3.0 * fit.degrees_of_freedom)
    chi2_panel.hist(fit.chi2, bins=60, range=(0.0, highest), histtype="step", color="black")
    chi2_panel.axvline(fit.degrees_of_freedom, color="tab:orange", label="degrees of freedom")
    chi2_panel.set_xlabel(f"chi2 of an azimuth ({fit.degrees_of_freedom} degrees of freedom)")
    chi2_panel.set_ylabel("azimuths")
    chi2_panel.legend(fontsize=7)


def plot_field_map(field: StorageField) -> Figure:
    """Dipole around the ring, spread of the multipoles, and the averaged field in the cross-section.

    Parameters
    ----------
    field
        Any storage field.
    """
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    axes = figure.subplot_mosaic([["dipole", "dipole"], ["spread", "section"]])
    theta = TWO_PI * np.arange(1440) / 1440
    c = field.multipoles(theta)
    axes["dipole"].plot(np.degrees(theta), _PPM * (c[:, 0].real / field.b0 - 1.0), lw=0.8)
    axes["dipole"].set_xlabel("azimuth from inflector exit [deg]")
    axes["dipole"].set_ylabel("dipole - average [ppm]")
    axes["dipole"].set_title(f"{field.label}, B0 = {field.b0:.6f} T", fontsize=9)
    relative = _PPM * c[:, 1:] / field.b0
    order = np.arange(1, field.order + 1)
    for shift, color, label, values in (
        (-0.08, "tab:blue", "normal b_n", relative.real),
        (0.08, "tab:red", "skew a_n", -relative.imag),
    ):
        axes["spread"].errorbar(
            order + shift,
            values.mean(axis=0),
            yerr=values.std(axis=0),
            fmt="o",
            ms=3,
            color=color,
            label=label,
        )
    axes["spread"].axhline(0.0, color="grey", lw=0.5)
    axes["spread"].set_xticks(order)
    axes["spread"].set_xlabel("order n (points: average, bars: spread around the ring)")
    axes["spread"].set_ylabel("strength at 45 mm [ppm]")
    axes["spread"].legend(fontsize=8)
    _plot_section(axes["section"], field)
    return figure


def _plot_section(panel: Axes, field: StorageField) -> None:
    """Azimuthal average of B_y over x and y inside the aperture."""
    mm = np.linspace(-45.0, 45.0, 91)
    x, y = np.meshgrid(mm, mm)
    z = 1e-3 * (x + 1j * y) / R_REFERENCE
    by = np.real(np.polynomial.polynomial.polyval(z, field.mean_field()))
    ppm = np.where(np.abs(z) <= 1.0, _PPM * (by / field.b0 - 1.0), np.nan)
    mesh = panel.pcolormesh(x, y, ppm, cmap="RdBu_r", shading="nearest", rasterized=True)
    panel.set_aspect("equal")
    panel.set_xlabel("x [mm]")
    panel.set_ylabel("y [mm]")
    panel.figure.colorbar(mesh, ax=panel, label="average field - B0 [ppm]")
