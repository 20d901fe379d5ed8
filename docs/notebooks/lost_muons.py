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
# # Lost muons: a loss spectrum, and what it does to the wiggle
#
# Muons at the edge of the aperture hit a collimator sooner or later. The experiment counts them by coincidences of
# calorimeters, because a beam that shrinks faster than it decays bends the wiggle: its fit multiplies the exponential
# with $L(t) = 1 - K\int_0^t l(t')\,e^{t'/\gamma\tau}\,dt'$. Here we lose some muons and see that this is right.

# %%
import numpy as np
from IPython.display import display

import gm2sim as g2
from gm2sim.lost_muons import Losses, fraction_lost, loss_function
from gm2sim.plots import lost_muons
from tracking.muon import LIFETIME

# %% [markdown]
# The stored beam of Run-1a, with muons that reach up to 2 mm beyond the collimators (`beam.edge_mm`): in a few turns,
# or in a few hundred where the tunes take their time, these are lost. We follow 20000 muons for 200 μs.

# %%
config = g2.load("run1a").with_(beam__edge_mm=2.0)
ring = g2.Ring(config)
muons = g2.Bunch.stored(config, n=20_000, seed=5, ring=ring)
end = ring.track(muons, ring.turns(200e-6), observers=(), progress=False).bunch
losses = Losses.of(end.state, end.time)
print(f"{losses.lost.size} muons lost, {losses.other.size} decayed or still there")

# %%
display(lost_muons(losses, edges=np.geomspace(1e-6, 200e-6, 25)))

# %% [markdown]
# `fraction_lost` is what would be lost if nothing decayed. From the counts of lost muons alone, with the decay
# multiplied out, `loss_function` makes the $J(t)$ of the fit; with every loss counted, $K$ is one over the number of
# muons at $t = 0$.

# %%
edges = np.linspace(0.0, 200e-6, 401)
counts, _ = np.histogram(losses.lost, edges)
survival = loss_function(counts, edges, ring.reference.gamma0 * LIFETIME)(edges, 1.0 / muons.n)
for at in (30e-6, 100e-6, 190e-6):
    share, error = fraction_lost(losses, 0.0, at)
    kept = np.interp(at, edges, survival)
    print(f"{at * 1e6:3.0f} us: L = {kept:.4f}, share not lost {1 - share:.4f} +- {error:.4f}")

# %% [markdown]
# Both are estimates of the same number from the same losses. They differ because one divides the losses by the muons
# that are there, the other by those that the mean lifetime says are there, which are more uncertain by one over the
# root of the muons left; at 100 μs 4000 are.

# %%
share, error = fraction_lost(losses, 0.0, 100e-6)
left = muons.n * np.exp(-100e-6 / (ring.reference.gamma0 * LIFETIME))
assert abs(np.interp(100e-6, edges, survival) - (1 - share)) < 4 * np.hypot(error, share / np.sqrt(left))
