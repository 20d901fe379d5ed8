"""A configuration prepared for a study: its ring and optics, muons of fixed random numbers, paired tracking."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from fields.storage import StorageField
from gm2sim.config import Config
from gm2sim.machine import layout, quad_settings, stored_beam
from gm2sim.studies.outcome import Floats
from gm2sim.studies.precession import Precession, measure
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import LIFETIME, MASS, Reference, magic_momentum
from tracking.optics import Optics, optics
from tracking.source import sample
from tracking.stations import RingTables, ring_tables
from tracking.turns import TrackResult, track


class Case:
    """A configuration in the uniform field of the magnet, as the beam dynamics corrections are defined.

    The corrections compare with the precession in the field that the muons see on average, which the field
    analysis accounts for; the multipoles of the map (parts per million at the edge) would hide them.

    Parameters
    ----------
    config : Config
    muons : int
        Muons to track.
    seed : int, optional
        Seed of the muons; the configured one when left out.

    Attributes
    ----------
    muon_turns : int
        Turns that all muons tracked so far have made together.
    """

    def __init__(self, config: Config, muons: int, seed: int | None = None) -> None:
        self.config = config
        self.muons = muons
        self.seed = config.run.seed if seed is None else seed
        self.muon_turns = 0

    @cached_property
    def tables(self) -> RingTables:
        """The ring for the tracker."""
        return self.variant()

    @property
    def storage(self) -> StorageField:
        """Uniform field of the configured strength."""
        return StorageField.uniform(self.config.magnet.field_t)

    def variant(
        self, *, storage: StorageField | None = None, voltage_scale: float = 1.0, eta: float = 0.0
    ) -> RingTables:
        """The ring with one knob turned.

        Parameters
        ----------
        storage : StorageField, optional
            In place of the uniform field.
        voltage_scale : float
            Factor on the voltage of the quads.
        eta : float
            Electric dipole moment in units of e hbar/(4 m c).
        """
        config = self.config
        quads = quad_settings(config)
        return ring_tables(
            layout(config), replace(quads, voltage=quads.voltage * voltage_scale),
            storage or self.storage, scheme=config.tracking.scheme,
            refine=config.tracking.refine, anomaly=config.physics.anomaly, eta=eta,
        )  # fmt: skip

    @property
    def reference(self) -> Reference:
        """Momentum, field and radius that everything is measured against."""
        return self.tables.reference

    @cached_property
    def optics(self) -> Optics:
        """Optics, with the collimators as azimuths."""
        return optics(self.tables)

    @cached_property
    def omega_a(self) -> float:
        """Precession in the uniform field, a e B/m [rad/s]: of the muon that circles at R0 with p0."""
        gamma, period = self.reference.gamma0, self.reference.period
        return 2.0 * np.pi * self.config.physics.anomaly * gamma / period

    @property
    def lifetime(self) -> float:
        """Dilated lifetime of the reference muon [s]."""
        return self.reference.gamma0 * LIFETIME

    def drawn(self, n: int | None = None, *, fill: int = 0, **changes: object) -> Bunch:
        """Stored muons that never decay, the same ones at every call.

        Parameters
        ----------
        n : int, optional
            How many; ``muons`` when left out.
        fill : int
            Another fill, other muons.
        **changes
            Fields of :class:`tracking.source.StoredBeam` to change.
        """
        beam = replace(stored_beam(self.config), **changes)  # type: ignore[arg-type]
        key = FillKey(self.seed, self.config.run.run, 0, fill)
        bunch = sample(beam, key, self.muons if n is None else n, self.optics)
        bunch.stop_time[:] = np.inf
        return bunch

    def stored(self, turns: int) -> Bunch:
        """Those of :meth:`drawn` that no collimator takes in some turns.

        The draw knows the linear motion only: of the muons at the edge of the aperture the multipoles of the plates
        push a percent out, and without apertures such a muon would be followed to where no field is known.
        """
        muons = self.drawn()
        return muons.select(self.track(muons, turns, spin=False).bunch.state == State.STORED)

    def delta(self, bunch: Bunch) -> Floats:
        """Momentum offset outside the quads, p/p0 - 1."""
        return np.sqrt((bunch.energy - MASS) * (bunch.energy + MASS)) / self.reference.p0_gev - 1.0

    def x_e(self, bunch: Bunch) -> Floats:
        """Equilibrium radius from R0 [m]: mean dispersion times momentum offset."""
        return self.optics.mean_dispersion * self.delta(bunch)

    @property
    def delta_magic(self) -> float:
        """Offset of the magic momentum from that of the design orbit."""
        return magic_momentum(self.config.physics.anomaly) / self.reference.p0_gev - 1.0

    def at_momentum(self, bunch: Bunch, delta: float) -> Bunch:
        """The same muons with the same betatron motion, about the closed orbit of another momentum."""
        start, moved = self.optics.lattice, delta - self.delta(bunch)
        return bunch._replace(
            x=bunch.x + start.dispersion[0] * moved, px=bunch.px + start.dispersion_px[0] * moved
        ).with_momentum(delta, self.reference)

    def precession(self, bunch: Bunch, turns: int, tables: RingTables | None = None) -> Precession:
        """Precession frequency of each muon; see :func:`gm2sim.studies.precession.measure`."""
        found = measure(bunch, tables or self.tables, turns)
        self.muon_turns += found.muon_turns
        return found

    def track(self, bunch: Bunch, turns: int, tables: RingTables | None = None, **options: object) -> TrackResult:
        """Track muons; options as of :func:`tracking.turns.track`."""
        found = track(bunch, tables or self.tables, turns, **options)  # type: ignore[arg-type]
        self.muon_turns += found.muon_turns
        return found
