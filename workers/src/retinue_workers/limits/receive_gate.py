"""Pause receiving while a fault affects every image."""

import asyncio
import time

import structlog

log = structlog.get_logger(__name__)

PROBE_SECONDS = 5.0
"""Wait between two receives while the gate allows probes."""


class ReceiveGate:
    """Pauses receiving while something that every image needs is unavailable.

    Each part of the worker closes the gate for its own cause (``history``, ``detector NAME``) and
    later removes that cause. The gate is open while it has no causes. If single images may be at
    fault for every cause, one receive is allowed every ``PROBE_SECONDS``: other images show
    whether they fail too.
    """

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._strict: set[str] = set()
        self._changed = asyncio.Event()
        self._probed_at = 0.0

    @property
    def lets_probes_pass(self) -> bool:
        """Return whether single images may be the fault behind every cause."""
        return bool(self._reasons) and not self._strict

    def close(self, cause: str, reason: str, *, probe: bool = False) -> None:
        """Pause receiving for ``cause``. A repeated reason is logged once.

        Args:
            cause: The part that fails.
            reason: The reason, as text.
            probe: Whether single images may be at fault.
        """
        if not probe and cause not in self._strict:
            self._strict.add(cause)
            self._wake()
        if self._reasons.get(cause) == reason:
            return
        self._reasons[cause] = reason
        self._wake()
        log.error("receiving_paused", cause=cause, reason=reason)

    def open(self, cause: str) -> None:
        """Remove ``cause``, if the gate is closed for it."""
        if self._reasons.pop(cause, None) is None:
            return
        self._strict.discard(cause)
        self._wake()
        log.info("fault_cleared", cause=cause, receiving=not self._reasons)

    def reasons(self) -> dict[str, str]:
        """Return the reasons by cause; empty while the gate is open. Thread-safe."""
        return dict(self._reasons)

    async def wait_open(self) -> None:
        """Wait until messages may be received."""
        while self._reasons:
            wait_seconds = None
            if self.lets_probes_pass:
                wait_seconds = self._probed_at + PROBE_SECONDS - time.monotonic()
                if wait_seconds <= 0:
                    break
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
        self._probed_at = time.monotonic()

    def _wake(self) -> None:
        """Wake the waiting receives."""
        self._changed.set()
        self._changed = asyncio.Event()
