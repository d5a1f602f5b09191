"""A revision after the baseline loses nothing, blocks no writer for long, and can be resumed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from fakes.poolers import rotating_pooler
from psycopg import sql
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    HistorySchemaError,
    check_schema,
)
from retinue_history.schema import online_ddl, version
from retinue_history.schema.migrate import upgrade
from retinue_history.schema.version import current_revision
from retinue_sdk.json_value import encode_json

Make = Callable[..., Any]

FOUND = (
    DetectionRecord(
        "label", "Cat", 0.9, (0.1, 0.1, 0.2, 0.2), encode_json({"parents": ["Animal"]})
    ),
)
INVALID_INDEXES = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


@pytest.fixture(autouse=True)
def a_later_revision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the example the newest revision that this code knows."""
    folder = Path(__file__).parent / "later_revision"
    monkeypatch.setattr(version, "REVISIONS", [*version.REVISIONS, folder])
    monkeypatch.setattr("retinue_history.schema.migrate.REVISIONS", version.REVISIONS)
    version.known_revisions.cache_clear()
    yield
    version.known_revisions.cache_clear()


@contextmanager
def impatient(url: str) -> Iterator[History]:
    """Yield a history whose statements fail if they wait for a lock for more than five seconds.

    A step of a revision gives up after one, so this leaves room for a slow machine.
    """
    url += "&options=-c%20lock_timeout%3D5s"
    pool = ConnectionPool(url, application_name="test")
    try:
        yield History(pool)
    finally:
        pool.close()


def fill(url: str, image: Make, run: Make, folder: str, count: int) -> None:
    with impatient(url) as history:
        images = [image(f"{folder}/{n}") for n in range(count)]
        history.record(images, [run(each, detections=FOUND) for each in images])


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def check_counts(url: str, images: int) -> None:
    assert current_revision(url) == "0002"
    assert rows(url, "SELECT count(*), count(reviewed) FROM detections") == [(images, 0)]
    assert rows(url, "SELECT sum(detections) FROM label_counts_daily") == [(images,)]
    assert rows(url, INVALID_INDEXES) == [(0,)]


def test_a_writer_goes_on_and_loses_nothing(history_url: str, image: Make, run: Make) -> None:
    fill(history_url, image, run, "before", 300)
    with pytest.raises(HistorySchemaError, match="at revision 0001, this code needs 0002"):
        check_schema(history_url)
    upgraded = Event()

    def write(worker: int) -> int:
        with impatient(history_url) as history:
            written = 0
            while not upgraded.is_set() or written < 20:
                seen = image(f"{worker}/{written}")
                history.record([seen], [run(seen, detections=FOUND)])
                written += 1
        return written

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, worker) for worker in range(2)]
        try:
            upgrade(history_url)
        finally:
            upgraded.set()
        written = sum(writer.result() for writer in writers)
    check_counts(history_url, 300 + written)
    check_schema(history_url)


def test_writers_go_on_while_a_long_reader_holds_the_lock(
    history_url: str, image: Make, run: Make
) -> None:
    with ThreadPoolExecutor(1) as pool, psycopg.connect(history_url) as reader:
        reader.execute("SELECT * FROM detection_history")
        upgrading = pool.submit(upgrade, history_url)
        for number in range(20):
            fill(history_url, image, run, f"{number}", 1)
        assert not upgrading.done()
        reader.rollback()
        upgrading.result()
    check_counts(history_url, 20)


def test_an_interrupted_revision_is_resumed(
    history_url: str, image: Make, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(history_url, image, run, "before", 10)
    real = online_ddl.with_lock_retry
    attached: list[str] = []

    def interrupt_at_the_second_partition(statements: str) -> None:
        if "ATTACH PARTITION" in statements:
            attached.append(statements)
            if len(attached) > 1:
                raise KeyboardInterrupt
        real(statements)

    with monkeypatch.context() as patched:
        patched.setattr(online_ddl, "with_lock_retry", interrupt_at_the_second_partition)
        with pytest.raises(KeyboardInterrupt):
            upgrade(history_url)
    assert (current_revision(history_url), len(attached)) == ("0001", 2)
    assert rows(history_url, INVALID_INDEXES) == [(1,)]  # the whole table's
    fill(history_url, image, run, "between", 10)
    upgrade(history_url)
    check_counts(history_url, 20)


def test_the_lock_holds_no_snapshot_that_an_index_would_wait_for(
    history_url: str, image: Make, run: Make
) -> None:
    fill(history_url, image, run, "before", 10)
    with psycopg.connect(history_url) as connection:
        setting = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'")
        connection.execute(setting.format(sql.Identifier(connection.info.dbname)))
    upgrade(history_url)
    check_counts(history_url, 10)


def test_a_revision_of_many_transactions_behind_a_pooler(
    history_url: str, image: Make, run: Make
) -> None:
    fill(history_url, image, run, "before", 10)
    with rotating_pooler(history_url) as url:
        upgrade(url)
    check_counts(history_url, 10)
