"""Fetching images from S3."""

from contextlib import closing
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageLimits,
    ImageReference,
    InvalidImageError,
    RetriableError,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_NOT_FOUND = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"}
"""MethodNotAllowed is what S3 answers when the version is a delete marker."""

_REFUSED = {
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class ObjectStore:
    """Reads image versions out of S3, within limits.

    Args:
        client: A boto3 S3 client.
        limits: The largest file to fetch.
    """

    def __init__(self, client: "S3Client", limits: ImageLimits) -> None:
        """Fetch nothing yet."""
        self._client = client
        self._limits = limits

    def fetch(self, reference: ImageReference) -> bytes:
        """The bytes of exactly this version.

        Raises:
            InvalidImageError: It is gone (``object_not_found``, ``bucket_not_found``), another
                upload took its place (``object_replaced``), it is archived (``object_archived``),
                empty, or too large. None of the first four is final: a new upload is a new chance.
            DetectorNotReadyError: S3 refuses us; no image is to blame.
            RetriableError: S3 did not answer.
        """
        try:
            answer = self._get(reference)
            with closing(answer["Body"]) as body:  # also unread, lest the connection stay taken
                _check_etag(answer, reference)
                return self._read(body, answer["ContentLength"], reference)
        except ClientError as error:
            raise _explain(error, reference) from error
        except _WITHOUT_CREDENTIALS as error:
            raise DetectorNotReadyError(f"cannot read from S3: {error}") from error
        except (BotoCoreError, OSError) as error:
            raise RetriableError(f"S3 did not answer for {reference.uri}: {error}") from error

    def _get(self, reference: ImageReference) -> Any:
        """GetObject, by version where there is one."""
        if reference.version_id is None:
            return self._client.get_object(Bucket=reference.bucket, Key=reference.key)
        return self._client.get_object(
            Bucket=reference.bucket, Key=reference.key, VersionId=reference.version_id
        )

    def _read(self, body: Any, size_bytes: int, reference: ImageReference) -> bytes:
        """All of the body, unless its size is outside the limits."""
        self._limits.check_bytes(size_bytes)
        data: bytes = body.read(size_bytes)
        if len(data) != size_bytes:  # the connection broke, for which no image is to blame
            raise RetriableError(
                f"S3 sent {len(data):,} of {size_bytes:,} bytes of {reference.uri}"
            )
        return data


def _check_etag(answer: Any, reference: ImageReference) -> None:
    """Refuse what another upload put in the place of an unversioned object."""
    etag = answer.get("ETag", "").strip('"')
    if reference.version_id is None and etag != reference.etag:
        raise InvalidImageError(
            f"{reference.uri} was overwritten: its ETag is now {etag}, "
            f"the event's was {reference.etag}",
            code="object_replaced",
            final=False,
        )


def _explain(error: ClientError, reference: ImageReference) -> DetectorError:
    """S3's error by what to do next."""
    code = error.response.get("Error", {}).get("Code", "")
    if code == "NoSuchBucket":
        return InvalidImageError(
            f"the bucket {reference.bucket} does not exist", code="bucket_not_found", final=False
        )
    if code in _NOT_FOUND:
        return InvalidImageError(
            f"{reference.uri} (version {reference.version}) does not exist",
            code="object_not_found",
            final=False,
        )
    if code == "InvalidObjectState":
        return InvalidImageError(
            f"{reference.uri} is archived and must be restored before it can be read",
            code="object_archived",
            final=False,
        )
    if code in _REFUSED:
        return DetectorNotReadyError(
            f"S3 refuses {reference.uri} ({code}): the worker needs s3:GetObject, "
            "s3:GetObjectVersion and s3:ListBucket on the bucket"
        )
    return RetriableError(f"S3 answered {code} for {reference.uri}")
