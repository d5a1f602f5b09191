"""Runs cost what their tier says, and a spent budget stops receiving and loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from fakes.history import MemoryHistory
from fakes.rig import Rig, keys
from fakes.waiting import eventually, settle, until
from retinue_history import ConnectionPool, History, MonthTotals, month_of
from retinue_sdk import Capabilities, ConfigurationError, Input, Price, Tier
from retinue_workers.detectors import runner
from retinue_workers.limits import budget
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.settings import TierPrice

CENT = {"echo": 0.01}
GROUP = Price((Tier(100, Decimal("0.01")), Tier(None, Decimal("0.005"))), "images")


class Known(MemoryHistory):
    """A history that was told what the month has cost.

    Attributes:
        bug: Raised instead of an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units: dict[str, Decimal] = {}
        self.usd: dict[str, Decimal] = {}
        self.bug: Exception | None = None

    def month_totals(self, month: date, detectors: object, groups: object) -> MonthTotals:
        self._check()
        if self.bug is not None:
            raise self.bug
        return MonthTotals(month, dict(self.units), dict(self.usd))


def costing(*prices: Price) -> Capabilities:
    return Capabilities(Input.REFERENCE, prices=prices)


@asynccontextmanager
async def budgeting(
    history: Known | None = None, *prices: Price, **settings: Any
) -> AsyncIterator[tuple[Budget, ReceiveGate]]:
    """Yield a budget that reads the month, for a detector ``echo``."""
    gate, threads = ReceiveGate(), DaemonThreads("history", 1)
    bill = Budget(history or Known(), threads, gate, **settings)
    bill.add("echo", costing(*(prices or (GROUP,))))
    reading = asyncio.create_task(bill.keep_reading())
    await settle()
    yield bill, gate
    assert not reading.done() or reading.exception() is None
    reading.cancel()
    await asyncio.wait({reading})
    threads.close()


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the month's totals continuously."""
    monkeypatch.setattr(budget, "READ_SECONDS", 0.01)
    monkeypatch.setattr(budget, "FRESH_SECONDS", 0.0)


def usd(bill: Budget, units: int, detector: str = "echo") -> list[Decimal]:
    charges = bill.charges(detector, Decimal(units), datetime.now(UTC))
    return [charge.price_usd for charge in charges]


async def test_the_tier_depends_on_what_the_month_had_of_the_group() -> None:
    history = Known()
    history.units = {"images": Decimal(95)}
    async with budgeting(history) as (bill, _):
        bill.add("other", costing(GROUP))
        await until(lambda: history.calls)
        await settle()
        assert usd(bill, 3) == [Decimal("0.03")]
        assert usd(bill, 4, "other") == [Decimal("0.03")]  # two of them beyond the first tier
        assert usd(bill, 1) == [Decimal("0.005")]
        assert bill.unit_usd("echo") == Decimal("0.005")


async def test_an_image_can_count_in_two_groups() -> None:
    properties = Price((Tier(None, Decimal(2)),), "properties")
    async with budgeting(None, GROUP, properties) as (bill, _):
        assert usd(bill, 1) == [Decimal("0.01"), Decimal(2)]


async def test_a_price_in_the_settings_overrides_the_detectors_own() -> None:
    async with budgeting(prices={"echo": (TierPrice(usd=Decimal(3)),)}) as (bill, _):
        [charge] = bill.charges("echo", Decimal(2), datetime.now(UTC))
        assert (charge.billing_group, charge.price_usd) == ("images", Decimal(6))


def test_a_budget_without_a_price_is_refused() -> None:
    bill = Budget(Known(), DaemonThreads("history", 1), ReceiveGate(), budgets={"echo": Decimal(5)})
    with pytest.raises(ConfigurationError, match="has no price"):
        bill.add("echo", Capabilities(Input.REFERENCE))


async def test_a_month_that_can_change_nothing_is_not_read() -> None:
    history = Known()
    flat = Price((Tier(None, Decimal(2)),), "images")
    async with budgeting(history, flat) as (bill, _):
        assert await bill.reserve("echo", 1) == 0
    assert history.calls == 0


@pytest.mark.usefixtures("_often")
async def test_calls_under_way_count_and_a_spent_budget_closes_the_gate() -> None:
    async with budgeting(budgets={"echo": Decimal("0.02")}) as (bill, gate):
        reserved = [await bill.reserve("echo", 1) for _ in range(2)]
        assert reserved == [Decimal("0.01")] * 2
        assert await bill.reserve("echo", 1) is None
        (reason,) = gate.reasons().values()
        for part in ("detector echo", "$0.02 for ", "00:00 UTC", "RETINUE_MONTHLY_BUDGETS_USD"):
            assert part in reason
        bill.release("echo", Decimal("0.02"))
        await until(lambda: not gate.reasons(), what="the gate to open: nothing was billed")
        assert await bill.reserve("echo", 2) == Decimal("0.02")


@pytest.mark.usefixtures("_often")
async def test_a_new_month_opens_the_gate() -> None:
    history = Known()
    history.usd = {"echo": Decimal("0.02")}
    async with budgeting(history, budgets={"echo": Decimal("0.02")}) as (bill, gate):
        await until(lambda: [*gate.reasons()] == ["budget echo"])
        assert await bill.reserve("echo", 1) is None
        history.usd = {}  # the month turns
        await until(lambda: not gate.reasons())
        assert await bill.reserve("echo", 1) == Decimal("0.01")


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("bug", [None, RuntimeError("a bug")])
async def test_a_month_that_cannot_be_read_stops_no_call_and_is_read_again(
    bug: Exception | None, logged: list[dict[str, Any]]
) -> None:
    history = Known()
    history.bug, history.away = bug, bug is None
    async with budgeting(history, budgets={"echo": Decimal(1)}) as (bill, gate):
        assert await bill.reserve("echo", 1) == Decimal("0.01")
        await until(lambda: history.calls >= 3)
        history.bug, history.away = None, False
        history.usd = {"echo": Decimal(1)}
        await until(lambda: gate.reasons())
    events = [entry["event"] for entry in logged]
    assert ("budget_check_failed" in events) == (bug is not None)


@pytest.fixture
def rig(history_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(budget, "READ_SECONDS", 0.1)
    monkeypatch.setattr(budget, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.1)
    pool = ConnectionPool(history_url, max_size=20)
    yield Rig(History(pool), url=history_url)
    pool.close()


ECHO = {"echo": {"latency_ms": 20, "max_concurrency": 4}}
IN_FLIGHT = 10


def test_a_worker_by_itself_exceeds_no_budget(rig: Rig) -> None:
    for key in keys(30):
        rig.upload(key)
    with rig.running(ECHO, prices=CENT, monthly_budgets_usd={"echo": 0.2}) as worker:
        eventually(
            lambda: "budget echo" in worker.worker.liveness.state()[1], what="receiving to stop"
        )
        eventually(lambda: rig.rows("SELECT count(*) AS runs FROM runs") == [{"runs": 20}])
    [spent] = rig.rows("SELECT sum(price_usd) AS usd FROM runs")
    assert spent["usd"] == Decimal("0.2")


def test_a_budget_is_spent_although_a_full_batch_no_longer_fits(rig: Rig) -> None:
    for key in keys(30):
        rig.upload(key)
    detectors = {"echo": {"max_batch_size": 8, "max_concurrency": 1}}
    with rig.running(detectors, prices=CENT, monthly_budgets_usd={"echo": 0.2}) as worker:
        eventually(lambda: rig.rows("SELECT count(*) AS runs FROM runs") == [{"runs": 20}])
        eventually(lambda: "budget echo" in worker.worker.liveness.state()[1])
    assert rig.rows("SELECT count(*) AS runs FROM runs") == [{"runs": 20}]


def test_several_workers_keep_to_a_budget_and_go_on_when_it_allows(
    rig: Rig, history_url: str
) -> None:
    for key in keys(100):
        rig.upload(key)
    budget = {
        "prices": CENT,
        "monthly_budgets_usd": {"echo": 0.2},
        "max_in_flight": IN_FLIGHT,
    }

    def spent() -> dict[str, Any]:
        [row] = rig.rows("SELECT sum(price_usd) AS usd, count(*) AS runs FROM runs")
        return row

    with ExitStack() as stack:
        workers = [stack.enter_context(rig.running(ECHO, **budget)) for _ in range(3)]
        # A worker stops before the run that spends the budget is recorded, its own or another's.
        eventually(lambda: spent()["runs"] >= 20, what="the budget to be spent")
        for worker in workers:
            eventually(
                lambda worker=worker: "budget echo" in worker.worker.liveness.state()[1],
                what="receiving to stop",
            )
        before = spent()
        in_flight = Decimal("0.01") * 2 * IN_FLIGHT  # of the others, when a worker decides
        assert Decimal("0.2") <= before["usd"] <= Decimal("0.2") + in_flight
        assert not rig.queue.empty()
        assert max(rig.queue.receive_counts().values()) == 1
        with psycopg.connect(history_url) as connection:  # as if the month had turned
            connection.execute("UPDATE monthly_spending SET month = month - interval '1 month'")
        # More than calls that were under way: the budget once more.
        eventually(lambda: spent()["runs"] >= before["runs"] + 20, what="receiving to go on")
    assert rig.queue.dead_letters() == []


def test_the_month_is_counted_with_the_runs_and_only_once(rig: Rig) -> None:
    for key in keys(5):
        rig.upload(key)
    rig.work_off(ECHO, prices=CENT)
    for key in keys(5):  # the same again: settled already
        rig.upload(key)
    rig.work_off(ECHO, prices=CENT)
    [row] = rig.rows("SELECT * FROM monthly_spending")
    assert row == {
        "month": month_of(datetime.now(UTC)),
        "detector": "echo",
        "billing_group": "echo",
        "billed_units": Decimal(5),
        "price_usd": Decimal("0.05"),
    }
    [cost] = rig.rows("SELECT billed_units, price_usd FROM run_costs")
    assert cost == {"billed_units": Decimal(5), "price_usd": Decimal("0.05")}
