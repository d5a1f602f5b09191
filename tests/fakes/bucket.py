"""A model of S3's object versions and events, without I/O.

By the chapters "Using versioning in S3 buckets" and "Event message structure" of the S3 User Guide.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from urllib.parse import quote_plus

from retinue_cli.replay.message import Request
from retinue_sdk import ImageReference

BEGINNING = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Versioning(Enum):
    """Of a bucket. Once it was enabled, it can only be suspended."""

    NEVER = "never"
    ENABLED = "enabled"
    SUSPENDED = "suspended"


class Sequencers(Enum):
    """The sequencers that a service assigns to events."""

    RISING = "S3's"
    CONSTANT = "LocalStack's"
    MISSING = "none"


class Form(Enum):
    """The format of an event."""

    NOTIFICATION = "notification"
    CEPH = "Ceph's notification"
    EVENT_BRIDGE = "EventBridge"


STEPS = (
    "enable",
    "suspend",
    "put A",
    "put A",
    "put B",
    "copy onto itself",
    "delete",
    "remove newest",
    "remove newest",
    "remove oldest",
    "remove null",
    "tag",
    "restore",
)
"""What can happen to a bucket or a key, the frequent things twice."""


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker."""

    version_id: str | None  # None: the null version
    etag: str | None  # None: a delete marker
    created_at: datetime

    @property
    def name(self) -> str:
        """Return the history's name of the version."""
        return self.version_id or self.etag or ""


@dataclass(frozen=True)
class Event:
    """S3's event for a change of an object."""

    bucket: str
    kind: str
    key: str
    version_id: str | None
    etag: str | None
    happened_at: datetime
    number: int
    versioning: Versioning
    sequencers: Sequencers

    def body(self, form: Form = Form.NOTIFICATION, *, says_null: bool = True) -> str:
        """Return the message; the null version's id is ``null`` or left out."""
        version_id = self.version_id
        if version_id is None and self.versioning is not Versioning.NEVER and says_null:
            version_id = "null"
        sequencer = {
            Sequencers.RISING: f"{self.number:016X}",
            Sequencers.CONSTANT: "0055AED6DCD90281E5",
            Sequencers.MISSING: None,
        }[self.sequencers]
        size = None if self.etag is None else 1
        if form is Form.EVENT_BRIDGE:
            return json.dumps(
                {
                    "source": "aws.s3",
                    "detail-type": self._detail_type,
                    "time": self.happened_at.isoformat(),
                    "detail": {
                        "bucket": {"name": self.bucket},
                        "object": _told(
                            key=self.key, etag=self.etag, size=size, sequencer=sequencer
                        )
                        | ({} if version_id is None else {"version-id": version_id}),
                    }
                    | ({} if self.etag else {"deletion-type": self._deletion_type}),
                }
            )
        ceph = form is Form.CEPH
        s3_object = _told(
            key=self.key if ceph else quote_plus(self.key),
            eTag=self.etag,
            size=str(size) if ceph and size is not None else size,
            versionId=version_id,
            sequencer=sequencer,
        )
        record = {
            "eventSource": "ceph:s3" if ceph else "aws:s3",
            "eventTime": self.happened_at.isoformat(),
            "eventName": self.kind,
            "s3": {"bucket": {"name": self.bucket}, "object": s3_object},
        }
        return json.dumps({"Records": [record]})

    @property
    def _detail_type(self) -> str:
        family = self.kind.partition(":")[0]
        return {
            "ObjectCreated": "Object Created",
            "ObjectTagging": "Object Tags Added",
            "ObjectRestore": "Object Restore Completed",
        }.get(family, "Object Deleted")

    @property
    def _deletion_type(self) -> str:
        marker = self.kind.endswith("DeleteMarkerCreated")
        return "Delete Marker Created" if marker else "Permanently Deleted"


def _told(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@dataclass
class Bucket:
    """A bucket, and the events that it has sent.

    Attributes:
        name: Its name.
        sequencers: How it numbers events.
        versioning: As it is now.
        now: The service's clock.
        versions: Of each key, oldest first.
    """

    name: str
    sequencers: Sequencers = Sequencers.RISING
    versioning: Versioning = Versioning.NEVER
    now: datetime = BEGINNING
    versions: dict[str, list[Version]] = field(default_factory=dict)
    _number: int = 0

    def happen(self, step: str, key: str, family: str = "ObjectRemoved") -> list[Event]:
        """Do one thing to a key, and return the events that S3 sends.

        Args:
            step: One of ``STEPS``. What can't be done now is not done.
            key: The key.
            family: Whether a person (``ObjectRemoved``) or a rule (``LifecycleExpiration``)
                removes what is removed.
        """
        versions = self.versions.get(key, [])
        current = self.current(key)
        match step:
            case "enable":
                self.versioning = Versioning.ENABLED
            case "suspend" if self.versioning is Versioning.ENABLED:
                self.versioning = Versioning.SUSPENDED
            case "put A" | "put B":
                return [self._add("ObjectCreated:Put", key, step[-1])]
            case "copy onto itself" if current is not None:
                return [self._add("ObjectCreated:Copy", key, current.etag)]
            case "delete" if self.versioning is not Versioning.NEVER:
                return [self._add(f"{family}:DeleteMarkerCreated", key, None)]
            case "delete" if versions:
                return [self._remove(key, versions[0], family)]
            case "remove newest" if versions:  # a delete marker, perhaps
                return [self._remove(key, versions[-1], family)]
            case "remove oldest" if versions:
                return [self._remove(key, versions[0], family)]
            case "remove null":
                null = [version for version in versions if version.version_id is None]
                return [self._remove(key, version, family) for version in null]
            case "tag" | "restore":
                kind = {"tag": "ObjectTagging:Put", "restore": "ObjectRestore:Completed"}[step]
                return [self._event(kind, key, None, None)]
        return []

    def current(self, key: str) -> Version | None:
        """Return what S3 serves under a key."""
        newest = self.versions.get(key, [None])[-1]
        return newest if newest is not None and newest.etag is not None else None

    def existing(self) -> set[tuple[str, str]]:
        """Return key and name of the versions that no delete marker hides."""
        return {
            (key, version.name)
            for key, versions in self.versions.items()
            for version in _above_markers(versions)
        }

    def served(self) -> set[tuple[str, str]]:
        """Return key and name of what S3 serves under each key."""
        currents = {key: self.current(key) for key in self.versions}
        return {(key, version.name) for key, version in currents.items() if version is not None}

    def listing(self) -> list[Request]:
        """Return what a backfill asks for when it lists the bucket now."""
        self.now += timedelta(seconds=1)
        currents = {key: self.current(key) for key in self.versions}
        return [
            Request(
                ImageReference(self.name, key, version.version_id, version.etag),
                version.created_at,
                1,
                served_at=self.now,
            )
            for key, version in currents.items()
            if version is not None
        ]

    def _add(self, kind: str, key: str, etag: str | None) -> Event:
        """Add a version. Without a version id it takes the null version's place."""
        versions = self.versions.setdefault(key, [])
        version_id = None
        if self.versioning is Versioning.ENABLED:
            version_id = f"v{self._number}"
        else:
            versions[:] = [version for version in versions if version.version_id is not None]
        event = self._event(kind, key, version_id, etag)
        versions.append(Version(version_id, etag, event.happened_at))
        return event

    def _remove(self, key: str, version: Version, family: str) -> Event:
        """Remove a version or a delete marker for good."""
        self.versions[key].remove(version)
        if not self.versions[key]:
            del self.versions[key]
        return self._event(f"{family}:Delete", key, version.version_id, None)

    def _event(self, kind: str, key: str, version_id: str | None, etag: str | None) -> Event:
        self._number += 1
        self.now += timedelta(seconds=1)
        return Event(
            self.name, kind, key, version_id, etag, self.now, self._number, self.versioning,
            self.sequencers,
        )  # fmt: skip


def _above_markers(versions: list[Version]) -> Iterator[Version]:
    for version in reversed(versions):
        if version.etag is None:
            return
        yield version
