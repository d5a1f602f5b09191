"""Signing in by IAM: boto3's tokens at RDS's front door, which checks them as RDS does.

Not run against RDS itself.
"""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import trustme
from pydantic import SecretStr
from retinue_history import ConnectionPool, HistoryUnavailableError, check_schema
from retinue_history.analysis.query import run_query
from retinue_history.schema.logins import create_iam_logins
from retinue_sdk import ConfigurationError
from retinue_workers.recording.db_auth import password_source, signed_in
from retinue_workers.settings.settings import Settings
from sqlalchemy import make_url
from stack.gate import Gate, token_is_good

REGION = "eu-west-1"
KEYS = {"AKIATASK": "the task's secret"}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATASK",
        "AWS_SECRET_ACCESS_KEY": KEYS["AKIATASK"],
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def rds_role(postgres_server: str) -> Iterator[None]:
    """Yield a server that is RDS, as far as its roles can tell."""
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE rds_iam NOLOGIN")
        yield
        connection.execute(
            "DROP ROLE IF EXISTS retinue_worker, retinue_analyst, retinue_console, rds_iam"
        )


@pytest.fixture
def gate(history_url: str, rds_role: None, tmp_path: Path) -> Iterator[Gate]:
    assert create_iam_logins(history_url) == [
        "retinue_worker", "retinue_analyst", "retinue_console"
    ]  # fmt: skip
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "rds.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def authenticate(login: str, token: str) -> bool:
        address = f"localhost:{gate.port}"
        return token_is_good(token, login=login, address=address, region=REGION, keys=KEYS)

    url = make_url(history_url)
    gate = Gate(0, f"{url.query['host']}/.s.PGSQL.{url.port or 5432}", context, authenticate)
    with gate:
        yield gate


@pytest.fixture
def address(gate: Gate, history_url: str, tmp_path: Path) -> Callable[[str], str]:
    """Return the URL of a login, as the infrastructure gives it."""
    name = make_url(history_url).database

    def of(login: str) -> str:
        return (
            f"postgresql://{login}@localhost:{gate.port}/{name}"
            f"?sslmode=verify-full&sslrootcert={tmp_path / 'rds.pem'}"
        )

    return of


def by_iam(url: str) -> Settings:
    return Settings(database_url=SecretStr(url), database_auth="iam")


def test_a_worker_signs_in_with_a_token_of_its_own_each_time(
    address: Callable[[str], str], gate: Gate
) -> None:
    url = address("retinue_worker")
    pool = ConnectionPool(url, password=password_source(by_iam(url), url))
    asked = "SELECT current_user, pg_has_role('retinue_writer', 'USAGE')"
    with pool.connection() as connection:
        assert connection.execute(asked).fetchone() == ("retinue_worker", True)
    pool.close()
    with pool.connection() as connection:
        check_schema(connection)
    pool.close()
    assert gate.entered == ["retinue_worker"] * 2


def test_an_analyst_may_only_read(address: Callable[[str], str]) -> None:
    url = address("retinue_analyst")
    result = run_query(signed_in(by_iam(url), url), "SELECT count(*) FROM detection_history")
    assert result.rows == [(0,)]
    pool = ConnectionPool(url, password=password_source(by_iam(url), url))
    with pool.connection() as connection:
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
    pool.close()


def test_who_lost_its_rights_is_told_and_keeps_trying(
    address: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the task's")
    url = address("retinue_worker")
    pool = ConnectionPool(url, password=password_source(by_iam(url), url))
    with (
        pytest.raises(HistoryUnavailableError, match="PAM authentication failed"),
        pool.connection(),
    ):
        pass


def test_without_credentials_the_database_counts_as_away(
    address: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    url = address("retinue_worker")
    pool = ConnectionPool(url, password=password_source(by_iam(url), url))
    with (
        pytest.raises(HistoryUnavailableError, match="cannot sign in to the database by IAM"),
        pool.connection(),
    ):
        pass


def test_logins_can_be_made_again(history_url: str, rds_role: None) -> None:
    assert create_iam_logins(history_url) == create_iam_logins(history_url)


def test_analysts_have_logins_of_their_own_until_they_are_not_named(
    history_url: str, rds_role: None
) -> None:
    reading = (
        "SELECT rolname, rolconnlimit, rolcanlogin FROM pg_roles "
        "WHERE rolname ~ '^analyst_' ORDER BY 1"
    )
    with psycopg.connect(history_url, autocommit=True) as connection:
        try:
            assert "analyst_ann" in create_iam_logins(history_url, ["ann", "bob"])
            create_iam_logins(history_url, ["bob"], analyst_connections=2)
            assert connection.execute(reading).fetchall() == [
                ("analyst_ann", 5, False), ("analyst_bob", 2, True)
            ]  # fmt: skip
            create_iam_logins(history_url, ["ann", "bob"])
            assert connection.execute(reading).fetchall() == [
                ("analyst_ann", 5, True), ("analyst_bob", 5, True)
            ]  # fmt: skip
        finally:
            connection.execute("DROP ROLE analyst_ann, analyst_bob")
    with pytest.raises(ValueError, match="lower-case letters"):
        create_iam_logins(history_url, ['ann" SUPERUSER'])


def test_the_sessions_of_an_analyst_end_with_the_login(
    history_url: str, rds_role: None, as_user: Callable[[str, str], str]
) -> None:
    with psycopg.connect(history_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN CREATEROLE")
        connection.execute(
            "GRANT rds_iam, retinue_writer, retinue_reader, retinue_reviewer TO ordinary "
            "WITH ADMIN OPTION"
        )
        owner = as_user(history_url, "ordinary")
        create_iam_logins(owner, ["ann", "bob"])
        reading = "SELECT count(*) FROM pg_auth_members WHERE inherit_option"
        before = connection.execute(reading).fetchone()
        try:
            with (
                psycopg.connect(as_user(history_url, "analyst_ann")) as ann,
                psycopg.connect(as_user(history_url, "analyst_bob")) as bob,
            ):
                create_iam_logins(owner, ["bob"])
                assert bob.execute("SELECT 1").fetchone() == (1,)
                with pytest.raises(psycopg.errors.AdminShutdown):
                    ann.execute("SELECT 1")
            assert connection.execute(reading).fetchone() == before
        finally:
            connection.execute(
                "DROP ROLE analyst_ann, analyst_bob, retinue_worker, retinue_analyst, "
                "retinue_console"
            )
            connection.execute("DROP ROLE ordinary")


def test_a_server_that_is_not_rds_gets_no_logins(history_url: str) -> None:
    assert create_iam_logins(history_url) == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://u@host/d", "does not check"),
        ("postgresql://u@host/d?sslmode=require", "does not check"),
        ("postgresql://host/d?sslmode=verify-full", "names no login"),
        ("postgresql://u:p@host/d?sslmode=verify-full", "holds a password"),
        ("postgresql://u@/d?sslmode=verify-full", "names no host"),
        ("mysql://u@host/d", "RETINUE_DATABASE_URL"),
    ],
)
def test_a_url_that_iam_cannot_sign_in_to_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        password_source(by_iam(url), url)


def test_a_password_is_left_to_the_url() -> None:
    settings = Settings(database_url=SecretStr("postgresql://u:p@host/d"))
    assert password_source(settings, "postgresql://u:p@host/d") is None
    assert signed_in(settings, "postgresql://u:p@host/d") == "postgresql://u:p@host/d"


@pytest.mark.parametrize(
    "change",
    [
        {"login": "retinue_owner"},
        {"address": "localhost:5433"},
        {"region": "us-east-1"},
        {"keys": {"AKIATASK": "another"}},
        {"keys": {}},
    ],
)
def test_the_door_is_no_open_one(change: dict[str, object]) -> None:
    url = "postgresql://retinue_worker@localhost:5432/d?sslmode=verify-full"
    source = password_source(by_iam(url), url)
    assert source is not None
    right = {
        "login": "retinue_worker",
        "address": "localhost:5432",
        "region": REGION,
        "keys": KEYS,
    }
    assert token_is_good(source(), **right)  # type: ignore[arg-type]
    assert not token_is_good(source(), **(right | change))  # type: ignore[arg-type]
    assert not token_is_good("", **right)  # type: ignore[arg-type]
