"""The pages of the search and of labels: everything found is a link that leads to it."""

import html
import re

import pytest
from console.conftest import HOSTILE, Client


def addresses(text: str, path: str) -> list[str]:
    found = re.findall(rf'href="({re.escape(path)}\?[^"]*)"', text)
    return [html.unescape(address) for address in found]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_found_leads_to_it(client: Client, text: str) -> None:
    said = client.get("/search", params={"q": text[:990]})
    data = client.get("/search.json", params={"q": text[:990]}).json()
    assert text in [one["key"] for one in data["images"]]
    assert f"/images/{data['images'][0]['image_id']}" in said.text
    for address in addresses(said.text, "/images"):
        assert client.get(f"{address}&shape=table").status_code == 200


def test_labels_lead_to_their_history_and_their_images(client: Client) -> None:
    said = client.get("/labels")
    data = client.get("/labels.json").json()
    links = addresses(said.text, "/labels")
    assert len(links) == len(data["labels"]["labels"]) > 5
    for link in links:
        shown = client.get(link)
        assert shown.status_code == 200
        for address in addresses(shown.text, "/images"):
            assert "Nothing matches" not in client.get(address).text
    assert client.get("/labels.csv").text.count("\r\n") == len(links) + 1
    assert client.get("/labels?label=no+such").status_code == 404
    assert "No label was found" in client.get("/labels?q=no+such").text


def test_an_empty_search(client: Client) -> None:
    assert "Press" in client.get("/search?q=+").text
    assert "at least three characters" in client.get("/search?q=qz").text
