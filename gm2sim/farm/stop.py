"""Signals that ask a job to leave: the fill in hand is finished, what is done is kept, the exit code says "go on".

Batch systems send SIGUSR1 or SIGTERM some time before they end a job.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gm2sim.errors import RunError

CONTINUE = 75
"""Exit code of a job that was asked to leave and can go on with ``--resume`` (EX_TEMPFAIL of sysexits.h)."""

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class LeftError(RunError):
    """A signal has ended the work; what was finished is kept."""


class Stop:
    """Whether a signal has asked this process to leave.

    Attributes
    ----------
    name : str
        Of the first signal that came; empty before.
    """

    def __init__(self) -> None:
        self.name = ""
        self._heard: tuple[socket.socket, socket.socket] | None = None

    @staticmethod
    def before_work() -> None:
        """Until :meth:`listening` a signal ends the process at once, with the exit code that says "go on later"."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) == signal.SIG_DFL:
                    signal.signal(number, lambda number, frame: os._exit(CONTINUE))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take note of the signals inside the block; in another thread than the main one they are left alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._heard = ear, mouth = socket.socketpair()
        for one in self._heard:
            one.setblocking(False)
        others = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(others)
            self._heard = None
            ear.close()
            mouth.close()

    def heard(self) -> bool:
        """Whether one has come since the last question, asked by another thread: also while the main one is inside a
        kernel, where the handler of a signal has to wait."""
        ear = self._heard[0] if self._heard else None
        try:
            return ear is not None and not set(SIGNALS).isdisjoint(ear.recv(64))
        except OSError:  # nothing has come, or the block is over
            return False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = self.name or signal.Signals(number).name
