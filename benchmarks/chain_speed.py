"""Speed of every stage of the chain behind the tracker, from the drawn muon to the reconstructed positron.

One thread; the sample is one real fill of run1a. ``python -m benchmarks.chain_speed`` prints the table.
"""

from __future__ import annotations

import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.row import Row, best_cpu, best_wall
from decay.positron import decay
from detectors.calorimeter import CalorimeterSettings, digitise_fill, light_of, measure_pedestals
from detectors.digitizer import digitiser_pulses, pulse_table, synthesise
from detectors.shower import deposit
from detectors.transport import fly_positrons
from detectors.windows import find_windows, rows_of
from gm2sim.calibration import Calibration
from gm2sim.chain import simulate_fill
from gm2sim.config import load
from gm2sim.fill import Fill
from gm2sim.raw import RunWriter, open_run, run_tree
from gm2sim.raw.record import FillRecord
from gm2sim.reco import fit_fill, gather, reconstruct_fill
from gm2sim.records import fill_record, readout
from gm2sim.setup import Setup
from gm2sim.summary import Tally
from gm2sim.timeline import fill_time
from gpu import threads
from gpu.rng import FillKey
from tracking.bunch import State
from tracking.source import sample

KEY = FillKey(1, 1, 0, 0)


def measure(quick: bool = False, muons: int = 5000) -> list[Row]:
    """Every stage on one fill.

    Parameters
    ----------
    quick
        Fewer repeats.
    muons
        Stored muons of the fill.
    """
    repeats, before = (5 if quick else 20), threads.count()
    threads.set_count(1)
    setup = Setup.of(load("run1a", {"beam.muons_per_fill": muons}))
    fill = simulate_fill(setup, KEY, None, Tally())
    found = [
        *_particles(setup, fill, repeats),
        *_digits(setup, fill, repeats),
        *_raw_file(setup, fill, repeats),
    ]
    threads.set_count(before)
    return found


def _particles(setup: Setup, fill: Fill, repeats: int) -> list[Row]:
    """Muons drawn, decays, positrons to the faces, showers."""
    optics, reference = setup.ring.optics(), setup.ring.reference
    n, decayed = fill.muons.n, int((fill.muons.state == State.DECAYED).sum())
    hits = max(fill.seen.hits.calo.size, 1)
    polarization = setup.config.beam.polarization
    stages = (
        ("muon drawn", n, lambda: sample(setup.beam, KEY, n, optics)),
        ("decay", decayed, lambda: decay(fill.muons, reference, KEY, polarization)),
        (
            "positron to a calorimeter or lost",
            decayed,
            lambda: fly_positrons(
                fill.seen.positrons, setup.fields, setup.geometry, KEY, setup.transport, setup.stations
            ),
        ),
        ("shower of a hit, 54 crystals", hits, lambda: deposit(fill.seen.hits, KEY, setup.calorimeters.shower)),
    )
    return [
        Row(what, best_cpu(action, repeats) / max(count, 1) * 1e9, "ns", f"{count} in one fill")
        for what, count, action in stages
    ]


def _digits(setup: Setup, fill: Fill, repeats: int) -> list[Row]:
    """Waveforms: a sample by itself, and all that the front ends do in a fill."""
    settings, constants = setup.calorimeters, setup.constants
    digitizer, shape = settings.digitizer, pulse_table(settings.sipm, settings.digitizer, constants)
    pulses = digitiser_pulses(light_of(fill.seen.deposits, KEY, settings, constants), constants, digitizer, shape)
    pedestals = measure_pedestals(pulses, shape, constants, digitizer, KEY)
    windows = find_windows(pulses, constants, pedestals, digitizer, shape)
    rows, blocks, touching = rows_of(windows, pulses, digitizer, shape)
    seconds = best_cpu(lambda: synthesise(rows, blocks, touching, shape, constants, digitizer, KEY), repeats)
    samples = 4 * int(blocks.sum())
    found = [
        Row("digitised sample (pulses, noise, rounding)", seconds / max(samples, 1) * 1e9, "ns", f"{samples} made")
    ]
    for q_method in (False, True):
        seconds = _front_ends(setup, fill, replace(settings, digitizer=replace(digitizer, q_method=q_method)))
        what = "front ends of a fill, " + ("with" if q_method else "without") + " Q-method"
        found.append(Row(what, seconds * 1e3, "ms", "24 calorimeters: islands, pedestals, sums"))
    return found


def _front_ends(setup: Setup, fill: Fill, settings: CalorimeterSettings) -> float:
    """Time of all 24 front ends for one fill [s]."""
    return best_cpu(lambda: digitise_fill(fill.seen.deposits, KEY, settings, constants=setup.constants), 3)


def _records(setup: Setup, fill: Fill, wanted_bytes: float) -> list[FillRecord]:
    """The fill as often as makes a file of some size."""
    config = setup.config
    size = sum(islands.samples.nbytes for islands in fill.seen.digits.islands) + 24 * 70_000 * config.daq.calo_sum
    return [
        fill_record(fill.seen.digits, fill_time(config, serial), config, setup.calorimeters, flush=False)
        for serial in range(max(1, math.ceil(wanted_bytes / size)))
    ]


def _raw_file(setup: Setup, fill: Fill, repeats: int, wanted_bytes: float = 2e8) -> list[Row]:
    """Raw file written and read back, and the light reconstruction of a fill."""
    config = setup.config
    records = _records(setup, fill, wanted_bytes)
    begin = fill_time(config, 0).seconds
    calibration = Calibration.of(setup.calorimeters, setup.constants)
    tree = run_tree(1, 0, begin, readout(config, setup.calorimeters), {"calibration": calibration.as_tree()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.mid"

        def write() -> None:
            path.unlink(missing_ok=True)
            with RunWriter(path, 1, 0, tree) as file:
                for record in records:
                    file.write_fill(record)

        write()
        cpu, wall = best_cpu(write, 3), best_wall(write, 3)
        megabytes = path.stat().st_size * 1e-6
        event = next(iter(open_run(path)))
        islands = max(len(gather(event).length), 1)
        reconstruct_fill(event, calibration)
        fitted = best_cpu(lambda: fit_fill(gather(event), calibration), repeats)
        whole = best_cpu(lambda: reconstruct_fill(event, calibration), repeats)
    beside = f"{megabytes:.0f} MB, flushed to the disk, three checksums"
    return [
        Row("raw writer, time on the wall", megabytes / wall, "MB/s", beside),
        Row("raw writer, CPU time", megabytes / cpu, "MB/s", "the same"),
        Row("pulse fits of an island", fitted / islands * 1e6, "us", f"{islands} islands in one fill"),
        Row("light reconstruction of an island", whole / islands * 1e6, "us", "decoded, fitted, clustered"),
    ]


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
