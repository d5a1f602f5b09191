"""Where the pictures of the checks lie for a service that reads S3 itself."""

from itertools import count
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from retinue_sdk import ConfigurationError, ImageReference
from retinue_workers.intake.clients import make_clients


class CheckBucket:
    """A bucket of the user's, of which the checks use one prefix.

    Args:
        bucket: Its name.
        prefix: With what the keys begin.
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
        """Put a file; tells which version of which object it is.

        Raises:
            ConfigurationError: S3 does not take it.
        """
        key = f"{self._prefix}{next(self._numbers)}/{name}"
        try:
            answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (BotoCoreError, ClientError) as error:
            raise ConfigurationError(
                f"--bucket {self._bucket}: the pictures cannot be put there: {error}; the checks "
                "need s3:PutObject, s3:ListBucketVersions and s3:DeleteObjectVersion"
            ) from error
        etag = answer["ETag"].strip('"')
        return ImageReference(self._bucket, key, answer.get("VersionId") or None, etag)

    def try_out(self) -> None:
        """Put a file, to see that it can be done.

        Raises:
            ConfigurationError: S3 does not take it.
        """
        self.put(b"retinue plugins check was here", "first")

    def clear(self) -> None:
        """Delete every version of everything under the prefix.

        Raises:
            ConfigurationError: S3 does not let us; says what is left where.
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
                f"pictures are left under s3://{self._bucket}/{self._prefix}, delete them "
                f"yourself: {error}"
            ) from error
