"""Test events of created and removed objects."""

from datetime import UTC, datetime

import pytest
from retinue_history import NULL_VERSION, RemovedObject
from retinue_sdk import ImageReference
from retinue_workers.intake.s3_event import ParsedBody, parse
from retinue_workers.work import ImageEvent, RemovalEvent
from unit.workers.notifications import (
    ETAG,
    TIME,
    Json,
    created,
    event_bridge,
    notification,
    only,
    problem,
    record,
    removed,
)


def test_a_notification_tells_everything_about_a_new_object() -> None:
    assert created(notification(record(versionId="v1"))) == ImageEvent(
        ImageReference("photos", "cats/tom.jpg", "v1", ETAG),
        size_bytes=1024,
        sequencer="0055AED6DCD90281E5",
        event_time=TIME,
    )


@pytest.mark.parametrize("suffix", ["Put", "Post", "Copy", "CompleteMultipartUpload", "Whatever"])
@pytest.mark.parametrize("prefix", ["", "s3:"])
def test_every_way_of_creating_counts(prefix: str, suffix: str) -> None:
    created(notification(record(f"{prefix}ObjectCreated:{suffix}")))


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.5", "3.0", None])
def test_any_version_of_the_event_is_read(version: str | None) -> None:
    created(notification(record() | {"eventVersion": version}))


def test_only_the_fields_that_are_used_are_required() -> None:
    bare = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2025-03-04T05:06:07.089Z",
        "s3": {"bucket": {"name": "photos"}, "object": {"key": "a", "eTag": "e"}},
    }
    assert created(notification(bare)) == ImageEvent(
        ImageReference("photos", "a", etag="e"), None, None, TIME
    )


@pytest.mark.parametrize("version_id", ["", "null", None])
def test_without_a_version_that_stays_the_etag_is_the_version(version_id: str | None) -> None:
    reference = created(notification(record(versionId=version_id))).reference
    assert (reference.version_id, reference.version) == (None, ETAG)


def test_quotes_around_an_etag_are_no_part_of_it() -> None:
    assert created(notification(record(eTag=f'"{ETAG}"'))).reference.etag == ETAG
    assert created(event_bridge(etag=f'"{ETAG}"')).reference.etag == ETAG


@pytest.mark.parametrize("etag", ["", '""', None])
def test_an_object_without_version_and_etag_is_no_image(etag: str | None) -> None:
    text = problem(notification(record(eTag=etag, versionId="null")))
    assert text == "Records[0].s3.object: an image needs a version id or an ETag"


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("red+flower.jpg", "red flower.jpg"),
        ("1%2B1.jpg", "1+1.jpg"),
        ("a%2Fb/c.jpg", "a/b/c.jpg"),
        ("%E6%97%A5%E6%9C%AC.jpg", "日本.jpg"),
        ("100%25.jpg", "100%.jpg"),
        ("na%C3%AFve%20.jpg", "naïve .jpg"),
        ("line%0Afeed.jpg", "line\nfeed.jpg"),
    ],
)
def test_keys_of_notifications_are_form_encoded(encoded: str, key: str) -> None:
    assert created(notification(record(key=encoded))).reference.key == key


def test_keys_of_event_bridge_are_as_they_are() -> None:
    assert created(event_bridge(key="1+1 100%25.jpg")).reference.key == "1+1 100%25.jpg"


def test_a_key_that_is_not_utf_8_is_a_problem() -> None:
    text = problem(notification(record(key="caf%E9.jpg")))
    assert text == "Records[0].s3.object.key is not UTF-8 once decoded: 'caf%E9.jpg'"


def test_folders_are_no_images() -> None:
    assert parse(notification(record(key="cats/", size=0))) == ParsedBody()
    assert parse(event_bridge(key="cats/", size=0)) == ParsedBody()
    created(notification(record(key="cats/", size=7)))
    created(notification(record(key="cats/", drop=("size",))))
    created(notification(record(key="empty.jpg", size=0)))


@pytest.mark.parametrize("size", [-1, 2**63, 1.5, "1024", True, [], {}])
def test_a_size_is_an_integer_of_0_or_more(size: Json) -> None:
    assert "Records[0].s3.object.size must be" in problem(notification(record(size=size)))


def test_the_size_may_be_unknown() -> None:
    assert created(notification(record(size=None))).size_bytes is None


def test_ceph_writes_keys_as_they_are_and_sizes_as_text() -> None:
    changes: Json = {"versionId": "", "size": "1024"}
    told = record(key="1+1 100%25.jpg", **changes) | {"eventSource": "ceph:s3"}
    event = created(notification(told))
    assert event.reference == ImageReference("photos", "1+1 100%25.jpg", None, ETAG)
    assert event.size_bytes == 1024
    told = record("ObjectRemoved:Delete", "a+%2B.jpg", drop=("size",)) | {"eventSource": "ceph:s3"}
    assert removed(notification(told)).key == "a+%2B.jpg"


@pytest.mark.parametrize(("size", "read"), [("", None), (None, None), (7, 7), ("0", 0)])
def test_ceph_may_say_nothing_of_the_size(size: Json, read: int | None) -> None:
    told = record(size=size) | {"eventSource": "ceph:s3"}
    assert created(notification(told)).size_bytes == read


@pytest.mark.parametrize(
    "size", ["-1", "1.5", "1_0", " 1", "\u0661", "9" * 20, "9" * 400, True, []]
)
def test_even_as_text_a_size_is_an_integer_of_0_or_more(size: Json) -> None:
    told = record(size=size) | {"eventSource": "ceph:s3"}
    assert "Records[0].s3.object.size must be" in problem(notification(told))


def test_a_folder_of_ceph_is_no_image() -> None:
    told = record(key="cats/", size="0") | {"eventSource": "ceph:s3"}
    assert parse(notification(told)) == ParsedBody()


@pytest.mark.parametrize("source", ["aws:s3", "minio:s3", "retinue", None])
def test_everyone_else_encodes_keys(source: Json) -> None:
    told = record(key="1%2B1.jpg") | {"eventSource": source}
    assert created(notification(told)).reference.key == "1+1.jpg"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1970-01-01T00:00:00.000Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2025-03-04T05:06:07.089+00:00", TIME),
        ("2025-03-04T06:36:07.089+01:30", TIME),
        ("2025-03-04T05:06:07.089", TIME),
    ],
)
def test_times_are_utc(time: str, expected: datetime) -> None:
    event_time = created(notification(record() | {"eventTime": time})).event_time
    assert event_time == expected
    assert event_time.tzinfo is UTC


@pytest.mark.parametrize(
    "time", ["", None, "yesterday", 0, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"]
)
def test_the_time_is_required(time: Json) -> None:
    assert problem(notification(record() | {"eventTime": time})).startswith("Records[0].eventTime ")


# Identity of an event


def test_the_sequencer_tells_redelivery_from_a_new_event() -> None:
    event = created(notification(record()))
    assert event.event_id == "0055AED6DCD90281E5@2025-03-04T05:06:07.089000+00:00"


def test_of_two_events_with_one_sequencer_the_time_tells_which() -> None:
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        first, again = only(notification(record(name))), only(notification(record(name)))
        later = only(notification(record(name) | {"eventTime": "2025-03-04T05:06:07.090Z"}))
        assert first.event_id == again.event_id != later.event_id


@pytest.mark.parametrize("sequencer", ["", None])
def test_without_a_sequencer_the_time_tells_it(sequencer: str | None) -> None:
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        event = only(notification(record(name, sequencer=sequencer)))
        assert event.sequencer is None
        assert event.event_id == "2025-03-04T05:06:07.089000+00:00"


@pytest.mark.parametrize("sequencer", ["xyz", "00 11", "A" * 65, 12, "-1", "١٢"])
def test_a_sequencer_is_hexadecimal(sequencer: Json) -> None:
    text = problem(notification(record(sequencer=sequencer)))
    assert text.startswith("Records[0].s3.object.sequencer must be ")


# Removed


@pytest.mark.parametrize("version_id", ["", "null", None])
@pytest.mark.parametrize("family", ["ObjectRemoved", "LifecycleExpiration"])
def test_without_a_version_the_null_version_was_removed(
    family: str, version_id: str | None
) -> None:
    body = notification(record(f"{family}:Delete", versionId=version_id))
    assert removed(body).record() == RemovedObject(
        "photos", "cats/tom.jpg", NULL_VERSION, "0055AED6DCD90281E5", TIME
    )
    detail: Json = {"deletion-type": "Permanently Deleted"}
    body = event_bridge("Object Deleted", detail=detail, **{"version-id": version_id})
    assert removed(body).record().version == NULL_VERSION


@pytest.mark.parametrize(("version_id", "marker"), [("v2", "v2"), ("null", "null"), (None, "null")])
def test_the_version_of_a_delete_marker_is_kept(version_id: str | None, marker: str) -> None:
    body = notification(record("ObjectRemoved:DeleteMarkerCreated", versionId=version_id))
    record_ = removed(body).record()
    assert (record_.version, record_.delete_marker) == (None, marker)


def test_a_removal_from_an_unversioned_bucket_names_no_version() -> None:
    body = notification(record("ObjectRemoved:Delete", drop=("size", "eTag")))
    assert removed(body) == RemovalEvent(
        "photos", "cats/tom.jpg", None, False, "0055AED6DCD90281E5", TIME
    )


@pytest.mark.parametrize("etag", ["", None, ETAG])
def test_a_removal_needs_no_etag(etag: str | None) -> None:
    removed(notification(record("ObjectRemoved:Delete", eTag=etag)))


@pytest.mark.parametrize("prefix", ["", "s3:"])
@pytest.mark.parametrize("family", ["ObjectRemoved", "LifecycleExpiration"])
@pytest.mark.parametrize(("action", "marker"), [("Delete", False), ("DeleteMarkerCreated", True)])
def test_people_and_lifecycle_rules_remove_objects(
    prefix: str, family: str, action: str, marker: bool
) -> None:
    event = removed(notification(record(f"{prefix}{family}:{action}", versionId="v2")))
    assert (event.version_id, event.delete_marker) == ("v2", marker)


def test_the_key_of_a_removal_is_decoded_too() -> None:
    assert removed(notification(record("ObjectRemoved:Delete", "a+%2B.jpg"))).key == "a +.jpg"


def test_the_marker_of_a_suspended_bucket_has_no_version() -> None:
    event = removed(notification(record("ObjectRemoved:DeleteMarkerCreated", versionId="null")))
    assert (event.version_id, event.delete_marker) == (None, True)


@pytest.mark.parametrize(
    ("detail", "marker"),
    [
        ({"deletion-type": "Delete Marker Created", "reason": "DeleteObject"}, True),
        ({"deletion-type": "Permanently Deleted", "reason": "DeleteObject"}, False),
        ({"deletion-type": "Permanently Deleted", "reason": "Lifecycle Expiration"}, False),
        ({}, False),
    ],
)
def test_event_bridge_tells_of_removals(detail: Json, marker: bool) -> None:
    changes: Json = {"version-id": "v3", "size": None}
    body = event_bridge("Object Deleted", detail=detail, **changes)
    assert removed(body) == RemovalEvent(
        "photos",
        "cats/tom.jpg",
        "v3",
        marker,
        "0055AED6DCD90281E5",
        TIME.replace(microsecond=0),
    )
