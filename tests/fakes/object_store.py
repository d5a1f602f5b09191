"""S3 in memory, as far as the worker and its tests speak to it."""
# ruff: noqa: N803 - boto3 names its arguments so

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl

from botocore.exceptions import ClientError
from botocore.response import StreamingBody


@dataclass(slots=True)
class _Version:
    version_id: str | None
    data: bytes | None  # None: a delete marker
    etag: str
    content_type: str = "binary/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    versioned: bool = False
    objects: dict[str, list[_Version]] = field(default_factory=dict)


class MemoryS3:
    """An S3 client: buckets with and without versions, and faults on demand.

    Methods have boto3's names and arguments and raise its errors.

    Attributes:
        fault: Called before each request for an object with bucket and key; may raise or wait.
        gets: ``(bucket, key)`` of each ``get_object``.
        heads: The same of each ``head_object``.
        open_bodies: How many response bodies were handed out and not closed yet.
    """

    def __init__(self) -> None:
        self.fault: Callable[[str, str], None] | None = None
        self.gets: list[tuple[str, str]] = []
        self.heads: list[tuple[str, str]] = []
        self.open_bodies = 0
        self._buckets: dict[str, _Bucket] = {}
        self._numbers = count(1)
        self._lock = Lock()

    def create_bucket(self, *, Bucket: str) -> None:
        self._buckets.setdefault(Bucket, _Bucket())

    def delete_bucket(self, *, Bucket: str) -> None:
        del self._buckets[Bucket]

    def put_bucket_versioning(
        self,
        *,
        Bucket: str,
        VersioningConfiguration: dict[str, str],
    ) -> None:
        self._buckets[Bucket].versioned = VersioningConfiguration["Status"] == "Enabled"

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        ContentType: str = "binary/octet-stream",
        Metadata: dict[str, str] | None = None,
        Tagging: str = "",
    ) -> dict[str, Any]:
        with self._lock:
            bucket = self._bucket(Bucket)
            etag = hashlib.md5(Body, usedforsecurity=False).hexdigest()
            number = f"version-{next(self._numbers)}" if bucket.versioned else None
            version = _Version(
                number, Body, etag, ContentType, Metadata or {}, dict(parse_qsl(Tagging))
            )
            if number is not None:
                bucket.objects.setdefault(Key, []).append(version)
                return {"ETag": f'"{etag}"', "VersionId": number}
            bucket.objects[Key] = [version]
            return {"ETag": f'"{etag}"'}

    def delete_object(
        self,
        *,
        Bucket: str,
        Key: str,
        VersionId: str | None = None,
    ) -> dict[str, Any]:
        with self._lock:
            bucket = self._bucket(Bucket)
            versions = bucket.objects.get(Key, [])
            if VersionId is not None:
                bucket.objects[Key] = [v for v in versions if v.version_id != VersionId]
                return {"VersionId": VersionId}
            if not bucket.versioned:
                bucket.objects.pop(Key, None)
                return {}
            marker = _Version(f"version-{next(self._numbers)}", None, "")
            bucket.objects.setdefault(Key, []).append(marker)
            return {"DeleteMarker": True, "VersionId": marker.version_id}

    def get_object(
        self,
        *,
        Bucket: str,
        Key: str,
        VersionId: str | None = None,
        Range: str | None = None,
    ) -> dict[str, Any]:
        self.gets.append((Bucket, Key))
        version, data = self._find(Bucket, Key, VersionId)
        if Range is not None:
            first, _, last = Range.removeprefix("bytes=").partition("-")
            data = data[int(first) : int(last) + 1]
        with self._lock:
            self.open_bodies += 1
        answer: dict[str, Any] = {
            "ContentLength": len(data),
            "ETag": f'"{version.etag}"',
            "Body": StreamingBody(_Raw(data, self), len(data)),
        }
        return answer | ({"VersionId": version.version_id} if version.version_id else {})

    def head_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> dict[str, Any]:
        self.heads.append((Bucket, Key))
        try:
            version, data = self._find(Bucket, Key, VersionId)
        except ClientError as error:  # an answer without a body has no code but its status
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise client_error(str(status), status, "HeadObject") from error
        return {
            "ContentLength": len(data),
            "ETag": f'"{version.etag}"',
            "ContentType": version.content_type,
            "Metadata": version.metadata,
        }

    def get_object_tagging(
        self, *, Bucket: str, Key: str, VersionId: str | None = None
    ) -> dict[str, Any]:
        version, _ = self._find(Bucket, Key, VersionId)
        return {"TagSet": [{"Key": name, "Value": text} for name, text in version.tags.items()]}

    def list_objects_v2(
        self, *, Bucket: str, Prefix: str = "", Delimiter: str = "", MaxKeys: int = 1_000
    ) -> dict[str, Any]:
        with self._lock:
            current = {key: its[-1] for key, its in sorted(self._bucket(Bucket).objects.items())}
        contents = [
            {"Key": key, "ETag": f'"{version.etag}"', "Size": len(version.data)}
            for key, version in current.items()
            if version.data is not None
            and key.startswith(Prefix)
            and not (Delimiter and Delimiter in key[len(Prefix) :])
        ][:MaxKeys]
        return {"Contents": contents} if contents else {}

    def _find(self, name: str, key: str, version_id: str | None) -> tuple[_Version, bytes]:
        """Return the version that is asked for, and its bytes."""
        if self.fault is not None:
            self.fault(name, key)
        with self._lock:
            versions = self._bucket(name).objects.get(key, [])
            if version_id is None:
                if not versions or versions[-1].data is None:
                    raise client_error("NoSuchKey", 404)
                version = versions[-1]
            else:
                matching = [v for v in versions if v.version_id == version_id]
                if not matching:
                    raise client_error("NoSuchVersion", 404)
                version = matching[0]
            if version.data is None:
                raise client_error("MethodNotAllowed", 405)
            return version, version.data

    def _bucket(self, name: str) -> _Bucket:
        if name not in self._buckets:
            raise client_error("NoSuchBucket", 404)
        return self._buckets[name]


class _Raw(BytesIO):
    """A response's stream, which tells when it is closed."""

    def __init__(self, data: bytes, s3: MemoryS3) -> None:
        super().__init__(data)
        self._s3 = s3

    def close(self) -> None:
        if not self.closed:
            self._s3.open_bodies -= 1
        super().close()


def client_error(code: str, status: int = 400, operation: str = "GetObject") -> ClientError:
    """Return an error as botocore makes it of S3's answer."""
    answer: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)
