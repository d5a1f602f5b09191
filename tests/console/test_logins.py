"""The console's two logins at the database: each can do its part and nothing else."""

import signal
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from click.testing import CliRunner
from retinue_cli.app import retinue
from retinue_console.database import Database, Reviews
from retinue_history import QueryError
from retinue_history.review.login import check_reviewer
from sqlalchemy import make_url


@pytest.fixture
def login(console_url: str) -> Iterator[tuple[psycopg.Connection, str, str]]:
    """The owner's connection, and a name and URL for a login to be made."""
    name = f"login_{uuid.uuid4().hex}"
    url = make_url(console_url).set(username=name).render_as_string(hide_password=False)
    with psycopg.connect(console_url, autocommit=True) as owner:
        yield owner, name, url
        owner.execute(f"DROP OWNED BY {name}")
        owner.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("rights", "wrong"),
    [
        ("", "may not call the functions of reviews"),
        ("SUPERUSER", "is a superuser"),
        ("CREATEROLE IN ROLE retinue_reviewer", "may create roles"),
        ("IN ROLE retinue_reviewer, retinue_reader", "as retinue_reader"),
        ("NOINHERIT IN ROLE retinue_reviewer, retinue_writer", "as retinue_writer"),
        ("IN ROLE retinue_reviewer, pg_read_all_data", "may read or write"),
    ],
)
def test_a_reviewer_that_can_do_more_or_less_is_refused(
    database: Database, login: tuple[psycopg.Connection, str, str], rights: str, wrong: str
) -> None:
    owner, name, url = login
    owner.execute(f"CREATE ROLE {name} LOGIN {rights}")
    with pytest.raises(QueryError, match=wrong):
        check_reviewer(url)
    with closing(Reviews(database, url)) as reviews, pytest.raises(QueryError, match=wrong):
        reviews.connections().__enter__()


def test_a_member_of_the_reviewers_saves_reviews(
    database: Database, login: tuple[psycopg.Connection, str, str]
) -> None:
    owner, name, url = login
    owner.execute(f"CREATE ROLE {name} LOGIN IN ROLE retinue_reviewer")
    with closing(Reviews(database, url)) as reviews, reviews.connections() as (_, reviewer):
        assert reviewer.execute("SELECT session_user").fetchone() == (name,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reviewer.execute("SELECT count(*) FROM images")


@pytest.mark.parametrize(
    "name", ["RETINUE_QUERY_DATABASE_URL", "RETINUE_CONSOLE_REVIEW_DATABASE_URL"]
)
def test_the_console_does_not_start_as_an_owner(
    monkeypatch: pytest.MonkeyPatch, console_url: str, reader_url: str, name: str
) -> None:
    reviewer = make_url(console_url).set(username="retinue_reviewer")
    monkeypatch.setenv("RETINUE_QUERY_DATABASE_URL", reader_url)
    monkeypatch.setenv(
        "RETINUE_CONSOLE_REVIEW_DATABASE_URL", reviewer.render_as_string(hide_password=False)
    )
    monkeypatch.setenv(name, console_url)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        done = CliRunner().invoke(retinue, ["console", "--port", "0"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert done.exit_code != 0
    assert "superuser" in done.output
    assert ("retinue_reviewer" if "REVIEW" in name else "retinue_reader") in done.output
    assert "Console:" not in done.output
