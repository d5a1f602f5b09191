"""The circuit breaker: no message is received while something is broken for every image."""

from threading import Condition

import structlog

log = structlog.get_logger(__name__)


class CircuitBreaker:
    """Closed while all is well; open, with the reason, while anything the pool needs is away.

    Any thread may trip it for a cause of its own (``history``, ``detector NAME``) and
    reset that cause later. It is closed when no cause is left.
    """

    def __init__(self) -> None:
        """Begin closed."""
        self._changed = Condition()
        self._causes: dict[str, str] = {}
        self._shut_down = False

    def trip(self, cause: str, reason: str) -> None:
        """Open the circuit for ``cause``, saying why; a repeated reason is logged once."""
        with self._changed:
            news = self._causes.get(cause) != reason
            self._causes[cause] = reason
        if news:
            log.error("receiving_stopped", cause=cause, reason=reason)

    def reset(self, cause: str) -> None:
        """``cause`` works again; does nothing if it was not tripped."""
        if cause not in self._causes:  # the usual case, kept free of the lock
            return
        with self._changed:
            if self._causes.pop(cause, None) is None:
                return
            closed = not self._causes
            self._changed.notify_all()
        log.info("fault_ended", cause=cause, receiving=closed)

    def causes(self) -> dict[str, str]:
        """What is broken now: cause to reason."""
        with self._changed:
            return dict(self._causes)

    def wait_closed(self) -> bool:
        """Wait until messages may be received; ``False`` when the worker shuts down instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._shut_down or not self._causes)
            return not self._shut_down

    def shut_down(self) -> None:
        """Let everybody who waits go."""
        with self._changed:
            self._shut_down = True
            self._changed.notify_all()
