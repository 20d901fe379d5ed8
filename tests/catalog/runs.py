"""A tiny run folder: real raw files, something for the truth, and the metadata that a simulation writes."""

from pathlib import Path

from gm2sim.atomic import sha256, write_json
from gm2sim.raw import Readout, RunWriter, run_tree

START = 1_522_022_400
READOUT = Readout(samples_per_fill=3200, histogram_samples_per_bin=64, histogram_flush_fills=2, crates=1)


def write_run(folder: Path, run: int = 15921, subruns: int = 2, config_hash: str = "ab" * 32, seed: int = 1) -> None:
    """Write the files of a run without fills."""
    folder.mkdir(parents=True, exist_ok=True)
    for subrun in range(subruns):
        stem = f"gm2_run{run:05d}_{subrun:05d}"
        raw, truth = folder / f"{stem}.mid", folder / f"{stem}.truth.h5"
        tree = run_tree(run, subrun, START + 8 * subrun, READOUT, {"version": "test", "seed": seed})
        with RunWriter(raw, run, subrun, tree) as writer:
            pass
        truth.write_bytes(f"truth of run {run} subrun {subrun}, configuration {config_hash}, seed {seed}".encode())
        assert writer.written is not None
        write_json(folder / f"{stem}.json", {
            "format": 1, "data_tier": "raw", "simulated": True, "run": run, "subrun": subrun, "version": "0.2.0",
            "config_hash": config_hash, "seed": seed, "parents": [], "preset": "run1a", "conditions": "built in",
            "first_event": 16 * subrun, "last_event": 16 * subrun + 15, "event_count": 16,
            "start_time": f"2018-03-26T00:00:{8 * subrun:02d}Z", "end_time": f"2018-03-26T00:00:{8 * subrun + 1:02d}Z",
            "files": {raw.name: writer.written.facts(),
                      truth.name: {"size": truth.stat().st_size, "sha256": sha256(truth)}},
        })  # fmt: skip


if __name__ == "__main__":
    write_run(Path("out/run1a"))
