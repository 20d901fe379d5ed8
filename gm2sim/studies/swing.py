"""The radial swing of a beam against time: what one observer sees of it from 25 us on, and what is to be expected."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fields.quads import PlateNumbers
from gm2sim.config import Config
from gm2sim.injection import voltage_program
from gm2sim.machine import Ring, quad_settings
from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, CENTRE, FIRST, LAST, Fill, line_columns, phasor
from gm2sim.studies.outcome import Estimate, Floats
from gm2sim.studies.precession import jackknife, mean
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.cbo import Drift, Lifetime, Windows, drift, lifetime
from tracking.decoherence import cbo_frequencies, coherent, radial_tune_shift
from tracking.muon import MASS
from tracking.optics import Optics, optics
from tracking.turns import Motion

Indices = NDArray[np.int64]

WINDOW = 10e-6  # 3.7 periods of the CBO; the first is centred at 30 us [s]
WINDOWS = 33  # the last is centred at 350 us
LIFE_END = 300e-6  # last window of a lifetime [s]
_START = CENTRE - 0.5 * WINDOW
_CHUNK = 134  # turns whose samples are kept together
_SLOWEST = 1.006  # longest period of a stored muon in units of the reference's
_GRID = np.linspace(0.97, 1.03, 49)  # of a frequency about that of linear optics


@dataclass(frozen=True, eq=False)
class Swing:
    """A beam that was followed to 355 us, its decay divided out.

    Attributes
    ----------
    label : str
    ring : Ring
    optics : Optics
        Of the settled ring, with the observer's azimuth.
    number : ints (n,)
        Of each muon: they belong to the same block of the jackknife in every beam.
    delta : floats (n,)
        Momentum offsets.
    seen : Motion
        All passages from 25 to 35 us.
    line : float
        Frequency of the sums [Hz].
    sums : floats (windows, blocks, 9)
        See :func:`gm2sim.studies.injected.line_columns`; by the time of each passage, not by its turn.
    """

    label: str
    ring: Ring
    optics: Optics
    number: Indices
    delta: Floats
    seen: Motion
    line: float
    sums: Floats

    @property
    def time(self) -> Floats:
        """Middle of each window [s]."""
        return np.asarray(CENTRE + WINDOW * np.arange(WINDOWS))

    def phasors(self, which: Indices) -> NDArray[np.complex128]:
        """Line of each window from some blocks of muons; its phase is that which the line of the sums lacks."""
        return np.array([phasor(one) for one in self.sums[:, which].sum(axis=1)])

    def amplitude(self, which: Indices) -> Floats:
        """Envelope from some blocks [m], (windows,)."""
        return np.asarray(np.abs(self.phasors(which)))

    def phase(self, which: Indices) -> Floats:
        """Phase of the swing from some blocks, less that of the sums' line [rad], (windows,)."""
        return np.unwrap(np.angle(self.phasors(which)))

    @cached_property
    def envelope(self) -> tuple[Floats, Floats]:
        """Amplitude and its error [m], (windows,)."""
        return jackknife(self.amplitude, BLOCKS)

    def frequencies(self, phase: Floats) -> Floats:
        """Frequencies from the phases of the windows [Hz]: three, and those of the steps between windows.

        The three are that at 30 us (slope of a parabola through the first three windows), that at 50 us (step between
        its neighbours) and the mean from 250 to 350 us.
        """
        at = [
            (-3.0 * phase[0] + 4.0 * phase[1] - phase[2]) / (2.0 * WINDOW),
            (phase[3] - phase[1]) / (2.0 * WINDOW),
            (phase[32] - phase[22]) / (10.0 * WINDOW),
        ]
        return self.line + np.concatenate([at, np.diff(phase) / WINDOW]) / (2.0 * math.pi)

    @cached_property
    def frequency(self) -> tuple[Floats, Floats]:
        """:meth:`frequencies` of the beam and their errors [Hz]."""
        return jackknife(lambda which: self.frequencies(self.phase(which)), BLOCKS)

    def life(self, amplitude: Floats) -> Lifetime:
        """Exponential through an envelope [m] from 30 to 300 us, weighed with the errors of this one."""
        use = self.time < LIFE_END + 0.5 * WINDOW
        none = np.zeros(int(use.sum()))
        return lifetime(Windows(self.time[use], none, none, amplitude[use], self.envelope[1][use], none))

    def lifetime(self) -> Estimate:
        """Lifetime and its error from the jackknife of its inverse [s]; infinite where nothing decays."""
        rate, error = map(float, jackknife(lambda which: 1.0 / self.life(self.amplitude(which)).tau, BLOCKS))
        return (1.0 / rate, error / rate**2) if rate > 0.0 else (math.inf, math.inf)

    def drift(self, phase: Floats) -> Drift:
        """The slow term of the Run-1 drift model through a phase that counts from that of the sums."""
        total = phase + 2.0 * math.pi * self.line * self.time
        none = np.zeros(WINDOWS)
        return drift(Windows(self.time, none, none, self.envelope[0], none, total), terms=1)

    def cyclotron(self) -> Estimate:
        """Mean cyclotron frequency of the muons [Hz]."""
        time = self.seen.time[0][:, self.there]
        return mean((time.shape[0] - 1) / (time[-1] - time[0]))

    def vertical(self, linear: float, *, width: bool = False) -> Estimate:
        """Line of the height, or of its square, near a frequency of linear optics [Hz], from 25 to 35 us.

        The amplitude of the line that fits best at each of 49 frequencies has its top there, by a parabola.
        """
        y = self.seen.y - self.optics.lattice.y[1]
        motion = replace(self.seen, x=y**2 if width else y)
        block = self.number % BLOCKS
        grid = linear * _GRID
        sums = np.array([[np.bincount(block, c, BLOCKS) for c in line_columns(motion, f)] for f in grid])

        def top(which: Indices) -> float:
            size = np.array([abs(phasor(one)) for one in sums[:, :, which].sum(axis=2)])
            k = int(np.clip(size.argmax(), 1, size.size - 2))
            left, here, right = size[k - 1 : k + 2]
            return float(grid[k] + 0.5 * (grid[1] - grid[0]) * (left - right) / (left - 2.0 * here + right))

        value, error = jackknife(top, BLOCKS)
        return float(value), float(error)

    @cached_property
    def there(self) -> NDArray[np.bool_]:
        """Which muons are there at every passage from 25 to 35 us, (n,)."""
        return np.asarray(self.seen.alive[0].all(axis=0))

    @cached_property
    def swings(self) -> NDArray[np.complex128]:
        """Phasor of each muon of `there` at 30 us [m]."""
        columns = line_columns(self.seen, self.line)[:, self.there]
        return np.array([phasor(column) for column in columns.T])

    @cached_property
    def actions(self) -> Floats:
        """Radial and vertical action of each muon of `there` [m], (n, 2)."""
        at, there = self.optics.lattice, self.there
        y, py = self.seen.y[0][:, there] - at.y[1], self.seen.py[0][:, there] - at.py[1]
        vertical = (y**2 + (at.alpha_y[1] * y + at.beta_y[1] * py) ** 2) / (2.0 * at.beta_y[1])
        radial = np.abs(self.swings) ** 2 / (2.0 * at.beta_x[1])
        return np.stack([radial, vertical.mean(axis=0)], axis=1)

    def expected(self, linear: Optics, *, momenta: bool = True, amplitudes: bool = True) -> NDArray[np.complex128]:
        """Line of each window from the frequencies of the muons, see :mod:`tracking.decoherence` [m], (windows,).

        The voltages are those of the middle between two windows. The phase is that which the line of the sums lacks, as
        of :meth:`phasors`.

        Parameters
        ----------
        linear : Optics
            Of the ring with pure quadrupoles.
        momenta : bool
            Whether momenta differ; else all muons have the mean one.
        amplitudes : bool
            Whether multipoles and changes of the voltages count.
        """
        delta = self.delta[self.there]
        delta = delta if momenta else np.full(delta.size, delta.mean())
        shift = self._shift(delta) if amplitudes else np.zeros((WINDOWS - 1, delta.size))
        steps = (cbo_frequencies(linear, delta, shift) - self.line) * WINDOW
        return coherent(self.swings, np.concatenate([np.zeros((1, delta.size)), np.cumsum(steps, axis=0)]))

    def _shift(self, delta: Floats) -> Floats:
        """Radial tune shift by everything but the settled quadrupole, between windows, (windows - 1, n)."""
        quads, config = self.ring.quads, self.ring.config
        program, names = voltage_program(config), [quad.name for quad in self.ring.layout.quads]
        factors = {name: program.factors(name, self.time[:-1] + 0.5 * WINDOW) for name in names}
        between = [
            replace(
                quads, plate_scale={name: _product(quads.plate_scale.get(name), factors[name][k]) for name in names}
            )
            for k in range(WINDOWS - 1)
        ]
        plain = quad_settings(config.with_(quads__multipoles=False))
        return radial_tune_shift(self.ring.tables, between, plain, delta, self.actions)


def injected_swing(case: Case, label: str, **changes: object) -> Swing:
    """Muons of a :class:`gm2sim.studies.injected.Fill` with changed settings."""
    fill = Fill(case, **changes)
    return _followed(case, label, fill.ring, fill.key, fill.seen, fill.muons.select(fill.watched))


def stored_swing(case: Case, label: str, muons: int) -> Swing:
    """Muons of the configured stored beam."""
    config = _uniform(case.config)
    ring, key = Ring(config), FillKey(case.seed, config.run.run, 0, 0)
    early = ring.track(case.drawn(muons), FIRST, metal_key=key, progress=False)
    watch = ring.track(early.bunch, LAST - FIRST, observers=_observer(config), metal_key=key, progress=False)
    case.muon_turns += early.muon_turns + watch.muon_turns
    assert watch.samples is not None
    return _followed(case, label, ring, key, watch.samples, watch.bunch)


def linear_optics(config: Config) -> Optics:
    """Optics of the settled ring with pure quadrupoles."""
    return optics(Ring(_uniform(config).with_(quads__multipoles=False)).tables, [])


def _uniform(config: Config) -> Config:
    return config.with_(beam__source="stored", magnet__map="uniform", magnet__map_file="", physics__spin=False)


def _product(scale: PlateNumbers | None, factors: Floats) -> PlateNumbers:
    """Factors on the voltages of the four plates of a quad."""
    top, bottom, inner, outer = (float(one) for one in np.array(scale or (1.0,) * 4) * factors)
    return top, bottom, inner, outer


def _observer(config: Config) -> tuple[float]:
    return (math.radians(config.tracking.observer_deg),)


def _followed(case: Case, label: str, ring: Ring, key: FillKey, seen: Motion, muons: Bunch) -> Swing:
    """Follow muons at turn `LAST` to the end of the last window."""
    around = optics(ring.tables, _observer(ring.config))
    last = math.ceil((_START + WINDOWS * WINDOW) / ring.reference.period * _SLOWEST)
    block = muons.number % BLOCKS
    sums = _sums(seen, block, around.f_cbo)
    bunch, turn = muons, LAST
    while turn < last:
        result = ring.track(bunch, _CHUNK, observers=_observer(ring.config), metal_key=key, progress=False)
        assert result.samples is not None
        sums += _sums(result.samples, block, around.f_cbo)
        case.muon_turns += result.muon_turns
        bunch, turn = result.bunch, turn + _CHUNK
    p = np.sqrt((muons.energy - MASS) * (muons.energy + MASS))
    delta = np.where(muons.state == State.STORED, p / ring.reference.p0_gev - 1.0, 0.0)
    return Swing(label, ring, around, muons.number, delta, seen, around.f_cbo, sums)


def _sums(seen: Motion, block: Indices, frequency: float) -> Floats:
    """Sums of the line through each window over the passages that fall in it; its angle counts from 30 us."""
    time, x = seen.time[0], seen.x[0]
    window = np.floor((time - _START) / WINDOW).astype(np.int64)
    use = seen.alive[0] & (window >= 0) & (window < WINDOWS)
    place = (window * BLOCKS + block)[use]
    angle = 2.0 * math.pi * frequency * (time[use] - CENTRE)
    c, s, x = np.cos(angle), np.sin(angle), x[use]
    columns = (np.ones(x.size), c, s, c * c, c * s, s * s, x, x * c, x * s)
    sums = [np.bincount(place, column, WINDOWS * BLOCKS).reshape(WINDOWS, BLOCKS) for column in columns]
    return np.stack(sums, axis=2)
