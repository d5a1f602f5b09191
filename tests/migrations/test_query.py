"""Analysts ask one question at a time, and change nothing."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from retinue_history import (
    ConnectionPool,
    History,
    HistoryUnavailableError,
    QueryError,
    RemovedObject,
)
from retinue_history.analysis.query import check_reader, run_query
from retinue_history.db.engine import create_history_engine
from retinue_history.privacy.write_barrier import exclude_writers
from retinue_history.schema.migrate import upgrade
from sqlalchemy import Engine, make_url, text

Make = Callable[..., Any]


@pytest.fixture
def reader_url(history_url: str, as_user: Callable[[str, str], str]) -> str:
    """Return a fresh, migrated database for an analyst."""
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


ATTACKS = [
    "DELETE FROM images RETURNING *",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY images TO STDOUT",
    "CREATE TABLE t AS SELECT 1",
    "SET ROLE retinue_writer",
    "SET ROLE NONE",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT set_config('role', 'retinue_writer', false)",
    "SELECT set_config('role', 'postgres', true), ts_stat('SELECT to_tsvector(current_user)')",
    "SELECT set_config('session_authorization', 'postgres', false)",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('PG_VERSION')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT dblink_connect('')",
    "SELECT dblink_exec('', 'DELETE FROM images')",
    "CREATE EXTENSION dblink",
    "CREATE TEMP TABLE t (n int)",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
    "COPY images FROM PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "LOAD 'auto_explain'",
    "SELECT * FROM pg_authid",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "SELECT nextval('runs_run_id_seq')",
    "SELECT setval('runs_run_id_seq', 1)",
    "SELECT query_to_xml('DELETE FROM images', true, true, '')",
    "SELECT ts_stat('DELETE FROM images RETURNING to_tsvector(key)')",
    "WITH gone AS (DELETE FROM images RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE DELETE FROM images",
    "SELECT * FROM images FOR UPDATE",
    "SELECT pg_notify('x', 'y') FROM (DELETE FROM images RETURNING *) AS gone",
    "DO $$ BEGIN COMMIT; END $$",
    "DO $$ BEGIN PERFORM pg_sleep(9); EXCEPTION WHEN query_canceled THEN NULL; END $$",
    "SET statement_timeout = 0",
    "LOCK TABLE images",
    "LISTEN x",
    "COMMIT",
    "VACUUM",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR FOR SELECT 1",
    "SELECT 1; SELECT 2",
    "COMMIT; DELETE FROM images",
    "",
    "nonsense",
    "SELECT '\ud800'",
    "SELECT '\0'",
    "RESET ROLE",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('session_replication_role', 'replica', false)",
    "SELECT set_config('temp_file_limit', '-1', false)",
    "SELECT set_config('log_statement', 'all', false)",
    "SELECT current_setting('data_directory')",
    "SELECT pg_advisory_lock(1380275273, 0)",
    "SELECT pg_try_advisory_xact_lock(5928237158326682882)",
    "SELECT lo_create(0)",
    "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_stat_reset()",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_waldir()",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_statistic",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM people",
    "SELECT * FROM faces",
    "SELECT * FROM erasure_salt",
    "SELECT * FROM erased_names",
    "SELECT * FROM erased_images",
    "SELECT erasure_digest('key:cat.jpg')",
    "SELECT add_detections_months(1)",
    "SELECT update_deleted_at('{}', '{}', '{}')",
    "SELECT find_erased_images('{}', '{}', '{}', '{}')",
    "NOTIFY x",
    "ALTER ROLE retinue_reader SET statement_timeout = 0",
    "ALTER ROLE retinue_reader PASSWORD 'x'",
    "GRANT retinue_writer TO retinue_reader",
    "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
    "SELECT * INTO TEMP t FROM images",
    "MERGE INTO images USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE RETURNING 1",
    "CALL nothing()",
    "EXECUTE p",
    "FETCH ALL FROM c",
]
"""To write, to read files, to become somebody else, to see what is secret, to go on for ever."""

BY_HAND = [
    "CREATE TEMP TABLE t (n int)",
    "CREATE TABLE t (n int)",
    "CREATE SCHEMA s",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_creat(-1)",
    "SELECT lo_open(1, 131072)",
    "SELECT pg_logical_emit_message(false, 'x', 'y')",
    "SELECT pg_advisory_lock(n) FROM generate_series(0, 9) AS n",
    "SELECT pg_advisory_xact_lock_shared(1)",
    "SELECT pg_try_advisory_lock(1, 2)",
    "LOCK TABLE images IN SHARE MODE",
    "SELECT * FROM images FOR SHARE",
    "DO $$ BEGIN DELETE FROM images; END $$",
    "TRUNCATE images CASCADE",
    "DROP VIEW latest_detections",
    "SET temp_file_limit = -1",
    "SET ROLE retinue_writer",
    "COPY images TO PROGRAM 'true'",
    "COMMENT ON TABLE images IS 'x'",
    "REINDEX TABLE images",
    "CHECKPOINT",
]
"""What is refused to who logs in without `retinue query`, and lifts whatever can be lifted."""


def test_what_a_reader_may_not(
    reader_url: str, engine: Engine, history: History, image: Make
) -> None:
    history.record([image()])
    for statement in ATTACKS:
        with pytest.raises(QueryError):
            pytest.fail(f"{statement}: {run_query(reader_url, statement, timeout_seconds=5)}")
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM images")) == 1, statement


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


@pytest.fixture
def by_hand(empty_database_url: str, as_user: Callable[[str, str], str]) -> str:
    """Return a database migrated in place, because a template's rights aren't copied."""
    upgrade(empty_database_url)
    return as_user(empty_database_url, "retinue_reader")


def test_a_reader_by_hand_can_neither_write_nor_starve_a_worker(by_hand: str) -> None:
    with psycopg.connect(by_hand, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("SET statement_timeout = 0")
        for statement in BY_HAND:
            with pytest.raises(psycopg.Error) as refusal, connection.transaction():
                pytest.fail(f"{statement}: {connection.execute(statement).statusmessage}")
            assert refusal.value.sqlstate == "42501", f"{statement}: {refusal.value}"


def test_a_disk_is_not_filled_by_sorting(by_hand: str) -> None:
    with psycopg.connect(by_hand) as connection:
        assert connection.execute("SHOW temp_file_limit").fetchone() == ("4GB",)


def test_others_queries_and_passwords_are_hidden(reader_url: str, history_url: str) -> None:
    with psycopg.connect(history_url) as other:
        other.execute("SELECT 'secret'")
        pid = other.info.backend_pid
        seen = run_query(reader_url, f"SELECT query FROM pg_stat_activity WHERE pid = {pid}").rows
    assert seen == [("<insufficient privilege>",)]
    shown = run_query(reader_url, "SELECT DISTINCT rolpassword FROM pg_roles").rows
    assert set(shown) <= {("********",), (None,)}


def test_no_function_lends_a_reader_its_owners_rights(reader_url: str) -> None:
    lent = """
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE prosecdef AND prorettype <> 'trigger'::regtype
            AND has_function_privilege(oid, 'EXECUTE')
    """
    assert run_query(reader_url, lent).rows == []


@pytest.mark.parametrize(
    ("rights", "power"),
    [
        ("SUPERUSER", "superuser"),
        ("CREATEROLE", "may create roles"),
        ("IN ROLE retinue_writer", "as retinue_writer it may write to"),
        ("IN ROLE retinue_reader, retinue_reviewer", "as retinue_reviewer it may run .*writes"),
        ("IN ROLE pg_read_server_files", "member of pg_read_server_files"),
        ("IN ROLE pg_execute_server_program", "member of pg_execute_server_program"),
        ("NOINHERIT IN ROLE pg_write_all_data", "member of pg_write_all_data"),
    ],
)
def test_who_could_do_more_than_read_may_ask_nothing(
    history_url: str, engine: Engine, as_user: Callable[[str, str], str], rights: str, power: str
) -> None:
    name = f"login_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN {rights}"))
    try:
        with pytest.raises(QueryError, match=power) as refusal:
            run_query(as_user(history_url, name), "SELECT 1")
        assert "RETINUE_QUERY_DATABASE_URL" in str(refusal.value)
        with pytest.raises(QueryError, match=power):
            check_reader(as_user(history_url, name))
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP ROLE {name}"))


def test_whoever_owns_the_tables_may_ask_nothing(history_url: str, engine: Engine) -> None:
    """The reason: an owner who has put on the reader's role takes it off within one statement."""
    escape = """
        SELECT set_config('role', 'none', true),
            ts_stat('SELECT to_tsvector(''simple'', current_user || '' '' || pg_ls_dir(''.''))')
    """
    with psycopg.connect(history_url, options="-c role=retinue_reader") as connection:
        connection.read_only = True
        assert connection.execute("SELECT current_user").fetchone() == ("retinue_reader",)
        assert "postgres" in str(connection.execute(escape).fetchall())
    with pytest.raises(QueryError, match="isn't read-only"):
        run_query(history_url, escape)


def test_members_of_the_reader_may_ask(
    history_url: str, engine: Engine, as_user: Callable[[str, str], str]
) -> None:
    name = f"analyst_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN IN ROLE retinue_reader, pg_monitor"))
    try:
        assert run_query(as_user(history_url, name), "SELECT count(*) FROM runs").rows == [(0,)]
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP ROLE {name}"))


def test_an_error_shows_where_and_what_might_help(reader_url: str) -> None:
    with pytest.raises(QueryError) as refusal:
        run_query(reader_url, "SELECT label,\n       confidense\nFROM latest_detections")
    assert str(refusal.value).splitlines() == [
        'column "confidense" does not exist',
        "  line 2:        confidense",
        "                 ^",
        'Hint: Perhaps you meant to reference the column "latest_detections.confidence".',
    ]


@pytest.mark.parametrize("condition", ["label = person", "label ilike person", "label in (person)"])
def test_a_text_without_quotes_is_explained(reader_url: str, condition: str) -> None:
    with pytest.raises(QueryError, match=r"Hint: .*Write a text as 'person'\.$"):
        run_query(reader_url, f"SELECT 1 FROM latest_detections WHERE {condition}")


@pytest.mark.parametrize(
    ("statement", "explained"),
    [
        ("DELETE FROM images", "a query can only read.*not with DELETE"),
        ("-- all\n/* of */ UPDATE latest_detections SET label = ''", "only read.*not with UPDATE"),
        ("INSERT INTO latest_detections VALUES (1)", "a query can only read.*not with INSERT"),
        ("WITH gone AS (DELETE FROM images RETURNING 1) TABLE gone", "and this one would write"),
        ("SELECT 1; SELECT 2", "a query must be a single statement"),
        (r"\d", "psql.*`retinue schema` lists the views"),
        ("TABLE latest_detection", "Did you mean latest_detections"),
        ("TABLE anything", "Hint: `retinue schema` lists the views"),
        ("TABLE people", "permission denied.*\n.*`retinue schema` lists the views"),
        (
            """SELECT * FROM latest_detections WHERE label = "it's so" """,
            "Write a text as 'it''s so'",
        ),
        ("  -- nothing", "the query is empty"),
        ("select", "the query selects no columns"),
        ("selct 1", 'syntax error at or near "selct"\n  line 1: selct 1'),
    ],
)
def test_a_refusal_says_what_to_do_instead(reader_url: str, statement: str, explained: str) -> None:
    with pytest.raises(QueryError, match=explained):
        run_query(reader_url, statement)


def test_a_query_that_takes_too_long(reader_url: str) -> None:
    with pytest.raises(QueryError, match=r"stopped after 0\.1 s,.*--timeout-seconds"):
        run_query(reader_url, "SELECT pg_sleep(60)", timeout_seconds=0.1)
    endless = "WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(QueryError, match=r"stopped after 0\.1 s,.*--timeout-seconds"):
        run_query(reader_url, endless, timeout_seconds=0.1)


def test_an_unreachable_database() -> None:
    with pytest.raises(HistoryUnavailableError):
        run_query("postgresql://u@/d?host=/nonexistent", "SELECT 1")


HARMFUL = [
    "SELECT pg_advisory_xact_lock(5928237158326682882), pg_sleep(29)",
    "SELECT * FROM (VALUES (1), (length(pg_notify('x', 'y')::text))) AS hidden",
    "SELECT 1 LIMIT length(pg_catalog.\"pg_notify\"('x', 'y')::text)",
    "SELECT U&\"pg\\005fnotify\"('x', 'y')",
    "SELECT count(pg_logical_emit_message(false, 'x', 'y'))",
    "SELECT PG_EXPORT_SNAPSHOT()",
    "SELECT set_config('work_mem', '8GB', false)",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT * FROM ts_stat('SELECT to_tsvector(key) FROM images')",
    "EXPLAIN ANALYZE SELECT pg_try_advisory_lock(1)",
    "SELECT pg_advisory_lock/* */(1)",
    'SELECT pg_catalog . "lo_create" (0)',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user",
]
"""What harms others and what only a superuser can revoke."""


@pytest.fixture(scope="module")
def owned_url(postgres_server: str) -> Iterator[str]:
    """Yield a database as on RDS: its owner, who migrated it, is no superuser."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN CREATEROLE")
        connection.execute("CREATE DATABASE ordinary OWNER ordinary")
    url = make_url(postgres_server).set(database="ordinary")
    try:
        upgrade(url.set(username="ordinary").render_as_string(hide_password=False))
        yield url.render_as_string(hide_password=False)
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute("DROP DATABASE ordinary WITH (FORCE)")
            connection.execute("DROP ROLE ordinary")


def test_a_reader_can_take_no_lock_that_a_worker_waits_for(
    owned_url: str, as_user: Callable[[str, str], str], image: Make, run: Make
) -> None:
    """PREPARE takes the locks of a statement without checking rights."""
    seen = image()
    removed = RemovedObject(seen.bucket, seen.key, "v1", "20", datetime.now(UTC))
    with psycopg.connect(as_user(owned_url, "retinue_reader")) as reader:
        reader.read_only = False
        for lock in (5928237158326682882, 1380275273, 1380275274):
            reader.execute("SELECT pg_advisory_lock(%s)", [lock])
        for number in range(64):
            reader.execute("SELECT pg_advisory_lock(1380275273, %s)", [number])
        for number, statement in enumerate(
            ["SELECT * FROM {} FOR UPDATE", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}"]
        ):
            for table in ("record_locks", "images", "runs", "detections", "jobs"):
                reader.execute(f"PREPARE p_{table}_{number} AS {statement.format(table)}")
        for statement in (
            "SELECT * FROM record_locks FOR KEY SHARE",
            "LOCK TABLE record_locks IN SHARE MODE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), reader.transaction():
                reader.execute(statement)
        worker = as_user(owned_url, "ordinary")
        with closing(ConnectionPool(f"{worker}&options=-c%20lock_timeout%3D2s")) as pool:
            history = History(pool)
            assert history.record([seen], [run(seen)])
            history.record([], [], [removed])
        engine = create_history_engine(worker)
        with engine.begin() as connection:
            exclude_writers(connection)
        engine.dispose()


def test_a_query_that_can_harm_others_is_refused(
    owned_url: str, as_user: Callable[[str, str], str]
) -> None:
    reader = as_user(owned_url, "retinue_reader")
    for statement in HARMFUL:
        with pytest.raises(QueryError, match="may not mention"):
            pytest.fail(f"{statement}: {run_query(reader, statement, timeout_seconds=5)}")
    assert run_query(reader, "SELECT count(*), 'slo_rate' FROM images").rows
