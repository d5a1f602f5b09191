"""A database away holds the messages; it is never the image's fault."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import _sqlcodes
from retinue_history import (
    ConnectionPool,
    History,
    HistoryDataError,
    HistorySchemaError,
    HistoryUnavailableError,
)
from retinue_history.db.engine import create_history_engine
from retinue_history.db.error_mapping import map_errors
from retinue_history.privacy.erasure import Erasures
from retinue_history.privacy.people import People
from retinue_history.upkeep.maintenance import Retention, maintain
from sqlalchemy import Engine, text

Make = Callable[..., Any]


@pytest.fixture
def worker_login(postgres_server: str, history_url: str) -> Iterator[str]:
    """Yield a login that is a member of ``retinue_writer`` and nothing else."""
    name = sql.Identifier(f"w{uuid4().hex}")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        create = sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 1 IN ROLE retinue_writer")
        connection.execute(create.format(name))
        yield name._obj[0]
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


@pytest.fixture
def worker_pool(
    history_url: str, worker_login: str, as_user: Callable[[str, str], str]
) -> Iterator[ConnectionPool]:
    """Connections with a worker's rights."""
    address = as_user(history_url, worker_login)
    with closing(
        ConnectionPool(address, application_name="the worker", timeout_seconds=0.1)
    ) as pool:
        yield pool


def test_an_unreachable_database(image: Make, run: Make) -> None:
    history = History(ConnectionPool("postgresql://u@/d?host=/nonexistent"))
    with pytest.raises(HistoryUnavailableError, match="nonexistent"):
        history.record([image()], [run(image())])
    with pytest.raises(HistoryUnavailableError):
        history.done_and_erased([(run(image()).key, "e")], [])[0]


def test_a_writer_may_record(worker_pool: ConnectionPool, image: Make, run: Make) -> None:
    history = History(worker_pool)
    assert history.record([image(missing_since=image().uploaded_at)], [run(image())])
    assert history.done_and_erased([(run(image()).key, "e")], [])[0]


def test_a_workers_login_that_maintains_is_told_who_may(
    history_url: str, worker_login: str, as_user: Callable[[str, str], str]
) -> None:
    engine = create_history_engine(as_user(history_url, worker_login), pool_size=1)
    with pytest.raises(HistoryUnavailableError, match=r"maintain, .* need the tables' owner"):
        maintain(engine, Retention(), tell=str)
    engine.dispose()


def test_a_table_that_is_in_use_is_named_as_the_cause(history_url: str) -> None:
    with psycopg.connect(history_url) as other:
        other.execute("LOCK TABLE images")
        with psycopg.connect(history_url) as connection:
            connection.execute("SET LOCAL lock_timeout = '10ms'")
            with pytest.raises(HistoryUnavailableError, match="in use for too long"), map_errors():
                connection.execute("SELECT FROM images")


def test_no_connection_becomes_free(history_url: str, image: Make) -> None:
    pool = ConnectionPool(history_url, max_size=1, timeout_seconds=0.1)
    with pool.connection(), pytest.raises(HistoryUnavailableError, match="became free"):
        History(pool).record([image()])
    pool.close()


def test_a_connection_in_use_is_closed_after_its_pool(history_url: str) -> None:
    pool = ConnectionPool(history_url)
    with pool.connection(), pool.connection() as idle:
        pass
    with pool.connection() as used:
        pool.close()
        assert used.execute("SELECT 1").fetchone() == (1,)
    assert used.closed
    assert idle.closed


def test_too_many_connections(worker_pool: ConnectionPool, image: Make) -> None:
    with (
        worker_pool.connection(),
        pytest.raises(HistoryUnavailableError, match="too many connections"),
    ):
        History(worker_pool).record([image()])


def test_a_read_only_database_as_after_a_failover(
    history_url: str, history: History, image: Make
) -> None:
    with psycopg.connect(history_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        read_only = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        connection.execute(read_only.format(name, "on"))
        with pytest.raises(HistoryUnavailableError, match="read-only"):
            history.record([image()])


def test_a_connection_that_broke_while_it_lay_idle_is_replaced(
    history_url: str, worker_pool: ConnectionPool, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retinue_history.db.connections._SURELY_ALIVE_SECONDS", 0.0)
    history = History(worker_pool)
    history.record([image()])
    with psycopg.connect(history_url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE application_name = 'the worker'"
        ).fetchall()
    assert ended == [(True,)]
    history.record([image("other")])


def test_one_broken_connection_makes_the_others_suspect(
    history_url: str, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that restarts breaks all of them just after they worked: one error, not one each."""
    monkeypatch.setattr("retinue_history.db.connections._SURELY_ALIVE_SECONDS", 1000.0)
    pool = ConnectionPool(history_url, application_name="doomed", max_size=3)
    history = History(pool)
    with pool.connection(), pool.connection(), pool.connection():
        pass
    with psycopg.connect(history_url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'doomed'"
        )
    with pytest.raises(HistoryUnavailableError):
        history.record([image()])
    for number in range(5):
        history.record([image(f"{number}.jpg")])
    pool.close()


@pytest.fixture
def hang(history_url: str) -> Iterator[Callable[[psycopg.Connection[Any]], None]]:
    """Stops the server's process of a connection, as if it hung. Its system goes on."""
    stopped = []

    def stop(connection: psycopg.Connection[Any]) -> None:
        stopped.append(connection.info.backend_pid)
        os.kill(stopped[-1], signal.SIGSTOP)

    yield stop
    for process_id in stopped:
        os.kill(process_id, signal.SIGCONT)


def test_a_server_that_hangs(
    history_url: str,
    hang: Callable[[psycopg.Connection[Any]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of a statement, and while the connections lie idle."""
    monkeypatch.setattr("retinue_history.db.connections._SURELY_ALIVE_SECONDS", 0.0)
    monkeypatch.setattr("retinue_history.db.connections.CONNECT_SECONDS", 2.0)
    pool = ConnectionPool(history_url, max_size=3, answer_timeout_seconds=0.2)

    def ask() -> None:
        with pool.transaction() as connection:
            hang(connection)
            connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError, match="doesn't answer"):
        ask()
    with pool.connection() as one, pool.connection() as other:
        pass
    hang(one)
    hang(other)
    with pool.connection() as connection:  # the first test condemns them all
        assert connection.execute("SELECT 1").fetchone() == (1,)
    pool.close()


def test_a_session_that_is_ended_while_it_records(
    history_url: str, worker_pool: ConnectionPool, image: Make, run: Make
) -> None:
    history = History(worker_pool)
    history.record([image("other")])
    with (
        psycopg.connect(history_url, autocommit=True) as admin,
        psycopg.connect(history_url) as blocker,
        ThreadPoolExecutor(1) as pool,
    ):
        blocker.execute("LOCK TABLE runs IN EXCLUSIVE MODE")
        recording = pool.submit(history.record, [image()], [run(image())])
        stop = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'the worker' AND wait_event_type = 'Lock'"
        )
        while not admin.execute(stop).fetchall():
            pass
        with pytest.raises(HistoryUnavailableError, match="terminating connection"):
            recording.result()
        blocker.rollback()
        assert len(history.record([image()], [run(image())])) == 1


def test_a_statement_that_takes_too_long(history_url: str, image: Make) -> None:
    pool = ConnectionPool(history_url, statement_timeout_seconds=0.1)
    with psycopg.connect(history_url) as blocker:
        blocker.execute("LOCK TABLE images IN EXCLUSIVE MODE")
        with pytest.raises(HistoryUnavailableError, match="statement timeout"):
            History(pool).record([image()])
    pool.close()


def test_a_deadlock_is_tried_again(
    history_url: str, history: History, image: Make, run: Make
) -> None:
    history.record([image()])
    with psycopg.connect(history_url) as stranger, ThreadPoolExecutor(1) as pool:
        # A stranger takes the locks in the other order; the server ends one of the two.
        stranger.execute("SET deadlock_timeout = '1h'")
        stranger.execute("LOCK TABLE runs IN EXCLUSIVE MODE")
        recording = pool.submit(history.record, [image(etag="e")], [run(image())])
        with psycopg.connect(history_url, autocommit=True) as admin:
            waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'runs'::regclass"
            while not admin.execute(waiting).fetchall():
                pass
        stranger.execute("UPDATE images SET size_bytes = 1")
        stranger.commit()
        assert len(recording.result()) == 1


def test_a_right_that_is_missing_or_a_table(
    history_url: str, worker_pool: ConnectionPool, image: Make
) -> None:
    history = History(worker_pool)
    with psycopg.connect(history_url, autocommit=True) as admin:
        admin.execute("REVOKE INSERT ON images FROM retinue_writer")
        with pytest.raises(HistoryUnavailableError, match="retinue_writer"):
            history.record([image()])
        admin.execute("ALTER TABLE images RENAME TO pictures")
        with pytest.raises(HistorySchemaError, match="retinue migrate"):
            history.record([image()])


@pytest.mark.parametrize("in_one_statement", [True, False])
def test_a_server_that_became_read_only_is_left(
    pool: ConnectionPool, image: Make, in_one_statement: bool
) -> None:
    """As after a failover, when the old writer goes on as a reader and its name leads elsewhere."""
    history = History(pool)

    def write() -> None:
        if in_one_statement:
            history.record([image()])
        else:
            history.renew_leases("w", 5.0, {}, ["quota"])

    write()
    with pool.connection() as connection:  # the only one
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    with pytest.raises(HistoryUnavailableError, match="read-only"):
        write()
    write()


def test_idle_connections_to_a_server_that_became_read_only_are_replaced(
    history_url: str, image: Make
) -> None:
    """They still answer."""
    read_only = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    with closing(ConnectionPool(history_url, max_size=3)) as pool:
        with pool.connection() as one, pool.connection() as two, pool.connection() as three:
            for connection in (one, two, three):
                connection.execute(read_only)
        with pytest.raises(HistoryUnavailableError, match="read-only"):
            History(pool).record([image()])
        History(pool).record([image()])


def test_an_engine_leaves_a_server_that_became_read_only(history_url: str) -> None:
    engine = create_history_engine(history_url, pool_size=1)
    erasures = Erasures(engine)
    with engine.connect() as connection:
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        connection.commit()
    with pytest.raises(HistoryUnavailableError, match="read-only"):
        erasures.add(1, face_vectors=1)
    erasures.add(1, face_vectors=1)
    engine.dispose()


_ABOUT_VALUES = {
    "20": "case not found",
    "21": "cardinality",
    "22": "data",
    "23": "integrity",
    "27": "triggered data change",
    "44": "check option",
    "54": "program limit",
    "P0": "raised by PL/pgSQL",
}
_STATES = sorted(
    state
    for state in {*_sqlcodes, "57P05", "58P03", "55P04", "ZZ000"}
    if state[:2] not in {"00", "01", "02"}  # no errors
    and state not in {"40001", "40P01"}  # tried again by the history itself
)


def test_only_an_error_about_values_blames_the_records(
    history_url: str, history: History, image: Make
) -> None:
    """Every SQLSTATE that psycopg knows, and one that nobody does, from the server itself."""
    with psycopg.connect(history_url) as connection:
        connection.execute("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = NEW.key; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON images FOR EACH ROW EXECUTE FUNCTION refuse()
        """)
    blamed = set()
    for state in _STATES:
        try:
            history.record([image(state)])
        except HistoryDataError:
            blamed.add(state)
        except HistoryUnavailableError:
            pass
    assert len(_STATES) > 200
    assert blamed == {state for state in _STATES if state[:2] in _ABOUT_VALUES}


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_a_shortage_is_not_the_records_fault(
    history: History, image: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    with pytest.raises(HistoryUnavailableError, match=type(error).__name__):
        history.record([image()])


def test_a_lone_surrogate_is_the_records_fault(engine: Engine) -> None:
    with pytest.raises(HistoryDataError, match="lone surrogate"):
        People(engine).of_collection("eu-west-1", "\ud800")


def test_a_password_is_asked_for_at_each_connection(history_url: str) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append("asked")
        return "secret"

    pool = ConnectionPool(history_url, password=ask)
    for _ in range(2):
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        pool.close()
    assert asked == ["asked"] * 2
