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
# # First steps: the ring, its optics and a beam that swings
#
# We load the conditions of a data set of the experiment, ask the ring for its frequencies, track some muons and
# find one of these frequencies again in their motion. It ends with the published frequency of the coherent betatron
# oscillation (CBO) of the data set Run-1a, 372.04 kHz.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gm2sim as g2
from gm2sim.config import resolve
from gm2sim.report.published import published
from tracking.frequency import tune

# %% [markdown]
# ## Values and where they come from
#
# A preset holds everything that a run needs. Each value has a unit in its name, and a source written beside it.
# Two damaged resistors let the frequencies of Run-1 drift for the first 300 μs; the published ones are those of late
# times, so here the quads have their voltages from the start.

# %%
settings = resolve("run1a", {"scraping.slow_resistors": "none"})
for line in settings.lines():
    print(line[:150])

# %% [markdown]
# ## The ring
#
# The optics are measured on the tracker itself: the closed orbit, the tunes, and the frequencies that follow. Seen
# at one place, once a turn, the radial betatron motion of the frequency $f_x$ appears at its alias, the CBO
# frequency $f_\mathrm{CBO} = f_c - f_x$.

# %%
config = settings.config
ring = g2.Ring(config)
optics = ring.optics()
print(ring)
for name, value, unit, meaning in optics.rows():
    print(f"{name:16} {value:14.7g} {unit:3} {meaning}")

# %% [markdown]
# ## Two thousand muons
#
# The kicker leaves the beam off centre, so that its middle swings. We follow the muons for 600 turns (90 μs) and
# look at them half-way round the ring, where they pass once a turn. Most of them decay on the way: a muon that has
# gone is not `alive`, and what is written for it does not count.

# %%
turns = 600
muons = g2.Bunch.stored(config, n=2000, seed=7)
seen = ring.track(muons, turns, observers=(np.pi,), progress=False).samples


def mean_radius(which: slice) -> np.ndarray:
    """Mean radial offset [m] of some of the muons, turn by turn."""
    here = seen.alive[0, :, which]
    return np.where(here, seen.x[0, :, which], 0.0).sum(axis=1) / here.sum(axis=1)


everybody = slice(None)
radius = mean_radius(everybody)
time = np.arange(turns) * optics.period
figure, (early, all_turns) = plt.subplots(2, 1, figsize=(8, 5), layout="constrained")
early.plot(time[:120] * 1e6, radius[:120] * 1e3, "o-", markersize=3, linewidth=0.7)
all_turns.plot(time * 1e6, radius * 1e3, linewidth=0.7)
for axes in (early, all_turns):
    axes.set_xlabel("time since injection [μs]")
    axes.set_ylabel("mean radial offset [mm]")
    axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Its frequency
#
# `tune` finds the strongest line of a signal, in cycles a turn. For its error we take what the muons themselves
# say: ten groups of 200 muons give ten frequencies, and their scatter over $\sqrt{10}$ is the error of their mean.

# %%
groups = np.array([tune(mean_radius(slice(k, None, 10)), 0.02, 0.12).tune for k in range(10)]) / optics.period
f_cbo, error = groups.mean(), groups.std(ddof=1) / np.sqrt(len(groups))
theirs = published("cbo_khz", "run1a")
print(f"closed orbit       {optics.f_cbo * 1e-3:.2f} kHz")
print(f"these muons        {f_cbo * 1e-3:.2f} +- {error * 1e-3:.2f} kHz")
print(f"published          {theirs.value:.2f} kHz ({theirs.source}; {theirs.remark})")

# %% [markdown]
# The muons are at many momenta, and $f_x$ changes with the momentum (the chromaticity above): the mean of the beam
# is not exactly the closed orbit's, and the swing dies out as its muons get out of step. Within the error it is the
# published one. Four standard errors from ten groups (nine degrees of freedom) are exceeded by chance in 0.3 % of
# all seeds.

# %%
assert abs(f_cbo - theirs.value * 1e3) < 4 * error
