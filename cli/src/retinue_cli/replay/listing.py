"""List a bucket page by page. A listing can continue after any page."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import ARCHIVED
from retinue_sdk import ConfigurationError, ImageReference

from retinue_cli.replay.message import Request

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif")
)
"""Extensions of keys that are images: the formats that Retinue decodes."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a source.

    Attributes:
        position: Pass it to continue after this page.
        requests: The requests for its images.
        left_out: Number of omitted objects, by reason.
    """

    position: str
    requests: list[Request]
    left_out: Counter[str]


class Source(Protocol):
    """A listing of the objects of a backfill."""

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Yield pages in an order that never changes.

        Args:
            after: The position of the last finished page; ``None`` for the beginning.

        Raises:
            ConfigurationError: The bucket or listing doesn't exist, or can't be read.
        """


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Selects the objects that are images.

    Attributes:
        all_files: Whether to select all objects, with any extension.
    """

    all_files: bool = False

    def page(self, position: str, objects: list["Listed"]) -> Page:
        """Return the page of requests for these objects."""
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
            return "that mark folders"
        if listed.storage_class in ARCHIVED:
            return "archived: restore them first"
        if not self.all_files and PurePosixPath(listed.key).suffix.lower() not in SUFFIXES:
            return "without an image's extension"
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a listing.

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
        """Return the request for the object."""
        version_id = None if self.version_id in (None, "", "null") else self.version_id
        reference = ImageReference(self.bucket, self.key, version_id, self.etag.strip('"'))
        return Request(reference, self.modified_at, self.size_bytes, served_at=self.served_at)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, listed now: the newest version of each object.

    Attributes:
        client: A boto3 S3 client.
        name: The bucket's name.
        prefix: The prefix of the keys.
        chosen: The filter of the objects.
    """

    client: "S3Client"
    name: str
    prefix: str = ""
    chosen: KeyFilter = field(default_factory=KeyFilter)

    def pages(self, after: str | None = None) -> Iterator[Page]:
        """Yield pages of up to 1,000 keys, in the order of S3. The position is the last key.

        Raises:
            ConfigurationError: The bucket doesn't exist, or can't be listed.
        """
        try:
            # A bucket with suspended versioning still has objects with version ids.
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
        # Versions of a key come newest first, so the first version of a page may not be the newest.
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
    """Return when S3 answered, by S3's clock, which also dates its events.

    Answers have a resolution of one second. Within that second, the local clock decides.

    Args:
        answer: boto3's answer.
        asked_at: When the request was sent, by the local clock.
    """
    header = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if header is None:
        return asked_at
    second = parsedate_to_datetime(header).astimezone(UTC)
    return min(max(asked_at, second), second + timedelta(seconds=1))
