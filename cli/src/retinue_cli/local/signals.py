"""Handle Ctrl-C, SIGTERM and the death of make: end a run in order."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A context manager in which Ctrl-C and SIGTERM raise ``KeyboardInterrupt``.

    Python ignores an exception of a signal handler during an object's finalisation. So the signal
    is also recorded, and loops call ``check``. ``check`` also detects that ``make`` was killed,
    because then no terminal can end the run.
    """

    def __init__(self) -> None:
        self._wanted = False
        self._ending = False
        self._make = os.getppid() if _is_make(os.getppid()) else None
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> Self:
        """Install the signal handlers."""
        for number in _SIGNALS:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the previous signal handlers.

        Raises:
            KeyboardInterrupt: The block was interrupted, and raised another error.
        """
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._wanted and isinstance(error, Exception):
            raise KeyboardInterrupt from error  # which a library may have made of it

    def check(self) -> None:
        """Raise if the run was interrupted.

        Raises:
            KeyboardInterrupt: The run was interrupted.
        """
        if self._wanted or self._make not in (None, os.getppid()):
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore further signals, because everything is ending already."""
        self._ending = True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._wanted = True
        if not self._ending:
            raise KeyboardInterrupt


def _is_make(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() in ("make", "gmake")
    except psutil.Error:
        return False
