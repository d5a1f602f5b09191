"""Analysts ask one question at a time, and change nothing."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from retinue_history import History, HistoryUnavailableError, QueryError, run_query
from sqlalchemy import Engine, text

Make = Callable[..., Any]


@pytest.fixture
def reader_url(history_url: str, as_user: Callable[[str, str], str]) -> str:
    """A fresh, migrated database for an analyst."""
    return as_user(history_url, "retinue_reader")


def test_rows_up_to_the_limit(reader_url: str) -> None:
    numbers = "SELECT n, '50%' AS text FROM generate_series(1, 3) AS n"
    whole = run_query(reader_url, numbers, row_limit=3)
    assert whole.columns == ("n", "text")
    assert whole.rows == [(1, "50%"), (2, "50%"), (3, "50%")]
    assert not whole.truncated
    part = run_query(reader_url, numbers, row_limit=2)
    assert part.rows == whole.rows[:2]
    assert part.truncated
    endless = run_query(reader_url, "SELECT generate_series(1, 1000000000)", row_limit=1)
    assert endless.truncated


def test_an_empty_answer_has_columns(reader_url: str) -> None:
    empty = run_query(reader_url, "SELECT label, confidence FROM latest_detections")
    assert (empty.columns, empty.rows, empty.truncated) == (("label", "confidence"), [], False)


@pytest.mark.parametrize(
    "statement", ["EXPLAIN SELECT 1", "SHOW statement_timeout", "TABLE run_costs", "VALUES (1);"]
)
def test_other_statements_that_answer(reader_url: str, statement: str) -> None:
    assert run_query(reader_url, statement).columns


def test_a_reader_sees_views_and_tables(
    reader_url: str, history: History, image: Make, run: Make
) -> None:
    history.record([image()], [run(image())])
    for relation in ("images", "runs", "detections", "removals", "alembic_version"):
        run_query(reader_url, f"SELECT * FROM {relation}")
    for view in ("detection_history", "latest_detections", "failed_runs", "run_costs"):
        run_query(reader_url, f"SELECT * FROM {view}")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM images RETURNING *",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY images TO STDOUT",
        "CREATE TABLE t AS SELECT 1",
        "SET ROLE retinue_writer",
        "SELECT 1; SELECT 2",
        "COMMIT; DELETE FROM images",
        "",
        "nonsense",
        "SELECT '\ud800'",
        "SELECT '\0'",
    ],
)
def test_what_a_reader_may_not(
    reader_url: str, engine: Engine, history: History, image: Make, statement: str
) -> None:
    history.record([image()])
    with pytest.raises(QueryError):
        run_query(reader_url, statement)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM images")) == 1


def test_a_reader_lacks_the_right_even_outside_run_query(
    reader_url: str, history: History, image: Make
) -> None:
    history.record([image()])
    with psycopg.connect(reader_url) as connection:
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("30s",)
        connection.rollback()
        connection.read_only = False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM images")


def test_even_a_superuser_writes_nothing(
    history_url: str, engine: Engine, history: History, image: Make
) -> None:
    history.record([image()])
    with pytest.raises(QueryError, match="read-only transaction"):
        run_query(history_url, "DELETE FROM images RETURNING *")
    with pytest.raises(QueryError, match="multiple commands"):
        run_query(history_url, "COMMIT; DELETE FROM images")
    with pytest.raises(QueryError, match="before any query"):
        run_query(history_url, "SELECT set_config('transaction_read_only', 'off', false)")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM images")) == 1


def test_an_error_shows_where_and_what_might_help(reader_url: str) -> None:
    with pytest.raises(QueryError) as refusal:
        run_query(reader_url, "SELECT label,\n       confidense\nFROM latest_detections")
    assert str(refusal.value).splitlines() == [
        'column "confidense" does not exist',
        "  line 2:        confidense",
        "                 ^",
        'Hint: Perhaps you meant to reference the column "latest_detections.confidence".',
    ]


def test_a_query_that_takes_too_long(reader_url: str) -> None:
    with pytest.raises(QueryError, match="statement timeout"):
        run_query(reader_url, "SELECT pg_sleep(60)", timeout_seconds=0.1)


def test_an_unreachable_database() -> None:
    with pytest.raises(HistoryUnavailableError):
        run_query("postgresql://u@/d?host=/nonexistent", "SELECT 1")
