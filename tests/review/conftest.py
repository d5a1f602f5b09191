"""A history with images, and logins of a reader and of reviewers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest
from retinue_history import (
    ConnectionPool,
    DetectionRecord,
    History,
    ImageRecord,
    RunKey,
    RunRecord,
)
from retinue_history.db.connections import Connection, connect
from retinue_sdk import ImageReference

NOW = datetime.now(UTC)
Found = tuple[str, float, tuple[float, float, float, float] | None]


@pytest.fixture
def add(pool: ConnectionPool) -> Callable[..., UUID]:
    """Records an image with what a detector found in it."""

    def record(key: str, *found: Found, detector: str = "objects", version: str = "1") -> UUID:
        reference = ImageReference("photos", key, version_id="v1")
        image = ImageRecord(
            reference.image_id, "photos", key, "v1", versioned=True, uploaded_at=NOW,
            width_px=640, height_px=480,
        )  # fmt: skip
        run = RunRecord(
            RunKey(image.image_id, detector, version, "f"),
            event_id=f"event {key}",
            outcome="succeeded",
            retryable=False,
            started_at=NOW,
            duration_ms=1.0,
            detections=tuple(
                DetectionRecord("label", label, confidence, box) for label, confidence, box in found
            ),
        )
        History(pool).record([image], [run])
        return image.image_id

    return record


@pytest.fixture
def reader(history_url: str, as_user: Callable[[str, str], str]) -> Iterator[Connection]:
    with connect(as_user(history_url, "retinue_reader"), "test", autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(history_url: str) -> Iterator[Connection]:
    with connect(history_url, "test", autocommit=True) as connection:
        yield connection


@pytest.fixture
def open_reviewer(
    history_url: str, postgres_server: str, as_user: Callable[[str, str], str]
) -> Iterator[Callable[[], Connection]]:
    """Opens connections of a login that is a reviewer and nothing else."""
    login = f"console_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {login} LOGIN IN ROLE retinue_reviewer")
        opened: list[Connection] = []

        def make() -> Connection:
            opened.append(connect(as_user(history_url, login), "test", autocommit=True))
            return opened[-1]

        yield make
        for connection in opened:
            connection.close()
        owner.execute(f"DROP ROLE {login}")


@pytest.fixture
def reviewer(open_reviewer: Callable[[], Connection]) -> Connection:
    return open_reviewer()
