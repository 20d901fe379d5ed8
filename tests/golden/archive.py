"""Cut the golden sample to files that are kept for ever: one folder for each format that a release has written.

    python tests/golden/archive.py v1

writes raw.mid.gz (one fill, two calorimeters), truth.h5 (first rows), metadata.json, conditions.toml, muons.h5 and
facts.json, what a reader of any later day must find in them. A folder that a release has is never made again.
"""

import gzip
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

from gm2sim.atomic import sealed, sha256, write_json
from gm2sim.bunch.file import write_native
from gm2sim.conditions import FileConditions, write_conditions
from gm2sim.conditions.folders import FOLDERS
from gm2sim.config import load
from gm2sim.hdf5 import new_file
from gm2sim.outputs import METADATA_FORMAT
from gm2sim.raw import Event, open_run
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.event import RawBank
from gm2sim.reco import reconstruct
from gm2sim.setup import conditions_of
from tracking.bunch import Bunch
from tracking.muon import reference

HERE = Path(__file__).resolve().parent
CRATES = ("01", "02")
ROWS = 20
FEW_FOLDERS = ("tracker_align_external", "tracker_align_internal")


def cut_raw(source: Path, target: Path) -> None:
    """The fill with the banks of two calorimeters, between the two texts."""
    raw = open_run(source)
    events = list(raw.events())
    begin, end = dict(events[0].text()), {"Runinfo": events[-1].text()["Runinfo"]}
    begin["Equipment"] = {name: tree for name, tree in begin["Equipment"].items() if name[-2:] in (*CRATES, "EB")}
    pieces = [_event(events[0], _text(begin))]
    for event in raw:
        kept = [bank for bank in event.walk() if bank.name[2:] in CRATES or not bank.name[2:].isdigit()]
        banks = b"".join(_bank(bank) for bank in kept)
        pieces.append(_event(event, struct.pack("<II", len(banks), event.flags) + banks))
    pieces.append(_event(events[-1], _text(end)))
    target.write_bytes(gzip.compress(b"".join(pieces), 9, mtime=0))


def _event(like: Event, payload: bytes) -> bytes:
    return struct.pack("<HHIII", like.event_id, like.trigger_mask, like.serial, like.time, len(payload)) + payload


def _bank(bank: RawBank) -> bytes:
    data = bytes(bank.data)
    return struct.pack("<4sII", bank.name.encode(), bank.type, len(data)) + data + bytes(-len(data) % 8)


def _text(tree: dict[str, Any]) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()


def cut_truth(source: Path, target: Path) -> None:
    """Attributes and the first rows of every column."""
    with h5py.File(source) as whole, new_file(target) as file:
        file.attrs.update(whole.attrs)
        for group, columns in whole.items():
            for name, data in columns.items():
                file.create_dataset(f"{group}/{name}", data=data[:ROWS]).attrs.update(data.attrs)


def metadata(folder: Path) -> dict[str, Any]:
    """Metadata in the form of the day, of the raw file and the truth in a folder."""
    raw, truth = folder / "raw.mid.gz", folder / "truth.h5"
    sums = Checksums.of_file(raw)
    with h5py.File(truth) as file:
        attributes = dict(file.attrs)
    told: dict[str, Any] = {
        "format": METADATA_FORMAT, "data_tier": "raw", "simulated": True, "run": int(attributes["run"]), "subrun": 0,
        "version": attributes["version"], "config_hash": attributes["config_hash"], "seed": int(attributes["seed"]),
        "parents": [], "preset": attributes["preset"], "event_count": 1, "counts": {"fills": 1, "muons": 200},
        "files": {
            raw.name: {"size": sums.size, "sha256": sums.sha256, "adler32": sums.adler32, "crc32c": sums.crc32c},
            truth.name: {"size": truth.stat().st_size, "sha256": sha256(truth)},
        },
    }  # fmt: skip
    return sealed(told) if METADATA_FORMAT > 1 else told


def facts(folder: Path) -> dict[str, Any]:
    """What a reader must find."""
    (event,) = list(open_run(folder / "raw.mid.gz"))
    samples = hashlib.sha256()
    for crate in event.crates:
        samples.update(np.concatenate([one.samples.ravel() for one in event.islands(crate)]).astype("<i2").tobytes())
    clusters = reconstruct(folder / "raw.mid.gz")
    with h5py.File(folder / "truth.h5") as file:
        muons = {name: float(np.sum(file[f"muons/{name}"][:])) for name in ("x", "y", "time", "energy", "sx")}
    shift = FileConditions(folder / "conditions.toml").table("tracker_align_internal", 15921)["shift_x"]
    return {
        "islands": int(sum(event.islands(crate).length.size for crate in event.crates)),
        "samples_sha256": samples.hexdigest(),
        "energies_gev": [round(float(energy), 6) for energy in np.sort(clusters.energy)],
        "sums_of_muons": muons,
        "sum_of_shifts_um": float(shift.sum()),
    }


def main() -> None:
    """Make the folder that is named."""
    folder = HERE / sys.argv[1]
    folder.mkdir()
    cut_raw(HERE / "golden.mid", folder / "raw.mid.gz")
    cut_truth(HERE / "golden.truth.h5", folder / "truth.h5")
    constants = conditions_of(load("run1a"), builtin=True)
    with mock.patch.dict(FOLDERS, {name: FOLDERS[name] for name in FEW_FOLDERS}, clear=True):
        write_conditions(constants, folder / "conditions.toml", "archived")
    with h5py.File(folder / "truth.h5") as truth, new_file(folder / "muons.h5") as file:
        design = reference(float(truth.attrs["b0_t"]), float(truth.attrs["r0_m"]))
        write_native(file, Bunch.empty(5).with_momentum(np.linspace(-1e-3, 1e-3, 5), design)._asdict(), design)
    write_json(folder / "metadata.json", metadata(folder))
    write_json(folder / "facts.json", facts(folder))


if __name__ == "__main__":
    main()
