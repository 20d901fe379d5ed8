"""Ends a process that is stuck, or that does not leave in time after it was asked to.

A thread looks at the clock; kernels run without the interpreter's lock, so that it can. Where the lock is held for
ever too, the interpreter's own fault handler ends the process some seconds later.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gm2sim.farm.stop import CONTINUE

_BEHIND_S = 5.0  # the fault handler comes so much later than the thread
_BE_HEARD_S = 0.5  # launchers drop what they have not passed on when the job ends
_ABORT_S = 3.0  # that ending all ranks may take before this process just leaves


class Watchdog:
    """Watches over the process inside :meth:`on_guard`.

    Parameters
    ----------
    stall : float
        Longest time without a sign of life [s]; 0 for no limit.
    grace : float
        Longest time from being asked to leave until having left [s].
    who : callable
        Says what this process does, for the message.
    abort : callable
        Ends all ranks with an exit code.
    heard : callable
        Says whether a signal has just asked this process to leave.
    """

    def __init__(
        self,
        stall: float,
        grace: float,
        who: Callable[[], str],
        abort: Callable[[int], None],
        heard: Callable[[], bool] = lambda: False,
    ) -> None:
        self.stall, self.grace = stall, grace
        self._who, self._abort, self._heard = who, abort, heard
        self._alive = time.monotonic()
        self._asked: float | None = None
        self._over = threading.Event()

    @contextmanager
    def on_guard(self) -> Iterator[None]:
        """Watch while the block runs."""
        self.alive()
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            if self.stall:
                faulthandler.cancel_dump_traceback_later()

    def alive(self) -> None:
        """A sign of life."""
        self._alive = time.monotonic()
        if self.stall:
            faulthandler.dump_traceback_later(self.stall + _BEHIND_S, exit=True, file=2)

    def asked_to_leave(self) -> None:
        """From now on the time to leave counts."""
        if self._asked is None:
            self._asked = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(min(0.5, self.stall / 4 or 0.5)):
            now = time.monotonic()
            if self._heard():
                self.asked_to_leave()
            if self._asked is not None and now - self._asked > self.grace:
                self._leave(CONTINUE, f"did not leave within {self.grace:g} s of being asked to: ended inside its fill")
            if self.stall and now - self._alive > self.stall:
                self._leave(1, f"has made no progress for {self.stall:g} s: the job is ended, go on with --resume")

    def _leave(self, code: int, what: str) -> None:
        os.write(2, f"gm2sim: {self._who()} {what}\n".encode())
        # Ending all ranks may itself be stuck behind whatever is stuck.
        threading.Timer(_ABORT_S, os._exit, (code,)).start()
        time.sleep(_BE_HEARD_S)
        self._abort(code)
        os._exit(code)
