"""Power fails at any moment: 5000 images (``python -m tests.reliability.crash_images`` makes more)."""

import itertools
import random
from pathlib import Path

from tests.reliability.crash_images import Recording, crash
from tests.reliability.disk import Step
from tests.reliability.writers import WRITERS

WANTED = 5000


def test_whatever_a_crash_leaves_is_old_or_new_and_what_was_acknowledged_is_there(memory: Path) -> None:
    made, wrong = crash(memory, WANTED, itertools.count(1))
    assert wrong == []
    assert made.total() >= WANTED
    assert set(made) == set(WRITERS)


def test_a_writer_that_does_not_flush_is_found_out(memory: Path) -> None:
    """The images are cruel enough: without its fsync a writer leaves torn files."""
    recording = Recording(WRITERS["raw"], 3, memory, with_old=False)
    recording.log = [step for step in recording.log if step.what != "fsync" or step.folder]
    rng, scratch = random.Random(2), memory / "scratch"
    scratch.mkdir()
    end = len(recording.log)
    found = [recording.complaint(end, recording.image(end, rng), scratch) for _ in range(100)]
    assert sum("neither" in one for one in found) > 50


def test_a_writer_that_does_not_flush_the_folder_is_found_out(memory: Path) -> None:
    recording = Recording(WRITERS["raw"], 1, memory, with_old=False)
    recording.log = [step for step in recording.log if not step.folder]
    rng, scratch = random.Random(3), memory / "scratch"
    scratch.mkdir()
    end = len(recording.log)
    found = [recording.complaint(end, recording.image(end, rng), scratch) for _ in range(100)]
    assert sum("acknowledged" in one for one in found) > 20


def test_the_log_holds_every_byte_of_the_product(memory: Path) -> None:
    recording = Recording(WRITERS["truth"], 2, memory, with_old=False)
    held = bytearray(len(recording.new["a.truth.h5"]))
    steps: list[Step] = [step for step in recording.log if step.what == "write"]
    for step in steps:
        held[step.place : step.place + len(step.data)] = step.data
    assert bytes(held) == recording.new["a.truth.h5"]
