"""The receive gate: no message is received while something is broken for every image."""

import asyncio

import structlog

log = structlog.get_logger(__name__)


class ReceiveGate:
    """Open while all is well; closed, with the reasons, while anything the pool needs is away.

    Each part of the worker closes the gate for a cause of its own (``history``, ``detector NAME``)
    and opens it for that cause later. Messages are received while no cause is left.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._opened = asyncio.Event()
        self._opened.set()

    def close(self, cause: str, reason: str) -> None:
        """Pause receiving for ``cause``; a repeated reason is logged once."""
        if self._reasons.get(cause) == reason:
            return
        self._reasons[cause] = reason
        self._opened.clear()
        log.error("receiving_paused", cause=cause, reason=reason)

    def open(self, cause: str) -> None:
        """Remove ``cause``; does nothing if the gate is not closed for it."""
        if self._reasons.pop(cause, None) is None:
            return
        if not self._reasons:
            self._opened.set()
        log.info("fault_cleared", cause=cause, receiving=not self._reasons)

    def reasons(self) -> dict[str, str]:
        """Return why the gate is closed, by cause; empty while it is open. Thread-safe."""
        return dict(self._reasons)

    async def wait_open(self) -> None:
        """Wait until messages may be received."""
        await self._opened.wait()
