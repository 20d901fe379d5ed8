"""Speed of the tracker: ns per muon and turn on one core, beside the core's own limit and beside public codes.

``python -m benchmarks.tracker_and_peers`` prints the table.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks import flops, hardware
from benchmarks.peers import FIELD_INDEX, PeerSpeed, peers
from benchmarks.row import Row, at_least, at_most, best_cpu
from fields.quads import QuadSettings
from fields.ring import R0, Ring
from fields.storage import StorageField
from gm2sim.chain import track_muons
from gm2sim.config import load
from gm2sim.machine import Ring as Machine
from gm2sim.machine import storage_field
from gm2sim.setup import Setup
from gpu import threads
from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.muon import P_MAGIC, RIGIDITY, reference
from tracking.stations import RingTables, ring_tables
from tracking.turns import track

PEER_GOAL, LIMIT_GOAL, MAP_GOAL, FILL_GOAL = 20.0, 55.0, 3.0, 6.0
EVERYTHING_GOAL = 350.0 / 120.0
# Every quad displaced and rolled, plates to the 20-pole with effective edges, the map of Run-1a of order 5.
_EVERYTHING = {
    "magnet.map": "synthetic", "quads.offset_x_mm": [0.3, -0.5] * 4, "quads.offset_y_mm": [-0.4, 0.2] * 4,
    "quads.roll_mrad": [1.0, -0.5] * 4,
}  # fmt: skip


def discrete_ring(with_map: bool = False, scheme: str = "saba2c") -> RingTables:
    """The ring that the peers track: four equal quarters, n = 0.108, 24 kicks of ideal quads.

    Parameters
    ----------
    with_map
        Add the synthetic map of Run-1a, order 5.
    scheme
        Splitting of the quads.
    """
    ring, b0 = Ring.reference(), P_MAGIC / (RIGIDITY * R0)
    # Run-1a's own map, as made: the fit of its trolley readings has one order more.
    made = storage_field(load("run1a", {"magnet.map": "synthetic"}))
    storage = made.scaled_to(b0) if with_map else StorageField.uniform(b0)
    quads = QuadSettings.ideal(FIELD_INDEX, ring, b0, reference(b0, R0).beta0)
    return ring_tables(ring, quads, storage, scheme=scheme)


def beam(tables: RingTables, muons: int) -> Bunch:
    """Muons of 8 mm RMS in both planes at the reference momentum that never decay, as the peers get them."""
    draw = np.random.default_rng(1)
    bunch = Bunch.empty(muons).with_momentum(0.0, tables.reference)
    bunch.x[:] = draw.normal(0.0, 8e-3, muons).clip(-0.03, 0.03)
    bunch.y[:] = draw.normal(0.0, 8e-3, muons).clip(-0.03, 0.03)
    return bunch


def ns_per_turn(tables: RingTables, spin: bool, muons: int = 2048, turns: int = 256, repeats: int = 7) -> float:
    """Best time of one muon and turn on one thread, aperture tests included [ns]."""
    bunch, before = beam(tables, muons), threads.count()
    threads.set_count(1)
    done = track(bunch, tables, turns, spin=spin).muon_turns
    seconds = best_cpu(lambda: track(bunch, tables, turns, spin=spin), repeats)
    threads.set_count(before)
    return seconds / done * 1e9


def measure(quick: bool = False) -> list[Row]:
    """The tracker, its limits and its peers, all in one run.

    Parameters
    ----------
    quick
        Fewer repeats.
    """
    repeats = 5 if quick else 25
    fma, memory = hardware.fma_limit(), hardware.memory_limit(trials=3 if quick else 8)
    rows = [
        Row("fused multiply-adds of one core, fp64", fma * 1e-9, "GFLOP/s", "limit of this machine"),
        Row("memory of one core, a = b + s c", memory * 1e-9, "GB/s", "limit of this machine"),
    ]
    plain_ring, mapped = discrete_ring(), discrete_ring(with_map=True)
    speeds: dict[bool, float] = {}
    for spin in (False, True):
        speeds[spin] = ns_per_turn(plain_ring, spin, repeats=repeats)
        rows += _against_limit(f"muon-turn, 24 kicks, {_with(spin)}", speeds[spin], plain_ring, spin, fma)
    for spin in (False, True):
        with_map = ns_per_turn(mapped, spin, repeats=repeats)
        stations = int((mapped.stations.kinds > 0).sum())
        rows.append(
            Row(
                f"muon-turn, map of order {mapped.options.magnetic}, {_with(spin)}",
                with_map,
                "ns",
                f"{stations} stations",
            )
        )
        rows.append(at_most(f"map over no map, {_with(spin)}", with_map / speeds[spin], "times", MAP_GOAL))
    for what, settings in (("run1a as it runs", {}), ("all static fields", _EVERYTHING)):
        tables = Machine(load("run1a", settings)).tables
        ns = ns_per_turn(tables, True, repeats=repeats)
        beside = f"quads to order {tables.options.electric}, map of order {tables.options.magnetic}"
        rows.append(Row(f"muon-turn, {what}, with spin", ns, "ns", beside))
    rows.append(at_most("all static fields over bare ring, with spin", ns / speeds[True], "times", EVERYTHING_GOAL))
    rows.append(at_most("fill of injected muons, tracked to the end", injected_fill(), "s", FILL_GOAL,
                        "10^5 muons of run1a at the inflector exit, CPU time of one thread"))  # fmt: skip
    return rows + against_peers(peers(repeats=3 if quick else 8), speeds)


def injected_fill(muons: int = 100_000, repeats: int = 2) -> float:
    """CPU time of one thread for a fill from the inflector exit to the last turn, with spin [s]."""
    setup = Setup.of(load("run1a", {"beam.source": "injected", "injection.muons_per_fill": muons}))
    key, before = FillKey(1, 1, 0, 0), threads.count()

    def fill() -> None:
        track_muons(setup, setup.muons(key), key)

    threads.set_count(1)
    fill()
    seconds = best_cpu(fill, repeats)
    threads.set_count(before)
    return seconds


def _with(spin: bool) -> str:
    return "with spin" if spin else "orbit only"


def _against_limit(what: str, ns: float, tables: RingTables, spin: bool, fma: float) -> list[Row]:
    operations = flops.per_turn(tables, spin=spin)
    share = 100.0 * operations / (ns * 1e-9) / fma
    found = [Row(what, ns, "ns", f"{operations} operations, one thread, apertures in")]
    title = f"of the multiply-add limit, {_with(spin)}"
    return [*found, at_least(title, share, "%", LIMIT_GOAL) if spin else Row(title, share, "%")]


def against_peers(found: list[PeerSpeed], speeds: dict[bool, float]) -> list[Row]:
    """Times of the peers, and how many times faster we are than the fastest with spin, and without.

    Parameters
    ----------
    found
        What was measured of the peers.
    speeds
        Ours with (True) and without (False) spin [ns].
    """
    if not found:
        return [Row("peers", float("nan"), "", "none installed: make bench, or pip install 'gm2sim[peers]'")]
    rows = [
        Row(f"muon-turn, {peer.name}, {_with(peer.spin)}", peer.ns_per_turn, "ns",
            f"nu_x {peer.tunes[0]:.6f}, nu_y {peer.tunes[1]:.6f}")
        for peer in found
    ]  # fmt: skip
    for spin in (True, False):
        times = [peer.ns_per_turn for peer in found if peer.spin == spin]
        if times:
            ratio, what = min(times) / speeds[spin], f"faster than the fastest peer, {_with(spin)}"
            rows.append(at_least(what, ratio, "times", PEER_GOAL) if spin else Row(what, ratio, "times"))
    return rows


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
