"""One image: which runs are shown, and what stays of an image that is gone."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
from fakes.small_history import BOX, HOSTILE, NOON, found, image, run
from retinue_cli.output.image_view import find
from retinue_console.queries.image import MAX_DETECTIONS, find_image, raw_response
from retinue_history.analysis.selection import ImageName
from retinue_history.db.connections import Connection
from retinue_history.db.snapshot import snapshot
from retinue_sdk import BoundingBox

Record = Callable[..., None]


def test_the_latest_run_of_each_detector_is_shown_as_the_cli_shows_it(
    record: Record, reader: Connection, history_url: str
) -> None:
    cat = image("cat.jpg", width_px=40, height_px=30)
    later, bed = NOON + timedelta(days=40), found("Bed", 0.8, box=None)
    record(
        [cat],
        [
            run(cat, [found("Cat", 0.7)], raw_response='{"cats": 1}'),
            run(cat, [found("Dog", 0.6), bed], version="2", started_at=later),
            run(cat, event_id="again", version="3", error_code="detector_timeout"),
            run(cat, [found("Ghost")], detector="invented", model_version="emulator"),
            run(cat, detector="words"),
            run(cat, detector="faces", error_code="access_denied"),
        ],
    )
    shown = find_image(reader, cat.image_id)
    assert shown is not None
    assert (shown.key, shown.version, shown.width_px) == ("cat.jpg", "v1", 40)
    assert [(one.detector, one.label, one.box is None) for one in shown.detections] == [
        ("invented", "Ghost", False),
        ("objects", "Bed", True),
        ("objects", "Dog", False),
    ]
    assert shown.detections[0].box == BoundingBox(*BOX)
    assert [(one.detector, one.detector_version, one.is_shown) for one in shown.runs] == [
        ("faces", "1", True),
        ("invented", "1", True),
        ("objects", "2", True),
        ("words", "1", True),
        ("objects", "1", False),
        ("objects", "3", False),
    ]
    with snapshot(history_url) as history:
        by_cli = find(history, ImageName(cat.image_id))
    assert sorted((one.detector, one.label, one.confidence) for one in shown.detections) == sorted(
        (run.detector, one.label, one.confidence) for run in by_cli.runs for one in run.detections
    )

    first = next(one.run_id for one in shown.runs if one.has_response)
    chosen = find_image(reader, cat.image_id, chosen=[first])
    assert chosen is not None
    assert [one.label for one in chosen.detections] == ["Ghost", "Cat"]
    assert raw_response(reader, cat.image_id, first) == '{\n    "cats": 1\n}'
    assert raw_response(reader, image("dog.jpg").image_id, first) is None
    assert [row[1:3] for row in reader.execute(shown.sql.encode()).fetchall()] == [
        ("label", "Bed"),
        ("label", "Dog"),
    ]


def test_an_image_that_is_gone_keeps_its_history(
    record: Record, reader: Connection, history_url: str
) -> None:
    old, new = image("a.jpg"), image("a.jpg", NOON + timedelta(days=1), version="v2")
    record([old, new], [run(old, [found("Cat")])])
    with psycopg.connect(history_url, autocommit=True) as owner:
        owner.execute("UPDATE images SET deleted_at = now() WHERE version = 'v1'")
    shown = find_image(reader, old.image_id)
    assert shown is not None
    assert shown.deleted_at is not None
    assert [one.label for one in shown.detections] == ["Cat"]
    assert [one.image_id for one in shown.versions] == [new.image_id]
    assert find_image(reader, UUID(int=0)) is None


def test_many_detections_and_hostile_texts(record: Record, reader: Connection) -> None:
    for text in HOSTILE:
        one = image(text)
        many = [found(text, n / 2_000) for n in range(MAX_DETECTIONS + 1)]
        record([one], [run(one, many, raw_response="null")])
        shown = find_image(reader, one.image_id)
        assert shown is not None
        assert shown.key == text
        assert shown.has_more_detections
        assert len(shown.detections) == MAX_DETECTIONS
        assert shown.detections[0].confidence == 0.5
