"""The worker's messages in flight: receive, keep hidden, delete or requeue."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.sqs import BATCH, Queue
from retinue_workers.limits.backoff import backoff_seconds, requeue_seconds
from retinue_workers.limits.batching import Batcher
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.work import Message

log = structlog.get_logger(__name__)

LINGER_SECONDS = 0.1
"""How long a delete waits for nine others. SQS bills by the call."""

CALLS = 4
"""Maximum number of concurrent calls that delete or requeue."""

FAILURES_BEFORE_CLOSING = 3
"""Consecutive failures after which the gate closes. Throttling causes single failures."""

PROBED_MESSAGES = 200
"""How many messages above its capacity the inbox holds while the gate allows probes. Images that
wait for a comparison must not block the images to compare with.
"""

LOOK_AGAIN_SECONDS = 1.0
"""How long a wait for room lasts before the gate is checked again."""

BLOCKED_SECONDS = 1.0
"""Delay of the heartbeat after which a blocked event loop is logged."""


class Inbox:
    """Receives messages while the gate is open and there is room, and leases them to handlers.

    A message stays in flight, and so hidden from other workers, until SQS has deleted or requeued
    it. A delete that fails therefore costs no receive.

    Args:
        queue: The queue.
        gate: Receiving pauses while it is closed. Closed for ``queue`` while deletes fail, and for
            ``heartbeat`` while messages in work reappear.
        capacity: Maximum number of messages in flight.
        heartbeat_seconds: Time between a receive or heartbeat and the next heartbeat.
        visibility_timeout_seconds: How long a receive or heartbeat hides a message.
    """

    def __init__(
        self,
        queue: Queue,
        gate: ReceiveGate,
        *,
        capacity: int,
        heartbeat_seconds: float,
        visibility_timeout_seconds: int,
    ) -> None:
        self._queue = queue
        self._gate = gate
        self._capacity = capacity
        self._heartbeat_seconds = heartbeat_seconds
        self._visibility_timeout_seconds = visibility_timeout_seconds
        self._hidden_since: dict[Message, float] = {}
        self._room = asyncio.Event()
        self._deletes = Batcher(
            self._delete, limit=BATCH, concurrency=CALLS, linger_seconds=LINGER_SECONDS
        )
        self._requeues = Batcher(self._requeue, limit=BATCH, concurrency=CALLS)

    def __len__(self) -> int:
        """Return the number of messages in flight."""
        return len(self._hidden_since)

    async def receive(self) -> AsyncIterator[Sequence[Message]]:
        """Yield the messages of each long poll, possibly none, until cancelled.

        At the cancellation, SQS may already have delivered messages. So a running poll may finish,
        and its messages are requeued. A second cancellation ends the poll.
        """
        failures = 0
        while True:
            await self._wait_for_turn()
            poll = asyncio.ensure_future(self._queue.receive(BATCH))
            try:
                messages = await asyncio.shield(poll)
            except asyncio.CancelledError:
                await self._requeue_late(poll)
                raise
            except Exception as error:
                wait_seconds = backoff_seconds(failures)
                failures += 1
                log.error(
                    "receive_failed",
                    reason=str(error),
                    next_try_seconds=round(wait_seconds, 1),
                    exc_info=not isinstance(error, QueueUnavailableError),
                )
                await asyncio.sleep(wait_seconds)
                continue
            failures = 0
            now = time.monotonic()
            self._hidden_since.update(dict.fromkeys(messages, now))
            yield messages

    def lease(self, message: Message) -> "Lease":
        """Return a context manager for the work on a message.

        It requeues the message on failure.
        """
        return Lease(self, message)

    async def delete(self, message: Message) -> None:
        """Delete a message. Retry until SQS has deleted it."""
        await self._deletes.submit(message)

    async def requeue(self, message: Message, after_seconds: int) -> None:
        """Requeue a message, visible after ``after_seconds`` (0–43,200)."""
        self._release([message])  # the heartbeat must not hide it again
        await self._requeues.submit((message, after_seconds))

    async def keep_hidden(self) -> None:
        """Extend the visibility of messages in flight until cancelled.

        A tick of half the interval extends each message before 1.5 intervals have passed, which
        the settings keep under the visibility timeout.
        """
        tick = self._heartbeat_seconds / 2
        # After a tick, a message that was hidden longer ago may reappear before the next.
        limit = self._visibility_timeout_seconds - tick
        while True:
            due = time.monotonic() + tick
            await asyncio.sleep(tick)
            if (late := time.monotonic() - due) > BLOCKED_SECONDS:
                log.warning("event_loop_blocked", seconds=round(late, 1))
            reason = await self._extend(self._hidden_for(self._heartbeat_seconds))
            if self._hidden_for(limit):
                self._gate.close("heartbeat", f"messages reappear while worked on: {reason}")
            else:
                self._gate.open("heartbeat")

    async def _wait_for_turn(self) -> None:
        """Wait until the gate allows a receive and a whole batch fits.

        A call for ten messages costs as much as for one.
        """
        while True:
            while not self._has_room():
                self._room.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                        await self._room.wait()
            await self._gate.wait_open()
            if self._has_room():
                return

    def _has_room(self) -> bool:
        extra = PROBED_MESSAGES if self._gate.lets_probes_pass else 0
        return len(self) + BATCH <= self._capacity + extra

    async def _requeue_late(self, poll: "asyncio.Future[list[Message]]") -> None:
        """Requeue the messages of a poll that ends after the worker stopped receiving."""
        try:
            if messages := await poll:
                await self._queue.change_visibility(messages, 0)
        except QueueUnavailableError as error:
            log.warning("requeue_failed", reason=str(error))

    async def _delete(self, messages: Sequence[Message]) -> Sequence[None]:
        left = list(messages)
        await self._until_done(left, partial(self._queue.delete, left), "delete_failed")
        return [None] * len(messages)

    async def _requeue(self, items: Sequence[tuple[Message, int]]) -> Sequence[None]:
        by_seconds: defaultdict[int, list[Message]] = defaultdict(list)
        for message, seconds in items:
            by_seconds[seconds].append(message)
        for seconds, left in by_seconds.items():
            ask = partial(self._queue.change_visibility, left, seconds)
            await self._until_done(left, ask, "requeue_failed")
        return [None] * len(items)

    async def _until_done(
        self, left: list[Message], ask: Callable[[], Awaitable[None]], event: str
    ) -> None:
        """Repeat a call for the messages in ``left`` until it has succeeded for all."""

        async def one_try() -> None:
            trying = list(left)
            try:
                await ask()
            except QueueUnavailableError as error:
                failed = set(error.messages or trying)
                left[:] = [message for message in trying if message in failed]
                self._release([message for message in trying if message not in failed])
                raise
            self._release(trying)

        await retry_until_available(
            one_try,
            unavailable=QueueUnavailableError,
            event=event,
            gate=self._gate,
            cause="queue",
            failures_before_closing=FAILURES_BEFORE_CLOSING,
        )

    def _release(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._hidden_since.pop(message, None)
        self._room.set()

    def _hidden_for(self, seconds: float) -> list[Message]:
        """Return the messages that were hidden ``seconds`` ago or earlier."""
        limit = time.monotonic() - seconds
        return [message for message, since in self._hidden_since.items() if since <= limit]

    async def _extend(self, messages: Sequence[Message]) -> str:
        """Extend the visibility of messages. Return the error, or an empty text."""
        if not messages:
            return ""
        reason = ""
        failed: set[Message] = set()
        now = time.monotonic()
        try:
            await self._queue.change_visibility(messages, self._visibility_timeout_seconds)
        except QueueUnavailableError as error:
            failed, reason = set(error.messages or messages), str(error)
            log.warning("heartbeat_failed", messages=len(failed), reason=reason)
        except Exception as error:  # a bug must not end the heartbeat
            failed, reason = set(messages), str(error)
            log.exception("heartbeat_failed", messages=len(failed))
        for message in messages:
            if message not in failed and message in self._hidden_since:
                self._hidden_since[message] = now
        return reason


class Lease:
    """A message in work. Leaving the block without a delete or requeue is an error."""

    def __init__(self, inbox: Inbox, message: Message) -> None:
        self._inbox = inbox
        self._message = message
        self._is_over = False

    async def __aenter__(self) -> Self:
        """Begin the work."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Requeue the message unless it was deleted or requeued.

        It is visible immediately. After an error it is visible later, because it would fail again.
        """
        if not self._is_over:
            failed = isinstance(error, Exception)
            await self.requeue(requeue_seconds(self._message.receive_count) if failed else 0)

    async def delete(self) -> None:
        """Delete the message, after all its results are committed."""
        await self._inbox.delete(self._message)
        self._is_over = True

    async def requeue(self, after_seconds: int) -> None:
        """Requeue the message, visible after ``after_seconds`` (0–43,200)."""
        self._is_over = True
        await self._inbox.requeue(self._message, after_seconds)
