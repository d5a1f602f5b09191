"""Ctrl-C, SIGTERM and the death of make: they end a run in order, and are never lost."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self

import psutil

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A context manager: inside, Ctrl-C and SIGTERM raise ``KeyboardInterrupt``.

    Python swallows what a signal handler raises while an object is being finalised. So the wish is
    noted as well, and whoever waits in a loop asks ``check``. That also notices when ``make`` was
    killed: whoever did it wanted the run to end, and no terminal could end it any more.
    """

    def __init__(self) -> None:
        """Nobody has interrupted yet."""
        self._wanted = False
        self._ending = False
        self._make = os.getppid() if _is_make(os.getppid()) else None
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> Self:
        """Listen to the signals."""
        for number in _SIGNALS:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the signals to those who listened before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """See whether somebody wants to interrupt.

        Raises:
            KeyboardInterrupt: Somebody does.
        """
        if self._wanted or self._make not in (None, os.getppid()):
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore further signals: everything is being ended already."""
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
