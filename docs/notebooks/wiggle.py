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
# # The wiggle: a frequency put in, and found again
#
# Twenty thousand muons decay in four fills. From the raw file alone we count the positrons of high energy against
# time: when the spins point along the momenta there are more of them, and so their number wiggles with the
# anomalous precession. A fit of five parameters gives its frequency. It ends with the frequency that was put in,
# $a_\mu e B/(2\pi m)$.

# %%
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import gm2sim as g2
from gm2sim.analysis import precession_frequency
from gm2sim.plots import wiggle_modulo
from gm2sim.reco import reconstruct
from gm2sim.run import run
from gm2sim.wiggle import fit_wiggle, histogram

# %% [markdown]
# ## Four fills
#
# `gasgun` is a stored beam without the effects of injection: the ring is filled evenly, and nothing swings. So the
# fit may begin at once, long before the experiment's 30 μs.

# %%
config = g2.load("gasgun").with_(
    beam__muons_per_fill=5000, run__fills=4, run__subruns=1, daq__calo_sum=False, daq__q_method=False
)
folder = tempfile.TemporaryDirectory()
summary = run(config, Path(folder.name), report=False)
print(f"{summary['counts']['muons']} muons made {summary['counts']['hits']} arrivals at the calorimeters")

# %% [markdown]
# ## Positrons against time

# %%
positrons = reconstruct(Path(folder.name).glob("*.mid"))
folder.cleanup()
data = histogram(positrons.time, positrons.energy, threshold=1.7, start=4e-6, stop=650e-6)
print(f"{len(positrons.time)} positrons found, {data.counts.sum():.0f} of them above 1.7 GeV from 4 μs on")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.hist(positrons.energy, bins=64, range=(0, 3.2))
left.axvline(1.7, color="black", linewidth=0.8)
left.set_xlabel("reconstructed energy [GeV]")
left.set_ylabel("positrons per 50 MeV")
high = positrons.energy > 1.7
right.hist(positrons.time[high] * 1e6, bins=100, range=(0, 60))
right.set_xlabel("time since injection [μs]")
right.set_ylabel("positrons above 1.7 GeV per 0.6 μs")
plt.show()

# %% [markdown]
# ## Five parameters
#
# $$N(t) = N_0\,e^{-t/\tau}\,[1 + A\cos(\omega_a t - \varphi)],\qquad
# \omega_a = 2\pi\cdot 0.2291\,\mathrm{MHz}\,(1 + R\cdot 10^{-6})$$

# %%
fit = fit_wiggle(data)
for name in fit.names:
    value, error = fit[name]
    print(f"{name:10} {value:10.4f} +- {error:.4f}")
print(f"chi-square {fit.chi2:.1f} for {fit.ndf} degrees of freedom, probability {fit.probability:.3f}")
wiggle_modulo(data, fit)

# %% [markdown]
# ## What was put in
#
# The electric field and pitch corrections lower the frequency by about 0.6 ppm, far below what this many positrons
# can see: the error falls with $1/\sqrt N$, and the experiment has more than $10^{11}$ of them. With $N$ positrons
# of asymmetry $A$ it cannot be smaller than about $\sqrt2/(\gamma\tau A\sqrt N)$ (for $\omega_a$), whatever is
# fitted.

# %%
put_in = precession_frequency(config)
omega, error = fit.omega_a
found, error = omega / math.tau, error / math.tau
best = math.sqrt(2) / (fit["tau_us"][0] * 1e-6 * fit["asymmetry"][0] * math.sqrt(fit.positrons)) / math.tau
print(f"put in {put_in:.1f} Hz")
print(f"found  {found:.1f} +- {error:.1f} Hz, {(found - put_in) / error:+.2f} standard errors off")
print(f"no fit could have an error below about {best:.1f} Hz")
assert fit.valid
assert fit.probability > 1e-3
assert abs(found - put_in) < 3 * error
