"""Parse a message: which S3 objects were created or removed, or which job of a video ended.

This module depends on neither queue nor database. A message body has one of four forms, possibly
inside an SNS notification (if the subscription has no raw delivery):

- S3's own notification: ``{"Records": [...]}``, with form-encoded keys. Ceph's RADOS Gateway sends
  the same with unencoded keys, and sizes as text.
- S3's test event, sent once when a notification is configured. It names no object.
- EventBridge's ``Object Created`` and ``Object Deleted``, with unencoded keys.
- Amazon Rekognition's message about the end of a video's job.

A record of the first form may have the field ``retinue``. It requests an image again;
``replay/message.py`` of ``retinue_cli`` writes it.

Only the fields that are used are required, so newer versions of events and S3-compatible services
work, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from retinue_aws import read_json
from retinue_history import NULL_VERSION
from retinue_sdk import ImageReference, RetinueError

from retinue_workers.work import JOB_TAG, ImageEvent, JobHint, ObjectEvent, RemovalEvent

MAX_PROBLEMS = 20
"""Maximum number of problems that are reported per message. The rest are counted."""

MAX_NAME_BYTES = 1_024
"""S3's limit for keys and version ids, in bytes of UTF-8."""

_MAX_BUCKET_BYTES = 255  # of buckets created before 2018; newer names have at most 63
_MAX_SIZE_BYTES = 2**63 - 1  # the limit of a database's bigint; S3's own limit is far lower
_MAX_WRAPPINGS = 3
_SEQUENCER = re.compile(r"[0-9A-Fa-f]{1,64}")

_Fields: TypeAlias = Mapping[str, object]
"""A JSON object.

Functions that read a field take the object, its path in the message or record, and the field's
name. They join these only for an error.
"""


class MalformedEventError(RetinueError):
    """The message isn't an S3 event.

    The text names the problem and its place in a few hundred characters, and quotes at most 200
    characters of the message.
    """


@dataclass(slots=True)
class ParsedBody:
    """The events of a message, and the problems of records that can't be parsed.

    Valid records count even if others are invalid. Handle ``events``. If there are ``problems``,
    requeue the message, so that it ends in the dead-letter queue. Handling the events again at each
    receive changes nothing.

    Attributes:
        events: In the message's order, each once. Empty if the message has only events that Retinue
            ignores: a test event, restored or tagged objects, folders.
        problems: One sentence for each invalid record, which names the field. After
            ``MAX_PROBLEMS`` sentences, one that counts the rest.
        ignored: One sentence for each unexpected kind of event. The sender's configuration may be
            wrong.
        hint: The job that the message is about; ``None`` in all other messages.
    """

    events: tuple[ObjectEvent, ...] = ()
    problems: tuple[str, ...] = ()
    ignored: frozenset[str] = field(default=frozenset(), compare=False)
    hint: JobHint | None = None


def parse(body: str) -> ParsedBody:
    """Parse a message of the queue.

    Args:
        body: The message's body.

    Returns:
        The events, and the problems of single records.

    Raises:
        MalformedEventError: It isn't an S3 event.
    """
    message = _unwrapped(body)
    if message.get("Event") == "s3:TestEvent":
        return ParsedBody()
    if "Records" in message:
        records = message["Records"]
        if not isinstance(records, list):
            raise MalformedEventError(f"Records must be an array, not {_type(records)}")
        read = _notified
    elif message.get("source") == "aws.s3":
        records = [message]
        read = _bridged
    elif "JobId" in message and "Status" in message:
        return ParsedBody(hint=_hint(message))
    else:
        raise MalformedEventError(
            "the message isn't an S3 event: it has neither Records nor the source aws.s3; "
            f"its fields are {_quoted(', '.join(message))}"
        )
    events: list[ObjectEvent] = []
    problems: list[str] = []
    ignored: set[str] = set()
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            problems.append(f"Records[{index}] must be an object, not {_type(record)}")
            continue
        try:
            event = read(record)
        except MalformedEventError as error:
            problems.append(f"Records[{index}].{error}" if read is _notified else str(error))
        else:
            if isinstance(event, _Ignored):
                ignored.add(event.reason)
            elif event is not None:
                events.append(event)
    if len(problems) > MAX_PROBLEMS:
        rest = len(problems) - MAX_PROBLEMS
        problems = [*problems[:MAX_PROBLEMS], f"{rest} more records could not be understood"]
    once = dict.fromkeys(events) if len(events) > 1 else events
    return ParsedBody(tuple(once), tuple(problems), frozenset(ignored))


def _hint(message: _Fields) -> JobHint:
    """Return the job of a message; see "Getting the completion status" in Rekognition's guide.

    The tag may have any content. Only Retinue's own begins with ``JOB_TAG``.
    """
    tag = _optional_text(message, "", "JobTag") or ""
    token = tag.removeprefix(JOB_TAG) if tag.startswith(JOB_TAG) else None
    return JobHint(_text(message, "", "JobId"), token or None)


def _unwrapped(body: str) -> _Fields:
    """Return the message's JSON object, without its SNS notifications."""
    text, what = body, "the message"
    for _ in range(_MAX_WRAPPINGS):
        try:
            message = read_json(text)
        except RecursionError as error:
            raise MalformedEventError(f"{what} is nested too deeply to be an event") from error
        except ValueError as error:  # not JSON, or a number with thousands of digits
            raise MalformedEventError(
                f"{what} is not JSON ({error}); it begins with {_quoted(text)}"
            ) from error
        if _is_pointer(message):
            raise MalformedEventError(
                f"{what} is a pointer of the SQS Extended Client Library: workers don't fetch "
                f"its text from S3. Send S3's events unchanged. It begins with {_quoted(text)}"
            )
        if not isinstance(message, dict):
            raise MalformedEventError(f"{what} must be a JSON object, not {_type(message)}")
        sns = message.get("Type")
        if sns in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
            raise MalformedEventError(
                f"{what} is SNS's {sns}, not an event: confirm the subscription of the queue"
            )
        if sns != "Notification":
            return message
        wrapped = message.get("Message")
        if not isinstance(wrapped, str):
            raise MalformedEventError(
                f"Message of the SNS notification must be text, not {_type(wrapped)}"
            )
        text, what = wrapped, "the SNS notification's Message"
    raise MalformedEventError(f"the message is inside {_MAX_WRAPPINGS} SNS notifications or more")


def _is_pointer(message: object) -> bool:
    """Return whether a message only names the place in S3 of one too large for SQS or SNS."""
    if isinstance(message, list) and len(message) == 2:  # Java's form: class and fields
        message = message[1]
    return isinstance(message, dict) and "s3BucketName" in message and "s3Key" in message


class _Ignored(NamedTuple):
    """An unexpected kind of event, and why it is ignored."""

    reason: str


def _notified(record: _Fields) -> ObjectEvent | _Ignored | None:
    """Return the event in a record of S3's own notification; ``None`` for an irrelevant one."""
    name = _text(record, "", "eventName").removeprefix("s3:")
    family, _, action = name.partition(":")
    producer = record.get("eventSource")
    if producer == "s3.amazonaws.com":
        return _OF_CLOUDTRAIL
    if family in _UNFOLLOWED:
        return None
    if family not in ("ObjectCreated", "ObjectRemoved", "LifecycleExpiration"):
        return _Ignored(f"events of the type {_quoted(family)} are not followed")
    event = _event(
        _object(record, "", "s3"),
        "s3",
        _CEPH if producer == "ceph:s3" else _NOTIFICATION,
        created=family == "ObjectCreated",
        delete_marker=action == "DeleteMarkerCreated",
        event_time=_time(record, "", "eventTime"),
    )
    if "retinue" in record and isinstance(event, ImageEvent):
        asked = _object(record, "", "retinue")
        return event._replace(
            replay_id=_optional_text(asked, "retinue", "replayId"),
            detectors=_names(asked, "retinue", "detectors"),
            served_at=_time(asked, "retinue", "servedAt") if "servedAt" in asked else None,
        )
    return event


def _bridged(record: _Fields) -> ObjectEvent | _Ignored | None:
    """Return the event in a message of EventBridge; ``None`` for an irrelevant one."""
    kind = _text(record, "", "detail-type")
    if kind.endswith("via CloudTrail"):
        return _OF_CLOUDTRAIL
    if kind in _UNFOLLOWED_KINDS:
        return None
    if kind not in ("Object Created", "Object Deleted"):
        return _Ignored(f"EventBridge's events of the type {_quoted(kind)} are not followed")
    detail = _object(record, "", "detail")
    return _event(
        detail,
        "detail",
        _EVENT_BRIDGE,
        created=kind == "Object Created",
        delete_marker=detail.get("deletion-type") == "Delete Marker Created",
        event_time=_time(record, "", "time"),
    )


_OF_CLOUDTRAIL = _Ignored(
    "CloudTrail's records of API calls are not followed, because they lack the "
    "object's version: switch on the bucket's notifications to EventBridge, and match the types "
    "Object Created and Object Deleted"
)

_UNFOLLOWED = frozenset(
    {
        "IntelligentTiering",
        "LifecycleTransition",
        "ObjectAcl",
        "ObjectRestore",
        "ObjectTagging",
        "ReducedRedundancyLostObject",
        "Replication",
        "TestEvent",
    }
)
"""Other events of S3, by the first part of ``eventName``."""

_UNFOLLOWED_KINDS = frozenset(
    {
        "Object ACL Updated",
        "Object Access Tier Changed",
        "Object Restore Completed",
        "Object Restore Expired",
        "Object Restore Initiated",
        "Object Storage Class Changed",
        "Object Tags Added",
        "Object Tags Deleted",
    }
)
"""Other events of S3 in EventBridge."""


class _Spelling(NamedTuple):
    """The field names and encodings of one form of event."""

    version_id: str
    etag: str
    form_encoded: bool
    size_as_text: bool = False


_NOTIFICATION = _Spelling("versionId", "eTag", form_encoded=True)
_CEPH = _Spelling("versionId", "eTag", form_encoded=False, size_as_text=True)
_EVENT_BRIDGE = _Spelling("version-id", "etag", form_encoded=False)


def _event(
    entity: _Fields,
    where: str,
    spelling: _Spelling,
    *,
    created: bool,
    delete_marker: bool,
    event_time: datetime,
) -> ObjectEvent | None:
    """Return the event for the bucket and object that ``entity`` names."""
    bucket_fields = _object(entity, where, "bucket")
    bucket = _text(bucket_fields, f"{where}.bucket", "name", max_bytes=_MAX_BUCKET_BYTES)
    s3_object = _object(entity, where, "object")
    where = f"{where}.object"
    key = _text(s3_object, where, "key", form_encoded=spelling.form_encoded)
    version_id = _optional_text(s3_object, where, spelling.version_id)
    if version_id == NULL_VERSION:
        # Versioning is suspended, or was enabled later. The next upload without versioning
        # overwrites this version under the same id.
        version_id = None
    sequencer = _optional_text(s3_object, where, "sequencer")
    if sequencer is not None and not _SEQUENCER.fullmatch(sequencer):
        raise MalformedEventError(
            f"{where}.sequencer must be 1 to 64 hexadecimal digits, not {_quoted(sequencer)}"
        )
    if not created:
        return RemovalEvent(bucket, key, version_id, delete_marker, sequencer, event_time)
    size_bytes = _size(s3_object, where, as_text=spelling.size_as_text)
    if size_bytes == 0 and key.endswith("/"):
        # The S3 console creates it for "Create folder". It isn't an image, so a failed run for an
        # empty file would only be noise.
        return None
    etag = (_optional_text(s3_object, where, spelling.etag) or "").strip('"') or None
    try:
        reference = ImageReference(bucket, key, version_id, etag)
    except ValueError as error:
        raise MalformedEventError(f"{where}: {error}") from error
    return ImageEvent(reference, size_bytes, sequencer, event_time)


def _path(where: str, name: str) -> str:
    """Return the path of a field."""
    return f"{where}.{name}" if where else name


def _object(fields: _Fields, where: str, name: str) -> _Fields:
    """Return an object inside another one."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise MalformedEventError(f"{_path(where, name)} must be an object, not {_type(value)}")
    return value


def _optional_text(fields: _Fields, where: str, name: str) -> str | None:
    """Return a text that can be stored; ``None`` if it is absent, null or empty."""
    value = fields.get(name)
    return None if value is None or value == "" else _text(fields, where, name)


def _text(
    fields: _Fields,
    where: str,
    name: str,
    *,
    max_bytes: int = MAX_NAME_BYTES,
    form_encoded: bool = False,
) -> str:
    """Return a required text that can be stored.

    It is decoded if it is form-encoded (``+`` a space, ``%2B`` a +).
    """
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        found = "empty" if value == "" else _type(value)
        raise MalformedEventError(f"{_path(where, name)} must be text, not {found}")
    if form_encoded:
        try:
            value = unquote_to_bytes(value.replace("+", " ")).decode()
        except UnicodeError as error:
            raise MalformedEventError(
                f"{_path(where, name)} is not UTF-8 once decoded: {_quoted(value)}"
            ) from error
    try:
        size_bytes = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise MalformedEventError(
            f"{_path(where, name)} is not valid Unicode: {_quoted(value)}"
        ) from error
    if size_bytes > max_bytes:
        raise MalformedEventError(
            f"{_path(where, name)} has {size_bytes:,} bytes; the limit is {max_bytes:,}"
        )
    if "\0" in value:
        raise MalformedEventError(f"{_path(where, name)} contains NUL: {_quoted(value)}")
    return value


def _names(fields: _Fields, where: str, name: str) -> frozenset[str] | None:
    """Return an optional list of texts."""
    values = fields.get(name)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedEventError(f"{_path(where, name)} must be an array of texts")
    return frozenset(values)


def _time(fields: _Fields, where: str, name: str) -> datetime:
    """Return a required time, in UTC.

    It is required although the sequencer orders events, because the history shows it and S3 always
    sends it.
    """
    text = _text(fields, where, name)
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MalformedEventError(
            f"{_path(where, name)} must be an ISO 8601 time, not {_quoted(text)}"
        ) from error


def _size(s3_object: _Fields, where: str, *, as_text: bool) -> int | None:
    """Return a number of bytes, possibly written as text; ``None`` if absent, null or empty."""
    value = s3_object.get("size")
    if as_text and isinstance(value, str):
        value = int(value) if re.fullmatch(r"[0-9]{1,20}", value) else value or None
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedEventError(f"{where}.size must be an integer, not {_type(value)}")
    if not 0 <= value <= _MAX_SIZE_BYTES:
        raise MalformedEventError(
            f"{where}.size must be 0 to {_MAX_SIZE_BYTES}, not {_quoted(str(value))}"
        )
    return value


def _type(value: object) -> str:
    """Return JSON's name of a value's type, for messages. The value itself may be huge."""
    if value is None:
        return "missing or null"
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean"}
    return names.get(type(value), "a number")


def _quoted(text: str) -> str:
    """Return the beginning of a text of the message, with unprintable characters escaped."""
    shown = repr(text[:60])
    return shown if len(text) <= 60 and len(shown) <= 120 else f"{shown[:120]}…"
