"""Protect this ECS task from scale-in while it works."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Sized
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Lock
from typing import Self
from urllib.parse import urlsplit

import structlog

from retinue_workers.limits.threads import DaemonThreads

log = structlog.get_logger(__name__)

AGENT_VARIABLE = "ECS_AGENT_URI"
"""The address of the ECS agent. ECS sets it in every container."""

EXPIRES_MINUTES = 5
"""Duration of a protection, in case this process ends without lifting it. ECS allows 1–2,880."""

RENEW_SECONDS = EXPIRES_MINUTES * 60 / 2
"""Time after a success until the protection is renewed."""

RETRY_SECONDS = 30.0
"""Time after a failure until the next try."""

IDLE_SECONDS = 5.0
"""Time without messages in flight before the protection is lifted. Messages come in waves."""

LONGEST_SECONDS = 30 * 60
"""Maximum time for which a busy task is protected continuously.

A deployment also waits until old tasks aren't protected. A busy worker would block it.
"""

PAUSE_SECONDS = 2 * 60
"""Time for which such a task is then unprotected, so that ECS can stop it."""

_TIMEOUT_SECONDS = 5
_TICK_SECONDS = 1.0
_LONGEST_ANSWER_BYTES = 10_000


class TaskProtection:
    """Protects the task while messages are in flight.

    No guarantee depends on it: a stopped task requeues its messages. Failures are logged and
    retried.

    The agent's endpoint is described in the ECS developer guide, "Task scale-in protection
    endpoint".

    Args:
        agent_uri: The value of ``ECS_AGENT_URI``.
        in_flight: The messages in flight.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self, agent_uri: str, in_flight: Sized, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = urlsplit(agent_uri)
        self._in_flight = in_flight
        self._clock = clock
        self._since: float | None = None
        self._busy_at = self._not_before = self._renew_at = float("-inf")
        self._arrived = asyncio.Event()
        self._threads = DaemonThreads("task-protection", 1)
        self._lock = Lock()
        self._ended = False

    @classmethod
    def of_this_task(cls, in_flight: Sized) -> Self | None:
        """Return the protection of this process's ECS task; ``None`` outside ECS."""
        uri = os.environ.get(AGENT_VARIABLE)
        return cls(uri, in_flight) if uri else None

    async def run(self) -> None:
        """Protect, renew and lift until cancelled. Then lift, because the task is about to end."""
        try:
            while True:
                await self._threads.run(self.reconcile)
                self._arrived.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_SECONDS):
                        await self._arrived.wait()
        finally:
            await self._threads.run(self._end)

    def note_messages(self) -> None:
        """Record that messages arrived, because they may be finished before the next check."""
        self._busy_at = self._clock()
        if self._since is None:
            self._arrived.set()

    def reconcile(self) -> None:
        """Protect, renew or lift, according to the messages in flight."""
        with self._lock:
            if not self._ended:
                self._reconcile(self._clock())

    def _end(self) -> None:
        """Lift, after the request that a cancelled ``run`` may have left behind on its thread."""
        with self._lock:
            self._ended = True
            if self._since is not None:
                self._lift()

    def _reconcile(self, now: float) -> None:
        if len(self._in_flight) > 0:
            self._busy_at = now
        busy = now - self._busy_at < _TICK_SECONDS
        if self._since is None:
            if busy and now >= self._not_before and self._protect(now):
                self._since = now
        elif now - self._busy_at >= IDLE_SECONDS:
            self._lift()
        elif now - self._since >= LONGEST_SECONDS:
            self._not_before = now + PAUSE_SECONDS
            self._lift()
        elif now >= self._renew_at:
            self._protect(now)

    def _protect(self, now: float) -> bool:
        """Request protection, for the first time or again."""
        done = self._ask({"ProtectionEnabled": True, "ExpiresInMinutes": EXPIRES_MINUTES})
        self._renew_at = now + (RENEW_SECONDS if done else RETRY_SECONDS)
        if not done:
            self._not_before = now + RETRY_SECONDS
        return done

    def _lift(self) -> None:
        """Request no protection. If that fails, the protection expires."""
        self._since = None
        self._ask({"ProtectionEnabled": False})

    def _ask(self, state: dict[str, bool | int]) -> bool:
        """Send a request to the agent. Return whether it succeeded."""
        connection = HTTPConnection(  # bypasses proxies, which can't reach the agent
            self._address.hostname or "", self._address.port, timeout=_TIMEOUT_SECONDS
        )
        path = f"{self._address.path.rstrip('/')}/task-protection/v1/state"
        try:
            connection.request("PUT", path, json.dumps(state), {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read(_LONGEST_ANSWER_BYTES)
            agreed = response.status == HTTPStatus.OK and "protection" in json.loads(answer)
            problem = f"{response.status} {answer.decode(errors='replace')}"
        except (OSError, HTTPException, ValueError) as error:
            agreed, problem = False, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if agreed:
            log.debug("task_protection", **state)
        else:
            log.warning("task_protection_failed", wanted=state, reason=problem)
        return agreed
