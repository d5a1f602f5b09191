"""The first page, and how many queries a page takes."""

import html
from typing import Any

import psycopg
import pytest
from console.conftest import Client
from console.test_app import PAGES
from retinue_console.page import Route

MOST_QUERIES = 10


def test_the_newest_images_and_the_numbers(client: Client) -> None:
    data = client.get("/index.json").json()
    said = client.get("/").text
    assert [one["key"] for one in data["images"][:2]] == ["photo 19.jpg", "photo 18.jpg"]
    for one in data["images"]:
        assert f"/images/{one['image_id']}" in said
    assert data["failed_today"] == 0
    assert data["rate"]["last_run_at"] is not None
    assert data["rate"]["images_per_second"] >= 0
    newest = client.get("/newest.json").json()["image_id"]
    assert newest == data["images"][0]["image_id"]
    assert f'data-newest="{newest}"' in html.unescape(said)
    assert "/images/" in client.get("/newest").text


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
def test_a_page_takes_few_queries(
    client: Client, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def note(self: Any, query: Any, *given: Any, **more: Any) -> Any:
        text = query if isinstance(query, str | bytes) else query.as_string(None)
        words = (text.encode() if isinstance(text, str) else text).split()
        if words[0] not in (b"SET", b"BEGIN", b"COMMIT"):
            asked.append(text)
        return execute(self, query, *given, **more)

    client.get(route.path)  # checks the login once
    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    assert client.get(route.path).status_code == 200
    assert len(asked) <= MOST_QUERIES, asked
