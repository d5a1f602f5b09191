"""Videos: the page with its timeline, and the file in parts."""

import html
import io
import re
from contextlib import closing
from uuid import UUID, uuid4

import numpy as np
import pytest
from console.conftest import HOSTILE, NOON, Add, Client
from fakes.videos import BLUE, GREEN, RED, encoded
from PIL import Image
from retinue_console.database import Reviews
from retinue_console.pages import video
from retinue_console.pictures.decoder import Decoder, NoVideoDecoderError
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    HistoryDataError,
    RunKey,
    RunRecord,
    VideoRecord,
)
from retinue_history.analysis.selection import Selection
from retinue_history.review.queues import QueueDefinition, create_queue

FILE = bytes(range(256)) * 40
BOX = (0.1, 0.2, 0.3, 0.4)


@pytest.fixture
def clip(add: Add, console_url: str) -> UUID:
    """A video with appearances."""
    image_id = add("clip.MP4", FILE, (640, 480))
    found = [
        DetectionRecord("label", "cat", 0.9, BOX, "{}", 2_000, 5_900, 7),
        DetectionRecord("label", HOSTILE[0], 0.8, BOX, "{}", 0, 3_725_100),
    ]
    run = RunRecord(
        RunKey(image_id, "clips", "1", "f"), "event", "succeeded", False, NOON, 1.0,
        detections=tuple(found),
    )  # fmt: skip
    facts = VideoRecord(image_id, 3_725_100, 29.97, "h264", "mp4", 0)
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        History(pool).record([], [run], videos=[facts])
    return image_id


def test_a_video_has_a_timeline(client: Client, clip: UUID, reviews: Reviews) -> None:
    page = client.get(f"/videos/{clip}").text
    assert 'id="timeline"' in client.get(f"/images/{clip}").text
    assert 'aria-label="cat, 0:02 to 0:05.9, 90%, clips, track 7"' in page
    assert "1:02:05.1" in page
    assert "mp4, h264" in page
    assert HOSTILE[0] not in page
    data = client.get(f"/videos/{clip}.json").json()
    assert data["video"]["frame_rate"] == 29.97
    assert [one["start_ms"] for one in data["detections"]] == [2_000, 0]
    film = client.get(f"/pictures/{clip}/thumbnail").text
    assert "<path" in film
    assert "No picture" in film  # the file is no video
    assert f"/images/{clip}" in client.get("/images?prefix=&label=cat").text
    # It isn't reviewed as a picture.
    refused = client.get(f"/review/corrections?image={clip}")
    assert (refused.status_code, f"/videos/{clip}" in refused.text) == (400, True)
    answer = {"image_id": str(clip), "key": str(uuid4()), "items": [], "seconds": 1.0}
    refused = client.post("/review/corrections/save", json=answer)
    assert (refused.status_code, "only images can be reviewed" in refused.text) == (400, True)
    asked = "/review/corrections/bulk.json?kind=label&label=cat"
    assert client.get(asked).json()["changes"] == []
    with reviews.connections() as (reader, reviewer):
        queue = QueueDefinition("clips-only", Selection(detectors=["clips"]), "random")
        with pytest.raises(HistoryDataError, match="no image is selected"):
            create_queue(reader, reviewer, queue, "tester")


def test_the_picture_of_a_video_is_that_of_its_best_moment(
    client: Client, add: Add, console_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = (RED, GREEN, BLUE)
    frames = [np.full((48, 64, 3), colours[second], np.uint8) for second in (0, 0, 1, 1, 2, 2)]
    image_id = add("colours.mp4", encoded(frames, times_ms=range(0, 3_000, 500)), (64, 48))

    def colour(address: str = f"/pictures/{image_id}/thumbnail") -> tuple[int, ...]:
        said = client.get(address)
        assert "immutable" not in said.headers["cache-control"]
        pixel = Image.open(io.BytesIO(said.content)).convert("RGB").getpixel((32, 24))
        return min(
            colours, key=lambda one: sum(abs(a - b) for a, b in zip(one, pixel, strict=True))
        )

    assert colour() == RED
    with closing(ConnectionPool(console_url, application_name="test")) as pool:
        for version, attributes, start_ms, end_ms, shown in (
            ("1", "{}", 2_000, 2_500, BLUE),
            ("2", '{"best_ms": 1000}', 0, 2_500, GREEN),
            ("3", '{"best_ms": 1e400}', 0, 400, RED),
            ("4", '{"best_ms": "x"}', 2_000, 2_500, BLUE),
        ):
            found = DetectionRecord("label", "cat", 0.9, BOX, attributes, start_ms, end_ms)
            run = RunRecord(
                RunKey(image_id, "clips", version, "f"), version, "succeeded", False, NOON, 1.0,
                detections=(found,),
            )  # fmt: skip
            History(pool).record([], [run])
            assert colour() == shown
            crops = html.unescape(client.get("/images?shape=patches&label=cat&prefix=").text)
            assert (
                colour(re.findall(rf'"(/pictures/{image_id}/thumbnail[^"]*)"', crops)[0]) == shown
            )
    monkeypatch.setattr(Decoder, "encode_still", _without_decoder)
    other = add("another.mp4", encoded(frames), (64, 48))
    assert "its decoder isn" in client.get(f"/pictures/{other}/thumbnail").text


def _without_decoder(*_: object, **__: object) -> bytes:
    raise NoVideoDecoderError


def test_a_file_is_sent_in_parts(
    client: Client, clip: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "PART_BYTES", 4_000)
    address = f"/videos/{clip}/file"
    for asked, first, last in (
        ("bytes=0-", 0, 3_999),
        ("bytes=10-12", 10, 12),
        ("bytes=4000-", 4_000, 7_999),
        ("bytes=10000-20000", 10_000, 10_239),
    ):
        said = client.get(address, headers={"Range": asked})
        assert said.status_code == 206
        assert said.headers["content-range"] == f"bytes {first}-{last}/10240"
        assert said.headers["content-type"] == "video/mp4"
        assert said.content == FILE[first : last + 1]
    for asked in ("bytes=10240-", "bytes=9-3"):
        said = client.get(address, headers={"Range": asked})
        assert (said.status_code, said.headers["content-range"]) == (416, "bytes */10240")
    whole = client.get(address)
    assert (whole.status_code, whole.content) == (200, FILE)
    assert client.get(address, headers={"Range": "lines=1"}).content == FILE
    assert client.get(re.sub("[0-9a-f]{12}/file", "0" * 12 + "/file", address)).status_code == 404
