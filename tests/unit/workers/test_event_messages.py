"""Test each kind of message, and the errors of invalid ones."""

import json
import re

import pytest
from retinue_sdk import ImageReference, RetinueError
from retinue_workers.intake.s3_event import MAX_PROBLEMS, MalformedEventError, ParsedBody, parse
from retinue_workers.work import ImageEvent, RemovalEvent
from unit.workers.notifications import (
    ETAG,
    TIME,
    Json,
    created,
    event_bridge,
    notification,
    problem,
    record,
    sns,
)


def test_event_bridge_tells_everything_about_a_new_object() -> None:
    assert created(event_bridge(**{"version-id": "v1"})) == ImageEvent(
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


def test_what_s3_is_known_to_send_is_ignored_in_silence() -> None:
    for name in ("ObjectRestore:Completed", "ObjectTagging:Put", "LifecycleTransition"):
        assert not parse(notification({"eventName": name})).ignored
    for kind in ("Object Tags Added", "Object Restore Expired"):
        body = json.dumps({"source": "aws.s3", "detail-type": kind})
        assert not parse(body).ignored


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"source": "aws.s3", "detail-type": "AWS API Call via CloudTrail"},
            "CloudTrail's records",
        ),
        (
            {"Records": [{"eventName": "PutObject", "eventSource": "s3.amazonaws.com"}]},
            "CloudTrail",
        ),
        (
            {"source": "aws.s3", "detail-type": "Object Painted"},
            "'Object Painted' are not followed",
        ),
        ({"Records": [{"eventName": "s3:ObjectSynced:Create"}]}, "'ObjectSynced' are not followed"),
        ({"Records": [{"eventName": "x" * 900}]}, "are not followed"),
    ],
)
def test_other_kinds_are_ignored_with_the_reason(body: Json, reason: str) -> None:
    parsed = parse(json.dumps(body))
    assert (parsed.events, parsed.problems) == ((), ())
    (text,) = parsed.ignored
    assert reason in text
    assert len(text) < 300


def test_several_records_keep_their_order() -> None:
    body = notification(
        record(key="a"),
        record("ObjectRemoved:Delete", "b"),
        record("ObjectTagging:Put", "c"),
        record(key="a", sequencer="0055AED6DCD90281E6"),
    )
    first, second, third = parse(body).events
    assert isinstance(first, ImageEvent)
    assert isinstance(second, RemovalEvent)
    assert isinstance(third, ImageEvent)
    assert first.reference == third.reference
    assert first.event_id != third.event_id


def test_a_record_that_comes_twice_in_a_message_counts_once() -> None:
    assert len(parse(notification(record(), record())).events) == 1


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    body = notification(record()).replace('"size": 1024', '"size": 1024, "size": 7')
    assert created(body).size_bytes == 7


def test_a_bad_record_does_not_cost_the_good_ones() -> None:
    parsed = parse(notification(record(key="a"), record(size=-1), 5, record(key="b")))
    assert [event.reference.key for event in parsed.events if isinstance(event, ImageEvent)] == [
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


POINTER: Json = [
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    {"s3BucketName": "large-messages", "s3Key": "6a2e1c52-8f13-4a4f-8a39-5a3a3a9c8f11"},
]
"""What the SQS Extended Client Library sends in place of a large message."""


def without(path: str) -> Json:
    """Return a record without one field."""
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
        (json.dumps(POINTER), "the message is a pointer of the SQS Extended Client Library"),
        (json.dumps(POINTER[1]), "the message is a pointer of the SQS Extended Client Library"),
        (
            sns(json.dumps(["com.amazon.sqs.javamessaging.MessageS3Pointer", POINTER[1]])),
            "the SNS notification's Message is a pointer of the SQS Extended Client Library",
        ),
        ("[]", "the message must be a JSON object, not an array"),
        ("null", "the message must be a JSON object, not missing or null"),
        ('"text"', "the message must be a JSON object, not text"),
        ("NaN", "the message must be a JSON object, not a number"),
        ("{}", "the message isn't an S3 event"),
        ('{"Event": "s3:OtherEvent"}', "the message isn't an S3 event"),
        ('{"source": "aws.ec2", "detail-type": "x"}', "the message isn't an S3 event"),
        ('{"Records": {}}', "Records must be an array, not an object"),
        ('{"Records": null}', "Records must be an array, not missing or null"),
        ('{"Type": "Notification"}', "Message of the SNS notification must be text"),
        (sns("hello"), "the SNS notification's Message is not JSON"),
        (sns("{}"), "the message isn't an S3 event"),
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
