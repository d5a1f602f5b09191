"""What a bucket already holds, page by page, each page resumable."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError, ImageReference

from retinue_cli.replay.message import Request

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
)
"""Endings of the keys that are images: the formats that Retinue decodes."""

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects cannot be read before they are restored."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a source holds.

    Attributes:
        position: Give it back to go on after this page.
        requests: The images of it.
        left_out: How many objects are not asked for, by reason.
    """

    position: str
    requests: list[Request]
    left_out: Counter[str]


class Source(Protocol):
    """Where the objects of a backfill are listed."""

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Pages in an order that is always the same.

        Args:
            after: The position of the last page that is done; ``None`` for the beginning.

        Raises:
            ConfigurationError: There is no such bucket or listing, or it must not be read.
        """


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which objects are images worth asking for.

    Attributes:
        all_files: Whether to ask for every object, whatever its key ends with.
    """

    all_files: bool = False

    def page(self, position: str, objects: list["Listed"]) -> Page:
        """The requests for these objects."""
        requests: list[Request] = []
        left_out: Counter[str] = Counter()
        for listed in objects:
            if reason := self._why_not(listed):
                left_out[reason] += 1
            else:
                requests.append(listed.request())
        return Page(position, requests, left_out)

    def _why_not(self, listed: "Listed") -> str | None:
        if listed.key.endswith("/") and listed.size_bytes == 0:
            return "folders"
        if listed.storage_class in ARCHIVED:
            return "archived: restore them first"
        if not self.all_files and PurePosixPath(listed.key).suffix.lower() not in SUFFIXES:
            return "no images by their names"
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing tells of it.

    ``served_at`` is when the listing showed it as the current version; ``None`` if it isn't known.
    """

    bucket: str
    key: str
    version_id: str | None
    etag: str
    size_bytes: int
    modified_at: datetime
    storage_class: str | None
    served_at: datetime | None = None

    def request(self) -> Request:
        """The message that asks for it."""
        version_id = None if self.version_id in (None, "", "null") else self.version_id
        reference = ImageReference(self.bucket, self.key, version_id, self.etag.strip('"'))
        return Request(reference, self.modified_at, self.size_bytes, served_at=self.served_at)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, listed now: the newest version of each object.

    Attributes:
        client: A boto3 S3 client.
        name: The bucket's name.
        prefix: What keys begin with.
        chosen: Which objects count.
    """

    client: "S3Client"
    name: str
    prefix: str = ""
    chosen: KeyFilter = field(default_factory=KeyFilter)

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Up to 1,000 keys a page, in the order of S3; the position is the last key.

        Raises:
            ConfigurationError: The bucket does not exist, or must not be listed.
        """
        try:
            # A bucket whose versioning is suspended still holds objects with version ids.
            versioned = "Status" in self.client.get_bucket_versioning(Bucket=self.name)
            listed = self._versions(after) if versioned else self._objects(after)
            for key, objects in listed:
                yield self.chosen.page(key, objects)
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(
                f"cannot list s3://{self.name}/{self.prefix}: {error}"
            ) from error

    def _objects(self, after: str | None) -> Iterator[tuple[str, list[Listed]]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=self.prefix, StartAfter=after or ""
        )
        asked_at = datetime.now(UTC)
        for page in pages:
            served_at = answered_at(page, asked_at)
            if contents := page.get("Contents", []):
                yield contents[-1]["Key"], [self._listed(entry, served_at) for entry in contents]
            asked_at = datetime.now(UTC)

    def _versions(self, after: str | None) -> Iterator[tuple[str, list[Listed]]]:
        # Versions of one key come newest first, so one that a page cuts off is not the newest.
        asked: dict[str, Any] = {"KeyMarker": after or ""}
        while asked:
            asked_at = datetime.now(UTC)
            page = self.client.list_object_versions(Bucket=self.name, Prefix=self.prefix, **asked)
            if versions := page.get("Versions", []):
                newest = [entry for entry in versions if entry["IsLatest"]]
                served_at = answered_at(page, asked_at)
                yield versions[-1]["Key"], [self._listed(entry, served_at) for entry in newest]
            more = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
            asked = {
                name: page[following]  # type: ignore[literal-required]
                for name, following in more.items()
                if page["IsTruncated"] and page.get(following)
            }

    def _listed(self, entry: Any, served_at: datetime) -> Listed:
        return Listed(
            self.name,
            entry["Key"],
            entry.get("VersionId"),
            entry["ETag"],
            entry["Size"],
            entry["LastModified"],
            entry.get("StorageClass"),
            served_at,
        )


def answered_at(answer: Any, asked_at: datetime) -> datetime:
    """Return when S3 answered, by S3's clock, which also stamps its events.

    Its answers tell the second. Within that second, our clock decides.

    Args:
        answer: What boto3 returned.
        asked_at: When S3 was asked, by our clock.
    """
    header = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if header is None:
        return asked_at
    second = parsedate_to_datetime(header).astimezone(UTC)
    return min(max(asked_at, second), second + timedelta(seconds=1))
