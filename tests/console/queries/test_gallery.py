"""Pages of images and of detections: each once, in order, while others are recorded."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
from fakes.examples import examples
from fakes.small_history import HOSTILE, NOON, found, image, run
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from retinue_console.queries import gallery, runs
from retinue_console.queries.cursor import Cursor
from retinue_console.queries.filters import Filters
from retinue_console.queries.walk import Looked, walk
from retinue_history import ConnectionPool, History
from retinue_history.db.connections import Connection
from sqlalchemy import make_url

Record = Callable[..., None]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def shared(shared_history_url: str) -> Iterator[tuple[Record, Connection]]:
    """A history that examples fill, each under a prefix of its own, and a reader of it."""
    url = make_url(shared_history_url).set(username="retinue_reader", drivername="postgresql")
    text = url.render_as_string(hide_password=False)
    with (
        closing(ConnectionPool(shared_history_url, application_name="test")) as pool,
        psycopg.connect(text, autocommit=True) as reader,
    ):
        yield History(pool).record, reader


def pages(
    show: Callable[..., Any],
    reader: Connection,
    filters: Filters,
    between: Callable[[], None],
    few: int = gallery.FEW,
    **how: Any,
) -> Iterator[Any]:
    """The rows of all pages; something happens after each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "FEW", few)
        patch.setattr(gallery, "FEW_WITH_DETECTIONS", few)
        while True:
            page = show(reader, filters, **how)
            assert page.stopped_early == (page.looked_until is not None) or show is gallery.patches
            yield from page.rows
            if page.next is None:
                return
            filters = Filters.model_validate(filters.parameters() | {"after": page.next})
            between()


FEW = st.sampled_from([gallery.FEW, 0])
"""Whether the images of a prefix are few, or looked for among all."""


UPLOADS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12)
"""When each image was uploaded, in minutes, and whether it shows a cat."""


@given(
    UPLOADS,
    st.lists(st.integers(-3, 8), max_size=4),
    st.integers(1, 4),
    st.sampled_from([0, 2]),
    FEW,
)
@settings(max_examples=examples(0.25))
def test_every_image_is_on_one_page_in_order(
    shared: tuple[Record, Connection],
    uploads: list[tuple[int, bool]],
    later: list[int],
    wanted: int,
    seconds: int,
    few: int,
) -> None:
    """Also images of the same time, and also if each page stops at its first look."""
    record, reader = shared
    place = f"{next(NUMBERS)}/"
    cat = f"Cat {place}"
    images = [
        image(f"{place}{number}.jpg", NOON + timedelta(minutes=minute))
        for number, (minute, _) in enumerate(uploads)
    ]
    runs = [
        run(one, [found(cat), found(cat, 0.5)] if is_cat else [found("Dog")])
        for one, (_, is_cat) in zip(images, uploads, strict=True)
    ]
    record(images, runs)
    inserted = iter(later)

    def insert() -> None:
        for minute in itertools.islice(inserted, 1):
            new = image(f"{place}new {minute}.jpg", NOON + timedelta(minutes=minute, seconds=30))
            record([new], [run(new, [found(cat)])])

    for filters, expected in (
        (Filters(prefix=place), images),
        (
            Filters(prefix=place, kind="label", min_confidence=0.8, max_confidence=0.9),
            images,
        ),
        (
            Filters(label=cat),
            [one for one, (_, is_cat) in zip(images, uploads, strict=True) if is_cat],
        ),
    ):
        how = {"wanted": wanted, "seconds": seconds, "few": few}
        seen = list(pages(gallery.images, reader, filters, insert, **how))
        order = [(one.uploaded_at, one.image_id) for one in seen]
        assert order == sorted(set(order), reverse=True)
        assert {one.image_id for one in expected} <= {one.image_id for one in seen}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 4))
@settings(max_examples=examples(0.15))
def test_previous_pages_are_those_that_were_shown(
    shared: tuple[Record, Connection], uploads: list[int], wanted: int
) -> None:
    record, reader = shared
    place = f"{next(NUMBERS)}/"
    images = [
        image(f"{place}{number}.jpg", NOON + timedelta(minutes=minute))
        for number, minute in enumerate(uploads)
    ]
    record(images, [run(one, [found(f"Cat {place}"), found("Dog")]) for one in images])
    for show, filters in (
        (gallery.images, Filters(prefix=place)),
        (gallery.images, Filters(label=f"Cat {place}")),
        (gallery.patches, Filters(prefix=place)),
        (gallery.patches, Filters(label=f"Cat {place}")),
        (runs.list_runs, Filters(prefix=place)),
    ):
        shown = []
        page = show(reader, filters, wanted=wanted)
        assert page.previous is None
        while True:
            shown.append(page.rows)
            if page.next is None:
                break
            page = show(reader, at(filters, page.next), wanted=wanted)
        for expected in reversed(shown[:-1]):
            page = show(reader, at(filters, page.previous), wanted=wanted)
            assert page.rows == expected
            assert show(reader, at(filters, page.next), wanted=wanted).rows
        assert page.previous is None or show(reader, at(filters, page.previous), wanted=wanted) == (
            show(reader, filters, wanted=wanted)
        )


def at(filters: Filters, place: str | None) -> Filters:
    """The filters of another page."""
    return Filters.model_validate(filters.parameters() | {"after": place})


AGAIN = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 99), st.booleans()), max_size=5)
"""Which image is looked at again, when, in minutes, and whether a cat is found."""


@given(AGAIN, AGAIN, st.integers(1, 3))
@settings(max_examples=examples(0.25))
def test_images_that_are_looked_at_again_stay_on_their_page(
    shared: tuple[Record, Connection],
    before: list[tuple[int, int, bool]],
    meanwhile: list[tuple[int, int, bool]],
    wanted: int,
) -> None:
    record, reader = shared
    place = f"{next(NUMBERS)}/"
    cat = f"Cat {place}"
    images = [
        image(f"{place}{number}.jpg", NOON + timedelta(minutes=number)) for number in range(8)
    ]
    matching = set(range(8))
    latest = {number: (NOON + timedelta(minutes=number, seconds=1), True) for number in range(8)}
    record(images, [run(one, [found(cat)]) for one in images])

    def look_again(number: int, minutes: int, is_cat: bool) -> None:
        again = NOON + timedelta(minutes=number + minutes, seconds=2, microseconds=next(NUMBERS))
        labels = [found(cat if is_cat else "Dog")]
        record([], [run(images[number], labels, version=f"{next(NUMBERS)}", started_at=again)])
        latest[number] = max(latest[number], (again, is_cat))
        if not latest[number][1]:
            matching.discard(number)

    for one in before:
        look_again(*one)
    matching = {number for number, (_, is_cat) in latest.items() if is_cat}
    waiting = iter(meanwhile)

    def between() -> None:
        for one in itertools.islice(waiting, 1):
            look_again(*one)

    filters = Filters(label=cat)
    seen = [one.key for one in pages(gallery.images, reader, filters, between, wanted=wanted)]
    assert len(seen) == len(set(seen))
    assert {f"{place}{number}.jpg" for number in matching} <= set(seen)


@given(UPLOADS, st.integers(1, 4), st.sampled_from([0, 2]), FEW)
@settings(max_examples=examples(0.15))
def test_every_detection_is_on_one_page(
    shared: tuple[Record, Connection],
    uploads: list[tuple[int, bool]],
    wanted: int,
    seconds: int,
    few: int,
) -> None:
    record, reader = shared
    place = f"{next(NUMBERS)}/"
    cat = f"Cat {place}"
    expected: list[str] = []

    def add(minute: int, is_cat: bool) -> None:
        new = image(f"{place}{next(NUMBERS)}.jpg", NOON + timedelta(minutes=minute))
        cats = [found(cat, 0.7), found(cat, 0.8), found(cat, box=None)] if is_cat else []
        record([new], [run(new, [found("Dog"), *cats])])
        expected.extend([new.key] * 2 if is_cat else [])

    for one in uploads:
        add(*one)
    for filters, patience in (
        (Filters(label=cat), seconds),
        (Filters(prefix=place, max_confidence=0.8), 2),
    ):
        given, later = list(expected), iter([9, 0, 3])

        def between(later: Iterator[int] = later) -> None:
            for minute in itertools.islice(later, 1):
                add(minute, True)

        how = {"wanted": wanted, "seconds": patience, "few": few}
        seen = list(pages(gallery.patches, reader, filters, between, **how))
        numbers = [one.finding.detection_id for one in seen]
        assert len(numbers) == len(set(numbers))
        assert sorted(one.key for one in seen if one.key in given) == sorted(given)
        assert all(one.finding.box is not None and one.finding.label == cat for one in seen)


def test_filters_are_about_the_latest_run_of_each_detector(
    record: Record, reader: Connection
) -> None:
    cat, dog = image("cat.jpg"), image("dog.jpg", NOON - timedelta(days=40))
    later = NOON + timedelta(hours=1)
    record(
        [cat, dog],
        [
            run(cat, [found("Cat"), found("Sofa", 0.3, box=None)]),
            run(dog, [found("Cat", 0.4)]),
            run(dog, [found("Dog", 0.95)], version="2", started_at=later),
            run(dog, [found("Stop", kind="text")], detector="words"),
            run(cat, [], detector="words", version="7"),
        ],
    )

    def keys(**given: Any) -> list[str]:
        return [one.key for one in gallery.images(reader, Filters(**given)).rows]

    assert keys() == ["cat.jpg", "dog.jpg"]
    assert keys(label="Cat") == ["cat.jpg"]
    assert keys(label="Dog") == ["dog.jpg"]
    assert keys(label="Cat", max_confidence=0.5) == []
    assert keys(parent="dog") == ["dog.jpg"]
    assert keys(parent="dog", label="Cat") == []
    assert keys(kind="text") == ["dog.jpg"]
    assert keys(detector="words") == ["cat.jpg", "dog.jpg"]
    assert keys(detector="words", version="7") == ["cat.jpg"]
    assert keys(detector="words", kind="label") == []
    assert keys(since=NOON) == ["cat.jpg"]
    assert keys(label="Dog", since=later) == ["dog.jpg"]
    assert keys(label="Dog", until=later) == []
    assert keys(prefix="s3://photos/c") == ["cat.jpg"]
    assert keys(prefix="s3://others/c") == []
    [shown] = gallery.images(reader, Filters(label="Sofa")).rows
    assert [(one.label, one.matches) for one in shown.findings] == [("Sofa", True), ("Cat", False)]
    assert [one.finding.label for one in gallery.patches(reader, Filters()).rows] == [
        "Stop",
        "Dog",
        "Cat",
    ]
    months = gallery.months(reader, Filters())
    assert months == [gallery.Month(date(2026, 1, 1), None), gallery.Month(date(2025, 11, 1), None)]
    assert gallery.months(reader, Filters(label="Cat")) == [
        gallery.Month(date(2026, 1, 1), 1),
        gallery.Month(date(2025, 11, 1), 1),
    ]


def test_months_of_detections_are_those_of_their_detection(
    record: Record, reader: Connection
) -> None:
    """Images that were uploaded long before a detector processed them."""
    old, seen = image("old.jpg", NOON - timedelta(days=400)), NOON + timedelta(hours=1)
    record([old], [run(old, [found("Cat")], started_at=seen)])
    record([image("other.jpg", NOON - timedelta(days=200))], [])
    [month] = gallery.months(reader, Filters(), of_detections=True) or []
    assert month.month == date(2026, 1, 1)
    assert gallery.patches(reader, Filters(since=NOON)).rows
    assert not gallery.patches(reader, Filters(until=NOON)).rows


@pytest.mark.parametrize(
    "given", [{}, {"label": "Cat"}, {"kind": "label", "max_confidence": 0.8}, {"since": NOON}]
)
def test_detections_are_those_of_the_same_in_sql(
    record: Record, reader: Connection, given: dict[str, Any]
) -> None:
    images = [image(f"{n}.jpg", NOON + timedelta(minutes=n - 3)) for n in range(6)]
    whole = found("Cat", box=None)
    record(images, [run(one, [found("Cat", 0.7), found("Dog", 0.9), whole]) for one in images])
    filters = Filters(**given)
    rows = reader.execute(gallery.same_in_sql(filters, of_detections=True).encode()).fetchall()
    assert [(row[0], row[4]) for row in rows] == [
        (one.image_id, one.finding.label) for one in gallery.patches(reader, filters).rows
    ]
    assert rows


def test_an_old_version_is_found_in_the_first_look(record: Record, reader: Connection) -> None:
    old = image("old.jpg", NOON - timedelta(days=100))
    new = [image(f"{n}.jpg", NOON + timedelta(n)) for n in range(99)]
    record(
        [old, *new],
        [
            run(old, [found("Cat"), found("Stop", kind="text")], started_at=old.uploaded_at),
            *(run(one, [found("Cat")], version="2", started_at=one.uploaded_at) for one in new),
        ],
    )
    for asked, keys in (
        ({"version": "1"}, ["old.jpg"]),
        ({"version": "1", "label": "Cat"}, ["old.jpg"]),
        ({"kind": "text"}, ["old.jpg"]),
        ({"kind": "text", "label": "Stop"}, ["old.jpg"]),
        ({"version": "3"}, []),
        ({"kind": "face", "label": "Cat"}, []),
        ({"detector": "none"}, []),
    ):
        for show in (gallery.images, gallery.patches):
            page = show(reader, Filters(**asked), seconds=0)
            assert {one.key for one in page.rows} == set(keys)
            assert (page.next, page.stopped_early) == (None, False)


def test_few_images_are_found_in_the_first_look(
    record: Record, reader: Connection, history_url: str
) -> None:
    old, new = image("old/cat.jpg"), [image(f"new/{n}.jpg", NOON + timedelta(n)) for n in range(99)]
    record([old, *new], [run(one, [found("Cat")]) for one in [old, *new]])
    truth = Jsonb({"exhaustive": True, "made_by": "people", "items": []})
    with (
        closing(ConnectionPool(history_url, application_name="test")) as pool,
        pool.transaction() as owner,
    ):
        owner.execute("SELECT save_truth(%s, 'pets', 'review', %s)", [old.image_id, truth])
    for asked in (
        {"prefix": "old/"},
        {"prefix": "s3://photos/old/"},
        {"reviewed": True},
        {"prefix": "old/", "label": "Cat"},
        {"prefix": "old/", "parent": "cat", "min_confidence": 0.1},
        {"reviewed": True, "label": "Cat"},
    ):
        for show in (gallery.images, gallery.patches):
            page = show(reader, Filters(**asked), seconds=0)
            assert [one.key for one in page.rows] == ["old/cat.jpg"]
            assert (page.next, page.stopped_early) == (None, False)


def test_a_detector_of_texts_finds_no_labels_of_others(record: Record, reader: Connection) -> None:
    """Texts are counted without their labels."""
    images = [image(f"{n}.jpg", NOON + timedelta(minutes=n)) for n in range(99)]
    record(images, [run(one, [found("Stop")]) for one in images])
    record([], [run(images[0], [found("OPEN", kind="text")], detector="texts")])
    for show in (gallery.images, gallery.patches):
        page = show(reader, Filters(label="Stop", detector="texts"), seconds=0)
        assert (page.rows, page.next, page.stopped_early) == ((), None, False)
        page = show(reader, Filters(label="OPEN", detector="texts"), seconds=0)
        assert ([one.key for one in page.rows], page.next) == (["0.jpg"], None)


def test_a_search_stops_for_its_time_alone(reader: Connection) -> None:
    """Matches that are all among the newest don't promise that more follow soon."""
    matches = [*range(42), 99_999]

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[int]:
        begin = 0 if after is None else (after.number or 0) + 1
        rows = [(Cursor("recorded", number=n), n) for n in matches if begin <= n < begin + size]
        last = begin + size - 1
        return Looked(rows[:wanted], Cursor("recorded", number=last) if last < 100_000 else None)

    page = walk(reader, look, None, seconds=60)
    assert (page.rows, page.next, page.stopped_early) == (tuple(matches), None, False)


def test_hostile_texts_are_only_texts(record: Record, reader: Connection) -> None:
    images = [image(text, NOON + timedelta(minutes=n)) for n, text in enumerate(HOSTILE)]
    record(
        images,
        [run(one, [found(text)]) for one, text in zip(images, HOSTILE, strict=True)],
    )
    for text in HOSTILE:
        for filters in (Filters(label=text), Filters(prefix=text), Filters(parent=text)):
            [shown] = gallery.images(reader, filters).rows
            assert (shown.key, shown.findings[0].label) == (text, text)
        [patch] = gallery.patches(reader, Filters(label=text)).rows
        assert patch.finding.label == text
        for name in ("kind", "detector", "version"):
            assert gallery.images(reader, Filters.model_validate({name: text})).rows == ()


def test_an_image_shows_a_part_of_what_was_found(record: Record, reader: Connection) -> None:
    many = image("many.jpg")
    record([many], [run(many, [found(f"thing {n}", n / 100) for n in range(60)])])
    [shown] = gallery.images(reader, Filters(label="thing 3")).rows
    assert shown.has_more
    assert [one.label for one in shown.findings[:3]] == ["thing 3", "thing 59", "thing 58"]
    assert len(shown.findings) == gallery.FINDINGS


def test_a_place_in_another_list_is_refused(record: Record, reader: Connection) -> None:
    images = [image(f"{n}.jpg", NOON + timedelta(minutes=n)) for n in range(3)]
    record(images, [run(one, [found("Cat")]) for one in images])
    by_upload = Filters.model_validate({"after": gallery.images(reader, Filters(), wanted=1).next})
    for show, filters in (
        (gallery.images, Filters(label="Cat", after=by_upload.after)),
        (gallery.patches, by_upload),
    ):
        with pytest.raises(ValueError, match="is a position in another list"):
            show(reader, filters)
