"""Keeping the messages in flight hidden for as long as they are worked on."""

from threading import Event, Thread

import structlog

from retinue_workers.in_flight import InFlight
from retinue_workers.queue import Queue, QueueUnavailableError

log = structlog.get_logger(__name__)


class Heartbeat:
    """Extends, now and then, the visibility of messages that have been in flight for long.

    Args:
        queue: Where the messages come from.
        in_flight: Which they are.
        interval_seconds: How long a message is left alone after a receive or an extension.
        visibility_timeout_seconds: How long an extension lasts.
    """

    def __init__(
        self,
        queue: Queue,
        in_flight: InFlight,
        *,
        interval_seconds: float,
        visibility_timeout_seconds: int,
    ) -> None:
        """Do not beat yet."""
        self._queue = queue
        self._in_flight = in_flight
        self._interval_seconds = interval_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat from now on, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)  # it may be in the middle of a call

    def _beat(self) -> None:
        # A tick of half the interval extends each message before 1.5 intervals have passed, which
        # the settings keep under the visibility timeout.
        while not self._stopping.wait(self._interval_seconds / 2):
            messages = self._in_flight.older_than(self._interval_seconds)
            if not messages:
                continue
            try:
                self._queue.change_visibility(messages, self._visibility_timeout_seconds)
            except QueueUnavailableError as error:
                log.warning("heartbeat_failed", messages=len(messages), reason=str(error))
            except Exception:
                log.exception("heartbeat_failed", messages=len(messages))
            else:
                self._in_flight.extended(messages)
