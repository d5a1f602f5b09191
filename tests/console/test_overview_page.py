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


def test_queues_say_what_is_left_and_what_one_did(client: Client) -> None:
    made = {"name": "overview", "strategy": "random", "size": "3", "prefix": "photo"}
    client.post("/review", data=made)
    task = client.get("/review/overview.json").json()["task"]
    answer = {"image_id": task["image"]["image_id"], "items": [], "exhaustive": True}
    key = "00000000-0000-4000-8000-000000000001"
    saved = client.post("/review/overview/save", json=answer | {"key": key})
    assert saved.status_code == 200, saved.text
    [queue] = client.get("/index.json").json()["queues"]
    assert queue == {"name": "overview", "left": 2, "mine": 1}
    assert "2 left, 1 reviewed by you" in client.get("/").text
