"""Test the images that a replay selects."""

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from retinue_history import DetectorConfiguration, History, QueryError, RemovedObject
from retinue_history.analysis.existing_runs import ExistingRuns
from retinue_history.analysis.failures import (
    Failures,
    failed_images,
    failure_causes,
    missing_images,
)

Make = Callable[..., Any]


@pytest.fixture
def url(history: History, history_url: str, image: Make, run: Make) -> str:
    """Four images: one was fine, one failed, one failed and then succeeded, one was deleted."""
    cat, dog, cow, fox = (image(f"{name}.jpg") for name in ("cat", "dog", "cow", "fox"))
    later = run(cow).started_at + timedelta(hours=1)
    history.record(
        [cat, dog, cow, fox],
        [
            run(cat),
            run(dog, error_code="throttled"),
            run(dog, "event 2", error_code="throttled"),
            run(dog, detector="faces", error_code="corrupt_image", retryable=False),
            run(cow, error_code="throttled"),
            run(cow, fingerprint="other options", started_at=later),
            run(fox, error_code="throttled"),
        ],
    )
    gone = RemovedObject("photos", "fox.jpg", "v1", "20", later)
    history.record([], [], [gone])
    return history_url


def keys(url: str, **chosen: Any) -> list[tuple[str, list[str]]]:
    return [(found.key, found.detectors) for found in failed_images(url, Failures(**chosen))]


def test_what_nothing_made_up_for_is_chosen(url: str) -> None:
    assert keys(url) == [("dog.jpg", ["faces", "labels"])]
    (dog,) = failed_images(url, Failures())
    (again,) = failed_images(url, Failures(detector="labels"))
    assert dog.last_run_id >= again.last_run_id > 0
    assert (dog.version, dog.versioned, dog.sequencer) == ("v1", True, "10")


@pytest.mark.parametrize(
    ("chosen", "detectors"),
    [
        ({"detector": "faces"}, ["faces"]),
        ({"error_code": "throttled"}, ["labels"]),
        ({"bucket": "photos", "prefix": "do"}, ["faces", "labels"]),
        ({"bucket": "others"}, None),
        ({"prefix": "cat"}, None),
        ({"condition": "NOT retryable AND error_message LIKE '%failed%'"}, ["faces"]),
        ({"condition": "false OR detector = 'labels' OR false"}, ["labels"]),
    ],
)
def test_choices(url: str, chosen: dict[str, Any], detectors: list[str] | None) -> None:
    assert keys(url, **chosen) == ([("dog.jpg", detectors)] if detectors else [])


def test_times(url: str, run: Make, image: Make) -> None:
    noon = run(image()).started_at
    assert keys(url, since=noon)
    assert not keys(url, until=noon)
    assert not keys(url, since=noon + timedelta(seconds=1))


@pytest.mark.parametrize(
    "condition", ["nonsense", "true) OR (true", "1; DROP TABLE runs", "nextval('x') > 0", "true --"]
)
def test_a_condition_cannot_break_out(url: str, condition: str) -> None:
    with suppress(QueryError):
        keys(url, condition=condition)
    assert keys(url) == [("dog.jpg", ["faces", "labels"])]


def test_a_condition_that_names_no_column_is_refused_in_its_own_words(url: str) -> None:
    with pytest.raises(QueryError, match='column "nonsense" does not exist'):
        keys(url, condition="nonsense = 1")


def test_causes_are_counted(url: str) -> None:
    causes = failure_causes(url, Failures())
    assert [(c.detector, c.error_code, c.images, c.attempts, c.example) for c in causes] == [
        ("faces", "corrupt_image", 1, 1, "s3://photos/dog.jpg"),
        ("labels", "throttled", 1, 2, "s3://photos/dog.jpg"),
    ]


def test_what_was_never_tried_or_not_to_the_end_is_missing(url: str) -> None:
    wanted = [DetectorConfiguration(name, "1", "f") for name in ("labels", "faces")]
    found = {image.key: image for image in missing_images(url, wanted, Failures())}
    assert {key: image.detectors for key, image in found.items()} == {
        "cat.jpg": ["faces"],
        "cow.jpg": ["faces", "labels"],
        "dog.jpg": ["labels"],
    }
    assert found["cat.jpg"].last_run_id == 0
    assert found["dog.jpg"].last_run_id > 0


def test_known_images(url: str, image: Make) -> None:
    cat, new = image("cat.jpg").image_id, image("new.jpg").image_id
    with closing(ExistingRuns(url)) as known:
        assert known.among([cat, new]) == {cat}
        assert known.among([]) == set()
        known.close()
        assert known.among([cat]) == {cat}, "it connects again"


def test_pages_of_a_backfill_are_asked_about_on_one_connection(url: str) -> None:
    with closing(ExistingRuns(url)) as known, psycopg.connect(url, autocommit=True) as watch:

        def connections() -> list[int]:
            rows = watch.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'retinue backfill' "
                "AND datname = current_database()"
            )
            return [pid for (pid,) in rows]

        known.among([])
        first = connections()
        known.among([])
        assert connections() == first
        assert len(first) == 1
