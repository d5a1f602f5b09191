"""First the commit, then the delete; and what cannot be committed harms nobody else."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from fakes.deliveries import message, run, sighting
from fakes.history import MemoryHistory
from fakes.queue import MemoryQueue
from fakes.waiting import eventually
from retinue_history import HistoryDataError, HistoryError, RunRecord, TaskKey
from retinue_workers.intake.in_flight import InFlight
from retinue_workers.intake.sqs import BATCH
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.recording.committer import GROUP, Committer
from retinue_workers.work import Delivery, Message


class Setup:
    """A committer, and all that it talks to."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.history = MemoryHistory(self.journal)
        self.queue = MemoryQueue(journal=self.journal)
        self.flight = InFlight(1_000)
        self.breaker = CircuitBreaker()
        self.told: list[tuple[str, str]] = []
        self.committer = Committer(
            self.history, self.queue, self.flight, self.breaker, self.committed
        )

    def committed(self, delivery: Delivery, runs: Mapping[int, RunRecord]) -> None:
        assert all(self.history.runs[run_id - 1] is run for run_id, run in runs.items())
        self.told += [(one.key.detector, one.event_id) for one in runs.values()]

    def delivery(self, *runs: RunRecord, key: str = "a.jpg") -> Delivery:
        """A delivery with these runs, of a message that is in flight."""
        self.queue.send("{}")
        (received,) = self.queue.receive(10)
        self.flight.add([received])
        delivery = Delivery(received, last_receive=False, sightings=[sighting(key)])
        delivery.runs.extend(runs)
        return delivery

    def commit(self, *deliveries: Delivery) -> None:
        """Put them all, so that they are one group, and wait until they are out of our hands."""
        for delivery in deliveries:
            self.committer.put(delivery)
        self.committer.start()
        assert self.flight.wait_until_empty(15)


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    yield setup
    setup.history.away = False
    setup.committer.stop(5)


def test_the_commit_comes_before_the_delete(setup: Setup) -> None:
    setup.commit(setup.delivery(run("a.jpg")), setup.delivery(run("b.jpg"), key="b.jpg"))
    assert setup.journal == [
        "commit echo AA",
        "commit echo AA",
        "delete message-1",
        "delete message-2",
    ]
    assert setup.told == [("echo", "AA")] * 2
    assert setup.queue.empty()


def test_a_message_that_must_go_back_is_handed_back_after_the_commit(setup: Setup) -> None:
    delivery = setup.delivery(run())
    delivery.hand_back(7)
    delivery.hand_back(3)
    setup.commit(delivery)
    assert setup.journal == ["commit echo AA", "hide message-1 7"]


def test_a_history_away_trips_the_breaker_and_keeps_the_messages(
    setup: Setup, logged: list[dict[str, Any]]
) -> None:
    setup.history.away = True
    setup.committer.put(setup.delivery(run()))
    setup.committer.start()
    eventually(lambda: setup.history.calls >= 3)
    assert setup.breaker.causes() == {"history": "the database is away"}
    assert setup.journal == []
    assert len(setup.flight) == 1
    setup.history.away = False
    assert setup.flight.wait_until_empty(15)
    assert setup.breaker.causes() == {}
    assert setup.journal == ["commit echo AA", "delete message-1"]
    events = [entry["event"] for entry in logged]
    assert events == ["receiving_stopped", "fault_ended"]  # said once, not at each try


@pytest.mark.parametrize("size", [1, 2, 7])
def test_what_can_never_be_recorded_harms_no_other_delivery(setup: Setup, size: int) -> None:
    setup.history.poison = "bad"
    good = [setup.delivery(run(f"{n}.jpg"), key=f"{n}.jpg") for n in range(size)]
    bad = setup.delivery(run("bad.jpg", detector="bad"), key="bad.jpg")
    setup.commit(*good[: size // 2], bad, *good[size // 2 :])
    assert len(setup.history.runs) == size
    assert setup.queue.receive_counts() == {bad.message.message_id: 1}
    assert f"hide {bad.message.message_id} 1" in setup.journal
    assert len(setup.told) == size


@pytest.mark.parametrize(
    ("error", "is_bug"),
    [(HistoryDataError("no"), False), (HistoryError("no"), False), (TypeError("no"), True)],
)
def test_a_bug_sends_the_message_back_and_the_committer_goes_on(
    setup: Setup, logged: list[dict[str, Any]], error: Exception, is_bug: bool
) -> None:
    setup.history.broken = error
    setup.commit(setup.delivery(run()), setup.delivery(run()))
    assert setup.queue.hidden() + setup.queue.visible() == 2
    assert sum(line.startswith("hide") for line in setup.journal) == 2
    entries = [entry for entry in logged if entry["event"] == "not_recorded"]
    assert len(entries) == 2
    assert all((entry["exc_info"] is not None) == is_bug for entry in entries)
    setup.history.broken = None
    later = setup.delivery(run("later.jpg"), key="later.jpg")
    setup.committer.put(later)
    assert setup.flight.wait_until_empty(15)
    assert f"delete {later.message.message_id}" in setup.journal


def test_a_queue_away_is_asked_again_and_costs_no_receive(
    setup: Setup, logged: list[dict[str, Any]]
) -> None:
    delivery = setup.delivery(run())
    setup.queue.unavailable = "away"
    setup.committer.put(delivery)
    setup.committer.start()
    eventually(lambda: "queue" in setup.breaker.causes())
    assert setup.journal == ["commit echo AA"]
    assert setup.told == [("echo", "AA")]
    assert len(setup.flight) == 1, "the heartbeat keeps it hidden"
    setup.queue.unavailable = None
    assert setup.flight.wait_until_empty(15)
    assert setup.journal == ["commit echo AA", "delete message-1"]
    assert setup.breaker.causes() == {}
    assert [e["event"] for e in logged].count("receiving_stopped") == 1


def test_what_is_owed_keeps_nobody_from_their_commit(setup: Setup) -> None:
    deliveries = [setup.delivery(run(f"{n}.jpg"), key=f"{n}.jpg") for n in range(5)]
    setup.queue.unavailable = "away"
    setup.committer.start()
    for number, delivery in enumerate(deliveries):
        setup.committer.put(delivery)
        eventually(lambda number=number: len(setup.history.runs) == number + 1)
    setup.queue.unavailable = None
    assert setup.flight.wait_until_empty(15)
    assert setup.queue.empty()


def test_ten_that_are_not_deleted_keep_no_others(setup: Setup) -> None:
    setup.queue.refuse_deletes = 1
    setup.commit(*[setup.delivery(key=f"{n}.jpg") for n in range(25)])
    assert setup.queue.empty()
    deleted = [line for line in setup.journal if line.startswith("delete")]
    assert deleted[0] == "delete message-11", "the first ten failed, and their turn came later"


def test_a_stop_tries_the_queue_again(setup: Setup) -> None:
    setup.queue.refuse_deletes = 4
    setup.committer.put(setup.delivery(run()))
    setup.committer.start()
    setup.committer.stop(10)
    assert setup.queue.empty()


@pytest.mark.parametrize("where", ["delete", "change_visibility", "committed"])
def test_no_bug_ends_the_committer(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    first = setup.delivery(run())
    if where == "change_visibility":
        first.hand_back(1)
    with monkeypatch.context() as patch:
        if where == "committed":
            patch.setattr(setup.committer, "_committed", bug)
        else:
            patch.setattr(setup.queue, where, bug)
        setup.commit(first)
    later = setup.delivery(run("later.jpg"), key="later.jpg")
    setup.committer.put(later)
    assert setup.flight.wait_until_empty(15)
    assert f"delete {later.message.message_id}" in setup.journal


def test_two_events_of_one_image_in_one_group_are_told_apart(setup: Setup) -> None:
    setup.commit(
        setup.delivery(run(event_id="01", outcome="failed"), run(event_id="02")),
        setup.delivery(run(event_id="03")),  # succeeded already
        setup.delivery(run(event_id="01", outcome="failed")),  # redelivered
        setup.delivery(run(event_id="04", outcome="failed")),
    )
    assert sorted(setup.told) == [("echo", "01"), ("echo", "02"), ("echo", "04")]
    assert len(setup.history.runs) == 3
    assert setup.queue.empty()


def test_more_than_a_group_is_committed_in_order(setup: Setup) -> None:
    deliveries = [setup.delivery(key=f"{n}.jpg") for n in range(GROUP + 5)]
    setup.commit(*deliveries)
    assert len(setup.history.images) == GROUP + 5
    assert setup.history.calls == 2
    assert setup.queue.empty()


def test_a_message_about_nothing_is_deleted_without_a_transaction(setup: Setup) -> None:
    delivery = setup.delivery()
    delivery.sightings = ()
    setup.commit(delivery)
    assert setup.history.calls == 0
    assert setup.journal == ["delete message-1"]


def test_a_stop_commits_what_was_put(setup: Setup) -> None:
    for number in range(GROUP * 2):
        setup.committer.put(setup.delivery(key=f"{number}.jpg"))
    setup.committer.start()
    setup.committer.stop(10)
    assert setup.queue.empty()
    assert len(setup.flight) == 0


def test_a_stop_while_the_history_is_away_hands_back(setup: Setup) -> None:
    setup.history.away = True
    for _ in range(3):
        setup.committer.put(setup.delivery(run()))
    setup.committer.start()
    eventually(lambda: setup.history.calls)
    began = time.monotonic()
    setup.committer.stop(0.1)
    assert time.monotonic() - began < 2
    assert setup.queue.visible() == 3
    assert len(setup.flight) == 0
    assert setup.told == []


def test_it_can_stop_without_having_begun(setup: Setup) -> None:
    setup.committer.stop(1)


def test_a_delivery_completes_exactly_once() -> None:
    delivery = Delivery(message(), last_receive=False, expected=2)
    image_id = sighting("a.jpg").record.image_id
    done = [delivery.settle(None, image_id, None) for _ in range(4)]
    assert done == [False, True, False, False]


def test_a_delivery_knows_the_size_of_what_was_decoded() -> None:
    delivery = Delivery(
        message(), last_receive=False, sightings=[sighting("a.jpg"), sighting("b.jpg")], expected=3
    )
    image_id = sighting("a.jpg").record.image_id
    delivery.settle(None, image_id, (640, 480))
    delivery.settle(None, image_id, None)
    first, second = delivery.images()
    assert (first.width_px, first.height_px) == (640, 480)
    assert (second.width_px, second.height_px) == (None, None)


def test_deletes_wait_for_company_while_more_is_to_be_committed(setup: Setup) -> None:
    """Ten deletes cost the same call as one."""
    deleted: list[int] = []
    real = setup.queue.delete

    def delete(messages: Sequence[Message]) -> None:
        deleted.append(len(messages))
        real(messages)

    setup.queue.delete = delete  # type: ignore[method-assign]
    number = 2 * GROUP + 57
    setup.commit(*(setup.delivery(run(f"{n}.jpg"), key=f"{n}.jpg") for n in range(number)))
    assert setup.queue.empty()
    assert sum(deleted) == number
    assert sum(-(-size // BATCH) for size in deleted) == -(-number // BATCH)


def test_what_waits_for_company_is_deleted_when_the_worker_stops(setup: Setup) -> None:
    """However few they are, and even if the history is away for those that would join them."""
    recorded, put = threading.Event(), threading.Event()
    real = setup.history.record

    def record(*rows: Any) -> dict[TaskKey, int]:
        new = real(*rows)
        setup.history.away = True
        recorded.set()
        assert put.wait(10)
        return new

    setup.history.record = record  # type: ignore[method-assign]
    done, lost = setup.delivery(run("a.jpg")), setup.delivery(run("b.jpg"), key="b.jpg")
    setup.committer.put(done)
    setup.committer.start()
    assert recorded.wait(10)
    setup.committer.put(lost)
    put.set()
    setup.committer.stop(0.2)
    assert len(setup.flight) == 0
    assert f"delete {done.message.message_id}" in setup.journal
    assert f"hide {lost.message.message_id} 0" in setup.journal
