"""The table of all speeds, for ``gm2sim bench`` and ``make bench``."""

from __future__ import annotations

from benchmarks import chain_speed, raw_writer, tracker_and_peers, waveforms, whole_runs
from benchmarks.row import Row


def table(quick: bool = False) -> list[Row]:
    """Measure tracker and peers, the other stages, and whole runs.

    Parameters
    ----------
    quick
        Smaller samples.
    """
    # First, while this process is small: Linux counts the size of the parent as the first size of its child.
    runs = whole_runs.measure(quick)
    return [
        *tracker_and_peers.measure(quick),
        *chain_speed.measure(quick),
        *waveforms.measure(quick),
        *raw_writer.measure(quick),
        *runs,
    ]
