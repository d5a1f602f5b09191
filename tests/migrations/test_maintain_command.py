"""``retinue maintain``: the settings say what is kept, with skips, people and spending on board."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from fakes.command import run_retinue
from infra.terraform import last_line
from retinue_cli.local import AwsEndpoint
from retinue_history import Charge, DetectionRecord, History, RemovedObject
from retinue_history.upkeep.maintenance import months_before
from retinue_sdk.json_value import encode_json

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Make = Callable[..., Any]


def maintain(*arguments: str, code: int = 0) -> list[str]:
    return run_retinue("maintain", *arguments, exit_code=code).output.splitlines()


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def emulated(aws: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is the emulator, which has no bucket of the tests' images."""
    for name, value in aws.environment({}).items():
        monkeypatch.setenv(name, value)


def test_s3_is_asked_before_an_image_is_purged(
    history: History, history_url: str, aws: AwsEndpoint, emulated: None,
    image: Make, run: Make, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The removal of its delete marker was never told."""
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    s3: S3Client = aws.client("s3")
    bucket = f"b{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    now = datetime.now(UTC)
    removed = []
    for key in ("back.jpg", "hidden.jpg", "gone.jpg"):
        version = s3.put_object(Bucket=bucket, Key=key, Body=b"?")["VersionId"]
        marker = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
        seen = image(key, version, bucket, uploaded_at=now - timedelta(days=50))
        found = (DetectionRecord("label", key, 0.5),)
        history.record([seen], [run(seen, started_at=now, detections=found)])
        removed.append(RemovedObject(bucket, key, None, "20", now - timedelta(days=40), marker))
        if key == "back.jpg":
            s3.delete_object(Bucket=bucket, Key=key, VersionId=marker)
        if key == "gone.jpg":
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    history.record([], removed=removed)
    kept = "kept 1 images that counted as deleted, because S3 serves them"
    assert {"would have purged 2 deleted images", f"would have {kept}"} <= {*maintain("--dry-run")}
    assert rows(history_url, "SELECT count(*) FROM images") == [(3,)]
    assert {"purged 2 deleted images", kept} <= {*maintain()}
    assert rows(history_url, "SELECT key, deleted_at FROM images") == [("back.jpg", None)]
    assert rows(history_url, "SELECT label FROM latest_detections") == [("back.jpg",)]
    assert maintain()[:-1] == ["nothing to do"]


def test_while_s3_cannot_be_asked_nothing_is_purged(
    history: History, history_url: str, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AwsEndpoint("http://127.0.0.1:9").environment({}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    removed = RemovedObject("photos", "cat.jpg", "v1", "20", datetime.now(UTC) - timedelta(days=40))
    history.record([image()], removed=[removed])
    said = "\n".join(maintain(code=2))
    assert "kept 1 deleted images, because S3 could not be asked about them" in said
    assert "S3 doesn't list photos: " in said
    assert "maintenance is done" not in said
    assert rows(history_url, "SELECT count(*) FROM images") == [(1,)]


def test_the_settings_say_how_long(
    history: History,
    history_url: str,
    image: Make,
    run: Make,
    emulated: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC)
    old, gone, new = months_before(now, 3), now - timedelta(days=20), now
    images = {when: image(f"{when:%Y%m%d}.jpg", uploaded_at=when) for when in (old, gone, new)}
    runs = []
    for when, each in images.items():
        found = (DetectionRecord("label", f"Seen {when:%d.%m.}", 0.5),)
        paid = {"price_usd": Decimal(1), "charges": (Charge("g", Decimal(1), Decimal(1)),)}
        raw = encode_json({"SearchedFaceId": "x", "SearchFaces": []})
        runs.append(run(each, started_at=when, detections=found, raw_response=raw, **paid))
        skip: dict[str, Any] = {"outcome": "skipped", "saved_usd": Decimal(1), "retryable": True}
        told = {"error_code": "x", "error_message": "no"}
        runs.append(run(each, "e/skipped", detector="s", started_at=when, **skip, **told))
    removed = [RemovedObject("photos", images[gone].key, "v1", "20", gone)]
    history.record(list(images.values()), runs, removed)

    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    monkeypatch.setenv("RETINUE_RETENTION_DETECTIONS_MONTHS", "2")
    monkeypatch.setenv("RETINUE_RETENTION_RAW_RESPONSES_DAYS", "30")
    monkeypatch.setenv("RETINUE_RETENTION_DELETED_IMAGES_DAYS", "10")
    spent = rows(history_url, "SELECT * FROM monthly_spending ORDER BY month")
    planned = maintain("--dry-run")
    assert any("would have purged 1 deleted images" in line for line in planned)
    assert rows(history_url, "SELECT count(*) FROM images") == [(3,)]

    done = "\n".join(maintain())
    assert "purged 1 deleted images" in done
    assert "forgot 1 raw responses" in done
    left = rows(history_url, "SELECT key FROM images ORDER BY uploaded_at")
    assert left == [(images[old].key,), (images[new].key,)]
    assert rows(history_url, "SELECT count(*) FROM runs WHERE outcome = 'skipped'") == [(2,)]
    assert rows(history_url, "SELECT label FROM detections") == [(f"Seen {new:%d.%m.}",)]
    # A month that is over is still counted; what was purged is known no longer.
    counted = "SELECT label FROM label_counts_daily ORDER BY day"
    assert rows(history_url, counted) == [(f"Seen {old:%d.%m.}",), (f"Seen {new:%d.%m.}",)]
    assert rows(history_url, f"SELECT 1 FROM labels WHERE label = 'Seen {gone:%d.%m.}'") == []
    # What was paid is paid.
    assert rows(history_url, "SELECT * FROM monthly_spending ORDER BY month") == spent
    assert maintain() == ["nothing to do", last_line("modules/maintenance/main.tf")]
    assert maintain("--dry-run") == ["nothing to do"]


def test_two_at_once_are_told(history_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from retinue_history.upkeep.maintenance import _LOCK

    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    with psycopg.connect(history_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        assert "another process is maintaining" in "\n".join(maintain(code=1))


def test_workers_write_while_somebody_maintains(
    history: History, history_url: str, image: Make, run: Make
) -> None:
    from retinue_history.upkeep import maintenance

    with psycopg.connect(history_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [maintenance._LOCK])
        seen = image("meanwhile.jpg")
        found = (DetectionRecord("face_match", "person:Ann", 0.5),)
        assert history.record([seen], [run(seen, detections=found)])
