"""Damaged, replaced and deleted images pass through a whole worker, and are recorded correctly."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fakes.events import BUCKET, created
from fakes.rig import Rig
from fakes.waiting import eventually
from PIL import Image as Pillow
from rekognition.conftest import BOB, TWO_FACES, painting
from retinue_history import ConnectionPool, History
from retinue_rekognition_emulator import Endpoint, Failure, StoredObject
from retinue_sdk import ConfigurationError
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors import retry_policy

POINT = EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.02)
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr("retinue_workers.detectors.runner.PROBE_SECONDS", 0.1)


@pytest.fixture
def rig(history_url: str) -> Iterator[Rig]:
    pool = ConnectionPool(history_url)
    rig = Rig(History(pool), url=history_url)
    rig.plugins = Plugins((POINT,))
    yield rig
    pool.close()


@pytest.fixture
def cloud(rig: Rig) -> Iterator[Endpoint]:
    """Rekognition and S3's HeadObject, both on what the rig's S3 holds."""

    def read(bucket: str, key: str, version: str | None) -> StoredObject | None:
        try:
            found = rig.s3.get_object(bucket, key, version, max_bytes=2**30)
        except ClientError:
            return None
        return StoredObject(found.body)

    with Endpoint(source=read) as served:
        yield served
        assert served.broken == []


def asking(cloud: Endpoint, **options: Any) -> dict[str, Any]:
    return {
        "endpoint_url": cloud.url,
        "s3_endpoint_url": cloud.url,
        "requests_per_second": 1_000,
        **options,
    }


def as_file(kind: str, size: tuple[int, int] = (200, 200)) -> bytes:
    file = BytesIO()
    Pillow.new("RGB", size, "teal").save(file, kind)
    return file.getvalue()


def test_each_bad_image_is_a_failed_run_of_its_own_kind(rig: Rig, cloud: Endpoint) -> None:
    rig.upload("good.png", TWO_FACES)
    rig.upload("tiny.png", painting(size=(79, 300)))
    rig.upload("animation.gif", as_file("GIF"))
    rig.upload("modern.webp", as_file("WEBP"))
    rig.upload("modern.jpg", as_file("WEBP"))
    rig.upload("empty.jpg", b"")
    rig.upload("gone.jpg", TWO_FACES)
    rig.s3.delete_object(Bucket=BUCKET, Key="gone.jpg")  # between the event and the call
    rig.queue.send(created("never.jpg", etag="e", size=9))
    rig.queue.send(created("large.jpg", etag="e", size=15 * 2**20 + 1))
    # The event told no size, so only the service sees how large it is.
    data = as_file("PNG") + bytes(15 * 2**20)
    etag = rig.s3.put_object(Bucket=BUCKET, Key="secretly large.png", Body=data)["ETag"].strip('"')
    rig.queue.send(created("secretly large.png", etag=etag, size=None))
    rig.work_off({"rekognition-faces": asking(cloud)})
    told = {key: code or outcome for key, _, outcome, code in rig.runs()}
    assert told == {
        "good.png": "succeeded",
        "tiny.png": "rejected_by_service",
        "animation.gif": "unsupported_format",
        "modern.webp": "unsupported_format",
        "modern.jpg": "unsupported_format",
        "empty.jpg": "empty_file",
        "gone.jpg": "object_not_found",
        "never.jpg": "object_not_found",
        "large.jpg": "image_too_large_for_service",
        "secretly large.png": "image_too_large_for_service",
    }
    # Names and announced sizes tell before a call is made: that costs nothing.
    assert cloud.errors["InvalidImageFormatException"] == 1
    assert cloud.errors["ImageTooLargeException"] == 1
    gone = rig.rows("SELECT key FROM images WHERE deleted_at IS NOT NULL ORDER BY key")
    assert [row["key"] for row in gone] == ["gone.jpg", "never.jpg"]


@pytest.mark.parametrize("send", ["reference", "bytes"])
def test_bytes_tell_the_format_before_the_call(rig: Rig, cloud: Endpoint, send: str) -> None:
    rig.upload("modern.jpg", as_file("WEBP"))
    rig.work_off({"rekognition-labels": asking(cloud, send=send)})
    assert rig.outcomes("rekognition-labels") == ["unsupported_format"]
    assert cloud.errors["InvalidImageFormatException"] == (1 if send == "reference" else 0)


def test_a_bucket_elsewhere_blames_no_image(rig: Rig, cloud: Endpoint) -> None:
    """Rekognition says the same of it as of a missing object. Mended, it goes on by itself."""
    rig.upload("there.png", TWO_FACES)
    cloud.faults.bucket_region = "eu-central-1"
    cloud.faults.fail_always("DetectFaces", Failure("InvalidS3ObjectException"))
    with rig.running({"rekognition-faces": asking(cloud)}):
        eventually(lambda: cloud.errors["InvalidS3ObjectException"] > 1, what="asking again")
        assert rig.runs() == []
        cloud.faults.bucket_region = "us-east-1"
        cloud.faults.fail_always("DetectFaces", None)
        rig.wait_until_empty()
    assert rig.outcomes("rekognition-faces") == ["succeeded"]
    assert max(rig.queue.receive_counts().values(), default=0) <= 1


def test_a_missing_collection_keeps_the_messages(rig: Rig, cloud: Endpoint) -> None:
    for number in range(3):
        rig.upload(f"{number}.png", painting((BOB, (10, 10, 200, 200))))
    options = asking(cloud, collection_id="staff")
    with rig.running({"rekognition-face-search": options}):
        eventually(lambda: cloud.errors["ResourceNotFoundException"] > 1, what="asking again")
        assert rig.runs() == []
        assert not rig.queue.receive_counts() or max(rig.queue.receive_counts().values()) == 0
        cloud.operations.collections.create("staff")
        rig.wait_until_empty()
    assert rig.outcomes("rekognition-face-search") == ["succeeded"] * 3


@pytest.mark.parametrize("code", ["ExpiredTokenException", "ExpiredToken", "AccessDeniedException"])
def test_what_expires_in_the_middle_loses_nothing(rig: Rig, cloud: Endpoint, code: str) -> None:
    wanted = {"rekognition-labels": asking(cloud), "rekognition-faces": asking(cloud)}
    for number in range(4):
        rig.upload(f"{number}.png", TWO_FACES)
    with rig.running(wanted):
        rig.wait_until_empty()
        cloud.faults.fail_always("*", Failure(code, status=400))
        for number in range(4, 8):
            rig.upload(f"{number}.png", TWO_FACES)
        eventually(lambda: cloud.errors[code] > 2, what="asking again")
        assert len(rig.runs()) == 8
        cloud.faults.fail_always("*", None)
        rig.wait_until_empty()
    for name in wanted:
        assert rig.outcomes(name) == ["succeeded"] * 8


@pytest.mark.parametrize(
    ("detector", "options", "says"),
    [
        ("rekognition-labels", {"min_confidence": 55}, "less than or equal to 1"),
        ("rekognition-labels", {"max_labels": 1_001}, "less than or equal to 1000"),
        ("rekognition-labels", {"max_dominant_colors": 21}, "less than or equal to 20"),
        ("rekognition-labels", {"features": []}, "at least 1"),
        ("rekognition-moderation", {"min_confidence": -0.1}, "greater than or equal to 0"),
        ("rekognition-text", {"min_box_height": 2}, "less than or equal to 1"),
        ("rekognition-ppe", {"min_confidence": 0.49}, "greater than or equal to 0.5"),
        ("rekognition-ppe", {"required_equipment": ["BOOTS"]}, "'FACE_COVER', 'HAND_COVER'"),
        ("rekognition-faces", {"attributes": ["MOOD"]}, "'ALL', 'AGE_RANGE'"),
        (
            "rekognition-faces",
            {"min_confidence": 0.5},
            "unknown option min_confidence (its options: ",
        ),
        ("rekognition-face-search", {"collection_id": "a b"}, "pattern"),
        ("rekognition-face-search", {"collection_id": "a", "max_faces": 101}, "equal to 100"),
        ("rekognition-face-search", {"collection_id": "a", "max_matches": 4_097}, "less than"),
        ("rekognition-face-compare", {"reference_image": ""}, "at least 1"),
        ("rekognition-celebrities", {"read_timeout_seconds": 0}, "greater than 0"),
        ("rekognition-celebrities", {"endpoint_url": "ftp://x"}, "pattern"),
    ],
)
def test_an_option_out_of_range_is_refused_at_the_start(
    rig: Rig, detector: str, options: dict[str, Any], says: str
) -> None:
    begins = rf"^detector {detector}: (unknown )?option "
    with pytest.raises(ConfigurationError, match=begins) as refused:
        rig.worker({detector: options})
    assert says in str(refused.value)
