"""Asking S3 why Rekognition cannot read an object."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageReference,
    InvalidImageError,
    RetriableError,
)

from retinue_rekognition.errors import RULES, CredentialsError, Next, explained

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ANY_ETAG = "*"
"""The ETag of a reference that means whatever is there now."""

_GONE = frozenset({"404", "405", "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed"})
"""405 is what S3 answers when the version is a delete marker."""

_ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def why_unreadable(
    client: "S3Client", reference: ImageReference, region: str, complaint: str
) -> DetectorError:
    """Why Rekognition could not read the object, by what to do next.

    Rekognition's InvalidS3ObjectException means that the object is missing, *or* in another region,
    *or* may not be read. Only the first is the image's fault.

    Args:
        client: A boto3 S3 client.
        reference: The object.
        region: Where Rekognition was called.
        complaint: What Rekognition said.
    """
    where: dict[str, Any] = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id:
        where["VersionId"] = reference.version_id
    try:
        with explained("HeadObject"):
            try:
                answer: Mapping[str, Any] = client.head_object(**where)
            except ClientError as error:
                return _refused(error, reference, region, complaint)
    except DetectorError as error:
        return error
    bucket_region = _bucket_region(answer)
    if bucket_region and bucket_region != region:
        return _elsewhere(reference, bucket_region, region)
    if answer.get("StorageClass") in _ARCHIVED and 'ongoing-request="false"' not in str(
        answer.get("Restore", "")
    ):
        return InvalidImageError(
            f"{reference.uri} is archived and must be restored before it can be read",
            code="object_archived",
            retryable=True,
        )
    etag = str(answer.get("ETag", "")).strip('"')
    if not etag and not reference.version_id:
        return RetriableError(f"{complaint}; and S3 answered without an ETag for {reference.uri}")
    if not reference.version_id and reference.etag not in {ANY_ETAG, etag}:
        return InvalidImageError(
            f"{reference.uri} was overwritten before Rekognition read it",
            code="object_replaced",
            retryable=True,
        )
    return RetriableError(
        f"{complaint}. S3 lets this worker see {reference.uri}; if this goes on, the object's KMS "
        "key or a bucket policy keeps Rekognition out"
    )


def _refused(
    error: ClientError, reference: ImageReference, region: str, complaint: str
) -> DetectorError:
    """What S3's refusal means. A HEAD has no body: the code is the status."""
    response: Any = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    bucket_region = _bucket_region(response)
    if bucket_region and bucket_region != region:
        return _elsewhere(reference, bucket_region, region)
    if code == "NoSuchBucket":
        return InvalidImageError(
            f"the bucket {reference.bucket} does not exist", code="bucket_not_found", retryable=True
        )
    if code in _GONE or status in {404, 405}:
        return InvalidImageError(
            f"{reference.uri} (version {reference.version}) does not exist",
            code="object_not_found",
            retryable=True,
        )
    if status in {408, 429} or status >= 500:
        return RetriableError(f"{complaint}; and S3 answered {code} for {reference.uri}")
    rule = RULES.get(code)
    if rule is not None and rule.next is Next.CREDENTIALS:
        return CredentialsError(f"S3 refuses {reference.uri} ({code}): {rule.remedy}")
    return DetectorNotReadyError(
        f"S3 refuses {reference.uri} ({code}): the worker's role needs s3:GetObject, "
        "s3:GetObjectVersion and s3:ListBucket on the bucket (and kms:Decrypt if it is "
        f"encrypted with a key), and the bucket must be in {region}, where Rekognition is called"
    )


def _elsewhere(reference: ImageReference, bucket_region: str, region: str) -> DetectorError:
    return DetectorNotReadyError(
        f"the bucket {reference.bucket} is in {bucket_region}, but Rekognition is called in "
        f"{region} and reads only buckets there: set the option region to {bucket_region}"
    )


def _bucket_region(answer: Mapping[str, Any]) -> str:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region", ""))
