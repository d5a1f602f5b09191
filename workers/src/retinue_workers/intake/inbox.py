"""The messages that this worker holds: received, kept hidden, and given an end."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from retinue_workers.intake.sqs import BATCH, Queue, QueueUnavailableError
from retinue_workers.limits.backoff import backoff_seconds, requeue_seconds
from retinue_workers.limits.batching import Batcher
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.retry import retry_until_available
from retinue_workers.work import Message

log = structlog.get_logger(__name__)

LINGER_SECONDS = 0.1
"""How long a message that is done waits for nine others: SQS bills and answers by the call."""

CALLS = 4
"""How many calls that delete or requeue may be under way at the same time."""

FAILURES_BEFORE_CLOSING = 3
"""After how many failures in a row the gate closes; throttling causes one now and then."""

PROBED_MESSAGES = 200
"""How many messages more than its capacity the inbox holds while the gate lets probes pass: images
that wait for a comparison must not keep out those to compare with."""

LOOK_AGAIN_SECONDS = 1.0
"""How long a wait for room lasts before the gate is looked at again."""

BLOCKED_SECONDS = 1.0
"""How late the heartbeat may be before a blocked event loop is logged."""


class Inbox:
    """Receives messages while the gate is open and there is room, and leases them to handlers.

    A message stays in flight, and so hidden from other workers, until SQS has deleted or requeued
    it. A delete that fails therefore costs no receive.

    Args:
        queue: The queue.
        gate: Nothing is received while it is closed. Closed, as ``queue``, while nothing can be
            deleted, and, as ``heartbeat``, while messages reappear that are still worked on.
        capacity: Most messages in flight.
        heartbeat_seconds: How long a message is left alone after a receive or a heartbeat.
        visibility_timeout_seconds: How long a receive or a heartbeat hides a message.
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
        """Return how many messages are in flight."""
        return len(self._hidden_since)

    async def receive(self) -> AsyncIterator[Sequence[Message]]:
        """Yield what each long poll brings, perhaps nothing, until cancelled.

        SQS may have handed out messages by the time of the cancellation. So a poll that is under
        way may end, and what it brings is requeued; a second cancellation ends it.
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
        """Return a block for the work on a message, which is requeued if the block fails."""
        return Lease(self, message)

    async def delete(self, message: Message) -> None:
        """Delete a message, for as long as SQS takes to do so."""
        await self._deletes.submit(message)

    async def requeue(self, message: Message, after_seconds: int) -> None:
        """Give a message back to the queue, visible after ``after_seconds`` (0–43,200)."""
        self._release([message])  # no heartbeat may hide it again
        await self._requeues.submit((message, after_seconds))

    async def keep_hidden(self) -> None:
        """Extend, until cancelled, the visibility of messages that have been in flight for long.

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
        """Wait until the gate lets a receive pass and a whole batch fits.

        Ten messages cost the same call as one.
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
        """Requeue what a poll brings after the worker stopped receiving."""
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
        """Ask SQS about the messages in ``left`` until it has done it for all of them."""

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
        """Return the messages whose visibility timeout began ``seconds`` ago or earlier."""
        limit = time.monotonic() - seconds
        return [message for message, since in self._hidden_since.items() if since <= limit]

    async def _extend(self, messages: Sequence[Message]) -> str:
        """Hide messages for longer; return what went wrong, or an empty text."""
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
    """A message while it is worked on. A block that neither deletes nor requeues it fails."""

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

        It is visible immediately, except after an error: that would fail again and again.
        """
        if not self._is_over:
            failed = isinstance(error, Exception)
            await self.requeue(requeue_seconds(self._message.receive_count) if failed else 0)

    async def delete(self) -> None:
        """Delete the message: all that it asked for is committed."""
        await self._inbox.delete(self._message)
        self._is_over = True

    async def requeue(self, after_seconds: int) -> None:
        """Give the message back to the queue, visible after ``after_seconds`` (0–43,200)."""
        self._is_over = True
        await self._inbox.requeue(self._message, after_seconds)
