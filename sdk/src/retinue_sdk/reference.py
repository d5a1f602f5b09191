"""The identity of an image: one version of one S3 object."""

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

_VERSION_AND_VARIANT = 0xF << 76 | 0b11 << 62
"""The bits of a UUID that say how it was made (RFC 9562)."""

_VERSION_8 = 0x8 << 76 | 0b10 << 62
"""Their values in a UUIDv8."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One version of one S3 object.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, decoded (not the form-encoded text of an event).
        version_id: The object's version id; ``None`` in an unversioned bucket.
        etag: The object's ETag without quotes. It replaces the version id if there is none.
        image_id: The image's id: a UUIDv8 (RFC 9562) made from SHA-256 of bucket, version and key.
            Anyone can compute it from the S3 identity, also with the SQL function
            ``image_id(bucket, key, version)``. Bucket and version can't contain a newline, so the
            text is unambiguous.

    Raises:
        ValueError: Version id and ETag are missing, or a part is empty or contains a character that
            S3 names can't have (a newline in the bucket or version, NUL or an unpaired surrogate).
    """

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None
    image_id: UUID = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for values that name no image."""
        bucket, key, version = self.bucket, self.key, self.version
        if not bucket or not key:
            raise ValueError("an image needs a bucket and a key")
        if not version:
            raise ValueError("an image needs a version id or an ETag")
        if "\n" in bucket or "\n" in version:
            raise ValueError("a bucket or version cannot contain a newline")
        name = f"{bucket}\n{version}\n{key}"
        if "\0" in name:
            raise ValueError("a bucket, key or version cannot contain NUL")
        try:
            digest = hashlib.sha256(name.encode()).digest()
        except UnicodeEncodeError as error:
            raise ValueError("a bucket, key or version must be valid Unicode") from error
        number = int.from_bytes(digest[:16], "big") & ~_VERSION_AND_VARIANT | _VERSION_8
        object.__setattr__(self, "image_id", UUID(int=number))

    @property
    def version(self) -> str:
        """Return the version id, or the ETag if there is none."""
        return self.version_id or self.etag or ""

    @property
    def uri(self) -> str:
        """Return the object as an ``s3://bucket/key`` URI."""
        return f"s3://{self.bucket}/{self.key}"
