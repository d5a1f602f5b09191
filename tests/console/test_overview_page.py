"""The first page."""

import html

from console.conftest import Client


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
