"""The name of a place in S3, as people write it."""

import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class S3Uri:
    """``s3://bucket/key``, where the key may be a prefix, or empty.

    Attributes:
        bucket: The bucket's name.
        key: The rest, as it was written.
    """

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it.

        Raises:
            ValueError: It is no S3 URI, or names no bucket.
        """
        parts = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", text, re.DOTALL)
        if parts is None:
            raise ValueError(f"{text!r} is not s3://bucket/prefix")
        return cls(parts[1], parts[2] or "")

    @property
    def folder(self) -> str:
        """The key as a prefix of what lies below it: empty, or with a slash at its end."""
        return self.key if not self.key or self.key.endswith("/") else f"{self.key}/"

    def __str__(self) -> str:
        """As it is written."""
        return f"s3://{self.bucket}/{self.key}"
