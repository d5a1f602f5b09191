"""The ledger in PostgreSQL and the one in memory keep the same promises."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from fakes.ledger import MemoryLedger
from fakes.model_world import World
from retinue_history import ModelLedger, create_history_engine
from retinue_workers.settings.hosted_models import ModelPolicy
from sqlalchemy import text

NOTE: dict[str, Any] = {
    "status": "RUNNING",
    "reason": "",
    "serving": True,
    "waiting_since": 1_700_000_000.0,
    "failures": 2,
    "not_before": None,
}
SESSION: dict[str, Any] = {"units": 2, "usd_per_unit_minute": Decimal("0.06"), "reason": "work"}


class Ledger:
    """A ledger whose leases can be made to end."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def held(self, holder: str) -> Any:
        return self.inner.hold(
            "arn", detector="d", options={"a": 1}, holder=holder, lease_seconds=30
        )

    def expire(self) -> None:
        if isinstance(self.inner, MemoryLedger):
            self.inner.expires.clear()
            return
        with self.inner._engine.begin() as connection:
            connection.execute(text("UPDATE models SET expires_at = now() - interval '1 second'"))


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "memory":
        yield Ledger(MemoryLedger(time.time))
        return
    engine = create_history_engine(request.getfixturevalue("history_url"))
    yield Ledger(ModelLedger(engine))
    engine.dispose()


def test_one_holder_at_a_time_and_a_token_for_each(ledger: Ledger) -> None:
    first = ledger.held("a")
    assert (first.holder, first.token, first.options) == ("a", 1, {"a": 1})
    assert ledger.held("a").token == 1
    assert ledger.held("b").holder == "a"
    ledger.expire()
    assert ledger.models()[0].holder is None
    assert (ledger.held("b").holder, ledger.held("b").token) == ("b", 2)
    ledger.release("arn", "a")
    assert ledger.held("a").holder == "b"
    ledger.release("arn", "b")
    assert (ledger.held("a").holder, ledger.held("a").token) == ("a", 3)


def test_a_former_holder_can_write_no_more(ledger: Ledger) -> None:
    old = ledger.held("a").token
    assert ledger.note("arn", old, **NOTE)
    ledger.expire()
    assert not ledger.note("arn", old, **NOTE)
    assert not ledger.begin_session("arn", old, **SESSION)
    new = ledger.held("b").token
    assert not ledger.begin_session("arn", old, **SESSION)
    assert ledger.begin_session("arn", new, **SESSION)
    assert not ledger.mark_session("arn", old, "stopped")
    assert not ledger.note("arn", old, **NOTE)
    kept = ledger.held("b")
    assert (kept.status, kept.serving, kept.failures) == ("RUNNING", True, 2)
    assert kept.waiting_since == 1_700_000_000.0


def test_one_open_session_a_model(ledger: Ledger) -> None:
    token = ledger.held("a").token
    assert not ledger.mark_session("arn", token, "running")
    assert ledger.begin_session("arn", token, **SESSION)
    assert not ledger.begin_session("arn", token, **SESSION)
    assert ledger.mark_session("arn", token, "running")
    assert ledger.mark_session("arn", token, "stopping", "quiet")
    assert ledger.held("a").stopped_at is None
    assert ledger.mark_session("arn", token, "stopped", "STOPPED")
    assert ledger.held("a").stopped_at == pytest.approx(time.time(), abs=60)
    assert not ledger.mark_session("arn", token, "stopped")
    assert ledger.begin_session("arn", token, **SESSION)


def test_somebody_can_want_it_to_run(ledger: Ledger) -> None:
    assert not ledger.keep("arn", None)
    token = ledger.held("a").token
    ledger.note("arn", token, **NOTE)
    assert ledger.keep("arn", 2_000_000_000.0)
    kept = ledger.held("a")
    assert (kept.keep_until, kept.failures, kept.not_before) == (2_000_000_000.0, 0, None)


def test_a_session_has_a_price(history_url: str) -> None:
    engine = create_history_engine(history_url)
    ledger = Ledger(ModelLedger(engine))
    token = ledger.held("a").token
    ledger.begin_session("arn", token, **SESSION)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE model_sessions SET requested_at = now() - interval '90 minutes'")
        )
    ledger.mark_session("arn", token, "running")
    ledger.mark_session("arn", token, "stopping", "quiet")
    ledger.mark_session("arn", token, "stopped", "STOPPED")
    [session] = ledger.sessions()
    assert float(session.unit_minutes) == pytest.approx(180, abs=1)
    assert float(session.price_usd) == pytest.approx(180 * 0.06, abs=0.06)
    assert session.stop_reason == "quiet"
    assert ledger.sessions(only_open=True) == []
    engine.dispose()


def test_the_keeper_on_postgres(history_url: str) -> None:
    """The same keeper and reaper on the real ledger; its leases go by the database's clock."""
    engine = create_history_engine(history_url)
    world = World(ModelPolicy(quiet_seconds=120), arrivals=[0.0])
    world.ledger = ModelLedger(engine)
    name = world.worker()
    world.run(640)
    assert world.gates[name] is None
    assert len(world.delays) == 1
    world.kill(name)
    [kept] = world.reap()
    assert kept.action == "kept"  # the lease of the dead one is still in force
    Ledger(world.ledger).expire()
    [reaped] = world.reap()
    assert reaped.action == "stopped"
    world.run(130)
    [idle] = world.reap()
    assert idle.action == "idle"
    [session] = world.ledger.sessions()
    assert session.stop_reason == "reaped: it ran, and no worker kept it"
    assert session.stopped_at is not None
    engine.dispose()
