"""Threads: every particle once, in whole blocks, and safe after a fork."""

import os
import threading

import pytest

from gpu import threads


@pytest.fixture(autouse=True)
def _same_count_afterwards():
    before = threads.count()
    yield
    threads.set_count(before)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 5000])
def test_every_particle_is_stepped_once_in_whole_blocks(n, count):
    threads.set_count(count)
    spans, guard = [], threading.Lock()

    def loop(first, last, word):
        with guard:
            spans.append((first, last))
        assert word == "word"

    threads.share_out(loop, n, ("word",), block=16)
    spans = sorted(span for span in spans if span[0] < span[1])
    assert [k for first, last in spans for k in range(first, last)] == list(range(n))
    assert all(first % 16 == 0 for first, _ in spans)
    assert len(spans) <= count


def test_an_error_in_a_thread_reaches_the_caller():
    threads.set_count(2)

    def loop(first, last):
        if first > 0:
            raise ValueError("no such particle")

    with pytest.raises(ValueError, match="no such particle"):
        threads.share_out(loop, 10_000, (), block=16)


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="threads = 0 is out of bounds"):
        threads.set_count(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_makes_its_own_threads():
    threads.set_count(2)
    done = []
    threads.share_out(lambda first, last: done.append((first, last)), 10_000, (), block=16)
    child = os.fork()
    if child == 0:
        seen = []
        threads.share_out(lambda first, last: seen.append(last - first), 10_000, (), block=16)
        os._exit(0 if sum(seen) == 10_000 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
