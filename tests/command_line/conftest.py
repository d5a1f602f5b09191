"""A small history, and the command line on it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_client.server import Server, serving
from click.testing import Result
from fakes.command import run_retinue
from retinue_cli.local import AwsEndpoint
from retinue_cli.options import s3_client
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    ImageRecord,
    RunKey,
    RunRecord,
    VideoRecord,
)
from retinue_sdk import ImageReference

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SIZE_PX = (640, 480)


class Seed:
    """Writes images and runs."""

    def __init__(self, pool: ConnectionPool, bucket: str = "photos") -> None:
        self._history = History(pool)
        self._bucket = bucket
        self._hours = 0

    def image(
        self, key: str, *, size_px: tuple[int, int] | None = SIZE_PX, **fields: Any
    ) -> ImageReference:
        """Record an image."""
        reference = ImageReference(self._bucket, key, version_id=fields.pop("version", "v1"))
        record = ImageRecord(
            reference.image_id,
            reference.bucket,
            reference.key,
            reference.version,
            versioned=True,
            uploaded_at=NOON,
            width_px=None if size_px is None else size_px[0],
            height_px=None if size_px is None else size_px[1],
            **fields,
        )
        self._history.record([record])
        return reference

    def run(
        self,
        image: ImageReference,
        *found: tuple[Any, ...],
        detector: str = "objects",
        version: str = "1",
        fingerprint: str = "f",
        model: str | None = None,
        failed: bool = False,
        attributes: str = "{}",
        truncated: bool = False,
    ) -> None:
        """Record a run, an hour after the one before; found are label, confidence and box."""
        self._hours += 1
        run = RunRecord(
            RunKey(image.image_id, detector, version, fingerprint),
            event_id=f"event {self._hours}",
            outcome="failed" if failed else "succeeded",
            retryable=False,
            started_at=NOON + timedelta(hours=self._hours),
            duration_ms=1.0,
            error_code="corrupt_image" if failed else None,
            error_message="it is broken" if failed else None,
            model_version=model,
            truncated=truncated,
            detections=tuple(
                DetectionRecord("label", label, confidence, *box, attributes=attributes)
                for label, confidence, *box in found
            ),
        )
        assert self._history.record([], [run])

    def video(self, image: ImageReference, *, duration_ms: int, frame_rate: float) -> None:
        """Record the facts of a video."""
        facts = VideoRecord(image.image_id, duration_ms, frame_rate, "h264", "mp4")
        self._history.record([], videos=[facts])

    def appearances(self, video: ImageReference, *found: tuple[Any, ...]) -> None:
        """Record a run on a video; found are the fields of detections, without the kind."""
        self._hours += 1
        run = RunRecord(
            RunKey(video.image_id, "objects", "1", "v"),
            event_id=f"event {self._hours}",
            outcome="succeeded",
            retryable=False,
            started_at=NOON + timedelta(hours=self._hours),
            duration_ms=1.0,
            detections=tuple(DetectionRecord("label", *fields) for fields in found),
        )
        assert self._history.record([], [run])


@pytest.fixture
def seed(pool: ConnectionPool) -> Seed:
    return Seed(pool)


@pytest.fixture
def cli(history_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs ``retinue`` on the history; it must succeed unless an exit code is given."""
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    return run_retinue


@pytest.fixture
def photos(seed: Seed) -> dict[str, ImageReference]:
    """Five images: seen twice, found nothing, size unknown, outside and boxless, and failed."""
    cat = seed.image("pets/cat.jpg")
    seed.run(cat, ("dog", 0.6, (0.1, 0.1, 0.5, 0.5)))
    seed.run(
        cat,
        ("cat", 0.9, (0.1, 0.1, 0.5, 0.5)),
        ('so-called "fur",\nsoft', 0.5, (0.0, 0.0, 0.25, 0.125)),
        version="2",
        model="m2",
    )
    empty = seed.image("empty.jpg")
    seed.run(empty)
    unknown = seed.image("unknown.jpg", size_px=None)
    seed.run(unknown, ("cat", 1.0, (0.0, 0.0, 1.0, 1.0)))
    odd = seed.image("odd=ä.jpg")
    seed.run(
        odd, ("Scene", 0.7), ("cat", 0.8, (1.5, 0.5, 0.1, 0.1)), ("cat", 0.4, (0.9, 0, 0.2, 1))
    )
    broken = seed.image("broken.jpg", size_px=None)
    seed.run(broken, failed=True)
    return {"cat": cat, "empty": empty, "unknown": unknown, "odd": odd, "broken": broken}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """S3 that answers what the test says."""
    with serving() as server:
        client = AwsEndpoint(server.url).client("s3")
        monkeypatch.setattr(s3_client, "s3_client", lambda settings: client)
        yield server
