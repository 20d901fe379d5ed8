"""The chain on one screen: from the stored muons of a fill to its digits, with the truth of every step."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from decay.positron import decay
from detectors.calorimeter import digitise_fill
from detectors.laser import Pulses, laser_deposits
from detectors.lost_muons import LostMuons, crystal_material, fly
from detectors.mip import deposit_muons, together
from detectors.shower import shower
from detectors.straw_drift import straw_hits
from detectors.transport import fly_positrons
from gm2sim.fill import Detected, Fill, Snapshot
from gm2sim.monitors import simulate_monitors
from gm2sim.setup import Setup
from gm2sim.summary import Tally
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.crossings import joined
from tracking.turns import TrackResult

Histogram = NDArray[np.int32]
_SNAPSHOT_TIMES = (0.0, 30e-6, 150e-6)  # when x and y of every muon are kept [s]
# After scraping whoever passes a full collimator in every turn is inside the plates too: they are 5 mm further out [s].
_PLATES_UNTIL = 30e-6


def simulate_fill(
    setup: Setup, key: FillKey, histogram: Histogram | None, tally: Tally, laser: Pulses | None = None
) -> Fill:
    """The chain, from the stored muons of one fill to its digits.

    Parameters
    ----------
    setup : Setup
    key : FillKey
        Names the fill: every random number is a function of it.
    histogram : int32 array (24, 54, bins) or None
        Q-method histogram that the fill is added to.
    tally : Tally
        Counts and times are added to it.
    laser : Pulses, optional
        Of the laser in this fill.
    """
    with tally.stage("beam"):
        beam = setup.muons(key)
    with tally.stage("tracking"):
        muons, stretches, snapshots = track_muons(setup, beam, key)
    if setup.injected:
        tally.count(injected=muons.n)
        muons = muons.select((muons.turn >= setup.config.injection.kicked_turns) | (muons.state == State.DECAYED))
    tally.count(
        fills=1,
        muons=muons.n,
        decayed=int((muons.state == State.DECAYED).sum()),
        lost=int((muons.state > State.DECAYED).sum()),
        muon_turns=sum(stretch.muon_turns for stretch in stretches),
    )
    seen = detect_decays(setup, muons, key, histogram, tally, laser)
    with tally.stage("monitors"):
        crossings = joined([stretch.crossings for stretch in stretches if stretch.crossings is not None])
        monitors = simulate_monitors(setup, key, crossings)
    return Fill(muons, stretches, snapshots, seen, monitors)


def detect_decays(
    setup: Setup, muons: Bunch, key: FillKey, histogram: Histogram | None, tally: Tally, laser: Pulses | None = None
) -> Detected:
    """The second half of the chain, from decayed and lost muons to digits; parameters as in :func:`simulate_fill`."""
    lost = LostMuons.of(muons, setup.ring.reference)
    with tally.stage("decay"):
        positrons = decay(muons, setup.ring.reference, key, setup.config.beam.polarization)
    with tally.stage("transport"):
        flight = fly_positrons(positrons, setup.fields, setup.geometry, key, setup.transport, setup.stations)
        muon_hits, flights = fly(lost, setup.fields, setup.geometry, key, crystals=setup.calorimeters.shower)
    with tally.stage("straws"):
        working = setup.tracker_constants.working
        straws = straw_hits(flight.crossings, key, setup.straws, working) if setup.stations is not None else None
    with tally.stage("showers"):
        of_muons = deposit_muons(muon_hits, crystal_material(), setup.calorimeters.shower)
        of_positrons, leakage = shower(flight.hits, key, setup.calorimeters.shower)
        deposits = together(of_positrons, of_muons)
    with tally.stage("digitising"):
        digits = digitise_fill(
            deposits, key, setup.calorimeters, constants=setup.constants, q_histogram=histogram,
            waveform_channels=setup.waveform_channels(key.fill),
            laser=laser_deposits(laser, setup.constants.laser_light) if laser is not None else None,
        )  # fmt: skip
    tally.count(
        positrons=positrons.n,
        hits=flight.hits.calo.size,
        islands=sum(one.start.size for one in digits.islands),
        samples=sum(one.samples.size for one in digits.islands),
    )
    return Detected(
        positrons, flight.ends, flight.hits, leakage, flight.crossings, flight.passages, straws,
        lost, flights, muon_hits, deposits, digits,
    )  # fmt: skip


def track_muons(setup: Setup, muons: Bunch, key: FillKey) -> tuple[Bunch, list[TrackResult], list[Snapshot]]:
    """Track a fill in stretches of turns; between them the muons stand at theta = 0 and are looked at.

    An injected beam goes through the kickers first, and its muons through the metal of collimators. From the turn in
    which the quads break down on, every turn has voltages of its own.
    """
    ring, settings = setup.ring, setup.config.tracking
    every = settings.moments_every
    last = ring.turns(settings.fill_duration_us * 1e-6)
    kicked = min(-(-setup.config.injection.kicked_turns // every) * every, last) if setup.injected else 0
    looked = {min(round(t / ring.reference.period / every) * every, last) for t in _SNAPSHOT_TIMES}
    spark = setup.spark
    breakdown = last if spark is None else min(int(spark.start / ring.reference.period / every) * every, last)
    marks = sorted(looked | {kicked, breakdown, last})
    stretches, snapshots = [], []
    plates_until = _PLATES_UNTIL - ring.reference.period if ring.layout.has_full_collimator else math.inf
    for start, stop in pairwise(marks):
        here = (muons.state == State.STORED) & (muons.theta == 0.0)
        snapshots.append(Snapshot(start, muons.time[here], muons.x[here], muons.y[here], muons.number[here]))
        if spark is not None and start == breakdown:
            ring = ring.sparked(spark)
        result = ring.track(
            muons, stop - start, every=every, observers=(np.radians(settings.observer_deg),), moments=True,
            kicked=start < kicked, metal_key=key if setup.injected else None, harp_key=key,
            plates=setup.injected and start * ring.reference.period < plates_until,
            backend=setup.backend, progress=False,
        )  # fmt: skip
        muons = result.bunch
        stretches.append(result)
    return muons, stretches, snapshots
