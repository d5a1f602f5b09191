"""What each kind of message means, and that no message whatever breaks the parser."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from retinue_sdk import ImageReference, RetinueError
from retinue_workers.event import (
    MAX_PROBLEMS,
    MalformedEventError,
    ObjectCreated,
    ObjectRemoved,
    ParsedBody,
    parse,
)

Json = Any
TIME = datetime(2025, 3, 4, 5, 6, 7, 89000, tzinfo=UTC)
ETAG = "b1946ac92492d2347c6235b4d2611184"


def record(
    name: str = "ObjectCreated:Put",
    key: str = "cats/tom.jpg",
    *,
    drop: tuple[str, ...] = (),
    **changes: Json,
) -> Json:
    """One record of a notification; ``changes`` and ``drop`` are about its object."""
    s3_object = {"key": key, "size": 1024, "eTag": ETAG, "sequencer": "0055AED6DCD90281E5"}
    s3_object |= changes
    for field in drop:
        del s3_object[field]
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2025-03-04T05:06:07.089Z",
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AIDA"},
        "requestParameters": {"sourceIPAddress": "203.0.113.7"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "retinue",
            "bucket": {
                "name": "photos",
                "ownerIdentity": {"principalId": "A3NL1"},
                "arn": "arn:aws:s3:::photos",
            },
            "object": s3_object,
        },
    }


def notification(*records: Json) -> str:
    return json.dumps({"Records": records})


def event_bridge(
    kind: str = "Object Created",
    key: str = "cats/tom.jpg",
    *,
    detail: Json = None,
    **changes: Json,
) -> str:
    s3_object = {"key": key, "size": 1024, "etag": ETAG, "sequencer": "0055AED6DCD90281E5"}
    return json.dumps(
        {
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": kind,
            "source": "aws.s3",
            "account": "111122223333",
            "time": "2025-03-04T05:06:07Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:s3:::photos"],
            "detail": {
                "version": "0",
                "bucket": {"name": "photos"},
                "object": s3_object | changes,
                "request-id": "N4N7GDK58NMKJ12R",
                "requester": "111122223333",
            }
            | (detail or {}),
        }
    )


def sns(body: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
            "TopicArn": "arn:aws:sns:eu-central-1:111122223333:photos",
            "Subject": "Amazon S3 Notification",
            "Message": body,
            "Timestamp": "2025-03-04T05:06:08.000Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/cert.pem",
            "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        }
    )


def only(body: str) -> ObjectCreated | ObjectRemoved:
    parsed = parse(body)
    assert parsed.problems == ()
    (event,) = parsed.events
    return event


def created(body: str) -> ObjectCreated:
    event = only(body)
    assert isinstance(event, ObjectCreated)
    return event


def removed(body: str) -> ObjectRemoved:
    event = only(body)
    assert isinstance(event, ObjectRemoved)
    return event


def problem(body: str) -> str:
    parsed = parse(body)
    assert parsed.events == ()
    (text,) = parsed.problems
    return text


# Created


def test_a_notification_tells_everything_about_a_new_object() -> None:
    assert created(notification(record(versionId="v1"))) == ObjectCreated(
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
    assert created(notification(bare)) == ObjectCreated(
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
    assert event.event_id == event.sequencer == "0055AED6DCD90281E5"


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


def test_a_removal_from_an_unversioned_bucket_names_no_version() -> None:
    body = notification(record("ObjectRemoved:Delete", drop=("size", "eTag")))
    assert removed(body) == ObjectRemoved(
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
    assert removed(body) == ObjectRemoved(
        "photos",
        "cats/tom.jpg",
        "v3",
        marker,
        "0055AED6DCD90281E5",
        TIME.replace(microsecond=0),
    )


# Messages


def test_event_bridge_tells_everything_about_a_new_object() -> None:
    assert created(event_bridge(**{"version-id": "v1"})) == ObjectCreated(
        ImageReference("photos", "cats/tom.jpg", "v1", ETAG),
        1024,
        "0055AED6DCD90281E5",
        TIME.replace(microsecond=0),
    )


TEST_EVENT = json.dumps(
    {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2025-03-04T05:06:07.089Z",
        "Bucket": "photos",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
    }
)


@pytest.mark.parametrize("body", [TEST_EVENT, sns(TEST_EVENT), notification()])
def test_some_messages_speak_of_no_object(body: str) -> None:
    assert parse(body) == ParsedBody((), ())


@pytest.mark.parametrize(
    "name",
    [
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "ObjectTagging:Put",
        "ObjectAcl:Put",
        "LifecycleTransition",
        "IntelligentTiering",
        "ReducedRedundancyLostObject",
        "s3:Replication:OperationFailedReplication",
        "ObjectCreatedOrNot:Put",
    ],
)
def test_other_kinds_of_event_are_ignored_unread(name: str) -> None:
    assert parse(notification({"eventName": name})) == ParsedBody()


@pytest.mark.parametrize("kind", ["Object Tags Added", "AWS API Call via CloudTrail"])
def test_other_kinds_of_event_bridge_are_ignored_unread(kind: str) -> None:
    assert parse(json.dumps({"source": "aws.s3", "detail-type": kind})) == ParsedBody()


def test_several_records_keep_their_order() -> None:
    body = notification(
        record(key="a"),
        record("ObjectRemoved:Delete", "b"),
        record("ObjectTagging:Put", "c"),
        record(key="a", sequencer="0055AED6DCD90281E6"),
    )
    first, second, third = parse(body).events
    assert isinstance(first, ObjectCreated)
    assert isinstance(second, ObjectRemoved)
    assert isinstance(third, ObjectCreated)
    assert first.reference == third.reference
    assert first.event_id != third.event_id


def test_a_record_that_comes_twice_in_a_message_counts_once() -> None:
    assert len(parse(notification(record(), record())).events) == 1


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    body = notification(record()).replace('"size": 1024', '"size": 1024, "size": 7')
    assert created(body).size_bytes == 7


def test_a_bad_record_does_not_cost_the_good_ones() -> None:
    parsed = parse(notification(record(key="a"), record(size=-1), 5, record(key="b")))
    assert [event.reference.key for event in parsed.events if isinstance(event, ObjectCreated)] == [
        "a",
        "b",
    ]
    assert parsed.problems == (
        "Records[1].s3.object.size must be 0 to 9223372036854775807, not '-1'",
        "Records[2] must be an object, not a number",
    )


def test_problems_are_counted_after_a_while() -> None:
    problems = parse(notification(*[None] * 5_000)).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1] == f"{5_000 - MAX_PROBLEMS} more records could not be understood"


def without(path: str) -> Json:
    """A record without one field."""
    whole = record()
    *parents, name = path.split(".")
    inner = whole
    for parent in parents:
        inner = inner[parent]
    del inner[name]
    return whole


@pytest.mark.parametrize(
    "path",
    ["eventName", "eventTime", "s3", "s3.bucket", "s3.bucket.name", "s3.object", "s3.object.key"],
)
def test_a_problem_names_the_field(path: str) -> None:
    assert problem(notification(without(path))).startswith(f"Records[0].{path} must be ")


@pytest.mark.parametrize("value", ["", None, 5, [], {}, True])
def test_bucket_and_key_are_texts(value: Json) -> None:
    broken = record()
    broken["s3"]["bucket"]["name"] = value
    assert problem(notification(broken)).startswith("Records[0].s3.bucket.name must be text, not ")
    broken = record(key=value)
    assert problem(notification(broken)).startswith("Records[0].s3.object.key must be text, not ")


@pytest.mark.parametrize("field", ["versionId", "eTag"])
@pytest.mark.parametrize("value", [5, ["a"], {"a": 1}, True, "\0", "\ud800", "v" * 1_025, "v\n2"])
def test_what_no_database_could_keep_is_a_problem(field: str, value: Json) -> None:
    assert problem(notification(record(**{field: value}))).startswith("Records[0].s3.object")


@pytest.mark.parametrize("key", ["%00", "a%00b", "\ud800", "k" * 1_025, "%E6%97%A5" * 342])
def test_keys_that_s3_cannot_have_are_a_problem(key: str) -> None:
    for name in ("ObjectCreated:Put", "ObjectRemoved:Delete"):
        assert problem(notification(record(name, key))).startswith("Records[0].s3.object.key ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "the message is not JSON"),
        ("hello", "the message is not JSON"),
        ("\ufeff{}", "the message is not JSON"),
        ('{"Records": [', "the message is not JSON"),
        ("[" * 200_000, "the message is nested too deeply"),
        ('{"a":' * 200_000, "the message is nested too deeply"),
        ("9" * 10_000, "the message is not JSON"),
        ("[]", "the message must be a JSON object, not an array"),
        ("null", "the message must be a JSON object, not missing or null"),
        ('"text"', "the message must be a JSON object, not text"),
        ("NaN", "the message must be a JSON object, not a number"),
        ("{}", "the message is no S3 event"),
        ('{"Event": "s3:OtherEvent"}', "the message is no S3 event"),
        ('{"source": "aws.ec2", "detail-type": "x"}', "the message is no S3 event"),
        ('{"Records": {}}', "Records must be an array, not an object"),
        ('{"Records": null}', "Records must be an array, not missing or null"),
        ('{"Type": "Notification"}', "Message of the SNS notification must be text"),
        (sns("hello"), "the SNS notification's Message is not JSON"),
        (sns("{}"), "the message is no S3 event"),
        (sns(sns(sns(sns("{}")))), "the message is inside 3 SNS notifications or more"),
        (json.dumps({"Type": "SubscriptionConfirmation"}), "confirm the subscription"),
    ],
)
def test_what_is_no_s3_event_is_refused_with_the_reason(body: str, message: str) -> None:
    with pytest.raises(MalformedEventError, match=re.escape(message)) as caught:
        parse(body)
    assert len(str(caught.value)) < 500


def test_the_refusal_is_one_of_retinues_errors() -> None:
    assert issubclass(MalformedEventError, RetinueError)


@pytest.mark.parametrize(
    "body",
    [
        "secret " * 10_000,
        json.dumps({"secret " * 10_000: 1}),
        json.dumps({"secret" * n: 1 for n in range(500)}),
        sns("secret " * 10_000),
        notification(record(key="secret%FF" * 10_000)),
        notification(record(key="\ud800secret" * 10_000)),
        notification(record() | {"eventTime": "secret" * 100}),
        notification(record(sequencer="secret" * 100)),
        "\x01\U000e0001secret" * 1_000,
    ],
)
def test_little_of_the_message_is_quoted(body: str) -> None:
    try:
        (text,) = parse(body).problems
    except MalformedEventError as error:
        text = str(error)
    assert "secret" in text
    assert len(text) < 400
    assert text.count("secret") * len("secret ") <= 200
    text.encode()  # so that it can be logged


# Whatever comes


WRAPPINGS: list[Callable[[str], str]] = [
    lambda key: notification(record(key=quote_plus(key))),
    lambda key: notification(record(key=quote_plus(key, safe="/"))),
    lambda key: sns(notification(record(key=quote_plus(key)))),
    lambda key: sns(sns(notification(record(key=quote_plus(key))))),
    lambda key: event_bridge(key=key),
    lambda key: sns(event_bridge(key=key)),
]

keys = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=1_024
).filter(lambda key: len(key.encode()) <= 1_024)


@pytest.mark.parametrize("wrap", WRAPPINGS)
@given(key=keys)
@example(key="+ %2B%zz/日本\n.jpg")
@example(key="k" * 1_024)
@example(key="日" * 341)
def test_every_key_survives_every_wrapping(wrap: Callable[[str], str], key: str) -> None:
    assert created(wrap(key)).reference == ImageReference("photos", key, etag=ETAG)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\0", "null", "ObjectCreated:Put", "aws.s3", "s3:TestEvent"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def survives(body: str) -> None:
    try:
        parsed = parse(body)
    except MalformedEventError as error:
        parsed = ParsedBody(problems=(str(error),))
    for text in parsed.problems:
        assert 0 < len(text.encode()) < 1_000
    for event in parsed.events:
        assert event.event_id
        if isinstance(event, ObjectCreated):
            assert event.reference.image_id.version == 8


@given(st.text())
def test_no_text_breaks_the_parser(body: str) -> None:
    survives(body)
    survives(sns(body))


@given(json_values)
def test_no_json_breaks_the_parser(value: Json) -> None:
    survives(json.dumps(value))
    survives(json.dumps({"Records": value}))
    survives(json.dumps({"Records": [value]}))
    survives(json.dumps({"Type": "Notification", "Message": value}))
    survives(json.dumps({"source": "aws.s3", "detail-type": "Object Created", "detail": value}))


@given(st.data(), json_values)
def test_no_value_in_any_place_of_a_real_message_breaks_the_parser(
    data: st.DataObject, value: Json
) -> None:
    message = data.draw(
        st.sampled_from(
            [
                {"Records": [record(versionId="v")]},
                {"Records": [record("ObjectRemoved:Delete", versionId="v")]},
                json.loads(event_bridge()),
                json.loads(event_bridge("Object Deleted")),
            ]
        )
    )
    inner = json.loads(json.dumps(message))
    whole = inner
    while True:
        place = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else [0]))
        if not isinstance(inner[place], dict | list) or data.draw(st.booleans()):
            inner[place] = value
            break
        if not inner[place]:
            break
        inner = inner[place]
    survives(json.dumps(whole))
    survives(sns(json.dumps(whole)))
