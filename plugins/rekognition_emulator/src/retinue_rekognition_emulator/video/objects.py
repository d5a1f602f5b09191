"""Read videos from S3 by ranges, because they may have gigabytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from retinue_rekognition_emulator.images import (
    Source,
    StoredObject,
    object_parameters,
    s3_client,
)


class VideoObject(Protocol):
    """An object in S3."""

    @property
    def size_bytes(self) -> int:
        """Return its size."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Return some of its bytes: fewer at its end, none if it has gone."""
        ...


VideoSource = Callable[[str, str, str | None], VideoObject | None]
"""Returns the object for bucket, key and version; ``None`` if it can't be read."""


@dataclass(frozen=True)
class _InMemory:
    stored: StoredObject

    @property
    def size_bytes(self) -> int:
        return self.stored.size_bytes or len(self.stored.data)

    def read(self, start: int, length: int) -> bytes:
        return self.stored.data[start : start + length]


def videos_of(source: Source) -> VideoSource:
    """Return a source of videos that reads whole objects. Tests keep theirs in memory."""

    def find(bucket: str, key: str, version: str | None) -> VideoObject | None:
        stored = source(bucket, key, version)
        return None if stored is None else _InMemory(stored)

    return find


@dataclass(frozen=True)
class _InS3:
    client: Any
    where: dict[str, Any]
    size_bytes: int

    def read(self, start: int, length: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        end = min(start + length, self.size_bytes) - 1
        if end < start:
            return b""
        try:
            answer = self.client.get_object(**self.where, Range=f"bytes={start}-{end}")
            body = bytes(answer["Body"].read())
        except (BotoCoreError, ClientError):
            return b""
        # ministack ignores ranges of versions.
        return body if "ContentRange" in answer else body[start : end + 1]


def s3_videos(address: str | None = None) -> VideoSource:
    """Return a source that reads ranges from S3, or from the endpoint in boto3's settings.

    Args:
        address: URL of the S3 endpoint. The default is boto3's settings.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client = s3_client(address)

    def find(bucket: str, key: str, version: str | None) -> VideoObject | None:
        where = object_parameters(bucket, key, version)
        try:
            head = client.head_object(**where)
        except (BotoCoreError, ClientError):
            return None
        return _InS3(client, where | {"IfMatch": head["ETag"]}, head["ContentLength"])

    return find
