"""The gallery in a browser without scripts: its links are its state."""

import html
import re
from contextlib import closing

import pytest
from console.conftest import Client, image_of
from retinue_history import ConnectionPool, History


def links(text: str, words: str) -> list[str]:
    return [
        html.unescape(address)
        for address, label in re.findall(r'<a [^>]*?href="([^"]*)"[^>]*>([^<]*)</a>', text)
        if label == words
    ]


@pytest.mark.parametrize("shape", ["grid", "table"])
def test_the_page_shows_what_its_data_has(client: Client, shape: str) -> None:
    data = client.get("/images.json", params={"shape": shape}).json()
    text = client.get("/images", params={"shape": shape}).text
    for image in data["images"]:
        assert f"/images/{image['image_id']}" in text
    assert client.get("/images.csv").text.count("\r\n") == len(data["images"]) + 1


def test_patches_are_cut_out_by_ratios(client: Client) -> None:
    text = client.get("/images?shape=patches&label=%3Dx").text
    assert "Nothing matches" in text
    text = client.get("/images?shape=patches&label=%3DHYPERLINK(1)").text
    assert text.count('class="patch"') == 1
    assert re.search(r'<rect x="0.4\d*" y="0.6\d*" width="1.2\d*" height="1.2\d*"', text)


def test_a_filter_is_removed_by_a_link_and_kept_by_others(client: Client) -> None:
    text = client.get("/images?label=none&min_confidence=0.25").text
    assert links(text, "×") == ["?min_confidence=0.25", "?label=none"]
    assert links(text, "Table") == ["?label=none&min_confidence=0.25&shape=table"]
    assert 'value="0.25"' in text


def test_each_month_can_be_opened(client: Client, console_url: str) -> None:
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([image_of("last year.jpg", number=-60 * 24 * 200)], [])
    months = links(client.get("/images?since=2026-01-01").text, "Jun 2025")
    assert months == ["?until=2025-07-01"]
    assert "last year.jpg" in client.get(f"/images{months[0]}").text


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("after=x", "parameter after is wrong"),
        ("shape=round", "parameter shape is wrong"),
        ("min_confidence=2", "parameter min_confidence is wrong"),
        ("min_confidence=0.9&max_confidence=0.1", "is above max_confidence"),
        ("label=%00", "parameter label is wrong"),
        ("colour=red", "parameter colour is unknown"),
        ("after=WyJyZWNvcmRlZCIsbnVsbCxudWxsLDdd", "after is a position in another list"),
    ],
)
def test_a_wrong_parameter_is_named(client: Client, query: str, message: str) -> None:
    said = client.get(f"/images?{query}")
    assert said.status_code == 400
    assert message in html.unescape(said.text)
