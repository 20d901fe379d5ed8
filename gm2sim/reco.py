"""Light reconstruction: decoded islands to pulses, pulses to positrons, with the file's own calibration.

No truth is used. As in the experiment (N. Kinnaird, dissertation 2020, nkinnaird/Dissertation @8f8e9eb): each
crystal of an island is fitted with a pulse template, crystals within 2.5 ns make one positron, its time is
that of the highest crystal, its place the mean of the crystals weighted by the logarithm of their energy
share.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.shower import COLUMNS, CRYSTALS, ROWS
from gm2sim.calibration import Calibration
from gm2sim.pulsefit import Found, Template, Waveforms, fit_pulses, height_at
from gm2sim.raw import Event, open_run
from gpu.kernel import Kernel, scalar

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TIME_WINDOW = 2.5e-9
"""Crystals of one positron are within this time of its highest crystal [s]."""
_CRYSTAL_SIZE = 0.2264 / COLUMNS  # [m], lyon-fnal/gm2geom @17163ed
_LOG_WEIGHT = 4.0  # crystals below exp(-4) of the positron's energy have no say in its place
_NEAR = 8.0  # samples: a crystal with a pulse so close is not read at another's time
_SEED_ENERGY = 0.05  # [GeV], the threshold that opens an island


class CrystalPulses(NamedTuple):
    """Fitted pulses of a fill, sorted by calorimeter, island and crystal: arrays (n,).

    Attributes
    ----------
    calo, island, crystal : int64 arrays
        Calorimeter 0..23, island counted through all calorimeters of the fill, crystal 0..53.
    start : array [samples]
        Start of the pulse after the island's first sample.
    time : array [s]
        Since injection.
    energy : array [GeV]
    chi2 : array
        Per degree of freedom of the fit.
    """

    calo: Ints
    island: Ints
    crystal: Ints
    start: Floats
    time: Floats
    energy: Floats
    chi2: Floats


class Clusters(NamedTuple):
    """Positron candidates: arrays (n,), in order of fill, calorimeter and island.

    Attributes
    ----------
    fill : int64 array
        Event serial.
    calo : int64 array
        Calorimeter 0..23.
    energy : array [GeV]
    time : array [s]
        Since injection.
    x, y : arrays [m]
        On the face: x away from the ring centre, y up, from the middle.
    multiplicity : int64 array
        Crystals with a pulse.
    share : array
        Energy of the highest crystal over that of all crystals with a pulse.
    """

    fill: Ints
    calo: Ints
    energy: Floats
    time: Floats
    x: Floats
    y: Floats
    multiplicity: Ints
    share: Floats

    @classmethod
    def concatenate(cls, parts: Iterable["Clusters"]) -> "Clusters":
        """Put clusters of several fills behind one another."""
        listed = [cls.empty(), *parts]
        return cls(*(np.concatenate(columns) for columns in zip(*listed, strict=True)))

    @classmethod
    def empty(cls) -> "Clusters":
        """No clusters."""
        none, no = np.zeros(0), np.zeros(0, np.int64)
        return cls(no, no, none, none, none, none, no, none)


class FillWaveforms(NamedTuple):
    """The islands of all calorimeters of a fill behind one another.

    Attributes
    ----------
    samples : int16 array
        In the order island, crystal, sample [ADC counts].
    first, length, time, calo : int64 arrays (k,)
        Of each island: place of its first sample in ``samples``, samples a crystal, number of its first
        sample in the fill, calorimeter 0..23.
    pedestal : array (24, 54) [ADC counts]
    """

    samples: NDArray[np.int16]
    first: Ints
    length: Ints
    time: Ints
    calo: Ints
    pedestal: Floats


class _Candidates(NamedTuple):
    energy: Floats
    time: Floats
    x: Floats
    y: Floats
    multiplicity: Ints
    used: Ints
    share: Floats


@scalar
def _quiet_neighbours(
    seed: int,
    begin: int,
    end: int,
    pulses: CrystalPulses,
    waves: FillWaveforms,
    counts_per_gev: Floats,
    t: Template,
) -> float:
    """Energy in those of the eight crystals around the highest that have no pulse of their own [GeV]."""
    total = 0.0
    island, centre, calo = pulses.island[seed], pulses.crystal[seed], pulses.calo[seed]
    for crystal in range(CRYSTALS):
        near = abs(crystal % COLUMNS - centre % COLUMNS) <= 1 and abs(crystal // COLUMNS - centre // COLUMNS) <= 1
        for j in range(begin, end):
            if pulses.crystal[j] == crystal and abs(pulses.start[j] - pulses.start[seed]) < _NEAR:
                near = False
        if near:
            first = waves.first[island] + crystal * waves.length[island]
            height = height_at(
                waves.samples,
                first,
                waves.length[island],
                waves.pedestal[calo, crystal],
                pulses.start[seed],
                t,
            )
            total += height / counts_per_gev[calo, crystal]
    return total


@Kernel
def _cluster(
    i: int,
    bounds: Ints,
    pulses: CrystalPulses,
    waves: FillWaveforms,
    counts_per_gev: Floats,
    t: Template,
    window: float,
    out: _Candidates,
) -> None:
    """Cluster the pulses of island i around the highest, then the highest of the rest, and so on."""
    begin, end = bounds[i], bounds[i + 1]
    for _ in range(end - begin):
        seed = -1
        highest = _SEED_ENERGY
        for j in range(begin, end):
            if out.used[j] == 0 and pulses.energy[j] > highest:
                seed, highest = j, pulses.energy[j]
        if seed < 0:
            break
        time, total, count = pulses.time[seed], 0.0, 0
        for j in range(begin, end):
            if out.used[j] == 0 and abs(pulses.time[j] - time) < window:
                total += pulses.energy[j]
                count += 1
        weight = x = y = 0.0
        for j in range(begin, end):
            if out.used[j] == 0 and abs(pulses.time[j] - time) < window:
                w = max(0.0, _LOG_WEIGHT + math.log(pulses.energy[j] / total))
                weight += w
                x += w * (pulses.crystal[j] % COLUMNS)
                y += w * (pulses.crystal[j] // COLUMNS)
                out.used[j] = 1
        quiet = _quiet_neighbours(seed, begin, end, pulses, waves, counts_per_gev, t)
        out.energy[seed], out.time[seed], out.multiplicity[seed] = total + quiet, time, count
        out.share[seed] = highest / total
        out.x[seed] = (x / weight - 0.5 * (COLUMNS - 1)) * _CRYSTAL_SIZE
        out.y[seed] = (y / weight - 0.5 * (ROWS - 1)) * _CRYSTAL_SIZE


def fit_fill(waves: FillWaveforms, calibration: Calibration) -> CrystalPulses:
    """Fit all pulses of one fill.

    Parameters
    ----------
    waves : FillWaveforms
    calibration : Calibration
    """
    if not len(waves.length):
        none, no = np.zeros(0), np.zeros(0, np.int64)
        return CrystalPulses(no, no, no, none, none, none, none)
    rows = np.repeat(waves.length, CRYSTALS)
    first = np.cumsum(rows) - rows
    lowest = np.minimum.reduceat(waves.samples, first)
    island = np.repeat(np.arange(len(waves.length)), CRYSTALS)
    crystal = np.tile(np.arange(CRYSTALS), len(waves.length))
    level = waves.pedestal[waves.calo[island], crystal]
    template = calibration.template
    seen = np.flatnonzero(level - lowest > template.threshold)
    found = Found.empty(len(seen))
    fit_pulses(len(seen), Waveforms(waves.samples, first[seen], rows[seen], level[seen]), template, found)
    row, slot = np.nonzero(found.height > 0)
    of = seen[row]
    calo, start = waves.calo[island[of]], found.start[row, slot]
    height = found.height[row, slot] / calibration.counts_per_gev[calo, crystal[of]]
    sample = waves.time[island[of]] + start - calibration.zero_sample
    return CrystalPulses(
        calo=calo,
        island=island[of],
        crystal=crystal[of],
        start=start,
        time=sample * calibration.sample_period - calibration.delay,
        energy=_linearised(height, calibration.saturation),
        chi2=found.chi2[row, slot],
    )


def cluster(
    pulses: CrystalPulses,
    waves: FillWaveforms,
    calibration: Calibration,
    fill: int,
    window: float = TIME_WINDOW,
) -> Clusters:
    """Join the crystals of each positron; quiet crystals beside the highest are read at its time.

    Parameters
    ----------
    pulses : CrystalPulses
        Of one fill.
    waves : FillWaveforms
        Where the pulses were found.
    calibration : Calibration
    fill : int
        Event serial, copied to every cluster.
    window : float [s]
        Largest distance in time from the highest crystal.
    """
    n = len(pulses.time)
    islands, first = np.unique(pulses.island, return_index=True)
    bounds = np.append(first, n).astype(np.int64)
    energy, time, x, y, share = np.zeros((5, n))
    out = _Candidates(energy, time, x, y, np.zeros(n, np.int64), np.zeros(n, np.int64), share)
    counts_per_gev, template = calibration.counts_per_gev, calibration.template
    _cluster(len(islands), bounds, pulses, waves, counts_per_gev, template, float(window), out)
    seeds = np.flatnonzero(out.multiplicity)
    return Clusters(
        fill=np.full(len(seeds), fill, np.int64),
        calo=pulses.calo[seeds],
        energy=calibration.true_energy(energy[seeds]),
        time=time[seeds],
        x=x[seeds],
        y=y[seeds],
        multiplicity=out.multiplicity[seeds],
        share=share[seeds],
    )


def reconstruct_fill(event: Event, calibration: Calibration) -> Clusters:
    """Positron candidates of one muon fill of a raw file."""
    waves = gather(event)
    return cluster(fit_fill(waves, calibration), waves, calibration, event.serial)


def reconstruct(
    paths: Path | str | Iterable[Path | str], calibration: Calibration | None = None, save: Path | None = None
) -> Clusters:
    """Find the positrons of raw files.

    Parameters
    ----------
    paths : path or several
        Raw files, in the order wanted.
    calibration : Calibration, optional
        In place of the one in each file.
    save : Path, optional
        HDF5 file to write the clusters to.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ValueError
        A file without calibration.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    clusters = Clusters.concatenate(part for path in listed for part in _fills(path, calibration))
    if save is not None:
        save_clusters(save, clusters)
    return clusters


def save_clusters(path: Path, clusters: Clusters) -> None:
    """Write clusters to an HDF5 file, one data set per column with its unit."""
    import h5py

    from gm2sim.atomic import atomic_path

    units = {"energy": "GeV", "time": "s", "x": "m", "y": "m"}
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for name, values in clusters._asdict().items():
            column = file.create_dataset(f"clusters/{name}", data=values, compression="gzip", shuffle=True)
            column.attrs["unit"] = units.get(name, "")


def load_clusters(path: Path) -> Clusters:
    """Read clusters back that :func:`save_clusters` wrote."""
    import h5py

    with h5py.File(path, "r") as file:
        return Clusters(*(file[f"clusters/{name}"][:] for name in Clusters._fields))


def _fills(path: Path | str, calibration: Calibration | None) -> Iterator[Clusters]:
    run = open_run(path)
    known = calibration or Calibration.from_odb(run.odb)
    for event in run:
        yield reconstruct_fill(event, known)


def gather(event: Event) -> FillWaveforms:
    """Put the islands of all calorimeters of a decoded fill behind one another."""
    pieces: list[NDArray[np.int16]] = []
    length: list[int] = []
    time: list[int] = []
    calo: list[int] = []
    pedestal = np.zeros((24, CRYSTALS))
    for crate in event.crates:
        islands = event.islands(crate)
        pedestal[crate - 1] = event.pedestals(crate)
        pieces += [island.samples.ravel() for island in islands]
        length += islands.length.tolist()
        time += islands.time.tolist()
        calo += [crate - 1] * len(islands)
    lengths = np.array(length, np.int64)
    return FillWaveforms(
        samples=np.concatenate([np.zeros(0, np.int16), *pieces]),
        first=CRYSTALS * (np.cumsum(lengths) - lengths),
        length=lengths,
        time=np.array(time, np.int64),
        calo=np.array(calo, np.int64),
        pedestal=pedestal,
    )


def _linearised(height: ArrayLike, saturation: float) -> Floats:
    energy = np.asarray(height, np.float64)
    if math.isinf(saturation):
        return energy
    return np.asarray(-saturation * np.log1p(-np.minimum(energy / saturation, 0.999)))
