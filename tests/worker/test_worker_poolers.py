"""A worker whose database is behind a pooler, or refuses a message: none ends unrecorded."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
import pytest
from fakes.poolers import PGBOUNCER, pgbouncer, rotating_pooler
from fakes.programs import skip_without
from fakes.rig import MakeRig, hurried, keys
from fakes.waiting import eventually
from retinue_history import ConnectionPool, History

POOLERS: dict[str, Callable[[str], AbstractContextManager[str]]] = {
    "fake": rotating_pooler,
    "pgbouncer": lambda url: pgbouncer(url, "transaction"),
}


@pytest.mark.parametrize("name", POOLERS)
def test_two_workers_behind_a_pooler_burn_no_receive(
    name: str, make_rig: MakeRig, database_url: str, logged: list[Any]
) -> None:
    if name == "pgbouncer":
        skip_without(PGBOUNCER)
    with POOLERS[name](database_url) as url:
        pool = ConnectionPool(url)
        rig = make_rig(over=History(pool))
        for key in keys(300):
            rig.upload(key)
        with rig.running({"echo": {}}), rig.running({"echo": {}}):
            rig.wait_until_empty(60)
        pool.close()
    assert rig.outcomes("echo") == ["succeeded"] * 300
    assert not any(line.startswith(("hide", "dead")) for line in rig.queue.journal)
    events = {entry["event"] for entry in logged}
    assert not events & {"history_unavailable", "commit_rejected", "rate_limit_lease_lost"}


def test_sessions_that_end_behind_a_pooler_burn_no_receive(
    make_rig: MakeRig, database_url: str
) -> None:
    skip_without(PGBOUNCER)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pgbouncer(database_url, "transaction") as url:
        pool = ConnectionPool(url)
        rig = make_rig(over=History(pool))
        with (
            rig.running({"echo": {"latency_ms": 2}}),
            psycopg.connect(database_url, autocommit=True) as admin,
        ):
            for number in range(6):
                for key in keys(30, f"round-{number}"):
                    rig.upload(key)
                eventually(lambda: len(rig.runs()) > 30 * number)  # noqa: B023 - called here
                admin.execute(end)
            rig.wait_until_empty(60)
        pool.close()
    assert rig.outcomes("echo") == ["succeeded"] * 180
    assert not any(line.startswith(("hide", "dead")) for line in rig.queue.journal)


def test_a_message_that_the_database_refuses_is_dead_alone_and_with_a_reason(
    make_rig: MakeRig, database_url: str, logged: list[Any]
) -> None:
    rig = make_rig(hurried())
    for key in [*keys(20), "odd.jpg", *keys(20, "later")]:
        rig.upload(key)
    constraint = "CONSTRAINT ours CHECK (key <> 'odd.jpg')"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE images ADD {constraint}")
        try:
            rig.work_off({"echo": {}})
        finally:
            connection.execute("ALTER TABLE images DROP CONSTRAINT ours")
    assert rig.outcomes("echo") == ["succeeded"] * 40
    assert len(rig.queue.dead_letters()) == 1
    rejected = [entry for entry in logged if entry["event"] == "commit_rejected"]
    assert {"ours" in entry["reason"] for entry in rejected} == {True}
    assert [entry["next"] for entry in rejected] == [
        "delivered again",
        "delivered again",
        "dead-letter queue",
    ]


@pytest.mark.parametrize("state", ["26000", "0A000", "ZZ000", "XX001", "53100", "42501", "25006"])
def test_a_database_that_refuses_everything_burns_no_receive(
    state: str, make_rig: MakeRig, database_url: str, logged: list[Any]
) -> None:
    """Unless it says that the values are to blame."""
    rig = make_rig(hurried())
    for key in keys(30):
        rig.upload(key)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON images EXECUTE FUNCTION refuse()
        """)
        try:
            with rig.running({"echo": {}}):
                eventually(lambda: any(e["event"] == "receiving_paused" for e in logged))
                connection.execute("DROP FUNCTION refuse() CASCADE")
                rig.wait_until_empty()
        finally:
            connection.execute("DROP FUNCTION IF EXISTS refuse() CASCADE")
    assert rig.outcomes("echo") == ["succeeded"] * 30
    assert not any(line.startswith(("hide", "dead")) for line in rig.queue.journal)
