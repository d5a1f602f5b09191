"""Migrating: by several at once, without the right, and what is said about a wrong revision."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from psycopg import sql
from retinue_cli.app import retinue
from retinue_history import (
    ConnectionPool,
    History,
    HistorySchemaError,
    HistorySetupError,
    HistoryUnavailableError,
    ImageRecord,
    check_schema,
)
from retinue_history.analysis.query import run_query
from retinue_history.db.engine import create_history_engine
from retinue_history.schema.migrate import (
    _LOCK,
    alembic_config,
    revoke_public_rights,
    upgrade,
)
from retinue_history.schema.version import (
    REVISIONS,
    current_revision,
    head_revision,
    known_revisions,
)
from retinue_history.upkeep.maintenance import Retention, maintain
from sqlalchemy import make_url


def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(upgrade, empty_database_url) for _ in range(4)]:
            done.result()
    assert current_revision(empty_database_url) == head_revision()


def test_an_engine_with_one_connection_is_enough(empty_database_url: str) -> None:
    engine = create_history_engine(empty_database_url, pool_size=1, pool_timeout_seconds=1)
    upgrade(engine)
    engine.dispose()
    check_schema(empty_database_url)


def test_revisions_are_known_as_alembic_knows_them() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert known_revisions()[::-1] == tuple(one.revision for one in scripts.walk_revisions())
    assert scripts.get_current_head() == head_revision()


def test_the_baseline_is_frozen_before_a_second_revision() -> None:
    """The declarations follow the newest revision; older ones must not create tables from them."""
    [folder] = REVISIONS
    baseline = (folder / "r0001_baseline.py").read_text("utf-8")
    assert known_revisions() == ("0001",) or "import metadata" not in baseline


def test_migrating_again_revokes_what_a_dump_does_not_have(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    upgrade(url)
    rights = """
        SELECT has_function_privilege('public', 'pg_notify(text, text)', 'EXECUTE'),
            has_function_privilege('public', 'pg_advisory_lock(bigint)', 'EXECUTE'),
            has_database_privilege('retinue_reader', current_database(), 'TEMPORARY'),
            (
                SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON oid = setdatabase
                WHERE datname = current_database()
            )
    """
    name = sql.Identifier(str(make_url(url).database))
    monkeypatch.setenv("RETINUE_DATABASE_URL", url)
    with psycopg.connect(url, autocommit=True) as owner:
        revoked = owner.execute(rights).fetchone()
        assert revoked == (False, False, False, ["temp_file_limit=4GB"])
        owner.execute("GRANT EXECUTE ON FUNCTION pg_notify, pg_advisory_lock(bigint) TO PUBLIC")
        owner.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO PUBLIC").format(name))
        owner.execute(sql.SQL("ALTER ROLE retinue_reader IN DATABASE {} RESET ALL").format(name))
        assert owner.execute(rights).fetchone() == (True, True, True, None)
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(revoke_public_rights, url) for _ in range(2)]:
                done.result()
        assert owner.execute(rights).fetchone() == revoked
        owner.execute("GRANT EXECUTE ON FUNCTION pg_notify TO PUBLIC")
        assert CliRunner().invoke(retinue, ["migrate"]).exit_code == 0
        assert owner.execute(rights).fetchone() == revoked
        limit = "ALTER ROLE retinue_reader IN DATABASE {} SET temp_file_limit = '9GB'"
        owner.execute(sql.SQL(limit).format(name))
        assert CliRunner().invoke(retinue, ["migrate"]).exit_code == 0
        assert owner.execute(rights).fetchone() == (False, False, False, ["temp_file_limit=9GB"])


def test_waiting_for_another_migration_ends(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        with pytest.raises(HistoryUnavailableError, match="another process has been migrating"):
            upgrade(empty_database_url, lock_timeout_seconds=0.1)


def test_a_database_that_was_never_migrated_says_so(empty_database_url: str) -> None:
    with pytest.raises(HistorySchemaError, match="run `retinue migrate`"):
        check_schema(empty_database_url)


def test_a_database_from_the_future_is_worked_on_and_not_migrated(
    history_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Schemas are expanded before workers are replaced: the release before must go on to start."""
    check_schema(history_url)
    assert caplog.messages == []
    with psycopg.connect(history_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    check_schema(history_url)
    assert "revision 9999, which is newer" in caplog.text
    with pytest.raises(HistorySchemaError, match="update Retinue"):
        upgrade(history_url)


def test_an_unreachable_database_says_so() -> None:
    with pytest.raises(HistoryUnavailableError):
        check_schema("postgresql://nobody@/none?host=/nonexistent")


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding_url(postgres_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty database that can't hold every key of S3."""
    name = f"t{request.param.lower()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        create = "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'"
        connection.execute(sql.SQL(create).format(sql.Identifier(name), request.param))
        yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_another_encoding_is_refused_with_the_remedy(
    other_encoding_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = r"encoding (LATIN1|SQL_ASCII).*CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
    for use in (upgrade, check_schema, current_revision):
        with pytest.raises(HistorySetupError, match=complaint):
            use(other_encoding_url)
    monkeypatch.setenv("RETINUE_DATABASE_URL", other_encoding_url)
    done = CliRunner().invoke(retinue, ["migrate"])
    assert done.exit_code == 1
    assert "the history needs UTF8" in done.output
    assert "Traceback" not in done.output
    with psycopg.connect(other_encoding_url) as connection:
        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(tables).fetchone() == (0,)


@pytest.mark.parametrize("where", ["URL", "environment", "database"])
def test_keys_are_utf8_whatever_is_set(
    where: str,
    history_url: str,
    image: Callable[..., ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = make_url(history_url)
    if where == "URL":
        url = url.update_query_dict({"client_encoding": "LATIN1"})
    elif where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    else:
        with psycopg.connect(history_url) as connection:
            change = sql.SQL("ALTER DATABASE {} SET client_encoding = 'LATIN1'")
            connection.execute(change.format(sql.Identifier(str(url.database))))
    written = url.render_as_string(hide_password=False)
    with closing(ConnectionPool(written)) as pool:
        history = History(pool)
        history.record([image("猫.jpg"), image("é.jpg")])
        assert history.done_and_erased([], [image("猫.jpg")]) == (set(), set())
    reader = url.set(username="retinue_reader").render_as_string(hide_password=False)
    result = run_query(reader, 'SELECT key FROM images ORDER BY key COLLATE "C"')
    assert result.rows == [("é.jpg",), ("猫.jpg",)]


@pytest.mark.parametrize("where", ["environment", "database"])
def test_times_are_read_in_every_style(
    where: str,
    history_url: str,
    history: History,
    image: Callable[..., ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history.record([image("a.jpg")])
    if where == "environment":
        monkeypatch.setenv("PGDATESTYLE", "German")
    else:
        with psycopg.connect(history_url) as connection:
            for setting in ("DateStyle = 'SQL, DMY'", "IntervalStyle = postgres_verbose"):
                change = sql.SQL("ALTER DATABASE {} SET " + setting)
                connection.execute(change.format(sql.Identifier(str(connection.info.dbname))))
    reader = make_url(history_url).set(username="retinue_reader")
    times = (
        "SELECT extract(year FROM uploaded_at)::int, uploaded_at, interval '26 hours' FROM images"
    )
    [(year, at, hours)] = run_query(reader.render_as_string(hide_password=False), times).rows
    assert (year, hours) == (at.year, "26:00:00")
    engine = create_history_engine(history_url)
    keep = Retention(detections_months=1)
    maintain(engine, keep, tell=str)
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql+asyncpg://u:secret@h/d", "x"])
def test_other_databases_are_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refusal:
        upgrade(url)
    assert "secret" not in str(refusal.value)


def test_without_createrole_the_remedy_is_told(
    postgres_15: str, as_user: Callable[[str, str], str]
) -> None:
    with psycopg.connect(postgres_15, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS retinue_writer, retinue_reader, retinue_reviewer")
        connection.execute("CREATE ROLE deployer LOGIN")
        connection.execute("CREATE DATABASE deployed OWNER deployer")
        url = as_user(postgres_15, "deployer").replace("/postgres?", "/deployed?")
        with pytest.raises(HistoryUnavailableError, match="ALTER ROLE deployer CREATEROLE"):
            upgrade(url)
        assert current_revision(url) is None
        connection.execute("ALTER ROLE deployer CREATEROLE")
        upgrade(url)
        check_schema(url)
        connection.execute("DROP DATABASE deployed WITH (FORCE)")
        connection.execute("DROP ROLE retinue_writer, retinue_reader, retinue_reviewer, deployer")
