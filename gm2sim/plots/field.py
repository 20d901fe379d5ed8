"""The storage field around the ring."""

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.plots.style import PALETTE, Plot, dress, legend

_NAMES = ("quadrupole", "sextupole", "octupole", "decupole", "12-pole")


def field_map(theta: ArrayLike, normal: ArrayLike, skew: ArrayLike, orders: int = 3) -> Plot:
    """Dipole and multipoles of the storage field over the azimuth.

    Parameters
    ----------
    theta : array (m,) [rad]
        Azimuth from the inflector exit.
    normal, skew : arrays (m, n) [ppm of the dipole, at 45 mm]
        Column 0 of ``normal`` is the dipole's difference from its mean.
    orders : int
        How many multipoles above the dipole are drawn.
    """
    azimuth = np.degrees(np.asarray(theta, float))
    b, a = np.asarray(normal, float), np.asarray(skew, float)
    orders = min(orders, b.shape[1] - 1)
    plot = Plot(8.4, 2.0 + 2.0 * min(orders, 1) * 1.4)
    axes = np.atleast_1d(plot.subplots(1 + min(orders, 1), 1, sharex=True))
    dress(axes[0], "", "dipole − mean [ppm]")
    axes[0].plot(azimuth, b[:, 0], color=PALETTE[0], linewidth=1.1)
    if orders:
        dress(axes[1], "", "at 45 mm [ppm]")
    columns = {"azimuth [deg]": azimuth, "dipole − mean [ppm]": b[:, 0]}
    words = []
    for n in range(1, orders + 1):
        for letter, values, style in (("normal", b[:, n], "-"), ("skew", a[:, n], ":")):
            mean = round(float(values.mean()), 2) + 0.0  # no minus before zero
            name = f"{letter} {_NAMES[n - 1]}"
            axes[1].plot(azimuth, values, style, color=PALETTE[n % 4], linewidth=1.1, label=f"{name}, mean {mean:+.2f}")
            columns[f"{name} [ppm]"] = values
            words.append(f"{name} {mean:+.2f}")
    if orders:
        legend(axes[1], ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8.5)
    axes[-1].set_xlabel("azimuth from the inflector exit [deg]")
    axes[-1].set_xlim(0, 360)
    axes[-1].set_xticks(np.arange(0, 361, 45))
    means = f" Means over the ring in ppm: {', '.join(words)}." if words else ""
    plot.describe(
        f"Storage field over azimuth. The dipole varies by {b[:, 0].std():.2f} ppm RMS, "
        f"{np.ptp(b[:, 0]):.1f} ppm peak to peak.{means}",
        **columns,
    )
    return plot
