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
# # Electric field and pitch: two corrections from tracked spins
#
# The spin of a muon turns ahead of its momentum with the frequency $\omega_a = a_\mu e B/m$, if the muon has the
# magic momentum and moves in the horizontal plane. Off the magic momentum it feels the electric field of the
# quadrupoles, and when it oscillates vertically, part of the field is along its path. Both make $\omega_a$ smaller:
#
# $$\frac{\Delta\omega_a}{\omega_a} = -2n(1-n)\beta^2\frac{x_e^2}{R_0^2} \qquad\text{and}\qquad
# \frac{\Delta\omega_a}{\omega_a} = -\frac{n\,y_0^2}{4R_0^2}$$
#
# with the field index $n$, the equilibrium radius $x_e$ and the vertical amplitude $y_0$ (F. J. M. Farley, Phys.
# Lett. B 42 (1972) 66; T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002). We track single muons and see:
# first where quads fill the whole circumference, then in the ring as built.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gm2sim as g2
from tracking.frequency import angular_frequency, smooth_mean, spin_phase
from tracking.muon import P_MAGIC, RIGIDITY

# %% [markdown]
# The preset `ideal` is the continuous ring. We set the field so that the design momentum is exactly the magic one,
# and integrate with eight times more slices than usual, because we want to see parts in $10^{5}$ of a correction.

# %%
radius_0 = 7.112  # m
magic = {"magnet__field_t": P_MAGIC / (RIGIDITY * radius_0), "tracking__refine": 8}
ring = g2.Ring(g2.load("ideal").with_(**magic))
reference, n = ring.reference, ring.tables.field_index
print(ring)


# %% [markdown]
# A straight line through the phase over a few hundred turns would carry the betatron motion with it. The tools take
# means with a window that vanishes smoothly at both ends, which leaves nothing of an oscillation.


# %%
def precession(ring: g2.Ring, muons: g2.Bunch, observers: tuple[float, ...] = (0.0,), turns: int = 1500):
    """omega_a of each muon [rad/s], its numerical error, and what the observers saw."""
    seen = ring.track(muons, turns, observers=observers, progress=False).samples
    phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], muons.energy, ring.reference)
    rate = angular_frequency(phase, seen.time[0])
    return rate.value, rate.error, seen


# %% [markdown]
# ## Electric field
#
# Muons enter on the axis with momenta that differ by $\delta$ from the magic one, and oscillate about $x_e =
# R_0\,\delta/(1-n)$.

# %%
delta = np.array([0.0, -2.0e-3, -1.5e-3, -1.0e-3, -0.5e-3, 0.5e-3, 1.0e-3, 1.5e-3, 2.0e-3])
off_momentum = g2.Bunch.empty(delta.size).with_momentum(delta, reference)
omega, error, seen = precession(ring, off_momentum)
shift = (omega / omega[0] - 1)[1:]
x_e = radius_0 * delta[1:] / (1 - n)
formula = -2 * n * (1 - n) * reference.beta0**2 * (x_e / radius_0) ** 2
print("x_e [mm]  mean x [mm]  tracked [ppb]  formula [ppb]")
for row in zip(x_e * 1e3, smooth_mean(seen.x[0]).value[1:] * 1e3, shift * 1e9, formula * 1e9, strict=True):
    print("{:8.3f} {:12.3f} {:14.3f} {:14.3f}".format(*row))
print(f"numerical error of the rates: {1e9 * max(error / omega):.1g} ppb")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
fine = np.linspace(-17, 17, 101)
left.plot(fine, -2 * n * (1 - n) * reference.beta0**2 * (fine * 1e-3 / radius_0) ** 2 * 1e9, label="formula")
left.plot(x_e * 1e3, shift * 1e9, "o", label="tracked spins")
left.set_ylabel("shift of $\\omega_a$ [ppb]")
left.legend()
right.plot(x_e * 1e3, (shift - formula) * 1e9, "o-")
right.set_ylabel("tracked − formula [ppb]")
for axes in (left, right):
    axes.set_xlabel("equilibrium radius $x_e$ [mm]")
    axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# What is left over is odd in $x_e$: the formula is the first term of a series in $x_e/R_0$. The mean of a muon and
# its mirror image is free of the next term, and the one after that is smaller by $(x_e/R_0)^2$, 5 parts in $10^6$
# at most.

# %%
pairs, pair_formula = 0.5 * (shift + shift[::-1])[:4], formula[:4]
print("pairs, tracked over formula - 1:", pairs / pair_formula - 1)
assert np.all(abs(pairs / pair_formula - 1) < (x_e[:4] / radius_0) ** 2 + 2 * max(error / omega) / abs(pair_formula))

# %% [markdown]
# ## Pitch
#
# Now muons of the magic momentum that cross the mid-plane with a slope $\psi_0 = \sqrt n\,y_0/R_0$.

# %%
y_0 = np.array([0.0, 10e-3, 20e-3, 30e-3, 40e-3])
slope = np.sqrt(n) * y_0 / radius_0
oscillating = g2.Bunch.empty(y_0.size).with_momentum(0.0, reference)._replace(py=slope)
omega, error, seen = precession(ring, oscillating)
shift = (omega / omega[0] - 1)[1:]
formula = (-n * y_0**2 / (4 * radius_0**2))[1:]
for row in zip(y_0[1:] * 1e3, shift * 1e9, formula * 1e9, shift / formula - 1, strict=True):
    print("y_0 = {:2.0f} mm: tracked {:9.3f} ppb, formula {:9.3f} ppb, ratio - 1 = {:.2e}".format(*row))

# %% [markdown]
# The formula holds when the muon oscillates much faster than its spin turns ahead. What it leaves out is of the
# relative size $(\omega_a/\gamma\omega_y)^2$ (Farley, as above) and $\psi_0^2$, a few parts in $10^{5}$ together.

# %%
omega_y = 2 * np.pi * np.sqrt(n) / reference.period
left_out = (omega[0] / (reference.gamma0 * omega_y)) ** 2 + slope[1:] ** 2
print("left out:", left_out)
assert np.all(abs(shift / formula - 1) < left_out + 2 * max(error / omega) / abs(formula))

# %% [markdown]
# ## The ring as built
#
# Now there are four quads with gaps between them (`gasgun`: the real layout with ideal hyperbolic plates). The
# field index has no single meaning any more. From each of the usual measurements follows another value:

# %%
built = g2.Ring(g2.load("gasgun").with_(**(magic | {"tracking__refine": 4})))
optics, reference = built.optics(), built.reference
index = {
    "momentum compaction, 1 - 1/alpha_c": 1 - 1 / optics.momentum_compaction,
    "radial tune (CBO), 1 - nu_x^2": optics.field_index,
    "mean gradient": built.tables.field_index,
    "vertical tune, nu_y^2": optics.nu_y**2,
}
for name, value in index.items():
    print(f"n = {value:.6f} from the {name}")

# %% [markdown]
# Which of them belongs in $C_e$? The radial force vanishes on average on a closed orbit, $\langle n(s)\,x\rangle =
# x_e - R_0\,\delta$. The left side is the electric field that the muon feels, and $x_e = \alpha_c R_0\,\delta$ is
# what momentum compaction means. So the formula stays exact in leading order for any arrangement of quads, if $n =
# 1 - 1/\alpha_c$.
#
# The pitch correction is $\langle\psi^2\rangle/2$ for any vertical motion, $\psi$ the slope of the path; we average
# it over 48 places.

# %%
delta = np.array([0.0, -2.0e-3, 2.0e-3])
off_momentum = g2.Bunch.empty(3).with_momentum(delta, reference)
omega, _, _ = precession(built, off_momentum)
c_e = -np.mean(omega[1:] / omega[0] - 1)
x_e = optics.mean_dispersion * 2.0e-3
print(f"x_e = +-{x_e * 1e3:.3f} mm: C_e = {c_e * 1e9:.3f} ppb from tracked spins")
for name, value in index.items():
    by_formula = 2 * value * (1 - value) * reference.beta0**2 * (x_e / radius_0) ** 2
    print(f"  {by_formula * 1e9:8.3f} ppb with n from the {name}")

places = tuple(2 * np.pi * np.arange(48) / 48)
oscillating = g2.Bunch.empty(2).with_momentum(0.0, reference)._replace(py=np.array([0.0, slope[-1]]))
omega, _, seen = precession(built, oscillating, places)
c_p = -(omega[1] / omega[0] - 1)
y_squared = np.mean([smooth_mean(y[:, 1] ** 2).value for y in seen.y])
psi_squared = np.mean([smooth_mean(py[:, 1] ** 2).value for py in seen.py])
print(f"vertical RMS {np.sqrt(y_squared) * 1e3:.2f} mm: C_p = {c_p * 1e9:.3f} ppb from tracked spins")
print(f"  {psi_squared / 2 * 1e9:8.3f} ppb from the mean square slope")
for name, value in index.items():
    print(f"  {value * y_squared / (2 * radius_0**2) * 1e9:8.3f} ppb with n from the {name}")

# %% [markdown]
# With $n$ from the CBO, as it is usually taken, $C_e$ is right to a part in a thousand and $C_p$ to two parts in a
# hundred: of the experiment's corrections of about 450 and 170 ppb that is 0.5 and 3 ppb.
#
# The last check takes the index of the momentum compaction for $C_e$, with the tolerance $(x_e/R_0)^2$ of a pair;
# and for $C_p$ the slope, whose mean over 48 places has an error of about $1/48^2$, because it has kinks where the
# quads end.

# %%
n = 1 - 1 / optics.momentum_compaction
assert abs(c_e / (2 * n * (1 - n) * reference.beta0**2 * (x_e / radius_0) ** 2) - 1) < (x_e / radius_0) ** 2
assert abs(c_p / (psi_squared / 2) - 1) < 1 / 48**2
