"""S3 in memory, as far as the worker and its tests speak to it."""
# ruff: noqa: N803 - boto3 names its arguments so

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from botocore.exceptions import ClientError
from retinue_aws import BodyTooLargeError, S3Object
from retinue_sdk import ImageLimits
from retinue_workers.intake.s3 import ObjectStore

if TYPE_CHECKING:
    from retinue_workers.intake.object_reader import ObjectReader
    from types_boto3_s3 import S3Client


@dataclass(slots=True)
class _Version:
    version_id: str | None
    data: bytes | None  # None: a delete marker
    etag: str
    content_type: str = "binary/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def answer(self, body: bytes, content_length: int) -> S3Object:
        metadata = {f"x-amz-meta-{name.lower()}": text for name, text in self.metadata.items()}
        return S3Object(
            body=body,
            etag=f'"{self.etag}"',
            version_id=self.version_id,
            content_length=content_length,
            headers={"content-type": self.content_type, **metadata},
        )


@dataclass(slots=True)
class _Bucket:
    versioned: bool = False
    objects: dict[str, list[_Version]] = field(default_factory=dict)


class MemoryS3:
    """Buckets with and without versions, and faults on demand.

    It is an S3 client, with boto3's names, arguments and errors, except that objects are read as
    by ``ObjectReader``, in the place of which it can stand.

    Attributes:
        fault: Called before each request for an object with bucket and key; may raise or wait.
        gets: ``(bucket, key)`` of each ``get_object``.
        heads: The same of each ``head_object``.
    """

    def __init__(self) -> None:
        self.fault: Callable[[str, str], None] | None = None
        self.gets: list[tuple[str, str]] = []
        self.heads: list[tuple[str, str]] = []
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

    @property
    def client(self) -> "S3Client":
        return cast("S3Client", self)

    def close(self) -> None:
        pass

    def get_object(
        self,
        bucket: str,
        key: str,
        version_id: str | None = None,
        *,
        max_bytes: int,
        byte_range: tuple[int, int] | None = None,
    ) -> S3Object:
        self.gets.append((bucket, key))
        version, data = self._find(bucket, key, version_id)
        size = len(data)
        if byte_range is not None:
            if byte_range[0] >= size:
                raise client_error("InvalidRange", 416)
            data = data[byte_range[0] : byte_range[1] + 1]
        if len(data) > max_bytes:
            raise BodyTooLargeError(endpoint_url=f"s3://{bucket}/{key}", max_bytes=max_bytes)
        answer = version.answer(data, len(data))
        if byte_range is not None:
            end = byte_range[0] + len(data) - 1
            answer.headers["content-range"] = f"bytes {byte_range[0]}-{end}/{size}"
        return answer

    def head_object(self, bucket: str, key: str, version_id: str | None = None) -> S3Object:
        self.heads.append((bucket, key))
        try:
            version, data = self._find(bucket, key, version_id)
        except ClientError as error:  # an answer without a body has no code but its status
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise client_error(str(status), status, "HeadObject") from error
        return version.answer(b"", len(data))

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


def store_on(s3: MemoryS3, limits: ImageLimits | None = None) -> ObjectStore:
    """A store of what is in memory."""
    return ObjectStore(lambda: cast("ObjectReader", s3), limits or ImageLimits())


def client_error(code: str, status: int = 400, operation: str = "GetObject") -> ClientError:
    """Return an error as botocore makes it of S3's answer."""
    answer: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, operation)
