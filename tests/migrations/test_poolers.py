"""A pooler between Retinue and the database: nothing may depend on a session."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from decimal import Decimal
from threading import Event
from typing import Any

import psycopg
import pytest
from fakes.poolers import PGBOUNCER, pgbouncer, rotating_pooler
from fakes.programs import skip_without
from retinue_history import (
    ConfigurationRecord,
    ConnectionPool,
    History,
    HistorySetupError,
    HistoryUnavailableError,
    ModelSessions,
    QuotaLease,
    QuotaState,
    check_schema,
    month_of,
)
from retinue_history.analysis.activity import ActivityReader
from retinue_history.analysis.existing_runs import ExistingRuns
from retinue_history.analysis.query import run_query
from retinue_history.db.engine import create_history_engine, without_statement_limit
from retinue_history.db.snapshot import snapshot
from retinue_history.privacy import image_erasure
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject
from retinue_history.schema import migrate
from retinue_history.schema.migrate import upgrade
from retinue_history.schema.version import head_revision
from retinue_history.upkeep.maintenance import Retention, maintain
from sqlalchemy import Engine, text

Make = Callable[..., Any]
Pooler = Callable[[str], AbstractContextManager[str]]

POOLERS: dict[str, Pooler] = {
    "fake": rotating_pooler,
    "pgbouncer-transaction": lambda url: pgbouncer(url, "transaction", "retinue_reader"),
    "pgbouncer-session": lambda url: pgbouncer(url, "session", "retinue_reader"),
}


@pytest.fixture(params=POOLERS)
def pooler(request: pytest.FixtureRequest) -> Pooler:
    """Return a pooler that a history works through."""
    if request.param != "fake":
        skip_without(PGBOUNCER)
    return POOLERS[request.param]


@pytest.fixture
def pooled_url(pooler: Pooler, history_url: str) -> Iterator[str]:
    """Yield the URL of a migrated database through a pooler, as its superuser."""
    with pooler(history_url) as url:
        yield url


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[ConnectionPool]:
    """Yield a worker's connections to that database."""
    with closing(ConnectionPool(pooled_url)) as pool:
        yield pool


@pytest.fixture
def pooled_engine(pooled_url: str) -> Iterator[Engine]:
    """Yield an engine on that database."""
    engine = create_history_engine(pooled_url)
    yield engine
    engine.dispose()


def test_migrating_by_several_at_once(pooler: Pooler, empty_database_url: str) -> None:
    with pooler(empty_database_url) as url:
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(upgrade, url) for _ in range(3)]:
                done.result()
        check_schema(url)
    with psycopg.connect(empty_database_url) as direct:
        assert direct.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (head_revision(),)
        ]


def test_waiting_for_another_migration_ends(pooled_url: str, history_url: str) -> None:
    refusal = "another process has been migrating"
    with psycopg.connect(history_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [migrate._LOCK])
        with pytest.raises(HistoryUnavailableError, match=refusal):
            upgrade(pooled_url, lock_timeout_seconds=0.1)
    upgrade(pooled_url, lock_timeout_seconds=0.1)


def test_recording_more_often_than_psycopg_waits_to_prepare(
    pooled: ConnectionPool, image: Make, run: Make
) -> None:
    history = History(pooled)
    for number in range(12):
        photo = image(f"{number}.jpg")
        task = (run(photo).key, "event 1")
        assert history.done_and_erased([task], [photo]) == (set(), set())
        assert list(history.record([photo], [run(photo)])) == [task]
        assert history.done_and_erased([task], []) == ({task[0]}, set())
        assert history.summaries([task[0]]) == {task[0]: []}


def test_threads_share_the_connections(pooled: ConnectionPool, image: Make, run: Make) -> None:
    history = History(pooled)

    def record(number: int) -> int:
        photo = image(f"{number}.jpg")
        return len(history.record([photo], [run(photo)]))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(record, range(60))) == 60


def test_what_takes_several_statements(pooled: ConnectionPool, run: Make, image: Make) -> None:
    history, sessions = History(pooled), ModelSessions(pooled)
    state = QuotaState(None, 0.0, 0, 1.0, 0.0)
    for _ in range(7):
        history.renew_leases(
            "w", 5.0, {"q": lambda *_: (state, QuotaLease(1.0, 1.0, 0.0, "w"))}, ["r"]
        )
        history.month_totals(month_of(run(image()).started_at), ["labels"], ["group"])
        history.record_configurations([ConfigurationRecord("labels", "1", "f", "{}")])
        lease = sessions.acquire_lease("m", detector="d", options={}, holder="h", lease_seconds=9)
        assert lease.holder == "h"
    assert sessions.begin_session(
        "m", lease.token, units=1, usd_per_unit_minute=Decimal(1), reason="images wait"
    )


def test_reading(
    pooled_url: str,
    pooled: ConnectionPool,
    image: Make,
    run: Make,
    as_user: Callable[[str, str], str],
) -> None:
    photos = [image(f"{number}.jpg") for number in range(3)]
    History(pooled).record(photos, [run(photo) for photo in photos])
    reader = as_user(pooled_url, "retinue_reader")
    activity, existing = ActivityReader(reader), ExistingRuns(reader)
    for _ in range(7):
        assert run_query(reader, "SELECT count(*) FROM runs").rows == [(3,)]
        assert [detector.runs for detector in activity.last(60.0)] == [3]
        ids = {photo.image_id for photo in photos}
        assert existing.among([*ids]) == ids
    activity.close()
    existing.close()
    with snapshot(reader) as history:
        query = psycopg.sql.SQL("SELECT key FROM images ORDER BY key")
        assert [key for (key,) in history.rows(query)] == ["0.jpg", "1.jpg", "2.jpg"]
        assert b"".join(history.copy(query, psycopg.sql.SQL("FORMAT csv"))).count(b"\n") == 3


def test_maintaining(pooled_engine: Engine, history_url: str) -> None:
    told: list[str] = []
    for _ in range(2):  # the lock is free again
        maintain(pooled_engine, Retention(detections_months=1), tell=told.append)
    entered, leave = Event(), Event()

    def tell(_: str) -> None:
        entered.set()
        assert leave.wait(20)

    with psycopg.connect(history_url) as direct:
        direct.execute("UPDATE images SET deleted_at = NULL")
        direct.execute("DROP TABLE IF EXISTS detections_2099_01")
        [(last,)] = direct.execute(
            "SELECT partition FROM detections_partitions() ORDER BY starts DESC LIMIT 1"
        ).fetchall()
        direct.execute(psycopg.sql.SQL("DROP TABLE {}").format(psycopg.sql.Identifier(last)))
    with ThreadPoolExecutor(1) as pool:
        maintaining = pool.submit(maintain, pooled_engine, Retention(), tell=tell)
        assert entered.wait(20)
        try:
            with pytest.raises(HistoryUnavailableError, match="another process is maintaining"):
                maintain(pooled_engine, Retention(), tell=told.append)
        finally:
            leave.set()
        maintaining.result()


def test_erasing_in_several_batches(
    pooled: ConnectionPool,
    pooled_engine: Engine,
    image: Make,
    run: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_erasure, "BATCH_IMAGES", 2)
    photos = [image(f"ann/{number}.jpg") for number in range(5)]
    History(pooled).record([*photos, image("b.jpg")], [run(photo) for photo in photos])
    erasures, subject = ImageErasures(pooled_engine), ImageSubject.prefix("s3://photos/ann/")
    erasure_id, until = erasures.open(subject)
    erasures.wait_for_writers()
    removed = list(erasures.erase(erasure_id, subject, until))
    assert [batch["images"] for batch in removed if "images" in batch] == [2, 2, 1]
    assert erasures.count(subject).is_empty
    erasures.close(erasure_id)


def test_each_transaction_has_its_own_time_limit(
    pooled: ConnectionPool, pooled_engine: Engine
) -> None:
    asked = "SHOW statement_timeout"
    unlimited = without_statement_limit(pooled_engine)
    for _ in range(5):
        for engine, limit in ((pooled_engine, "30s"), (unlimited, "0")):
            with engine.begin() as connection:
                assert connection.scalar(text(asked)) == limit
        with pooled.transaction() as connection:
            assert connection.execute(asked).fetchone() == ("30s",)


def test_no_lock_outlives_its_transaction(
    pooled_url: str,
    pooled: ConnectionPool,
    pooled_engine: Engine,
    history_url: str,
    image: Make,
) -> None:
    upgrade(pooled_url)
    maintain(pooled_engine, Retention(), tell=lambda _: None)
    History(pooled).record([image()])
    held = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with psycopg.connect(history_url) as direct:
        assert direct.execute(held).fetchone() == (0,)


def test_the_encoding_is_ours_whatever_the_environment_says(
    pooled_url: str, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with closing(ConnectionPool(pooled_url)) as pool:
        for number in range(4):
            History(pool).record([image(f"猫{number}.jpg")])
    with snapshot(pooled_url) as history:
        [(keys,)] = list(history.rows(psycopg.sql.SQL("SELECT array_agg(key) FROM images")))
    assert sorted(keys) == [f"猫{number}.jpg" for number in range(4)]


def test_a_pooler_that_breaks_transactions_up_is_refused(history_url: str) -> None:
    skip_without(PGBOUNCER)
    with pgbouncer(history_url, "statement") as url:
        for use in (check_schema, upgrade):
            with pytest.raises(
                HistorySetupError, match="set its pool mode to transaction or session"
            ):
                use(url)


def test_a_parameter_that_the_pooler_refuses_is_named(pooled_url: str) -> None:
    with pytest.raises(HistorySetupError, match=r"parameter: options.*remove it from the URL"):
        check_schema(f"{pooled_url}?options=-c%20geqo%3Don")
