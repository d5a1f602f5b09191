"""A URI of S3."""

import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class S3Uri:
    """``s3://bucket/key``, where the key may be a prefix, or empty.

    Attributes:
        bucket: The bucket's name.
        key: The rest, unchanged.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the URI.

        Raises:
            ValueError: It isn't an S3 URI, or has no bucket.
        """
        parts = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", text, re.DOTALL)
        if parts is None:
            raise ValueError(f"{text!r} is not s3://bucket/prefix")
        return cls(parts[1], parts[2] or "")

    @property
    def folder(self) -> str:
        """Return the key as a prefix of a folder: empty, or with a slash at its end."""
        return self.key if not self.key or self.key.endswith("/") else f"{self.key}/"

    def __str__(self) -> str:
        """Return the URI."""
        return f"s3://{self.bucket}/{self.key}"
