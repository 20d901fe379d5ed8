"""Muons of one fill, from a configuration or a file: the Bunch that people use from Python."""

from pathlib import Path

from gm2sim.bunch.file import Kind, read_bunch
from gm2sim.bunch.frame import Frame
from gm2sim.config import Config
from gm2sim.machine import Ring, stored_beam
from gpu.rng import FillKey
from tracking.bunch import Bunch as TrackingBunch
from tracking.source import sample


class Bunch(TrackingBunch):
    """Muons of one fill, made from a configuration or read from a file."""

    __slots__ = ()

    @classmethod
    def stored(
        cls, config: Config, n: int | None = None, seed: int | None = None, fill: int = 0, ring: Ring | None = None
    ) -> TrackingBunch:
        """Stored muons at the inflector exit.

        Parameters
        ----------
        config : Config
        n : int, optional
            Muons; the configured number of a fill when left out.
        seed : int, optional
            Seed; the configured one when left out.
        fill : int
            Which fill of subrun 0: another fill, other muons.
        ring : Ring, optional
            The ring of the configuration, where it is made already.
        """
        run = config.run
        key = FillKey(run.seed if seed is None else seed, run.run, 0, fill)
        count = config.beam.muons_per_fill if n is None else n
        return sample(stored_beam(config, fill), key, count, (ring or Ring(config)).optics())

    @classmethod
    def injected(
        cls, config: Config, n: int | None = None, seed: int | None = None, fill: int = 0, ring: Ring | None = None
    ) -> TrackingBunch:
        """Muons that have come through the inflector and the first quad, where that ends; parameters as above.

        The next turns are to be tracked with ``ring.track(..., kicked=True, metal_key=...)``.
        """
        run = config.run
        key = FillKey(run.seed if seed is None else seed, run.run, 0, fill)
        return (ring or Ring(config)).injection.inject(key, n)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        config: Config,
        *,
        place: str | Frame = "design orbit",
        kind: Kind | None = None,
        ring: Ring | None = None,
    ) -> TrackingBunch:
        """Muons of a file in any known form, checked; they never decay unless the file says when.

        Parameters
        ----------
        path : str or Path
        config : Config
        place : str or Frame
            Where the straight coordinates of a BLTrackFile or openPMD file stand, by name (:meth:`Frame.at`).
        kind : str, optional
            "native", "csv", "bltrack" or "openpmd"; found from what the file holds if left out.
        ring : Ring, optional
            The ring of the configuration, where it is made already.

        Raises
        ------
        BunchFileError
            One sentence: file, row and column, what is wrong, how to mend it.
        """
        ring = ring or Ring(config)
        frame = Frame.at(place, ring.layout) if isinstance(place, str) else place
        return read_bunch(path, config, ring.reference, ring.momentum_acceptance, frame, kind)

    @classmethod
    def from_openpmd(
        cls, path: str | Path, config: Config, place: str | Frame = "design orbit", ring: Ring | None = None
    ) -> TrackingBunch:
        """Muons of an openPMD file, as :meth:`from_file`; needs the extra ``openpmd``."""
        return cls.from_file(path, config, place=place, kind="openpmd", ring=ring)

    @classmethod
    def from_bltrack(
        cls, path: str | Path, config: Config, place: str | Frame = "design orbit", ring: Ring | None = None
    ) -> TrackingBunch:
        """Muons of a BLTrackFile, as :meth:`from_file`."""
        return cls.from_file(path, config, place=place, kind="bltrack", ring=ring)
