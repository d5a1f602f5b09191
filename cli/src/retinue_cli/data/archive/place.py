"""The places of archives: a folder, or a prefix of an S3 bucket."""

import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from retinue_sdk import ConfigurationError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from types_boto3_s3 import S3Client


class ArchiveConflictError(Exception):
    """Another process has replaced the document since it was read."""


class Place(Protocol):
    """Stores files under names with slashes.

    All methods raise ``ConfigurationError``, with the remedy, if the place refuses.
    """

    @property
    def name(self) -> str:
        """Return its name: ``s3://bucket/prefix``, or a folder."""

    @property
    def is_bucket(self) -> bool:
        """Return whether Athena can read it."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small document and its tag; ``None`` if there is none."""

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small document atomically. Return its new tag.

        Args:
            name: Its name.
            data: The new content.
            tag: The tag of the content that it replaces; ``None`` if there may be none.

        Raises:
            ArchiveConflictError: The document has another content.
        """

    def overwrite(self, name: str, data: bytes) -> None:
        """Write a small document atomically, with any content before it."""

    def add(self, name: str, file: Path) -> None:
        """Store a copy of a local file. It appears when it is complete, and survives a crash."""

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` to before ``end``."""

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield the names and sizes of all files whose names start with a prefix."""

    def delete(self, name: str) -> None:
        """Delete a file, with its older versions. It may be gone already."""

    @property
    def unreachable(self) -> str | None:
        """Return why older versions of deleted files may still exist; ``None`` if they don't."""


class Folder:
    """A folder on this machine, or on a file system that is mounted.

    Args:
        path: The folder. Its parent must exist.
    """

    is_bucket = False
    unreachable = None

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    @property
    def name(self) -> str:
        """Return the folder's absolute path."""
        return str(self._path)

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small document and its tag."""
        with self._errors():
            try:
                data = (self._path / name).read_bytes()
            except FileNotFoundError:
                return None
        return data, _tag(data)

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small document atomically, unless it changed."""
        with self._errors():
            self._path.mkdir(exist_ok=True)
            with (self._path / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                found = self.read(name)
                if (None if found is None else found[1]) != tag:
                    raise ArchiveConflictError(name)
                self.overwrite(name, data)
        return _tag(data)

    def overwrite(self, name: str, data: bytes) -> None:
        """Write a small document atomically."""
        with self._errors():
            self._store(name, io.BytesIO(data))

    def add(self, name: str, file: Path) -> None:
        """Store a copy of a local file."""
        with self._errors(), file.open("rb") as source:
            self._store(name, source)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return a part of a file."""
        with self._errors(), (self._path / name).open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(end - start)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield names and sizes."""
        with self._errors():
            for path in sorted((self._path / prefix).rglob("*")):
                if path.is_file():
                    yield path.relative_to(self._path).as_posix(), path.stat().st_size

    def delete(self, name: str) -> None:
        """Delete a file, and folders that it leaves empty."""
        with self._errors():
            path = self._path / name
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._path or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _store(self, name: str, source: BinaryIO) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with draft.open("wb") as file:
                while block := source.read(2**20):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"the archive {self.name} can't be used: {error}. Check that the folder exists, "
                "that this user may write to it, and that the disk has space"
            ) from error


class Bucket:
    """A prefix of an S3 bucket.

    Args:
        client: A botocore S3 client.
        bucket: The bucket's name.
        prefix: Empty, or with a slash at its end.
    """

    is_bucket = True

    def __init__(self, client: "S3Client", bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._unreachable: str | None = None

    @property
    def name(self) -> str:
        """Return the URI, without a slash at its end."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def unreachable(self) -> str | None:
        """Return why older versions of deleted files may still exist."""
        return self._unreachable

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small document and its tag."""
        with self._errors("s3:GetObject and s3:ListBucket", missing=name):
            try:
                found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._client.exceptions.NoSuchKey:
                return None
            return found["Body"].read(), found["ETag"]

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small document atomically, unless it changed."""
        key = self._prefix + name
        with self._errors("s3:PutObject"):
            if tag is None:
                done = self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*"
                )
            else:
                done = self._client.put_object(Bucket=self._bucket, Key=key, Body=data, IfMatch=tag)
            return done["ETag"]

    def overwrite(self, name: str, data: bytes) -> None:
        """Write a small document atomically."""
        with self._errors("s3:PutObject"):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)

    def add(self, name: str, file: Path) -> None:
        """Store a copy of a local file. S3 checks the digest of what arrives."""
        from s3transfer.manager import TransferManager

        rights = "s3:PutObject and s3:AbortMultipartUpload"
        with self._errors(rights), TransferManager(self._client) as manager:
            upload = manager.upload(
                str(file),
                self._bucket,
                self._prefix + name,
                extra_args={"ChecksumAlgorithm": "SHA256"},
            )
            upload.result()

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of an object from ``start`` to before ``end``."""
        with self._errors("s3:GetObject", missing=name):
            found = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + name, Range=f"bytes={start}-{end - 1}"
            )
            return found["Body"].read()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield names and sizes."""
        with self._errors("s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for found in page.get("Contents", []):
                    yield found["Key"].removeprefix(self._prefix), found["Size"]

    def delete(self, name: str) -> None:
        """Delete all versions of an object."""
        key = self._prefix + name
        with self._errors("s3:DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=key)
        try:
            with self._errors("s3:ListBucketVersions and s3:DeleteObjectVersion"):
                pages = self._client.get_paginator("list_object_versions").paginate(
                    Bucket=self._bucket, Prefix=key
                )
                for page in pages:
                    for found in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                        if found["Key"] == key:
                            self._client.delete_object(
                                Bucket=self._bucket, Key=key, VersionId=found["VersionId"]
                            )
        except ConfigurationError as error:
            self._unreachable = str(error)

    @contextmanager
    def _errors(self, rights: str, missing: str | None = None) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in (
                "PreconditionFailed",
                "ConditionalRequestConflict",
            ):
                raise ArchiveConflictError(self.name) from error
            raise ConfigurationError(self._explain(error, rights, missing)) from error
        except BotoCoreError as error:
            raise ConfigurationError(
                f"the archive {self.name} can't be reached: {error}"
            ) from error

    def _explain(self, error: "ClientError", rights: str, missing: str | None) -> str:
        code = error.response["Error"]["Code"]
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region")
        match code:
            case "NoSuchBucket":
                remedy = "create the bucket, or correct RETINUE_ARCHIVE"
            case "AccessDenied" | "403" | "AllAccessDisabled":
                remedy = f"allow {rights} on it, and kms:Decrypt and kms:GenerateDataKey on its key"
            case "PermanentRedirect" | "AuthorizationHeaderMalformed" | "301":
                remedy = f"the bucket is in {region or 'another region'}: set AWS_REGION to it"
            case "NoSuchKey" | "404":
                remedy = _restore(missing or "")
            case _:
                remedy = "run the command again"
        return f"the archive {self.name} can't be used: {error}. Remedy: {remedy}"


class StoredFile(io.RawIOBase):
    """A file of a place, to read from any position. Nothing stays open between two reads.

    Args:
        place: Where it is.
        name: Its name.
        size: Its size.
    """

    def __init__(self, place: Place, name: str, size: int) -> None:
        super().__init__()
        self._place = place
        self._name = name
        self._size = size
        self._at = 0

    def seekable(self) -> bool:
        """Return whether ``seek`` works."""
        return True

    def readable(self) -> bool:
        """Return whether ``read`` works."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to ``size`` bytes, and fewer only at the end."""
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        data = self._place.read_range(self._name, self._at, self._at + wanted)
        self._at += len(data)
        return data


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _restore(name: str) -> str:
    return f"restore {name} from a backup or an older version of the object"
