"""The page of one image: boxes by ratios, and links between them and the list."""

import html
import re
from contextlib import closing

import psycopg
import pytest
from console.conftest import HOSTILE, NOON, Client, image_of
from retinue_history import ConnectionPool, DetectionRecord, History, RunKey, RunRecord


@pytest.mark.parametrize("key", HOSTILE)
def test_boxes_are_drawn_by_ratios_and_linked_to_the_list(client: Client, key: str) -> None:
    image_id = image_of(key).image_id
    said = client.get(f"/images/{image_id}")
    data = client.get(f"/images/{image_id}.json").json()
    assert said.status_code == 200
    assert data["key"] == key
    assert f'src="/pictures/{image_id}/view"' in said.text
    if not data["detections"]:
        assert data["runs"][0]["error_code"] == "corrupt_image"
        assert "corrupt_image" in said.text
        assert "No detector has processed this image successfully." in said.text
        assert "nothing found" not in client.get("/images").text
        return
    [one] = data["detections"]
    assert one["box"] == {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4}
    assert '<rect x="0.1" y="0.2" width="0.3" height="0.4"' in said.text
    assert f'href="#d{one["detection_id"]}"' in said.text
    assert f'id="d{one["detection_id"]}"' in said.text
    [address] = re.findall(r'class="label" href="([^"]*)"', said.text)
    assert len(client.get(html.unescape(address) + "&shape=table").text) > 1_000
    assert client.get(f"/images/{image_id}.csv").text.count("\r\n") == 2


def test_an_image_that_is_not_there(client: Client) -> None:
    none = "00000000-0000-8000-8000-000000000000"
    for path in (f"/images/{none}", f"/images/{none}/responses/1"):
        said = client.get(path)
        assert said.status_code == 404
        assert none in said.text
    image_id = image_of(HOSTILE[0]).image_id
    assert client.get(f"/images/{image_id}/responses/1").status_code == 404
    assert client.get(f"/images/{image_id}?run=x").status_code == 400
    assert client.get(f"/images/{image_id}?run={2**70}").status_code == 400


def test_no_detections_have_a_reason(client: Client, console_url: str) -> None:
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        for number, found in enumerate(((), (DetectionRecord("label", "cat", 0.5),))):
            image = image_of(f"{number} found.jpg", 100)
            run = RunRecord(
                RunKey(image.image_id, "labels", "1", "f"),
                "event",
                outcome="succeeded",
                retryable=False,
                started_at=NOON,
                duration_ms=1.0,
                detections=found,
            )
            History(pool).record([image], [run])
    with psycopg.connect(console_url) as owner:
        owner.execute("SET session_replication_role = replica")  # as months are dropped
        owner.execute("DELETE FROM detections WHERE label = 'cat'")
    nothing = client.get(f"/images/{image_of('0 found.jpg').image_id}").text
    dropped = client.get(f"/images/{image_of('1 found.jpg').image_id}").text
    assert "Nothing was found." in nothing
    assert "The detections were dropped or archived." in dropped
    assert "Nothing was found." not in dropped
