"""Check in S3 which images it still serves although they count as deleted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from retinue_history.upkeep.maintenance import DeletedImage

from retinue_cli.replay.listing import answered_at

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

THREADS = 16
"""Number of keys that are checked concurrently."""


class ServedImages:
    """Queries S3, with only the permission ``s3:ListBucketVersions``.

    Args:
        make_client: Creates a boto3 S3 client with ``THREADS`` connections or more on first use,
            because it is rarely needed.

    Attributes:
        refusals: Buckets that could not be queried, with the reason.
    """

    def __init__(self, make_client: "Callable[[], S3Client]") -> None:
        self._make_client = make_client
        self._client: S3Client | None = None
        self.refusals: dict[str, str] = {}

    def find(self, images: Sequence[DeletedImage]) -> Mapping[UUID, datetime | None]:
        """Return when S3 was seen to serve these images; see ``FindServed`` of the history.

        An image is served if its version exists and no newer delete marker hides it.
        """
        if self._client is None:
            self._client = self._make_client()
        ask = partial(self._find, self._client)
        by_key: dict[tuple[str, str], list[DeletedImage]] = {}
        for image in images:
            by_key.setdefault((image.bucket, image.key), []).append(image)
        with ThreadPoolExecutor(THREADS, "served") as threads:
            answers = threads.map(ask, by_key, by_key.values())
            return {image_id: at for answer in answers for image_id, at in answer.items()}

    def _find(
        self, client: "S3Client", name: tuple[str, str], images: Sequence[DeletedImage]
    ) -> Mapping[UUID, datetime | None]:
        """Query the images of one key."""
        bucket, key = name
        if bucket in self.refusals:
            return dict.fromkeys(image.image_id for image in images)
        asked_at = datetime.now(UTC)
        try:
            pages = list(_pages(client, bucket, key))
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchBucket":
                return {}
            self.refusals[bucket] = str(error)
            return dict.fromkeys(image.image_id for image in images)
        served_at = answered_at(pages[0], asked_at)
        existing = _existing(pages, key)
        return {
            image.image_id: served_at
            for image in images
            if (image.version if image.versioned else None, image.version) in existing
        }


def _pages(client: "S3Client", bucket: str, key: str) -> Iterator[Any]:
    """List the versions of a key, which come before those of longer keys."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        yield page
        listed = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if any(entry["Key"] != key for entry in listed):
            return


def _existing(pages: Sequence[Any], key: str) -> set[tuple[str | None, str]]:
    """Return the versions that no delete marker hides: version id, if any, and image version.

    boto3 returns versions and markers separately, with times in seconds. If a version and a marker
    have the same second, the marker is newer only if it is the current one.
    """
    markers = [
        marker for page in pages for marker in page.get("DeleteMarkers", []) if marker["Key"] == key
    ]
    existing: set[tuple[str | None, str]] = set()
    for page in pages:
        for version in page.get("Versions", []):
            if version["Key"] != key or any(
                marker["IsLatest"] or marker["LastModified"] > version["LastModified"]
                for marker in markers
            ):
                continue
            version_id = version.get("VersionId", "null")
            if version_id == "null":
                existing.add((None, version["ETag"].strip('"')))
            else:
                existing.add((version_id, version_id))
    return existing
