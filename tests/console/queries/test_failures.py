"""Failures and runs: the figures of the command line, and a command that means the same images."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import click
import psycopg
import pytest
from fakes.small_history import HOSTILE, NOON, found, image, run
from hypothesis import given
from hypothesis import strategies as st
from retinue_cli.options.failure_options import failure_options
from retinue_console.queries import runs, walk
from retinue_console.queries.cursor import Cursor
from retinue_console.queries.failures import (
    as_failures,
    failed_runs,
    list_causes,
    replay_command,
)
from retinue_console.queries.filters import Filters
from retinue_console.queries.gallery import images
from retinue_console.queries.overview import failed_today
from retinue_console.queries.runs import ListedRun, list_runs
from retinue_history.analysis.failures import Failures, failed_images, failure_causes
from retinue_history.db.connections import Connection

Record = Callable[..., None]


def options(command: str) -> Failures:
    """The failures that the options of a command mean."""
    said: list[Failures] = []

    @click.command()
    @failure_options
    def replay(**selected: Any) -> None:
        said.append(Failures(**selected))

    program, name, *words = shlex.split(command)
    assert (program, name) == ("retinue", "replay")
    replay.main(words, standalone_mode=False)
    return said[0]


def test_causes_are_those_of_the_command_line(
    record: Record, reader: Connection, history_url: str
) -> None:
    images = [image(f"{n}/{text}") for n, text in enumerate(HOSTILE)]
    elsewhere = image("0/a", bucket="others")
    record(
        [*images, elsewhere],
        [run(one, error_code="corrupt_image", error_message=one.key) for one in images]
        + [run(images[0], event_id="again", error_code="corrupt_image")]
        + [run(elsewhere, detector="plug in", error_code="its own")]
        + [run(images[1], [found("Cat")], event_id="later", started_at=NOON + timedelta(days=1))],
    )
    for filters in (
        Filters(),
        Filters(detector="objects"),
        Filters(prefix="0/"),
        Filters(prefix="s3://others/0"),
        Filters(since=NOON + timedelta(days=1)),
    ):
        failures = as_failures(filters, None)
        causes = list_causes(reader, failures).causes
        by_cli = failure_causes(history_url, failures)
        assert [(one.detector, one.images, one.attempts, one.message) for one in causes] == [
            (one.detector, one.images, one.attempts, one.message) for one in by_cli
        ]
        for one in causes:
            assert len(list(failed_images(history_url, options(one.replay)))) == one.images
    corrupt, own = list_causes(reader, Failures()).causes
    assert corrupt.known is not None
    assert corrupt.known.action == "Upload the complete file."
    assert (corrupt.images, corrupt.attempts, own.known) == (len(HOSTILE) - 1, len(HOSTILE), None)

    page = failed_runs(reader, Failures(), None)
    first, following = page.rows, page.next
    assert following is None
    assert [one.run_id for one in first] == sorted((one.run_id for one in first), reverse=True)
    assert len(first) == len(HOSTILE) + 1


def test_the_overview_counts_the_failures_that_the_page_lists(
    record: Record, reader: Connection
) -> None:
    now = datetime.now(UTC)
    seen = [image(f"{n}.jpg") for n in range(3)]
    failed = [
        run(one, event_id=f"e{again}", error_code="timeout", started_at=now)
        for one in seen
        for again in range(2)
    ]
    later = now + timedelta(microseconds=1)
    record(seen, [*failed, run(seen[0], [found("Cat")], version="2", started_at=later)])
    record([image("old.jpg")], [run(image("old.jpg"), error_code="timeout")])
    today = Filters(since=now.replace(hour=0, minute=0, second=0, microsecond=0))
    [listed] = list_causes(reader, as_failures(today, None)).causes
    assert failed_today(reader) == listed.images == 2


def test_a_page_says_what_a_slow_database_did_not_read_in_time(
    record: Record, reader: Connection, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record([image("a.jpg")], [run(image("a.jpg"), error_code="corrupt_image")])
    with monkeypatch.context() as hurry, psycopg.connect(history_url) as owner:
        hurry.setattr(walk, "GRACE_SECONDS", 0.05)
        owner.execute("LOCK TABLE images")  # until the end of the block
        counted = list_causes(reader, Failures(), milliseconds=20)
        page = images(reader, Filters(), seconds=0)
    assert counted.causes == ()
    assert counted.counted_since is not None
    assert (page.rows, page.stopped_early, page.next) == ((), True, None)
    assert list_causes(reader, Failures()).counted_since is None
    assert images(reader, Filters(), seconds=0).stopped_early is False


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(TEXTS, TEXTS, TEXTS.map(lambda text: text.replace("s3:", "")))
def test_the_command_means_the_same_failures(detector: str, code: str, prefix: str) -> None:
    filters = Filters.model_validate({"since": "2026-01-31", "prefix": f"s3://photos/{prefix}"})
    failures = as_failures(filters, None)
    said = options(replay_command(failures, detector, code))
    assert said == Failures(detector, code, filters.since, None, "photos", prefix)


def test_runs_are_listed_once_the_newest_first(record: Record, reader: Connection) -> None:
    images = [image(f"{n}.jpg", NOON + timedelta(minutes=n)) for n in range(9)]
    record(images, [run(one, [found("Cat")]) for one in images])
    record([], [run(one, detector="faces", error_code="access_denied") for one in images[:4]])
    seen, filters = [], Filters()
    while True:
        page = list_runs(reader, filters, wanted=3, seconds=0)
        seen += page.rows
        later = NOON + timedelta(days=1)
        record([], [run(images[0], event_id=str(len(seen)), version="2", started_at=later)])
        if page.next is None:
            break
        filters = Filters.model_validate({"after": page.next})
    assert [(one.key, one.detector) for one in seen] == [
        *((f"{n}.jpg", "objects") for n in reversed(range(4, 9))),
        *((f"{n}.jpg", name) for n in reversed(range(4)) for name in ("faces", "objects")),
    ]
    assert {one.detector for one in list_runs(reader, Filters(), "failed").rows} == {"faces"}
    last = Filters(since=datetime.fromisoformat("2026-01-01T12:08:00Z"), version="1")
    assert [one.key for one in list_runs(reader, last).rows] == ["8.jpg"]
    assert list_runs(reader, Filters(prefix="s3://others/")).rows == ()


@pytest.mark.parametrize("few", [runs.FEW, 0])
def test_runs_of_an_outcome_or_version_are_those_of_all_that_have_it(
    record: Record, reader: Connection, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(runs, "FEW", few)
    images = [image(f"{n}.jpg", NOON + timedelta(hours=7 * n)) for n in range(24)]
    for n, one in enumerate(images):
        record([one], [run(one, version=str(n % 5 % 3))])
        if n % 4 == 0:
            record([], [run(one, detector="faces", error_code="access_denied")])
        if n % 7 == 0:
            skip = {"outcome": "skipped", "retryable": True, "saved_usd": Decimal("0.001")}
            more = {"event_id": f"skip {n}", "duration_ms": 0, "error_message": "not routed"}
            record([], [run(one, detector="faces", error_code="not_routed", **skip, **more)])
    everything = list_runs(reader, Filters()).rows
    assert len(everything) == 24 + 6 + 4
    for filters in (Filters(), Filters(version="2"), Filters(version="1", prefix="1")):
        for outcome in (None, "succeeded", "failed", "skipped"):
            shown: list[ListedRun] = []
            after = filters
            while after is not None:
                page = list_runs(reader, after, outcome, wanted=3)
                shown += page.rows
                after = page.next and Filters.model_validate(
                    filters.parameters() | {"after": page.next}
                )
            assert shown == [
                one
                for one in everything
                if filters.version in (None, one.detector_version)
                and outcome in (None, one.outcome)
                and one.key.startswith(filters.prefix or "")
            ]


def test_failures_are_read_both_ways(record: Record, reader: Connection) -> None:
    images = [image(f"{n}.jpg", NOON) for n in range(5)]
    record(images, [run(one, detector="faces", error_code="access_denied") for one in images])
    wanted = as_failures(Filters(), "access_denied")
    first = failed_runs(reader, wanted, None, wanted=2)
    second = failed_runs(reader, wanted, Cursor.parse(str(first.next)), wanted=2)
    third = failed_runs(reader, wanted, Cursor.parse(str(second.next)), wanted=2)
    assert [one.key for page in (first, second, third) for one in page.rows] == [
        f"{n}.jpg" for n in reversed(range(5))
    ]
    assert third.next is None
    back = failed_runs(reader, wanted, Cursor.parse(str(third.previous)), wanted=2)
    assert back.rows == second.rows
    assert failed_runs(reader, wanted, Cursor.parse(str(back.previous)), wanted=2) == first
