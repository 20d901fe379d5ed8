"""From measurements to flags: every event against the reference of its run, then every subrun."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.errors import ConfigError
from gm2sim.quality.cuts import Cuts
from gm2sim.quality.flags import BAD_FOR_POSITRONS, Flag
from gm2sim.quality.measure import READ_OUT, Measures, Reader
from gm2sim.raw import open_run
from gm2sim.timeline import FillType

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
_FLAT_TOP = 60e-6  # behind scraping and charging [s]
_FROM = 0.0  # a breakdown matters from here on [s]
_SIGMA = 1.4826  # standard deviation of a Gaussian over its median distance from the mean


class Reference(NamedTuple):
    """What the good fills of a run look like.

    Attributes
    ----------
    kick : array (3, 4)
    plates : array (plates, bins) [V]
        Their size, whatever the sign.
    pedestals : array (24,) [counts]
    laser : array (6,)
    t0, t0_spread, t0_area, ctags, islands, triples : float
    straws : array (2,)
        Mean hits of a station.
    laser_expected : bool
        Whether fills of muons show a pulse of the laser.
    monitors : bool array (9,)
        Crates 25 to 33 that fills of muons have.
    field : float [ppm]
        At the begin of run.
    """

    kick: Floats
    plates: Floats
    pedestals: Floats
    laser: Floats
    t0: float
    t0_spread: float
    t0_area: float
    ctags: float
    islands: float
    triples: float
    straws: Floats
    laser_expected: bool
    monitors: Bools
    field: float


@dataclass(frozen=True)
class Assessment:
    """Flags of the events of a run, and what they were judged by.

    Attributes
    ----------
    measures : Measures
        Of all n events.
    first, flags : int64 arrays (n,)
        Bits of :class:`Flag`, against the mean of all fills, and again against that of the good ones.
    before, reference : Reference
        Of all fills, and of the good ones.
    cuts : Cuts
    times : array (bins,) [s]
        Begin of the steps of the plates' voltages.
    """

    measures: Measures
    first: Ints
    flags: Ints
    before: Reference
    reference: Reference
    cuts: Cuts
    times: Floats

    @property
    def good(self) -> Bools:
        """Fills of muons that the wiggle fit takes."""
        return np.asarray(self.measures.muons & ((self.flags & BAD_FOR_POSITRONS) == 0))


def assess(paths: Iterable[Path | str], cuts: Cuts | None = None) -> Assessment:
    """Measure and judge all events of the raw files of one run; nothing else is looked at, truth least of all.

    Parameters
    ----------
    paths : several paths
        Subruns of a run in order.
    cuts : Cuts, optional

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ConfigError
        The files are of several runs, or without fills of muons.
    """
    rows: list[Measures] = []
    times = np.zeros(0)
    for path in paths:
        raw = open_run(path)
        reader = Reader(raw)
        times = reader.plate_times
        rows += [reader.measure(event) for event in raw]
        if rows and int(rows[0].run) != raw.run:
            raise ConfigError(f"'{path}' is of run {raw.run}, others of run {int(rows[0].run)}: give one run at a time")
    if not rows:
        raise ConfigError("the raw files hold no event: there is nothing to assess")
    return assess_events(Measures.stacked(rows), times, cuts)


def assess_events(measures: Measures, times: Floats, cuts: Cuts | None = None) -> Assessment:
    """Judge measured events.

    Parameters
    ----------
    measures : Measures
        Of one run.
    times : array (bins,) [s]
        Begin of the steps of the plates' voltages.
    cuts : Cuts, optional

    Raises
    ------
    ConfigError
        There is no fill of muons.
    """
    chosen = cuts or Cuts()
    muons = measures.muons
    if not muons.any():
        raise ConfigError("the raw files hold no fill of muons: there is nothing to assess")
    before = reference_of(measures, muons)
    first = flags_of(measures, before, chosen, times)
    good = muons & (first == 0)
    reference = reference_of(measures, good) if good.any() else before
    flags = flags_of(measures, reference, chosen, times)
    return Assessment(measures, first, flags, before, reference, chosen, times)


def reference_of(measures: Measures, which: Bools) -> Reference:
    """Medians of what hardly varies, means of what is counted, over some of the fills of muons.

    Of voltages and kicks half of the fills may be wrong; of an even number the higher of the two in the middle is
    taken, since what breaks falls.
    """
    some = Measures._make(column[which] for column in measures)
    lit = some.laser.max(axis=1) > 0.0
    field = measures.field[measures.muons]
    t0 = float(_median(some.t0))
    return Reference(
        kick=_median(some.kick),
        plates=_median(np.abs(some.plates)),
        pedestals=_median(some.pedestals),
        laser=_median(some.laser[lit]),
        t0=t0,
        t0_spread=_SIGMA * float(_median(np.abs(some.t0 - t0))),
        t0_area=float(_median(some.t0_area)),
        ctags=_typical(some.ctags),
        islands=_typical(some.islands),
        triples=float(some.triples.mean()),
        straws=np.array([_typical(one) for one in some.straws.T]),
        laser_expected=bool(2 * lit.sum() > lit.size),
        monitors=np.asarray(2 * some.monitors.sum(axis=0) > len(some.monitors)),
        field=float(field[0]),
    )


def _median(values: NDArray[np.floating]) -> Floats:
    """Median over the first axis, the higher one of two, without NaN; NaN where there is nothing."""
    sorted_ = np.sort(np.asarray(values, np.float64), axis=0)  # NaN goes to the end
    count = np.isfinite(sorted_).sum(axis=0)
    if not len(sorted_):
        return np.full(values.shape[1:], np.nan)
    return np.asarray(np.take_along_axis(sorted_, (count // 2)[None].clip(max=len(sorted_) - 1), axis=0)[0])


def _typical(counts: Ints) -> float:
    """Mean of counts without those that are far from their median; rare counts have a median of 0 and a plain mean."""
    middle = float(np.median(counts))
    near = counts[np.abs(counts - middle) <= 0.5 * middle + 5.0 * np.sqrt(max(middle, 1.0))]
    return float(near.mean()) if near.size else middle


def flags_of(m: Measures, reference: Reference, cuts: Cuts, times: Floats) -> Ints:
    """Bits of :class:`Flag` of every event, array (n,)."""
    muons = m.muons
    found = {
        Flag.KICK: muons & kick_is_wrong(m.kick, reference.kick, cuts),
        Flag.QUADS: muons & quads_are_wrong(m.plates, reference.plates, cuts, times),
        Flag.LOSSES: muons & cuts_losses(m, reference, cuts),
        Flag.LASER: _laser_is_wrong(m, reference, cuts),
        Flag.CRATES: _crates_are_missing(m, reference),
        Flag.PEDESTALS: muons & (np.abs(m.pedestals - reference.pedestals) > cuts.pedestal).any(axis=1),
        Flag.TRACKERS: muons & _trackers_are_off(m, reference, cuts),
        Flag.CTAGS: muons & cuts.far(m.ctags, reference.ctags, cuts.counts),
        Flag.T0: muons & _bunch_is_wrong(m, reference, cuts),
        Flag.FIELD: muons & (np.abs(m.field - reference.field) > cuts.field),
    }
    flags = np.zeros(len(m.event), np.int64)
    for flag, which in found.items():
        flags |= np.where(which, int(flag), 0)
    return flags


def kick_is_wrong(kick: Floats, reference: Floats, cuts: Cuts) -> Bools:
    """Whether any kicker's pulse is outside of its windows; (n, 3, 4) against (3, 4)."""
    there = np.isfinite(kick[..., 0])  # the crate has sent something
    off = np.abs(kick - reference)
    amplitude = off[..., 0] > cuts.kick_amplitude * np.abs(reference[:, 0])
    no_pulse = kick[..., 0] < cuts.kick_least
    no_pulse &= np.isfinite(reference[:, 1]) | no_pulse.all(axis=0)  # a kicker that never fires is a setting
    shape = (off[..., 1] > cuts.kick_time) | (off[..., 2] > cuts.kick_width) | (off[..., 3] > cuts.kick_zero)
    return np.asarray((there & (amplitude | no_pulse | shape)).any(axis=1))


def quads_are_wrong(plates: NDArray[np.float32], reference: Floats, cuts: Cuts, times: Floats) -> Bools:
    """Whether any plate is off on the flat top, or breaks down; (n, plates, bins) against (plates, bins)."""
    if not plates.shape[1]:
        return np.zeros(len(plates), np.bool_)
    flat = times >= _FLAT_TOP
    level = reference[:, flat].mean(axis=1)
    wanted = level > 0.0
    own = np.abs(plates)
    off = np.abs(own[:, :, flat].mean(axis=2) - level) > cuts.quad_flat * level
    falls = ((reference - own) > cuts.quad_spark * level[:, None])[:, :, times >= _FROM].any(axis=2)
    # Where most fills spark, or there is but one, the reference is no help: no good plate loses half of its voltage.
    falls |= (own[:, :, flat] < 0.5 * own.max(axis=2, keepdims=True)).any(axis=2)
    return np.asarray(((off | falls) & wanted).any(axis=1))


def cuts_losses(m: Measures, reference: Reference, cuts: Cuts) -> Bools:
    """Whether there are more lost muons than the run has on average."""
    expected = np.full(len(m.triples), reference.triples)
    return np.asarray((m.triples > expected) & cuts.far(m.triples, expected, cuts.counts))


def _laser_is_wrong(m: Measures, reference: Reference, cuts: Cuts) -> Bools:
    asked = (m.muons & reference.laser_expected) | (m.fill_type == FillType.LASER)
    light = np.where(np.isfinite(reference.laser) & (reference.laser > 0.5), reference.laser, 1.0)
    return np.asarray(asked & (np.abs(m.laser - light) > cuts.laser * light).any(axis=1))


def _crates_are_missing(m: Measures, reference: Reference) -> Bools:
    monitors = (m.muons[:, None] & reference.monitors & ~m.monitors).any(axis=1)
    read_out = np.isin(m.fill_type, READ_OUT)
    return np.asarray((read_out & ~m.crates.all(axis=1)) | monitors)


def _trackers_are_off(m: Measures, reference: Reference, cuts: Cuts) -> Bools:
    """A station that should have many hits and has few, in a fill with positrons."""
    beam = m.islands > cuts.positrons * reference.islands
    asked = reference.straws >= cuts.straws_least
    return np.asarray(beam & (asked & (m.straws < cuts.straws * reference.straws)).any(axis=1))


def _bunch_is_wrong(m: Measures, reference: Reference, cuts: Cuts) -> Bools:
    if not np.isfinite(reference.t0):
        return np.zeros(len(m.t0), np.bool_)
    # A weak bunch is timed by its noise: its own scatter is let pass.
    late = ~(np.abs(m.t0 - reference.t0) <= cuts.t0_time + cuts.sigmas * reference.t0_spread)
    return np.asarray(late | (np.abs(m.t0_area - reference.t0_area) > cuts.t0_area * reference.t0_area))
