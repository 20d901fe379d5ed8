"""The analysis applied to simulated muons, beside what their own momenta say."""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gm2sim.fast_rotation.analysis import FastRotation, Radii, analyse_fast_rotation, electric_field_correction
from gm2sim.fast_rotation.background import MODELS
from gm2sim.fast_rotation.joint import JointFit, conditional, joint_fit
from gm2sim.fast_rotation.reference import form_factor
from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Floats, Passages, Revolution, passages, smooth_ring
from tracking.muon import Reference

Mask = NDArray[np.bool_]

_JOINT_STOP = 101e-6  # end of the signal for the joint fit [s]


class Truth(NamedTuple):
    """The muons' own momenta.

    Attributes
    ----------
    radii : Radii
        Moments, muon by muon, in no bins.
    density : array (b,) [1/Hz]
        Histogram of revolution frequencies around the frequencies of the result, area 1 with what lies outside.
    """

    radii: Radii
    density: Floats


@dataclass(frozen=True, eq=False)
class Comparison:
    """Fast-rotation analysis beside the truth.

    Attributes
    ----------
    signal : Passages
    result : FastRotation
        Its errors are those of as many independent positrons as there are passages: too small, the same muons come
        by again and again.
    truth : Truth
    difference_ppb, difference_error_ppb : float
        C_e of the analysis less that of the truth; error by jackknife over groups of muons.
    """

    signal: Passages
    result: FastRotation
    truth: Truth
    difference_ppb: float
    difference_error_ppb: float


class _Muons(NamedTuple):
    """Muons as arrays (k,), and the ring they are in."""

    offset: Floats  # of the momentum
    at: Floats  # when each is at theta = 0 for the first time [s]
    share: Floats  # weight
    n: float
    reference: Reference
    relation: Revolution

    @classmethod
    def of(
        cls,
        delta: ArrayLike,
        time: ArrayLike,
        weight: ArrayLike | None,
        n: float,
        reference: Reference,
        revolution: Revolution | None,
    ) -> "_Muons":
        """Weights of 1 and a smooth ring where they are not given."""
        relation = smooth_ring(n, reference) if revolution is None else revolution
        offset, at = np.asarray(delta, np.float64), np.asarray(time, np.float64)
        share = np.ones_like(offset) if weight is None else np.asarray(weight, np.float64)
        return cls(offset, at, share, n, reference, relation)

    def radii(self, which: Floats | Mask | slice) -> Radii:
        """Moments of the own radii of some muons."""
        return electric_field_correction(
            self.relation.x_e_of(self.offset[which]), self.share[which], self.n, self.reference
        )


def analyse_muons(
    delta: ArrayLike,
    time: ArrayLike,
    *,
    n: float,
    reference: Reference,
    revolution: Revolution | None = None,
    weight: ArrayLike | None = None,
    stop_time: ArrayLike | None = None,
    decay: bool = False,
    corrected: bool = False,
    groups: int = 10,
    settings: Settings | None = None,
) -> Comparison:
    """Analyse the fast rotation of simulated muons as the experiment does, and compare with their momenta.

    Parameters
    ----------
    delta, time, weight, stop_time, decay
        Muons, see :func:`gm2sim.fast_rotation.signal.passages`.
    n
        Field index.
    reference
        Reference of the ring.
    revolution
        Time of one turn against momentum; that of a smooth ring if not given.
    corrected : bool
        Use the muons' own form factor: takes the bias of a momentum-time correlation away.
    groups : int
        Groups of muons of the jackknife, each one more analysis; below 2 there is no error of the difference.
    settings
        How the transform is made; its azimuth is where the muons are counted.

    Raises
    ------
    ValueError
        As :func:`gm2sim.fast_rotation.signal.passages` and :func:`analyse_fast_rotation` do.
    """
    chosen = Settings(replicas=0) if settings is None else settings
    muons = _Muons.of(delta, time, weight, n, reference, revolution)
    relation, offset, at, share = muons.relation, muons.offset, muons.at, muons.share
    stop = None if stop_time is None else np.asarray(stop_time, np.float64)
    group = np.arange(offset.size) % max(1, min(groups, offset.size))

    def signal_of(which: Floats | slice) -> Passages:
        return passages(
            offset[which], at[which], relation, reference, weight=share[which], decay=decay, azimuth=chosen.azimuth,
            stop_time=None if stop is None else stop[which], stop=chosen.stop + 2.0 * reference.period,
        )  # fmt: skip

    def analyse(signal: Passages, keep: Floats | slice, how: Settings) -> tuple[FastRotation, Radii]:
        factor = form_factor(offset[keep], at[keep], relation, how, weight=share[keep]) if corrected else None
        found = analyse_fast_rotation(
            signal.edges, signal.counts, n=n, reference=reference, smooth=signal.smooth, revolution=relation,
            factor=factor, settings=how,
        )  # fmt: skip
        return found, muons.radii(keep)

    parts = [signal_of(group == g) for g in range(int(group.max()) + 1)] if offset.size else [signal_of(slice(None))]
    edges = parts[0].edges
    total = Passages(edges, np.sum([p.counts for p in parts], axis=0), np.sum([p.smooth for p in parts], axis=0))
    result, radii = analyse(total, slice(None), chosen)
    quick = replace(chosen, replicas=0, t0_near=result.t0)
    left_out = []
    for g, part in enumerate(parts):
        if len(parts) > 1:
            less = Passages(edges, total.counts - part.counts, total.smooth - part.smooth)
            found, true = analyse(less, group != g, quick)
            left_out.append(found.c_e_ppb - true.c_e_ppb)
    density = _histogram(1.0 / relation.period_of(offset), share, chosen)
    return Comparison(total, result, Truth(radii, density), result.c_e_ppb - radii.c_e_ppb, _jackknife(left_out))


@dataclass(frozen=True, eq=False)
class JointComparison:
    """Joint fit beside the truth.

    Attributes
    ----------
    fit : JointFit
        Of all muons.
    truth : Radii
        Moments of their momenta.
    difference_ppb, difference_error_ppb : float
        C_e of the fit less that of the truth, of "halves" the mean of both; error by jackknife over groups of muons.
    """

    fit: JointFit
    truth: Radii
    difference_ppb: float
    difference_error_ppb: float


def joint_fit_of_muons(
    delta: ArrayLike,
    time: ArrayLike,
    *,
    n: float,
    reference: Reference,
    revolution: Revolution | None = None,
    weight: ArrayLike | None = None,
    guide: str = "own",
    groups: int = 10,
    settings: Settings | None = None,
) -> JointComparison:
    """Joint fit of momentum and injection time to the fast rotation of simulated muons, beside their momenta.

    Parameters
    ----------
    delta, time, weight
        Muons, see :func:`gm2sim.fast_rotation.signal.passages`.
    n
        Field index.
    reference
        Reference of the ring.
    revolution
        Time of one turn against momentum; that of a smooth ring if not given.
    guide : str
        Whose bunches the fit is given: "own", those of the muons themselves; "halves", each half of the muons has
        those of the other half, as if a simulation stood beside a measurement; "none", one shape for all frequencies.
    groups : int
        Groups of muons of the jackknife; below 2 there is no error of the difference.
    settings
        Its start, window, azimuth and t0_near.

    Raises
    ------
    ValueError
        As :func:`gm2sim.fast_rotation.signal.passages` and :func:`gm2sim.fast_rotation.joint.joint_fit` do, and for
        another guide.
    """
    if guide not in ("own", "halves", "none"):
        raise ValueError(f"the guide {guide!r} of the joint fit is not known: choose own, halves or none.")
    chosen = Settings(replicas=0) if settings is None else settings
    one = partial(_fit_jointly, _Muons.of(delta, time, weight, n, reference, revolution), chosen)

    def difference(keep: Mask) -> float:
        pairs: tuple[tuple[Mask, Mask | None], ...] = ((keep, None if guide == "none" else keep),)
        if guide == "halves":
            pairs = ((keep & odd, keep & ~odd), (keep & ~odd, keep & odd))
        return float(np.mean([fit.radii.c_e_ppb - true.c_e_ppb for fit, true in (one(*pair) for pair in pairs)]))

    number = np.arange(np.size(delta))
    odd, everyone = number % 2 == 1, np.ones(number.size, bool)
    fit, truth = one(everyone, None if guide == "none" else everyone)
    group = number // 2 % max(groups, 1)  # as many of each half in each
    left_out = [difference(group != g) for g in range(groups)] if groups > 1 else []
    found = difference(everyone) if guide == "halves" else fit.radii.c_e_ppb - truth.c_e_ppb
    return JointComparison(fit, truth, found, _jackknife(left_out))


def _fit_jointly(muons: _Muons, settings: Settings, which: Mask, other: Mask | None) -> tuple[JointFit, Radii]:
    """Joint fit of some muons with the bunches of others, or one shape for all without, beside their momenta."""
    offset, at, share, relation, reference = muons.offset, muons.at, muons.share, muons.relation, muons.reference
    signal = passages(
        offset[which], at[which], relation, reference, weight=share[which], azimuth=settings.azimuth, stop=_JOINT_STOP
    )
    bunches = None
    if other is not None:
        bunches = conditional(offset[other], at[other], relation, reference, weight=share[other], settings=settings)
    alike = float(share[which].sum() ** 2 / (share[which] ** 2).sum())
    fit = joint_fit(
        signal, n=muons.n, reference=reference, muons=alike, revolution=relation, bunches=bunches, settings=settings
    )
    return fit, muons.radii(which)


def _jackknife(left_out: list[float]) -> float:
    """Error of a number from those without each group; NaN without groups."""
    return float(np.std(left_out) * np.sqrt(len(left_out) - 1.0)) if left_out else float("nan")


def _histogram(frequency: Floats, weight: Floats, settings: Settings) -> Floats:
    f = settings.frequency[settings.inside]
    edges = np.append(f - 0.5 * settings.step, f[-1] + 0.5 * settings.step)
    counts, _ = np.histogram(frequency, edges, weights=weight)
    return np.asarray(counts / (weight.sum() * settings.step))


def variations(
    times: ArrayLike,
    counts: ArrayLike,
    *,
    n: float,
    reference: Reference,
    smooth: ArrayLike | None = None,
    revolution: Revolution | None = None,
    settings: Settings | None = None,
) -> dict[str, float]:
    """Change of C_e [ppb] with the choices of the analysis: its systematic errors but for the correlation.

    Parameters
    ----------
    times, counts, n, reference, smooth, revolution, settings
        As for :func:`analyse_fast_rotation`.

    Returns
    -------
    dict
        What was changed -> C_e with it less C_e without.
    """
    base = replace(Settings() if settings is None else settings, replicas=0)

    def c_e(how: Settings) -> FastRotation:
        return analyse_fast_rotation(
            times, counts, n=n, reference=reference, smooth=smooth, revolution=revolution, settings=how
        )

    standard = c_e(base)
    changes = {
        "start + 2 us": replace(base, start=base.start + 2e-6),
        "start + 4 us": replace(base, start=base.start + 4e-6),
        "stop - 100 us": replace(base, stop=max(base.stop - 100e-6, base.start + 50e-6)),
        "t0 + 1 ns": replace(base, t0=standard.t0 + 1e-9),
        "t0 - 1 ns": replace(base, t0=standard.t0 - 1e-9),
        "t0 by symmetry": replace(base, t0=standard.t0_symmetric),
        "half the frequency step": replace(base, step=0.5 * base.step),
    } | {f"background {name}": replace(base, background=name) for name in MODELS if name != base.background}
    return {name: c_e(how).c_e_ppb - standard.c_e_ppb for name, how in changes.items()}
