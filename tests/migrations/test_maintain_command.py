"""``retinue maintain``: the settings say what is kept, with skips, people and spending on board."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from infra.terraform import last_line
from retinue_cli.app import retinue
from retinue_history import Charge, DetectionRecord, History, RemovedObject
from retinue_history.upkeep.maintenance import months_before

Make = Callable[..., Any]


def maintain(*arguments: str, code: int = 0) -> list[str]:
    done = CliRunner().invoke(retinue, ["maintain", *arguments])
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done.output.splitlines()


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


def test_the_settings_say_how_long(
    history: History,
    history_url: str,
    image: Make,
    run: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC)
    old, gone, new = months_before(now, 3), now - timedelta(days=20), now
    images = {when: image(f"{when:%Y%m%d}.jpg", uploaded_at=when) for when in (old, gone, new)}
    runs = []
    for when, each in images.items():
        found = (DetectionRecord("label", f"Seen {when:%d.%m.}", 0.5),)
        paid = {"price_usd": Decimal(1), "charges": (Charge("g", Decimal(1), Decimal(1)),)}
        raw = {"SearchedFaceId": "x", "SearchFaces": []}
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
    from retinue_history.privacy import write_barrier
    from retinue_history.upkeep import maintenance

    assert maintenance._LOCK != write_barrier.LOCK
    with psycopg.connect(history_url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [maintenance._LOCK])
        seen = image("meanwhile.jpg")
        found = (DetectionRecord("face_match", "person:Ann", 0.5),)
        assert history.record([seen], [run(seen, detections=found)])
