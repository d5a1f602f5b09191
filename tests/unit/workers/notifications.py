"""Messages as S3, SNS and EventBridge write them, and what is read of them."""

import json
from datetime import UTC, datetime
from typing import Any

from retinue_workers.intake.s3_event import parse
from retinue_workers.work import ImageEvent, RemovalEvent

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
    """Return one record of a notification; ``changes`` and ``drop`` are about its object."""
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


def only(body: str) -> ImageEvent | RemovalEvent:
    parsed = parse(body)
    assert parsed.problems == ()
    (event,) = parsed.events
    return event


def created(body: str) -> ImageEvent:
    event = only(body)
    assert isinstance(event, ImageEvent)
    return event


def removed(body: str) -> RemovalEvent:
    event = only(body)
    assert isinstance(event, RemovalEvent)
    return event


def problem(body: str) -> str:
    parsed = parse(body)
    assert parsed.events == ()
    (text,) = parsed.problems
    return text
