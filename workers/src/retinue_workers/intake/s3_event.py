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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple, Self
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

    @property
    def images(self) -> list[ImageEvent]:
        """Return the events of created objects."""
        return [event for event in self.events if isinstance(event, ImageEvent)]

    @property
    def removals(self) -> list[RemovalEvent]:
        """Return the events of removed objects."""
        return [event for event in self.events if isinstance(event, RemovalEvent)]


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
        places = [(record, f"Records[{index}]") for index, record in enumerate(records)]
        read = _notified
    elif message.get("source") == "aws.s3":
        places = [(message, "")]
        read = _bridged
    elif "JobId" in message and "Status" in message:
        return ParsedBody(hint=_hint(_Object.of(message, "")))
    else:
        raise MalformedEventError(
            "the message isn't an S3 event: it has neither Records nor the source aws.s3; "
            f"its fields are {_quoted(', '.join(message))}"
        )
    events: list[ObjectEvent] = []
    problems: list[str] = []
    ignored: set[str] = set()
    for value, where in places:
        try:
            event = read(_Object.of(value, where))
        except MalformedEventError as error:
            problems.append(str(error))
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


def _hint(message: "_Object") -> JobHint:
    """Return the job of a message; see "Getting the completion status" in Rekognition's guide.

    The tag may have any content. Only Retinue's own begins with ``JOB_TAG``.
    """
    tag = message.optional_text("JobTag") or ""
    token = tag.removeprefix(JOB_TAG) if tag.startswith(JOB_TAG) else None
    return JobHint(message.text("JobId", max_bytes=MAX_NAME_BYTES), token or None)


def _unwrapped(body: str) -> Mapping[str, object]:
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
    return isinstance(message, dict) and {"s3BucketName", "s3Key"} <= message.keys()


class _Ignored(NamedTuple):
    """An unexpected kind of event, and why it is ignored."""

    reason: str


def _notified(record: "_Object") -> ObjectEvent | _Ignored | None:
    """Return the event in a record of S3's own notification; ``None`` for an irrelevant one."""
    name = record.text("eventName").removeprefix("s3:")
    family, _, action = name.partition(":")
    producer = record.fields.get("eventSource")
    if producer == "s3.amazonaws.com":
        return _OF_CLOUDTRAIL
    if family in _UNFOLLOWED:
        return None
    if family not in ("ObjectCreated", "ObjectRemoved", "LifecycleExpiration"):
        return _Ignored(f"events of the type {_quoted(family)} are not followed")
    event = _event(
        record.child("s3"),
        _CEPH if producer == "ceph:s3" else _NOTIFICATION,
        created=family == "ObjectCreated",
        delete_marker=action == "DeleteMarkerCreated",
        event_time=record.time("eventTime"),
    )
    if isinstance(event, ImageEvent) and "retinue" in record.fields:
        asked = record.child("retinue")
        return replace(
            event,
            replay_id=asked.optional_text("replayId"),
            detectors=asked.names("detectors"),
            served_at=asked.time("servedAt") if "servedAt" in asked.fields else None,
        )
    return event


def _bridged(record: "_Object") -> ObjectEvent | _Ignored | None:
    """Return the event in a message of EventBridge; ``None`` for an irrelevant one."""
    kind = record.text("detail-type")
    if kind.endswith("via CloudTrail"):
        return _OF_CLOUDTRAIL
    if kind in _UNFOLLOWED_KINDS:
        return None
    if kind not in ("Object Created", "Object Deleted"):
        return _Ignored(f"EventBridge's events of the type {_quoted(kind)} are not followed")
    detail = record.child("detail")
    return _event(
        detail,
        _EVENT_BRIDGE,
        created=kind == "Object Created",
        delete_marker=detail.fields.get("deletion-type") == "Delete Marker Created",
        event_time=record.time("time"),
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
    entity: "_Object",
    spelling: _Spelling,
    *,
    created: bool,
    delete_marker: bool,
    event_time: datetime,
) -> ObjectEvent | None:
    """Return the event for the bucket and object that ``entity`` names."""
    bucket = entity.child("bucket").text("name", max_bytes=_MAX_BUCKET_BYTES)
    s3_object = entity.child("object")
    key = s3_object.text("key", max_bytes=MAX_NAME_BYTES, form_encoded=spelling.form_encoded)
    version_id = s3_object.optional_text(spelling.version_id)
    if version_id == NULL_VERSION:
        # Versioning is suspended, or was enabled later. The next upload without versioning
        # overwrites this version under the same id.
        version_id = None
    sequencer = s3_object.optional_text("sequencer")
    if sequencer is not None and not _SEQUENCER.fullmatch(sequencer):
        raise MalformedEventError(
            f"{s3_object.path('sequencer')} must be 1 to 64 hexadecimal digits, "
            f"not {_quoted(sequencer)}"
        )
    if not created:
        return RemovalEvent(bucket, key, version_id, delete_marker, sequencer, event_time)
    size_bytes = s3_object.size("size", as_text=spelling.size_as_text)
    if key.endswith("/") and size_bytes == 0:
        # The S3 console creates it for "Create folder". It isn't an image, so a failed run for an
        # empty file would only be noise.
        return None
    etag = (s3_object.optional_text(spelling.etag) or "").strip('"') or None
    try:
        reference = ImageReference(bucket, key, version_id, etag)
    except ValueError as error:
        raise MalformedEventError(f"{s3_object.where}: {error}") from error
    return ImageEvent(reference, size_bytes, sequencer, event_time)


class _Object(NamedTuple):
    """A JSON object and its path in the message."""

    fields: Mapping[str, object]
    where: str

    @classmethod
    def of(cls, value: object, where: str) -> Self:
        """Return ``value`` if it is an object."""
        if not isinstance(value, dict):
            raise MalformedEventError(f"{where} must be an object, not {_type(value)}")
        return cls(value, where)

    def path(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.where}.{name}" if self.where else name

    def child(self, name: str) -> Self:
        """Return an object inside this one."""
        return self.of(self.fields.get(name), self.path(name))

    def optional_text(self, name: str) -> str | None:
        """Return a text that can be stored; ``None`` if it is absent, null or empty."""
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise MalformedEventError(f"{self.path(name)} must be text, not {_type(value)}")
        return self._storable(name, value, MAX_NAME_BYTES)

    def text(
        self, name: str, *, max_bytes: int = MAX_NAME_BYTES, form_encoded: bool = False
    ) -> str:
        """Return a required text, decoded if it is form-encoded (``+`` a space, ``%2B`` a +)."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            found = "empty" if value == "" else _type(value)
            raise MalformedEventError(f"{self.path(name)} must be text, not {found}")
        if form_encoded:
            try:
                value = unquote_to_bytes(value.replace("+", " ")).decode()
            except UnicodeError as error:
                raise MalformedEventError(
                    f"{self.path(name)} is not UTF-8 once decoded: {_quoted(value)}"
                ) from error
        return self._storable(name, value, max_bytes)

    def names(self, name: str) -> frozenset[str] | None:
        """Return an optional list of texts."""
        values = self.fields.get(name)
        if values is None:
            return None
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise MalformedEventError(f"{self.path(name)} must be an array of texts")
        return frozenset(values)

    def time(self, name: str) -> datetime:
        """Return a required time, in UTC.

        It is required although the sequencer orders events, because the history shows it and S3
        always sends it.
        """
        text = self.text(name)
        try:
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise MalformedEventError(
                f"{self.path(name)} must be an ISO 8601 time, not {_quoted(text)}"
            ) from error

    def size(self, name: str, *, as_text: bool) -> int | None:
        """Return a number of bytes, possibly written as text; ``None`` if absent, null or empty."""
        value = self.fields.get(name)
        if as_text and isinstance(value, str):
            value = int(value) if re.fullmatch(r"[0-9]{1,20}", value) else value or None
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise MalformedEventError(f"{self.path(name)} must be an integer, not {_type(value)}")
        if not 0 <= value <= _MAX_SIZE_BYTES:
            raise MalformedEventError(
                f"{self.path(name)} must be 0 to {_MAX_SIZE_BYTES}, not {_quoted(str(value))}"
            )
        return value

    def _storable(self, name: str, value: str, max_bytes: int) -> str:
        """Return ``value`` if the database can store it."""
        try:
            size_bytes = len(value) if value.isascii() else len(value.encode())
        except UnicodeEncodeError as error:
            raise MalformedEventError(
                f"{self.path(name)} is not valid Unicode: {_quoted(value)}"
            ) from error
        if size_bytes > max_bytes:
            raise MalformedEventError(
                f"{self.path(name)} has {size_bytes:,} bytes; the limit is {max_bytes:,}"
            )
        if "\0" in value:
            raise MalformedEventError(f"{self.path(name)} contains NUL: {_quoted(value)}")
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
