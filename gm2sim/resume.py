"""A subrun on its way to the disk: raw file and truth as far as they are, and where an earlier process left them."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gm2sim.checkpoint import Checkpoint, Record
from gm2sim.outputs import SubrunPaths
from gm2sim.raw import RunWriter
from gm2sim.raw.partial import Begun, intact
from gm2sim.summary import Tally
from gm2sim.timeline import FillTime
from gm2sim.truth import TruthWriter


class Progress:
    """The checkpoint of a subrun with the unfinished raw file beside it; a context manager.

    When the block ends well both are gone, the files of the subrun having taken their place. When it does not, both
    stay: the next process finishes the subrun to the same bytes.

    Parameters
    ----------
    paths : SubrunPaths
    identity : mapping
        What the bytes depend on: configuration, constants, sources.
    resume : bool
        Look for what an earlier process has finished.

    Attributes
    ----------
    finished : int
        Events that are there already.
    """

    def __init__(self, paths: SubrunPaths, identity: Mapping[str, Any], *, resume: bool) -> None:
        self._paths = paths
        self._checkpoint = Checkpoint(paths.checkpoint, identity)
        self._kept: list[Record] = self._find() if resume else []
        self._replaying = False
        self.finished = self._kept[-1].events if self._kept else 0

    def _find(self) -> list[Record]:
        """Records that hold in the raw file too, up to the last that work can go on from."""
        records = list(self._checkpoint.records())
        good = intact(self._paths.partial, self._paths.raw.suffix, [(one.content, one.crc32c) for one in records])
        records = records[:good]
        while records and not records[-1].whole:
            records.pop()
        return records

    def __enter__(self) -> Self:
        self._paths.clear(partial=not self._kept)
        self._checkpoint.__enter__()
        self._checkpoint.go_on(len(self._kept))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept = []
        self._checkpoint.__exit__(kind, error, trace)
        if error is None:
            self._checkpoint.remove()

    def writer(self, tree: Mapping[str, Any], limit: int, times: Sequence[FillTime]) -> RunWriter:
        """The raw file, behind the events that are there already."""
        last = self._kept[-1] if self._kept else None
        before = times[self.finished - 1] if last else None
        begun = Begun(
            self._paths.partial,
            events=self.finished,
            content=last.content if last else 0,
            last_serial=before.serial if before else None,
            last_time=before.seconds if before else None,
        )
        return RunWriter(self._paths.raw, self._paths.run, self._paths.subrun, tree, limit, begun)

    def rows(self, group: str, fill: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Rows of truth of the event in hand, told by the truth file's writer."""
        if not self._replaying:
            self._checkpoint.append(group, fill, columns)

    def replay(self, truth: TruthWriter, tally: Tally, histogram: NDArray[np.int32] | None) -> None:
        """Bring truth, counts and histograms to where the earlier process left them."""
        if not self._kept:
            return
        self._replaying = True
        for record in self._kept:
            for group, fill, columns in record.rows:
                truth.append(group, fill, columns)
        self._replaying = False
        last = self._kept[-1]
        tally.count(**last.counts)
        if histogram is not None and last.histogram is not None:
            histogram[:] = last.histogram
        self._kept = []

    def note(
        self, events: int, raw: RunWriter, tally: Tally, histogram: NDArray[np.int32] | None, *, leaving: bool
    ) -> None:
        """An event is in the raw file and in the truth.

        Parameters
        ----------
        events : int
            Finished up to here.
        raw : RunWriter
        tally : Tally
            Of everything up to here.
        histogram : array or None
            Q-method histograms not sent yet; None when there are none.
        leaving : bool
            This is the last event that this process makes.
        """
        keep = leaving or self._checkpoint.due()
        self._checkpoint.note(
            events, raw.content, raw.content_crc32c, tally.counts, histogram, whole=keep or histogram is None
        )
        if keep:
            raw.sync()
            self._checkpoint.sync()
