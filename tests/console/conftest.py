"""A console on a real database that holds hostile texts."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest
from retinue_cli.local.folders import Folders
from retinue_cli.local.state import State
from retinue_console.app import make_app
from retinue_console.database import Database, Reviews
from retinue_console.page import Services
from retinue_console.pictures.opened import open_pictures
from retinue_console.pictures.pictures import Pictures
from retinue_console.settings import ConsoleSettings
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    ImageRecord,
    RunKey,
    RunRecord,
)
from retinue_sdk import ImageReference
from retinue_workers.settings.settings import Settings
from sqlalchemy import make_url
from starlette.testclient import TestClient

ADDRESS = "http://127.0.0.1:8600"

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "\u202eright to left\u202c",
    "=HYPERLINK(1)",
    "x" * 1_000,
    "{{ 7 * 7 }}",
    "плоды/猫 and %2e%2e/?#&",
)
"""Texts that end up in keys, labels and messages."""

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Client: TypeAlias = TestClient
Add: TypeAlias = Callable[..., UUID]


def image_of(key: str, number: int = 0) -> ImageRecord:
    etag = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    return ImageRecord(
        ImageReference("photos", key, etag=etag).image_id,
        "photos",
        key,
        etag,
        versioned=False,
        uploaded_at=NOON + timedelta(minutes=number),
        sequencer=f"{number:04}",
        size_bytes=1_000,
    )


@pytest.fixture(scope="module")
def console_url(shared_history_url: str) -> str:
    """URL of a history with some images, as its owner."""
    with closing(ConnectionPool(shared_history_url, application_name="test")) as pool:
        history = History(pool)
        for number, text in enumerate((*HOSTILE, *(f"photo {n}.jpg" for n in range(20)))):
            image = image_of(text, number)
            key = RunKey(image.image_id, "labels", "1", "f")
            if number % 5 == 4:
                run = RunRecord(
                    key,
                    f"event {number}",
                    outcome="failed",
                    retryable=False,
                    started_at=NOON,
                    duration_ms=1.0,
                    error_code="corrupt_image",
                    error_message=text,
                )
            else:
                run = RunRecord(
                    key,
                    f"event {number}",
                    outcome="succeeded",
                    retryable=False,
                    started_at=NOON,
                    duration_ms=1.0,
                    detections=(DetectionRecord("object", text, 0.5, (0.1, 0.2, 0.3, 0.4)),),
                )
            history.record([image], [run])
    return shared_history_url


@pytest.fixture(scope="module")
def reader_url(console_url: str) -> str:
    """URL of the same for a login that can only read."""
    return (
        make_url(console_url).set(username="retinue_reader").render_as_string(hide_password=False)
    )


@pytest.fixture
def database(reader_url: str) -> Iterator[Database]:
    with closing(Database(reader_url)) as database:
        yield database


@pytest.fixture
def pictures(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pictures]:
    """Pictures of the photographs in a laptop's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    State(tmp_path / ".retinue").prepare()
    with open_pictures(database, ConsoleSettings(), Settings()) as pictures:
        yield pictures


@pytest.fixture
def reviews(console_url: str, database: Database) -> Iterator[Reviews]:
    """The store of reviews, written by the login that the laptop uses."""
    reviewer = make_url(console_url).set(username="retinue_reviewer")
    url = reviewer.render_as_string(hide_password=False)
    with closing(Reviews(database, url)) as reviews:
        yield reviews


@pytest.fixture
def services(database: Database, reviews: Reviews, pictures: Pictures) -> Services:
    return Services(database, reviews, pictures, ConsoleSettings())


@pytest.fixture
def client(services: Services) -> Client:
    """A browser on the console."""
    return TestClient(make_app(services), base_url=ADDRESS)


@pytest.fixture
def add(console_url: str, pictures: Pictures, tmp_path: Path) -> Add:
    """Puts a file into a folder of the laptop and into the history; returns the image's id."""
    folder = tmp_path / f"photos-{tmp_path.name}"
    folder.mkdir()
    folders = Folders(State.find().folders)
    key_of = folders.add(folder)
    folders.save()

    def put(name: str, data: bytes, size_px: tuple[int, int] | None = None) -> UUID:
        (folder / name).write_bytes(data)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        reference = ImageReference("retinue-images", key_of(folder / name), etag=etag)
        record = ImageRecord(
            reference.image_id,
            reference.bucket,
            reference.key,
            reference.version,
            versioned=False,
            uploaded_at=NOON,
            size_bytes=len(data),
            width_px=None if size_px is None else size_px[0],
            height_px=None if size_px is None else size_px[1],
        )
        pool = ConnectionPool(console_url, application_name="test")
        History(pool).record([record])
        pool.close()
        return reference.image_id

    return put
