"""A database's URL means the same to workers and to commands that read, whatever is in it."""

import re
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
import trustme
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from retinue_cli.app import retinue
from retinue_history import ConnectionPool, HistoryUnavailableError, check_schema
from retinue_history.analysis.activity import ActivityReader
from retinue_history.analysis.query import run_query
from retinue_history.db.connections import connect
from retinue_history.db.engine import create_history_engine
from retinue_history.db.error_mapping import explain
from retinue_history.db.snapshot import snapshot
from sqlalchemy import make_url
from stack.gate import Gate

ODD = " +a b%20@:/?#[]&=;'\"\\$é猫%"


class Door:
    """A server that asks for a password, with a login and a database of odd names."""

    def __init__(self, login: str, database: str) -> None:
        self.login, self.database = login, database
        self.password = ODD
        self.port = 0

    def authenticate(self, login: str, password: str) -> bool:
        return (login, password) == (self.login, self.password)

    def url(self) -> str:
        """Return the URL as a person writes it who encodes everything."""
        login, password, database = (
            quote(part, safe="") for part in (self.login, self.password, self.database)
        )
        return f"postgresql://{login}:{password}@localhost:{self.port}/{database}?sslmode=require"


@pytest.fixture(scope="module")
def door(postgres_server: str, history_template: str) -> Iterator[Door]:
    door = Door(f"login{ODD}{uuid4().hex[:8]}", f"base{ODD}{uuid4().hex[:8]}")
    login, database = sql.Identifier(door.login), sql.Identifier(door.database)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE retinue_reader").format(login))
        template = sql.Identifier(history_template)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, template))
        folder = make_url(postgres_server).query["host"]
        with Gate(0, f"{folder}/.s.PGSQL.5432", context, door.authenticate) as gate:
            door.port = gate.port
            yield door
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("DROP ROLE {}").format(login))


@pytest.mark.parametrize("password", [ODD, "a b", "a+b", "100%", "%41", "p@ss/word", "猫"])
def test_every_way_in(door: Door, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    door.password = password
    by_hand = door.url()
    for url in (by_hand, make_url(by_hand).render_as_string(hide_password=False)):
        check_schema(url)
        assert run_query(url, "SELECT current_user::text, current_database()::text").rows == [
            (door.login, door.database)
        ]
        activity = ActivityReader(url)
        assert activity.last(60.0) == []
        activity.close()
        with snapshot(url) as history:
            assert history.one(sql.SQL("SELECT count(*) FROM images")) == (0,)
        monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", url)
        done = CliRunner().invoke(retinue, ["query", "SELECT 1 AS one"])
        assert done.exit_code == 0, done.output


@given(
    user=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    password=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    database=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    name=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
)
def test_workers_and_readers_send_the_same(
    user: str, password: str, database: str, name: str
) -> None:
    login, secret, base, title = (quote(part, safe="") for part in (user, password, database, name))
    url = (
        f"postgresql://{login}:{secret}@h:5433/{base}"
        f"?application_name={title}&client_encoding=LATIN1"
    )
    with pytest.MonkeyPatch.context() as patch:
        sent: list[dict[str, Any]] = []

        def refuse(*_: Any, **parameters: Any) -> None:
            sent.append(parameters)
            raise psycopg.OperationalError("away")

        patch.setattr(psycopg.Connection, "connect", refuse)
        with pytest.raises(HistoryUnavailableError):
            connect(url, "ours")
        with pytest.raises(HistoryUnavailableError):
            create_history_engine(url).raw_connection()
        with pytest.raises(HistoryUnavailableError), ConnectionPool(url).connection():
            pass
    for parameters in sent:
        del parameters["autocommit"]
    reader, owner, worker = sent
    assert reader == owner == worker
    meant = {
        "user": user, "password": password, "host": "h", "port": "5433", "dbname": database,
        "application_name": name, "client_encoding": "utf8",
    }  # fmt: skip
    assert meant.items() <= reader.items()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://u:secret@h/d?colour=red", "colour"),
        ("postgresql://u:secret@h:x/d", "cannot be read"),
        ("postgresql://u:secret@h:5432,i:x/d", "cannot be read"),
        ("postgresql://u:%zzsecret@h/d", "cannot be read"),
        ("postgresql://u:%ffsecret@h/d", "cannot be read"),
        ("postgresql://u:secret@[h/d", "cannot be read"),
        ("postgresql://u:sec/secret@h/d", "cannot be read"),
        ("postgresql://u:secret@h/d?sslmode", "cannot be read"),
    ],
)
def test_what_libpq_cannot_use_is_refused_at_once(url: str, complaint: str) -> None:
    for use in (create_history_engine, ConnectionPool, lambda url: connect(url, "ours")):
        with pytest.raises(ValueError, match=complaint) as refusal:
            use(url)
        assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('connection failed: FATAL:  password authentication failed for user "u"', "login and"),
        ("connection failed: fe_sendauth: no password supplied", "login and password"),
        ('connection failed: FATAL:  PAM authentication failed for user "u"', "login and password"),
        ('connection failed: FATAL:  no pg_hba.conf entry for host "1", no encryption', "sslmode"),
        ("connection failed: FATAL:  sorry, too many clients already", "max_connections"),
        ("connection failed: FATAL:  the database system is starting up", "Wait until"),
        ("connection timeout expired", "host and port"),
        ("failed to resolve host 'h': [Errno -2] Name or service not known", "host and port"),
        ("connection failed: refused\n\tIs the server running there?\n", "refused. Check the"),
        ("server closed the connection unexpectedly\n\tThis probably means that", "unexpectedly$"),
    ],
)
def test_errors_of_a_connection_are_one_line_with_the_remedy(said: str, remedy: str) -> None:
    message = str(explain(psycopg.OperationalError(said)))
    assert "\n" not in message
    assert re.search(remedy, message)
