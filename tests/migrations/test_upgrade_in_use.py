"""Upgrading a history that has rows and is written to: nothing is lost, nobody waits for long."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory
from fakes.history_0001 import History0001
from retinue_history import (
    DetectionRecord,
    History,
    ImageRecord,
    create_history_engine,
    current_revision,
    downgrade,
    head_revision,
    upgrade,
)
from retinue_history.schema import online_ddl
from retinue_history.schema.migrate import alembic_config
from sqlalchemy import Engine, event

Make = Callable[..., Any]

RELEASED = ["0001"]
"""Every revision that a database in use may be at."""

BETWEEN = [
    script.revision
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    if script.revision not in RELEASED
]

FOUND = (
    DetectionRecord("label", "Cat", 0.9, (0.1, 0.1, 0.2, 0.2), {"parents": ["Animal"]}),
    DetectionRecord("text", "no parking", 0.8),
)


@contextmanager
def opened(url: str) -> Any:
    engine = create_history_engine(url, application_name="test")
    try:
        yield engine
    finally:
        engine.dispose()


def fill(url: str, image: Make, run: Make, count: int) -> None:
    with opened(url) as engine:
        images = [image(f"old/{n}") for n in range(count)]
        runs = [
            run(each, detections=FOUND, started_at=each.uploaded_at + timedelta(days=n % 90))
            for n, each in enumerate(images)
        ]
        History0001(engine).record(images, runs)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def check_counts(url: str, images: int) -> None:
    assert rows(url, "SELECT count(*), count(DISTINCT detection_id) FROM detection_history") == [
        (2 * images, 2 * images)
    ]
    assert rows(
        url, "SELECT label, sum(detections) FROM label_counts_daily GROUP BY 1 ORDER BY 1"
    ) == [
        ("", images),
        ("Cat", images),
    ]
    assert rows(url, "SELECT * FROM label_counts_backlog") == []
    assert rows(url, "SELECT label_is('animal')") == [(["Cat", "animal"],)]


@pytest.mark.parametrize("released", RELEASED)
@pytest.mark.parametrize("server", ["embedded", "15"])
def test_rows_come_along(
    request: pytest.FixtureRequest, image: Make, run: Make, released: str, server: str
) -> None:
    if server == "embedded":
        url = request.getfixturevalue("empty_database_url")
    else:
        url = request.getfixturevalue("postgres_15")
    upgrade(url, released)
    fill(url, image, run, 200)
    before = rows(url, "SELECT * FROM detections ORDER BY detection_id")
    file = rows(url, "SELECT pg_relation_filenode('detections')")
    upgrade(url)
    assert rows(url, "SELECT * FROM detections ORDER BY detection_id") == before
    # The very same file: nothing was copied.
    assert rows(url, "SELECT pg_relation_filenode('detections_before')") == file
    check_counts(url, 200)
    fill(url, lambda key: image(key.replace("old", "new")), run, 50)
    check_counts(url, 250)
    downgrade(url, released)
    assert rows(url, "SELECT count(*) FROM detections") == [(500,)]
    fill(url, lambda key: image(key.replace("old", "newer")), run, 5)
    upgrade(url)
    check_counts(url, 255)
    downgrade(url, "base")


@pytest.mark.parametrize("revision", BETWEEN)
def test_rows_come_along_from_any_revision(
    empty_database_url: str, image: Make, run: Make, revision: str
) -> None:
    """Whoever follows the main branch is at a revision that was never released."""
    upgrade(empty_database_url, revision)
    fill(empty_database_url, image, run, 20)
    upgrade(empty_database_url)
    check_counts(empty_database_url, 20)
    fill(empty_database_url, lambda key: image(key.replace("old", "new")), run, 5)
    check_counts(empty_database_url, 25)


def test_a_writer_goes_on_and_loses_nothing(
    empty_database_url: str, image: Make, run: Make
) -> None:
    url = empty_database_url
    upgrade(url, "0001")
    fill(url, image, run, 300)
    upgraded = Event()

    def write(worker: int) -> int:
        """Commit image after image; no statement may wait for a lock for more than five seconds."""
        with opened(url) as engine:
            impatient(engine)
            history = History0001(engine)
            written = 0
            while not upgraded.is_set() or written < 20:
                seen = image(f"{worker}/{written}")
                history.record([seen], [run(seen, detections=FOUND)])
                written += 1
        return written

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, worker) for worker in range(2)]
        try:
            upgrade(url)
        finally:
            upgraded.set()
        written = sum(writer.result() for writer in writers)
    check_counts(url, 300 + written)


def test_a_reader_that_does_not_end_is_waited_for_with_patience(
    empty_database_url: str, image: Make, run: Make
) -> None:
    """While the upgrade cannot have its lock, writers go on: it does not queue before them."""
    url = empty_database_url
    upgrade(url, "0001")
    fill(url, image, run, 3)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as reader:
        reader.execute("SELECT * FROM detection_history")
        upgrading = pool.submit(upgrade, url)
        with opened(url) as engine:
            impatient(engine)
            for number in range(20):
                seen: ImageRecord = image(f"meanwhile/{number}")
                History0001(engine).record([seen], [run(seen, detections=FOUND)])
        assert not upgrading.done()
        reader.rollback()
        upgrading.result()
    check_counts(url, 23)


def test_an_interrupted_upgrade_goes_on_where_it_stopped(
    empty_database_url: str, image: Make, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    upgrade(url, "0001")
    fill(url, image, run, 10)
    read = Path.read_text

    def stumble(path: Path, *given: Any, **named: Any) -> str:
        if path.name == stumble_at:
            raise KeyboardInterrupt
        return read(path, *given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", stumble)
        for stumble_at in ("r0002_partitions.sql", "r0002_backlog.sql"):
            with pytest.raises(KeyboardInterrupt):
                upgrade(url)
            assert current_revision(url) == "0001"
            fill(url, functools.partial(image, version=stumble_at), run, 10)
        # Deleted while not counted yet: neither counted nor taken away.
        with psycopg.connect(url) as connection:
            connection.execute(
                "DELETE FROM runs WHERE image_id IN (SELECT image_id FROM images"
                " WHERE version = 'v1')"
            )
    upgrade(url)
    assert current_revision(url) == head_revision()
    check_counts(url, 20)


def test_later_revisions_go_on_where_they_stopped(
    empty_database_url: str, image: Make, run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an index on the partitions, checks that are not validated, files that are not read."""
    url = empty_database_url
    upgrade(url, "0001")
    fill(url, image, run, 10)
    upgrade(url, "0003")
    real, read = online_ddl.patiently, Path.read_text

    def not_the_second(statements: str) -> None:
        if "ATTACH PARTITION" in statements:
            attached.append(statements)
            if len(attached) > 1:
                raise KeyboardInterrupt
        real(statements)

    def stumble(path: Path, *given: Any, **named: Any) -> str:
        if path.name == unreadable[-1]:
            raise KeyboardInterrupt
        return read(path, *given, **named)

    attached: list[str] = []
    unreadable: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(online_ddl, "patiently", not_the_second)
        with pytest.raises(KeyboardInterrupt):
            upgrade(url)
    assert (current_revision(url), len(attached)) == ("0003", 2)
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert rows(url, invalid) == [(1,)]  # the whole table's, until its last partition has one
    fill(url, functools.partial(image, version="v2"), run, 10)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", stumble)
        for name, at in (("r0005_validate.sql", "0004"), ("r0006_up.sql", "0005")):
            unreadable.append(name)
            with pytest.raises(KeyboardInterrupt):
                upgrade(url)
            assert current_revision(url) == at
    upgrade(url)
    check_counts(url, 20)
    assert rows(url, invalid) == [(0,)]
    assert rows(url, "SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == [(0,)]


def test_the_previous_release_writes_and_reads_rightly(
    history_url: str, image: Make, run: Make
) -> None:
    fill(history_url, image, run, 20)
    fill(history_url, image, run, 20)
    check_counts(history_url, 20)
    seen = image("old/0")
    with opened(history_url) as engine:
        key = run(seen).key
        assert History(engine).settled([(key, "another event")]) == {key}


def impatient(engine: Engine) -> None:
    """Make each statement on the engine fail that waits for a lock for more than five seconds.

    The upgrade gives up after one, so this leaves room for a slow machine.
    """

    @event.listens_for(engine, "connect")
    def _set(connection: Any, record: object) -> None:
        connection.execute("SET lock_timeout = '5s'")
        connection.commit()
