"""Deliveries are committed in groups; what cannot be committed fails alone."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from fakes import work
from fakes.history import MemoryHistory
from fakes.waiting import settle, until
from retinue_history import (
    Charge,
    HistoryDataError,
    HistoryError,
    HistoryUnavailableError,
    MonthTotals,
    RunRecord,
)
from retinue_sdk import Capabilities, Input, Run
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.metrics import Metrics
from retinue_workers.recording.committer import GROUP, Committer
from retinue_workers.recording.observers import Observers
from retinue_workers.settings.settings import TierPrice
from retinue_workers.work import Delivery


class Listening(Plugins):
    """Plugins with one observer, which notes what it is told."""

    def __init__(self) -> None:
        super().__init__(())
        self.told: list[Run] = []

    @property
    def observed(self) -> bool:
        return True

    def notify(self, run: Run) -> None:
        self.told.append(run)


class Rig:
    """A committer, and all that it talks to."""

    def __init__(self, history: MemoryHistory | None = None) -> None:
        self.history = history or MemoryHistory()
        self.gate = ReceiveGate()
        self.threads = DaemonThreads("history", 2)
        self.plugins = Listening()
        self.observers = Observers(self.plugins)
        self.metrics = Metrics(in_flight=lambda: 0, pause_reasons=lambda: 0)
        self.budget = Budget(
            self.history,
            self.threads,
            self.gate,
            prices={"echo": (TierPrice(usd=Decimal(1)),)},
            budgets={"echo": Decimal(10)},
        )
        self.committer = Committer(
            self.history,
            self.threads,
            self.gate,
            budget=self.budget,
            metrics=self.metrics,
            observers=self.observers,
        )

    async def commit(self, *deliveries: Delivery) -> list[str]:
        """Commit all of them; returns ``ok``, or the error's text, for each."""
        done = await asyncio.gather(*map(self.committer.commit, deliveries), return_exceptions=True)
        return ["ok" if error is None else str(error) for error in done]

    @property
    def told(self) -> list[tuple[str, str | None]]:
        """Return detector and error code of the runs that observers received."""
        return [(run.detector, run.error_code) for run in self.plugins.told]


@asynccontextmanager
async def open_rig(history: MemoryHistory | None = None) -> AsyncIterator[Rig]:
    rig = Rig(history)
    telling = asyncio.create_task(rig.observers.run())
    yield rig
    rig.history.away = False
    telling.cancel()
    await rig.observers.drain(5)
    rig.threads.close()


async def test_a_delivery_is_committed_and_its_run_logged_counted_and_told(
    logged: list[dict[str, Any]],
) -> None:
    async with open_rig() as rig:
        failed = work.run("b.jpg", outcome="failed")
        delivery = work.delivery(work.run(), failed, keys=("a.jpg", "b.jpg"))
        sent = replace(delivery.message, sent_at=time.time() - 60)
        assert await rig.commit(replace(delivery, message=sent)) == ["ok"]
        await until(lambda: rig.told == [("echo", None), ("echo", "broken")])
        sample = rig.metrics.registry.get_sample_value
        labels = {"detector": "echo", "outcome": "failed", "error_code": "broken"}
        assert sample("retinue_runs_total", labels) == 1
        assert sample("retinue_commit_seconds_count") == 1
    lines = [entry for entry in logged if entry["event"] == "run_recorded"]
    assert [(line["uri"], line["outcome"], line["run_id"]) for line in lines] == [
        ("s3://photos/a.jpg", "succeeded", 1),
        ("s3://photos/b.jpg", "failed", 2),
    ]
    assert lines[1]["error_code"] == "broken"
    assert all(line["waited_seconds"] >= 60 for line in lines)


async def test_deliveries_of_a_moment_share_a_transaction_up_to_a_group() -> None:
    async with open_rig() as rig:
        deliveries = [work.delivery(keys=(f"{n}.jpg",)) for n in range(GROUP + 5)]
        assert await rig.commit(*deliveries) == ["ok"] * (GROUP + 5)
        assert rig.history.calls == 2
        assert len(rig.history.images) == GROUP + 5


async def test_removals_are_committed() -> None:
    async with open_rig() as rig:
        removed = replace(work.delivery(), images=(), references=(), removed=("an object",))
        await rig.committer.commit(removed)
        assert rig.history.removed == ["an object"]


async def test_a_message_about_nothing_takes_no_transaction() -> None:
    async with open_rig() as rig:
        await rig.committer.commit(work.delivery(keys=()))
        assert rig.history.calls == 0


async def test_a_history_away_closes_the_gate_and_is_asked_until_it_is_back(
    logged: list[dict[str, Any]],
) -> None:
    async with open_rig() as rig:
        rig.history.away = True
        committing = asyncio.create_task(rig.committer.commit(work.delivery(work.run())))
        await until(lambda: rig.history.calls >= 3)
        assert rig.gate.reasons() == {"history": "the database is away"}
        assert not committing.done()
        rig.history.away = False
        await committing
        assert rig.gate.reasons() == {}
    events = [entry["event"] for entry in logged]
    assert events.count("receiving_paused") == 1, "it says so once, not at each try"
    assert events.count("fault_cleared") == 1


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_what_can_never_be_recorded_fails_alone(size: int) -> None:
    async with open_rig() as rig:
        rig.history.poison = "bad"
        good = [work.delivery(work.run(f"{n}.jpg"), keys=(f"{n}.jpg",)) for n in range(size)]
        bad = work.delivery(work.run("bad.jpg", detector="bad"), keys=("bad.jpg",))
        middle = size // 2
        results = await rig.commit(*good[:middle], bad, *good[middle:])
        assert results == ["ok"] * middle + ["poison"] + ["ok"] * (size - middle)
        assert len(rig.history.runs) == size
        await until(lambda: len(rig.told) == size)


class Slow(MemoryHistory):
    """A history whose time limit ends what is about more than three images."""

    def record(self, images: Any, runs: Any = (), *others: Any) -> Any:
        if len(images) > 3:
            raise HistoryUnavailableError("canceling statement due to statement timeout")
        return super().record(images, runs, *others)


async def test_a_group_that_is_too_much_at_once_is_committed_in_parts() -> None:
    async with open_rig(Slow()) as rig:
        rig.history.poison = "bad"
        deliveries = [work.delivery(work.run(f"{n}.jpg"), keys=(f"{n}.jpg",)) for n in range(10)]
        bad = work.delivery(work.run("bad.jpg", detector="bad"), keys=("bad.jpg",))
        assert await rig.commit(*deliveries, bad) == ["ok"] * 10 + ["poison"]
        await until(lambda: len(rig.told) == 10)
        assert rig.gate.reasons() == {}


@pytest.mark.parametrize("error", [HistoryDataError("no"), HistoryError("no"), TypeError("no")])
async def test_after_an_error_the_committer_goes_on(error: Exception) -> None:
    async with open_rig() as rig:
        rig.history.broken = error
        assert await rig.commit(work.delivery(work.run()), work.delivery(work.run())) == ["no"] * 2
        rig.history.broken = None
        assert await rig.commit(work.delivery(work.run())) == ["ok"]


async def test_two_events_of_one_image_in_one_group_are_told_apart() -> None:
    async with open_rig() as rig:
        await rig.commit(
            work.delivery(work.run(event_id="01", outcome="failed"), work.run(event_id="02")),
            work.delivery(work.run(event_id="03")),  # succeeded already
            work.delivery(work.run(event_id="01", outcome="failed")),  # redelivered
            work.delivery(work.run(event_id="04", outcome="failed")),
        )
        assert rig.history.calls == 1
        await until(lambda: len(rig.told) == 3)
        assert [run.event_id for run in rig.history.runs] == ["02", "01", "04"]


async def test_a_skip_is_logged_and_neither_counted_nor_told(logged: list[dict[str, Any]]) -> None:
    async with open_rig() as rig:
        skip = replace(work.run(outcome="failed"), outcome="skipped", error_code="skipped_by_key")
        await rig.commit(work.delivery(skip, work.run("b.jpg"), keys=("a.jpg", "b.jpg")))
        await until(lambda: rig.told)
        assert rig.told == [("echo", None)]
        labels = {"detector": "echo", "outcome": "skipped", "error_code": "skipped_by_key"}
        assert rig.metrics.registry.get_sample_value("retinue_runs_total", labels) is None
    (line,) = (entry for entry in logged if entry["event"] == "run_skipped")
    assert line["code"] == "skipped_by_key"


async def test_a_cancelled_commit_is_left_out_of_the_next_transaction() -> None:
    """The message goes back, and what was committed meanwhile is found to be done."""
    async with open_rig() as rig:
        writing, go, real = threading.Event(), threading.Event(), rig.history.record

        def record(*rows: Any) -> Any:
            writing.set()
            go.wait(10)
            return real(*rows)

        rig.history.record = record
        first = asyncio.create_task(rig.committer.commit(work.delivery(work.run())))
        await until(writing.is_set)
        waiting = asyncio.create_task(
            rig.committer.commit(work.delivery(work.run("b.jpg"), keys=("b.jpg",)))
        )
        await settle()
        waiting.cancel()
        await asyncio.wait({waiting})
        go.set()
        await first
    assert waiting.cancelled()
    assert [run.key for run in rig.history.runs] == [work.run_key()]


class Totals(MemoryHistory):
    """A history that adds up what was recorded."""

    def month_totals(self, month: date, *_: object) -> MonthTotals:
        usd = sum((run.price_usd for run in self.runs), Decimal(0))
        return MonthTotals(month, {"echo": usd}, {"echo": usd})


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_what_a_run_costs_counts_once_whether_it_is_recorded_or_not(
    monkeypatch: pytest.MonkeyPatch, is_recorded: bool
) -> None:
    monkeypatch.setattr("retinue_workers.limits.budget.FRESH_SECONDS", 0.0)
    async with open_rig(Totals()) as rig:
        rig.budget.add("echo", Capabilities(Input.REFERENCE))
        charges = rig.budget.charges("echo", Decimal(4), datetime.now(UTC))
        assert charges == (Charge("echo", Decimal(4), Decimal(4)),)
        run: RunRecord = replace(
            work.run(),
            started_at=datetime.now(UTC),
            billed_units=Decimal(4),
            price_usd=Decimal(4),
            charges=charges,
        )
        rig.history.poison = None if is_recorded else "echo"
        await rig.commit(work.delivery(run))
        # Of ten dollars, four are spent, and the next image will cost as much as the last.
        left = 1 if is_recorded else 2
        reserved = [await rig.budget.reserve("echo", 1) for _ in range(3)]
        assert reserved == [Decimal(4)] * left + [None] * (3 - left)
