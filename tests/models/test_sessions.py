"""The sessions in PostgreSQL and the one in memory keep the same promises."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from fakes.model_sessions import MemoryModelSessions
from fakes.model_world import World
from retinue_history import ConnectionPool, ModelSessions
from retinue_workers.settings.hosted_models import ModelPolicy

NOTE: dict[str, Any] = {
    "status": "RUNNING",
    "reason": "",
    "serving": True,
    "waiting_since": 1_700_000_000.0,
    "failures": 2,
    "not_before": None,
}
SESSION: dict[str, Any] = {"units": 2, "usd_per_unit_minute": Decimal("0.06"), "reason": "work"}


class Expirable:
    """Model sessions whose leases can be made to end."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def held(self, holder: str) -> Any:
        return self.inner.acquire_lease(
            "arn", detector="d", options={"a": 1}, holder=holder, lease_seconds=30
        )

    def expire(self) -> None:
        if isinstance(self.inner, MemoryModelSessions):
            self.inner.expires.clear()
            return
        with self.inner._pool.connection() as connection:
            connection.execute("UPDATE models SET expires_at = now() - interval '1 second'")


@pytest.fixture(params=["memory", "postgres"])
def sessions(request: pytest.FixtureRequest) -> Iterator[Expirable]:
    if request.param == "memory":
        yield Expirable(MemoryModelSessions(time.time))
        return
    pool = ConnectionPool(request.getfixturevalue("history_url"))
    yield Expirable(ModelSessions(pool))
    pool.close()


def test_one_holder_at_a_time_and_a_token_for_each(sessions: Expirable) -> None:
    first = sessions.held("a")
    assert (first.holder, first.token, first.options) == ("a", 1, {"a": 1})
    assert sessions.held("a").token == 1
    assert sessions.held("b").holder == "a"
    sessions.expire()
    assert sessions.list_models()[0].holder is None
    assert (sessions.held("b").holder, sessions.held("b").token) == ("b", 2)
    sessions.release_lease("arn", "a")
    assert sessions.held("a").holder == "b"
    sessions.release_lease("arn", "b")
    assert (sessions.held("a").holder, sessions.held("a").token) == ("a", 3)


def test_a_former_holder_can_write_no_more(sessions: Expirable) -> None:
    old = sessions.held("a").token
    assert sessions.record_status("arn", old, **NOTE)
    sessions.expire()
    assert not sessions.record_status("arn", old, **NOTE)
    assert not sessions.begin_session("arn", old, **SESSION)
    new = sessions.held("b").token
    assert not sessions.begin_session("arn", old, **SESSION)
    assert sessions.begin_session("arn", new, **SESSION)
    assert not sessions.mark_session("arn", old, "stopped")
    assert not sessions.record_status("arn", old, **NOTE)
    kept = sessions.held("b")
    assert (kept.status, kept.serving, kept.failures) == ("RUNNING", True, 2)
    assert kept.waiting_since == 1_700_000_000.0


def test_one_open_session_a_model(sessions: Expirable) -> None:
    token = sessions.held("a").token
    assert not sessions.mark_session("arn", token, "running")
    assert sessions.begin_session("arn", token, **SESSION)
    assert not sessions.begin_session("arn", token, **SESSION)
    assert sessions.mark_session("arn", token, "running")
    assert sessions.mark_session("arn", token, "stopping", "quiet")
    assert sessions.held("a").stopped_at is None
    assert sessions.mark_session("arn", token, "stopped", "STOPPED")
    assert sessions.held("a").stopped_at == pytest.approx(time.time(), abs=60)
    assert not sessions.mark_session("arn", token, "stopped")
    assert sessions.begin_session("arn", token, **SESSION)


def test_somebody_can_want_it_to_run(sessions: Expirable) -> None:
    assert not sessions.keep_running("arn", None)
    token = sessions.held("a").token
    sessions.record_status("arn", token, **NOTE)
    assert sessions.keep_running("arn", 2_000_000_000.0)
    kept = sessions.held("a")
    assert (kept.keep_until, kept.failures, kept.not_before) == (2_000_000_000.0, 0, None)


def test_a_session_has_a_price(history_url: str) -> None:
    pool = ConnectionPool(history_url)
    sessions = Expirable(ModelSessions(pool))
    token = sessions.held("a").token
    sessions.begin_session("arn", token, **SESSION)
    with pool.connection() as connection:
        connection.execute("UPDATE model_sessions SET requested_at = now() - interval '90 minutes'")
    sessions.mark_session("arn", token, "running")
    sessions.mark_session("arn", token, "stopping", "quiet")
    sessions.mark_session("arn", token, "stopped", "STOPPED")
    [session] = sessions.list_sessions()
    assert float(session.unit_minutes) == pytest.approx(180, abs=1)
    assert float(session.price_usd) == pytest.approx(180 * 0.06, abs=0.06)
    assert session.stop_reason == "quiet"
    assert sessions.list_sessions(only_open=True) == []
    pool.close()


def test_the_controller_on_postgres(history_url: str) -> None:
    """The same controller and reaper in Postgres; leases go by the database's clock."""
    pool = ConnectionPool(history_url)
    world = World(ModelPolicy(idle_timeout_seconds=120), arrivals=[0.0])
    world.sessions = ModelSessions(pool)
    name = world.worker()
    world.run(640)
    assert world.gates[name] is None
    assert len(world.delays) == 1
    world.kill(name)
    [kept] = world.reap()
    assert kept.action == "in_use"  # the lease of the dead one is still in force
    Expirable(world.sessions).expire()
    [reaped] = world.reap()
    assert reaped.action == "stopped"
    world.run(130)
    [idle] = world.reap()
    assert idle.action == "idle"
    [session] = world.sessions.list_sessions()
    assert session.stop_reason == "reaped: it ran, and no worker controlled it"
    assert session.stopped_at is not None
    pool.close()
