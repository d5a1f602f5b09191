"""Every recipe has the recorded answer, queried as a reader of the small history made for it.

``RENEW=1 .venv/bin/pytest tests/docs/test_recipes.py`` records the answers again, in recipes.txt.
"""

import os
from collections.abc import Callable
from contextlib import closing
from html import escape
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from fakes.recipe_history import erase, review, seed
from retinue_console.app import make_app
from retinue_console.database import Database
from retinue_console.page import Services
from retinue_console.recipes import recipes
from retinue_console.settings import ConsoleSettings
from retinue_history import ConnectionPool, History
from retinue_history.analysis.query import run_query
from retinue_history.db.engine import create_history_engine
from starlette.testclient import TestClient

ANSWERS = Path(__file__).with_name("recipes.txt")
FEWEST = 28


@pytest.fixture
def reader(history_url: str, pool: ConnectionPool, as_user: Callable[[str, str], str]) -> str:
    engine = create_history_engine(history_url, application_name="test")
    history = History(pool)
    seed(history)
    erase(history, engine)
    engine.dispose()
    with psycopg.connect(history_url) as connection:
        review(connection)
        connection.execute(
            "UPDATE erasures SET requested_at = '2026-04-01 12:00Z', completed_at = CASE"
            " WHEN completed_at IS NOT NULL THEN timestamptz '2026-04-01 12:01Z' END"
        )
    return as_user(history_url, "retinue_reader")


def test_recipes_have_the_recorded_answers(reader: str) -> None:
    assert len(recipes()) >= FEWEST
    answers = "\n".join(f"{one.title}\n\n{_answer(reader, one.sql)}" for one in recipes())
    if os.environ.get("RENEW"):
        ANSWERS.write_text(answers, encoding="utf-8")
    renew = "renew it: RENEW=1 .venv/bin/pytest tests/docs/test_recipes.py"
    assert answers == ANSWERS.read_text(encoding="utf-8"), renew


def test_the_console_has_the_recipes_and_each_runs_from_its_link(root: Path, reader: str) -> None:
    page = (root / "docs/recipes.md").read_text(encoding="utf-8")
    copy = root / "console/src/retinue_console/recipes.md"
    if os.environ.get("RENEW"):
        copy.write_text(page, encoding="utf-8")
    assert copy.read_text(encoding="utf-8") == page, "renew it as above"
    with closing(Database(reader)) as database:
        services = Services(database, None, None, ConsoleSettings())
        client = TestClient(make_app(services), base_url="http://127.0.0.1:8600")
        shown = client.get("/sql").text
        assert len(recipes()) == page.count("```sql")
        for one in recipes():
            link = f"/sql?{urlencode({'sql': one.sql})}"
            assert f'href="{escape(link)}"' in shown
            assert client.get(link).status_code == 200, one.sql


def _answer(url: str, sql: str) -> str:
    """Return the rows as a table of text; an answer with no rows would show nothing."""
    result = run_query(url, sql)
    assert result.rows, sql
    table = [list(result.columns)]
    table += [["" if value is None else _plain(value) for value in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
