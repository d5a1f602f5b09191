"""Messages are received while there is room, kept hidden while they are worked on, and deleted."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes.queue import MemoryQueue
from fakes.waiting import settle, until
from retinue_workers.intake import inbox as inbox_module
from retinue_workers.intake.inbox import Inbox
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.work import Message


class Rig:
    """An inbox, its queue, and what it has received.

    Attributes:
        received: The messages, in order.
    """

    def __init__(self, queue: MemoryQueue | None = None, capacity: int = 40) -> None:
        self.queue = queue or MemoryQueue(wait_seconds=0.02)
        self.gate = ReceiveGate()
        self.inbox = Inbox(
            self.queue,
            self.gate,
            capacity=capacity,
            heartbeat_seconds=0.1,
            visibility_timeout_seconds=90,
        )
        self.received: list[Message] = []

    def send(self, number: int) -> None:
        for index in range(number):
            self.queue.send(str(index))

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Receive inside the block."""

        async def receive() -> None:
            async for messages in self.inbox.receive():
                self.received.extend(messages)

        task = asyncio.create_task(receive())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def take(self, number: int) -> list[Message]:
        """Send so many messages and receive them."""
        self.send(number)
        async with self.receiving():
            await until(lambda: len(self.received) == number)
        return self.received


# Receiving.


async def test_messages_are_received_and_counted() -> None:
    rig = Rig()
    await rig.take(25)
    assert len(rig.inbox) == 25
    assert rig.queue.hidden() == 25


async def test_probes_have_room_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that wait for others to compare with do not keep these out, within a bound."""
    monkeypatch.setattr("retinue_workers.limits.receive_gate.PROBE_SECONDS", 0.01)
    monkeypatch.setattr(inbox_module, "LOOK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(inbox_module, "PROBED_MESSAGES", 30)
    rig = Rig(capacity=10)
    rig.send(60)
    async with rig.receiving():
        await until(lambda: len(rig.received) == 10)
        await settle()
        rig.gate.close("images of x", "refused", probe=True)
        await until(lambda: len(rig.received) == 40)
        await asyncio.sleep(0.1)
        assert len(rig.inbox) == 40
        rig.gate.close("history", "away")
        for message in rig.received[:20]:
            await rig.inbox.delete(message)
        await asyncio.sleep(0.1)
        assert len(rig.received) == 40
        rig.gate.open("history")
        await until(lambda: len(rig.received) == 60)


async def test_nothing_is_received_without_room_for_ten() -> None:
    rig = Rig(capacity=15)
    rig.send(30)
    async with rig.receiving():
        await until(lambda: len(rig.received) == 10)
        receives = rig.queue.receives
        for message in rig.received[:4]:
            await rig.inbox.requeue(message, 1_000)
        await settle()
        assert rig.queue.receives == receives
        await rig.inbox.requeue(rig.received[4], 1_000)
        await until(lambda: len(rig.received) == 20)
        assert len(rig.inbox) == 15


async def test_nothing_is_received_while_the_gate_is_closed() -> None:
    rig = Rig()
    rig.send(5)
    rig.gate.close("x", "broken")
    async with rig.receiving():
        await asyncio.sleep(0.05)
        assert rig.queue.receives == 0
        rig.gate.open("x")
        await until(lambda: len(rig.received) == 5)


async def test_a_queue_away_is_asked_again(logged: list[dict[str, Any]]) -> None:
    rig = Rig()
    rig.queue.unavailable = "no route"
    async with rig.receiving():
        await until(lambda: len(logged) >= 2)
        assert {(e["event"], e["reason"]) for e in logged} == {("receive_failed", "no route")}
        rig.send(1)
        rig.queue.unavailable = None
        await until(lambda: rig.received)


async def test_a_bug_in_a_receive_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.send(1)
    real, bugs = rig.queue.receive, [KeyError("Attributes"), ValueError("x")]

    async def receive(limit: int) -> list[Message]:
        if bugs:
            raise bugs.pop()
        return await real(limit)

    monkeypatch.setattr(rig.queue, "receive", receive)
    async with rig.receiving():
        await until(lambda: rig.received)


@pytest.mark.parametrize("away", [False, True])
async def test_what_a_poll_brings_after_the_stop_is_requeued(
    monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]], away: bool
) -> None:
    rig = Rig()
    polling, go, real = asyncio.Event(), asyncio.Event(), rig.queue.receive

    async def receive(limit: int) -> list[Message]:
        polling.set()
        await go.wait()
        messages = await real(limit)
        rig.queue.unavailable = "away" if away else None
        return messages

    monkeypatch.setattr(rig.queue, "receive", receive)
    async with rig.receiving() as task:
        await polling.wait()
        task.cancel()
        await settle()
        assert not task.done()
        rig.send(3)
        go.set()
        await asyncio.wait({task})
    assert task.cancelled()
    assert rig.received == []
    assert len(rig.inbox) == 0
    assert rig.queue.visible() == (0 if away else 3)
    assert [entry["event"] for entry in logged] == ["requeue_failed"] * away


async def test_a_second_cancellation_ends_a_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()

    async def receive(limit: int) -> list[Message]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(rig.queue, "receive", receive)
    async with rig.receiving() as task:
        await settle()
        for _ in range(2):
            task.cancel()
            await settle()
        assert task.cancelled()


@pytest.mark.parametrize("waits_for", ["room", "gate", "queue"])
async def test_a_stop_wakes_a_receiver_that_waits(waits_for: str) -> None:
    rig = Rig(capacity=10)
    rig.send(20)
    if waits_for == "gate":
        rig.gate.close("x", "broken")
    if waits_for == "queue":
        rig.queue.unavailable = "away"
    async with rig.receiving() as task:
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        assert task.cancelled()


# Leases.


async def test_a_lease_that_ends_without_an_end_is_requeued_immediately() -> None:
    rig = Rig()
    (message,) = await rig.take(1)
    async with rig.inbox.lease(message):
        pass
    assert rig.queue.journal == ["hide message-1 0"]
    assert len(rig.inbox) == 0


@pytest.mark.parametrize(("receive_count", "seconds"), [(1, 1), (3, 4), (30, 300)])
async def test_a_lease_that_fails_is_requeued_for_longer_each_time(
    receive_count: int, seconds: int
) -> None:
    rig = Rig(MemoryQueue(max_receive_count=None))
    (first,) = await rig.take(1)
    message = Message(first.message_id, first.receipt_handle, first.body, receive_count)
    with pytest.raises(ZeroDivisionError):
        async with rig.inbox.lease(message):
            raise ZeroDivisionError
    assert rig.queue.journal == [f"hide message-1 {seconds}"]


async def test_a_cancelled_lease_is_requeued_immediately() -> None:
    rig = Rig()
    (message,) = await rig.take(1)

    async def work() -> None:
        async with rig.inbox.lease(message):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await settle()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert rig.queue.journal == ["hide message-1 0"]


@pytest.mark.parametrize("end", ["delete", "requeue"])
async def test_a_lease_has_one_end(end: str) -> None:
    rig = Rig()
    (message,) = await rig.take(1)

    async def work() -> None:
        async with rig.inbox.lease(message) as lease:
            await (lease.delete() if end == "delete" else lease.requeue(7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    expected = {"delete": "delete message-1", "requeue": "hide message-1 7"}
    assert rig.queue.journal == [expected[end]]
    assert len(rig.inbox) == 0


async def test_a_lease_whose_delete_is_cancelled_is_requeued() -> None:
    rig = Rig()
    (message,) = await rig.take(1)
    rig.queue.unavailable = "away"

    async def work() -> None:
        async with rig.inbox.lease(message) as lease:
            await lease.delete()

    task = asyncio.create_task(work())
    await until(lambda: rig.gate.reasons())
    task.cancel()
    await settle()
    rig.queue.unavailable = None
    await asyncio.wait({task})
    assert task.cancelled()
    assert len(rig.inbox) == 0


# Deletes and requeues.


async def finish(rig: Rig, message: Message) -> None:
    async with rig.inbox.lease(message) as lease:
        await lease.delete()


async def test_deletes_go_in_tens(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    sizes: list[int] = []
    real = rig.queue.delete

    async def delete(messages: Sequence[Message]) -> None:
        sizes.append(len(messages))
        await real(messages)

    monkeypatch.setattr(rig.queue, "delete", delete)
    messages = await rig.take(25)
    await asyncio.gather(*(finish(rig, message) for message in messages))
    assert sizes == [10, 10, 5]
    assert rig.queue.empty()
    assert len(rig.inbox) == 0


async def test_a_lone_delete_ends_without_company() -> None:
    rig = Rig()
    (message,) = await rig.take(1)
    await finish(rig, message)
    assert rig.queue.empty()


async def test_requeues_do_not_linger_and_go_by_their_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    calls: list[tuple[int, int]] = []
    real = rig.queue.change_visibility

    async def change(messages: Sequence[Message], seconds: int) -> None:
        calls.append((len(messages), seconds))
        await real(messages, seconds)

    messages = await rig.take(5)
    monkeypatch.setattr(rig.queue, "change_visibility", change)
    monkeypatch.setattr(inbox_module, "LINGER_SECONDS", 3_600)
    delays = [0, 7, 0, 7, 7]
    await asyncio.gather(*map(rig.inbox.requeue, messages, delays))
    assert calls == [(2, 0), (3, 7)]


async def test_a_delete_that_fails_is_repeated_for_those_that_failed() -> None:
    rig = Rig()
    messages = await rig.take(12)
    rig.queue.refuse_deletes = 1
    await asyncio.gather(*(finish(rig, message) for message in messages))
    assert rig.queue.empty()
    assert rig.queue.journal.count("delete message-1") == 1
    assert rig.gate.reasons() == {}


async def test_a_message_that_cannot_be_deleted_stays_in_flight_and_closes_the_gate_at_last(
    logged: list[dict[str, Any]],
) -> None:
    rig = Rig()
    (message,) = await rig.take(1)
    rig.queue.unavailable = "away"
    deleting = asyncio.create_task(finish(rig, message))
    failures = inbox_module.FAILURES_BEFORE_CLOSING

    def failed() -> int:
        return sum(entry["event"] == "delete_failed" for entry in logged)

    await until(lambda: failed() == failures - 1)
    assert rig.gate.reasons() == {}, "throttling causes one now and then"
    await until(lambda: failed() >= failures)
    await until(lambda: rig.gate.reasons() == {"queue": "away"})
    assert len(rig.inbox) == 1, "the heartbeat keeps it hidden"
    rig.queue.unavailable = None
    await deleting
    assert rig.gate.reasons() == {}
    assert len(rig.inbox) == 0
    assert rig.queue.receive_counts() == {}


async def test_deletes_that_fail_keep_no_others() -> None:
    rig = Rig()
    messages = await rig.take(20)
    rig.queue.refuse_deletes = 3
    deletes = [asyncio.create_task(finish(rig, message)) for message in messages]
    await asyncio.wait(deletes, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*deletes)
    assert rig.queue.empty()


@pytest.mark.parametrize("operation", ["delete", "change_visibility"])
async def test_a_bug_in_an_end_reaches_its_handler_and_frees_its_place(
    monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    rig = Rig()
    first, second = await rig.take(2)

    async def bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    async def work() -> None:
        async with rig.inbox.lease(first) as lease:
            await (lease.delete() if operation == "delete" else lease.requeue(3))

    with monkeypatch.context() as patch:
        patch.setattr(rig.queue, operation, bug)
        with pytest.raises(RuntimeError, match="a bug"):
            await work()
    await finish(rig, second)
    assert len(rig.inbox) == 0
    assert "delete message-2" in rig.queue.journal


# The heartbeat.


def hides(rig: Rig, number: int) -> int:
    return rig.queue.journal.count(f"hide message-{number} 90")


@asynccontextmanager
async def beating(rig: Rig) -> AsyncIterator[None]:
    task = asyncio.create_task(rig.inbox.keep_hidden())
    try:
        yield
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})


async def test_messages_are_extended_again_and_again() -> None:
    rig = Rig()
    await rig.take(12)
    async with beating(rig):
        await until(lambda: hides(rig, 12) >= 3)
    assert rig.queue.hidden() == 12


async def test_young_messages_are_left_alone_and_nothing_costs_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    ages: list[list[float]] = []

    async def change(messages: Sequence[Message], seconds: int) -> None:
        ages.append([time.monotonic() - message.received_at for message in messages])

    monkeypatch.setattr(rig.queue, "change_visibility", change)
    async with beating(rig):
        await asyncio.sleep(0.16)  # three ticks
        assert ages == []
        await rig.take(1)
        await until(lambda: ages)
    assert len(ages[0]) == 1
    assert ages[0][0] >= 0.1
    assert len(rig.inbox) == 1


async def test_a_message_that_is_done_is_not_hidden_again() -> None:
    rig = Rig()
    first, _ = await rig.take(2)
    await rig.inbox.requeue(first, 0)
    async with beating(rig):
        await until(lambda: hides(rig, 2) >= 2)
    assert hides(rig, 1) == 0
    assert rig.queue.visible() == 1


@pytest.mark.parametrize("bug", [False, True])
async def test_a_beat_that_fails_is_made_up_for_by_the_next(
    logged: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, bug: bool
) -> None:
    rig = Rig()
    await rig.take(1)
    if bug:
        real, bugs = rig.queue.change_visibility, [RuntimeError("a bug")] * 2

        async def fail(messages: Sequence[Message], seconds: int) -> None:
            if bugs:
                raise bugs.pop()
            await real(messages, seconds)

        monkeypatch.setattr(rig.queue, "change_visibility", fail)
    else:
        rig.queue.refuse_extensions = 2
    async with beating(rig):
        await until(lambda: hides(rig, 1) >= 1)
    assert sum(entry["event"] == "heartbeat_failed" for entry in logged) == 2


async def test_the_gate_is_closed_while_messages_may_reappear_that_are_worked_on() -> None:
    queue = MemoryQueue(wait_seconds=0.02)
    rig = Rig(queue)
    rig.inbox = Inbox(
        queue, rig.gate, capacity=40, heartbeat_seconds=0.05, visibility_timeout_seconds=1
    )
    began = time.monotonic()
    await rig.take(1)
    async with beating(rig):
        await until(lambda: "hide message-1 1" in queue.journal)
        queue.unavailable = "away"
        await until(lambda: rig.gate.reasons())
        assert time.monotonic() - began > 0.9, "it was hidden until then"
        assert rig.gate.reasons() == {"heartbeat": "messages reappear while worked on: away"}
        queue.unavailable = None
        await until(lambda: not rig.gate.reasons())


async def test_a_message_whose_handle_expired_keeps_no_other_from_being_extended() -> None:
    rig = Rig()
    await rig.take(2)
    rig.queue.reappear()
    async with rig.receiving():  # the same two again, under new handles
        await until(lambda: len(rig.received) == 4)
    assert len(rig.inbox) == 4
    async with beating(rig):
        await until(lambda: hides(rig, 1) and hides(rig, 2))


async def test_two_receipts_of_one_message_are_two() -> None:
    rig = Rig()
    await rig.take(1)
    rig.queue.reappear()
    async with rig.receiving():
        await until(lambda: len(rig.received) == 2)
    old, new = rig.received
    await rig.inbox.delete(old)  # by a handle that is worth nothing
    assert len(rig.inbox) == 1
    assert not rig.queue.empty()
    await rig.inbox.delete(new)
    assert rig.queue.empty()


async def test_a_blocked_event_loop_is_logged(
    logged: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "BLOCKED_SECONDS", 0.1)
    rig = Rig()
    async with beating(rig):
        await settle()
        time.sleep(0.25)  # what a plugin does that blocks the loop
        await until(lambda: logged)
    assert logged[0]["event"] == "event_loop_blocked"
    assert logged[0]["seconds"] >= 0.1
