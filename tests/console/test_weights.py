"""The weight of a page: its queries and bytes, and those of scripts and styles."""

import gzip
from importlib.resources import files
from typing import Any

import psycopg
import pytest
from console.conftest import Client
from console.test_app import PAGES
from retinue_console.database import Reviews
from retinue_history.analysis.selection import Selection
from retinue_history.review.queues import QueueDefinition, create_queue

MOST_QUERIES = 10
MOST_PAGE_BYTES = 30_000
MOST_SCRIPT_BYTES = 60_000
MOST_STYLE_BYTES = 20_000
"""Bytes are those after compression by gzip."""

ADDRESSES = [route.path for route in PAGES] + [
    "/images?label=photo+1.jpg&min_confidence=0.5&reviewed=false",
    "/images?shape=patches&kind=object&detector=labels",
    "/images/{image}",
    "/search?q=photo",
    "/labels?label=photo+1.jpg",
    "/diff?before=labels@1&after=labels@1",
    "/review/weights",
    "/review/weights?image={image}",
    "/review/weights/agreement",
    "/review/weights/bulk?kind=object&label=photo+1.jpg",
    "/review/corrections/bulk?kind=object&label=photo+1.jpg",
]


@pytest.fixture(scope="module")
def queues() -> list[str]:
    """Names of the queues that this module has made."""
    return []


@pytest.fixture
def image(client: Client, reviews: Reviews, queues: list[str]) -> str:
    """Return an image in a queue."""
    if not queues:
        with reviews.connections() as (reader, reviewer):
            definition = QueueDefinition("weights", Selection(prefix="photo"), "random", 20)
            create_queue(reader, reviewer, definition, "tester")
        queues.append("weights")
    found = client.get("/images.json?label=photo+1.jpg").json()["images"]
    return str(found[0]["image_id"])


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_takes_few_queries_and_bytes(
    client: Client, image: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    execute = psycopg.Cursor.execute

    def note(self: Any, query: Any, *given: Any, **more: Any) -> Any:
        text = query if isinstance(query, str | bytes) else query.as_string(None)
        words = (text.encode() if isinstance(text, str) else text).split()
        if words[0] not in (b"SET", b"BEGIN", b"COMMIT"):
            asked.append(text)
        return execute(self, query, *given, **more)

    address = address.replace("{image}", image)
    client.get(address)  # checks the login once
    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    said = client.get(address)
    assert said.status_code == 200
    assert len(asked) <= MOST_QUERIES, asked
    assert len(gzip.compress(said.content)) <= MOST_PAGE_BYTES


def test_scripts_and_styles_are_small() -> None:
    static = files("retinue_console") / "static"
    sizes: dict[str, int] = {}
    for folder in (static, static / "vendored"):
        for each in folder.iterdir():
            if each.is_file():
                kind = each.name.rpartition(".")[2]
                sizes[kind] = sizes.get(kind, 0) + len(gzip.compress(each.read_bytes()))
    assert 0 < sizes["js"] <= MOST_SCRIPT_BYTES
    assert 0 < sizes["css"] <= MOST_STYLE_BYTES
