"""The farm in one process, and the board between several: who takes what, when to leave, who is stuck."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gm2sim.farm import CONTINUE, Farm, Ranks, Stop, StuckError
from gm2sim.farm.board import NOTHING, Board
from gm2sim.farm.watchdog import Watchdog
from tests.mpi.test_ranks import MPIEXEC, ROOT, needs_mpi

FIRST = "from gm2sim.farm import Farm, Ranks; import time, ctypes, os, signal, sys\n"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FIRST + code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_board_counts_on_and_shows_what_each_rank_has_in_hand():
    board = Board(Ranks())
    assert [board.take() for _ in range(4)] == [0, 1, 2, 3]
    assert board.look().tasks.tolist() == [NOTHING]
    board.begin(7)
    board.beat(2)
    seen = board.look()
    assert seen.tasks.tolist() == [7]
    assert (seen.done, seen.ready, seen.stop) == (2, 0, False)
    pulse = seen.pulses.tolist()
    board.end(7)
    board.beat()
    board.ask_stop()
    board.be_ready()
    seen = board.look()
    assert seen.tasks.tolist() == [NOTHING]
    assert seen.stop
    assert seen.ready == 1
    assert seen.pulses.tolist() != pulse
    board.close()


def test_the_longest_task_is_taken_first_and_equal_ones_in_order():
    with Farm(Ranks(), stall=0) as farm:
        taken = list(farm.hand_out([3, 50, 7, 51, 7.5], lambda task: task // 1, int))
    assert taken == [51, 50, 7, 7.5, 3]


def test_a_signal_ends_the_handing_out_after_the_task_in_hand_and_restores_the_handlers():
    before = signal.getsignal(signal.SIGUSR1)
    done = []
    with Farm(Ranks(), stall=0) as farm:
        for task in farm.hand_out(range(5), lambda task: 1, int):
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append(task)
            assert farm.stopping
        assert "SIGUSR1, 4 subruns are unfinished" in farm.farewell(4)
    assert done == [0]
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_error_in_a_task_names_rank_task_and_job():
    farm = Farm(Ranks(2, 4), "campaign c", stall=0, called=lambda number: f"shard {number}a")
    farm._task = 5
    with pytest.raises(ValueError, match="bad") as caught, farm.named():
        raise ValueError("bad")
    assert caught.value.__notes__ == ["rank 2 of 4, shard 5a, campaign c"]


def test_another_thread_hears_of_a_signal_that_the_main_one_has_not_noted():
    stop = Stop()
    assert not stop.heard()
    with stop.listening():
        assert not stop.heard()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.heard()
        assert not stop.heard()
        assert stop.name == "SIGTERM"
    assert not stop.heard()


def test_signals_are_left_alone_outside_the_main_thread():
    stop, errors = Stop(), list[BaseException]()

    def listen() -> None:
        try:
            with stop.listening():
                pass
        except BaseException as err:
            errors.append(err)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert not errors


def test_signs_of_life_keep_the_watchdog_quiet():
    told: list[int] = []
    guard = Watchdog(0.6, 0.5, lambda: "I", told.append)
    with guard.on_guard():
        for _ in range(12):
            time.sleep(0.1)
            guard.alive()
    assert not told


@pytest.mark.parametrize("stuck", ["while True: pass", "ctypes.CDLL(None).sleep(50)"])
def test_a_process_without_progress_ends_itself_and_names_its_task(stuck):
    done = python(
        f"with Farm(Ranks(), 'seed 1', stall=1.0) as farm:\n for _ in farm.hand_out([4], float, int):\n  {stuck}"
    )
    assert done.returncode == 1
    assert "rank 0 of 1, subrun 4, seed 1 has made no progress for 1 s" in done.stderr


def test_a_process_that_holds_the_interpreter_for_ever_is_ended_too():
    done = python("with Farm(Ranks(), stall=0.5) as farm:\n ctypes.PyDLL(None).sleep(50)")
    assert done.returncode == 1
    assert "Timeout" in done.stderr


def test_a_process_that_does_not_leave_its_fill_in_time_is_ended_with_the_code_to_go_on():
    done = python(
        "with Farm(Ranks(), stall=0, grace=1.0) as farm:\n"
        " for _ in farm.hand_out([4], float, int):\n  os.kill(os.getpid(), signal.SIGTERM)\n  while True: pass"
    )
    assert done.returncode == CONTINUE
    assert "did not leave within 1 s of being asked to" in done.stderr


def test_a_rank_whose_pulse_stands_still_is_found_by_the_others():
    class Store:
        def look(self):  # type: ignore[no-untyped-def]
            import numpy as np

            from gm2sim.farm.board import Seen

            return Seen(False, 0, 0, np.array([time.monotonic_ns(), 5]), np.array([NOTHING, 3]))

    farm = Farm(Ranks(0, 2), "seed 1", stall=0.1)
    farm._board = Store()
    farm._look(None)
    time.sleep(0.2)
    with pytest.raises(StuckError, match="rank 1 of 2, subrun 3, seed 1 shows no sign of life") as caught:
        farm._look(None)
    assert caught.value.__notes__ == ["rank 0 of 2, seed 1"]


ACROSS = """
import sys, time
from gm2sim.farm import Farm, ranks
job = ranks()
done = []
with Farm(job, stall=0) as farm:
    for task in farm.hand_out(range(200), lambda task: -task, int):
        done.append(task)
        farm.advance(1.0)
        time.sleep(0.001 * (1 + job.rank))
    total = farm._board.look().done
every = job.gather(done)
if job.rank == 0:
    assert sorted(task for share in every for task in share) == list(range(200)), every
    assert total == 200, total
    assert all(every), [len(share) for share in every]
    assert all(share == sorted(share) for share in every)
"""


@needs_mpi
def test_ranks_take_every_task_once_and_see_each_others_numbers(tmp_path):
    script = tmp_path / "across.py"
    script.write_text(ACROSS)
    environment = os.environ | {"PYTHONPATH": str(Path(ROOT))}
    done = subprocess.run(
        [str(MPIEXEC), "-n", "3", sys.executable, "-m", "mpi4py", str(script)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
