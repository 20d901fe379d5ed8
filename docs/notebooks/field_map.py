# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From seventeen probes to the field the muons feel
#
# A trolley with 17 NMR probes runs around the ring and reads the field at some thousand azimuths. We make such
# readings in a field that we know, fit multipoles to them, and look at the fit: its errors, its residuals, and how
# far outside the probes it can be trusted. It ends with the two tests of a fit whose errors are right.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np

import gm2sim as g2
from fields.plots import plot_field_map, plot_trolley_fit
from fields.synthetic import synthesise
from fields.trolley import TERMS, fit_multipoles, simulate_run

# %% [markdown]
# ## Readings and fit
#
# The field has the averages and spreads of the first data set (60h). It is synthetic: where a bump sits is not that
# of the real magnet. Each reading has a noise of 20 ppb.

# %%
truth = synthesise("e989")
noise = 20e-9 * truth.b0
run = simulate_run(truth, azimuths=2000, noise=noise)
fit = fit_multipoles(run)

figure = plot_trolley_fit(fit)
figure.set_size_inches(11, 8)
figure

# %% [markdown]
# The probes lie within 35 mm. Outside, the error of the fitted field grows with the highest multipole, as (r/35
# mm)^n.

# %%
radius = np.linspace(0.0, 45e-3, 91)
plt.figure(figsize=(6, 3.5))
plt.semilogy(1e3 * radius, 1e9 * fit.field_error(radius, 0.0 * radius) / truth.b0)
plt.axvline(35, color="grey", linestyle=":")
plt.xlabel("x [mm]")
plt.ylabel("error of the fitted field [ppb]")
plt.show()

# %% [markdown]
# ## The map that the tracker takes
#
# Between the azimuths the fit is a smooth function that obeys Maxwell's equations. The Run-1 presets track muons in
# just such a fit.

# %%
figure = plot_field_map(fit.storage_field())
figure.set_size_inches(10, 6)
figure

# %%
ring = g2.Ring(g2.load("run1a"))
print(ring)
print("origin of its field:", ring.storage.label)
print(f"closed orbit at the inflector exit: {1e3 * ring.optics().lattice.x[0]:+.3f} mm")

# %% [markdown]
# ## Are the errors right?
#
# Fitted minus true multipoles over their errors must have the width 1, and the squared residuals of the 17 readings
# of an azimuth must be five on average: 17 readings less 12 multipoles. Both are means over many azimuths, so they
# have errors.

# %%
true = truth.multipoles(fit.theta)
values = np.column_stack([-true[:, n].imag if skew else true[:, n].real for n, skew in TERMS if n < true.shape[1]])
known = [k for k, (n, _) in enumerate(TERMS) if n < true.shape[1]]
pulls = (fit.coefficients[:, known] - values) / fit.errors[known]
width = np.sqrt(np.mean(pulls**2, axis=0))
freedom = fit.chi2.mean()
print("widths of the pulls:", np.array2string(width, precision=3))
print(f"mean chi2 {freedom:.3f} for {fit.degrees_of_freedom} degrees of freedom")

azimuths = fit.theta.size
assert np.all(np.abs(width - 1.0) < 5.0 / np.sqrt(2.0 * azimuths))  # error of an RMS: 1/sqrt(2 N)
assert abs(freedom - fit.degrees_of_freedom) < 5.0 * np.sqrt(2.0 * fit.degrees_of_freedom / azimuths)
