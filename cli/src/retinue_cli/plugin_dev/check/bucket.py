"""Store pictures for checks of a service that reads S3 itself."""

from itertools import count
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError, ImageReference
from retinue_workers.intake.clients import make_clients


class CheckBucket:
    """A prefix in the user's bucket, for the checks.

    Args:
        bucket: Its name.
        prefix: The prefix of the keys.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        """Connect to S3.

        Raises:
            ConfigurationError: No region is set.
        """
        self._client: Any = make_clients(connections=2).s3()
        self._bucket = bucket
        self._prefix = prefix
        self._numbers = count()

    def put(self, data: bytes, name: str) -> ImageReference:
        """Store a file, and return its reference.

        Raises:
            ConfigurationError: S3 refuses it.
        """
        key = f"{self._prefix}{next(self._numbers)}/{name}"
        try:
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(
                f"--bucket {self._bucket}: the pictures cannot be uploaded: {error}; the checks "
                "need s3:PutObject, s3:ListBucketVersions and s3:DeleteObjectVersion"
            ) from error
        etag = answer["ETag"].strip('"')
        return ImageReference(self._bucket, key, answer.get("VersionId") or None, etag)

    def try_out(self) -> None:
        """Store a file, to check that it is possible.

        Raises:
            ConfigurationError: S3 refuses it.
        """
        self.put(b"retinue plugins check was here", "first")

    def clear(self) -> None:
        """Delete all versions of all objects under the prefix.

        Raises:
            ConfigurationError: S3 refuses. The message names the remaining objects.
        """
        try:
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for entry in page.get("Versions", ()):
                    self._client.delete_object(
                        Bucket=self._bucket, Key=entry["Key"], VersionId=entry["VersionId"]
                    )
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(
                f"cannot delete the pictures under s3://{self._bucket}/{self._prefix}. Delete "
                f"them yourself: {error}"
            ) from error
