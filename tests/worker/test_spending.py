"""Runs cost what their tier says, and a spent budget stops receiving and loses nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg
import pytest
from fakes.history import MemoryHistory
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from retinue_history import History, MonthTotals, create_history_engine, month_of
from retinue_sdk import Capabilities, ConfigurationError, Input, Price, Tier
from retinue_sdk.price import tiered
from retinue_workers.detectors import runner
from retinue_workers.limits import budget
from retinue_workers.limits.budget import Spending
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.settings.settings import TierPrice

CENT = {"echo": 0.01}
GROUP = tiered([100], ["0.01", "0.005"], "images")


class Known(MemoryHistory):
    """A history that was told what the month has cost."""

    def __init__(self) -> None:
        super().__init__()
        self.units: dict[str, Decimal] = {}
        self.usd: dict[str, Decimal] = {}

    def month_totals(self, month: date, detectors: object, groups: object) -> MonthTotals:
        return MonthTotals(month, dict(self.units), dict(self.usd))


def costing(*prices: Price) -> Capabilities:
    return Capabilities(Input.REFERENCE, prices=prices)


def usd(spending: Spending, units: int, detector: str = "echo") -> list[Decimal]:
    charges = spending.charges(detector, Decimal(units), datetime.now(UTC))
    return [charge.price_usd for charge in charges]


def test_the_tier_depends_on_what_the_month_had_of_the_group() -> None:
    history = Known()
    history.units = {"images": Decimal(95)}
    bill = Spending(history, CircuitBreaker())
    for name in ("echo", "other"):
        bill.add(name, costing(GROUP))
    bill.start()
    assert usd(bill, 3) == [Decimal("0.03")]
    assert usd(bill, 4, "other") == [Decimal("0.03")]  # two of them beyond the first tier
    assert usd(bill, 1) == [Decimal("0.005")]
    bill.stop()


def test_an_image_can_count_in_two_groups() -> None:
    bill = Spending(Known(), CircuitBreaker())
    bill.add("echo", costing(GROUP, Price((Tier(None, Decimal(2)),), "properties")))
    assert usd(bill, 1) == [Decimal("0.01"), Decimal(2)]


def test_the_settings_go_before_the_detector() -> None:
    prices = {"echo": (TierPrice(usd=Decimal(3)),)}
    bill = Spending(Known(), CircuitBreaker(), prices=prices)
    bill.add("echo", costing(GROUP))
    [charge] = bill.charges("echo", Decimal(2), datetime.now(UTC))
    assert (charge.price_group, charge.price_usd) == ("images", Decimal(6))


def test_a_budget_without_a_price_is_refused() -> None:
    bill = Spending(Known(), CircuitBreaker(), budgets={"echo": Decimal(5)})
    with pytest.raises(ConfigurationError, match="has no price"):
        bill.add("echo", Capabilities(Input.REFERENCE))


def test_calls_under_way_count_and_a_new_month_begins_anew() -> None:
    history, breaker = Known(), CircuitBreaker()
    bill = Spending(history, breaker, budgets={"echo": Decimal("0.02")})
    bill.add("echo", costing(GROUP))
    bill.start()
    first, second = bill.set_aside("echo", 1), bill.set_aside("echo", 1)
    assert first == second == Decimal("0.01")
    assert bill.set_aside("echo", 1) is None
    bill.take_back("echo", first)
    bill.take_back("echo", second)
    [reason] = breaker.causes().values()
    assert "detector echo" in reason
    assert "$0.02 for " in reason
    assert "00:00 UTC" in reason
    assert "RETINUE_MONTHLY_BUDGETS_USD" in reason
    bill._judge()  # nothing was billed after all
    assert breaker.causes() == {}
    history.usd = {"echo": Decimal("0.02")}
    bill._look()
    bill._judge()
    assert list(breaker.causes()) == ["budget echo"]
    assert bill.spent_usd() == {"echo": (Decimal("0.02"), Decimal("0.02"))}
    history.usd = {}  # the month turns
    bill._look()
    bill._judge()
    assert breaker.causes() == {}
    bill.stop()


@pytest.fixture
def rig(history_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(budget, "READ_SECONDS", 0.1)
    monkeypatch.setattr(budget, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(runner, "PROBE_SECONDS", 0.1)
    engine = create_history_engine(history_url, pool_size=20)
    yield Rig(History(engine), url=history_url)
    engine.dispose()


ECHO = {"echo": {"latency_ms": 20, "max_concurrency": 4}}
IN_FLIGHT = 10


def test_a_worker_by_itself_exceeds_no_budget(rig: Rig) -> None:
    for key in keys(30):
        rig.upload(key)
    with rig.running(ECHO, prices=CENT, monthly_budgets_usd={"echo": 0.2}) as worker:
        eventually(lambda: "budget echo" in worker._breaker.causes(), what="receiving to stop")
        eventually(lambda: rig.rows("SELECT count(*) AS runs FROM runs") == [{"runs": 20}])
    [spent] = rig.rows("SELECT sum(price_usd) AS usd FROM runs")
    assert spent["usd"] == Decimal("0.2")


def test_what_goes_wrong_while_the_month_is_read_ends_no_thread() -> None:
    class Broken(Known):
        def month_totals(self, *_: object) -> MonthTotals:
            raise RuntimeError("a bug")

    bill = Spending(Broken(), CircuitBreaker(), budgets={"echo": Decimal(1)})
    bill.add("echo", costing(GROUP))
    assert bill.set_aside("echo", 1) is not None


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
    with ExitStack() as stack:
        workers = [stack.enter_context(rig.running(ECHO, **budget)) for _ in range(3)]
        for worker in workers:
            eventually(
                lambda worker=worker: "budget echo" in worker._breaker.causes(),
                what="receiving to stop",
            )
        [spent] = rig.rows("SELECT sum(price_usd) AS usd, count(*) AS runs FROM runs")
        in_flight = Decimal("0.01") * 2 * IN_FLIGHT  # of the others, when a worker decides
        assert Decimal("0.2") <= spent["usd"] <= Decimal("0.2") + in_flight
        assert not rig.queue.empty()
        assert max(rig.queue.receive_counts().values()) == 1
        with psycopg.connect(history_url) as connection:  # as if the month had turned
            connection.execute("UPDATE monthly_spending SET month = month - interval '1 month'")
        eventually(
            lambda: rig.rows("SELECT count(*) AS runs FROM runs")[0]["runs"] > spent["runs"],
            what="receiving to go on",
        )
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
        "price_group": "echo",
        "billed_units": Decimal(5),
        "price_usd": Decimal("0.05"),
    }
    [cost] = rig.rows("SELECT billed_units, price_usd FROM run_costs")
    assert cost == {"billed_units": Decimal(5), "price_usd": Decimal("0.05")}
