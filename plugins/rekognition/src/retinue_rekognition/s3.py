"""Ask S3 why Rekognition can't read an object."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore.exceptions import BotoCoreError, ClientError
from retinue_aws import ARCHIVED, TRANSIENT_KMS_ERROR, RefusedObjects, Reply, Verdict, neighbours
from retinue_sdk import (
    DetectorError,
    ImageReference,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)

from retinue_rekognition.errors import RULES, CredentialsError, Next, explained

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ANY_ETAG = "*"
"""The ETag of a reference to the current object."""

_GONE = frozenset({"404", "405", "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed"})
"""S3 returns 405 for a delete marker."""


class _ElsewhereError(Exception):
    """The bucket is in a different region from Rekognition's."""

    def __init__(self, region: str) -> None:
        super().__init__(region)
        self.region = region


def why_unreadable(
    client: "S3Client",
    reference: ImageReference,
    region: str,
    complaint: str,
    objects: RefusedObjects[ImageReference],
) -> DetectorError:
    """Return why Rekognition could not read the object, as an error by the next step.

    Rekognition's InvalidS3ObjectException means that the object is missing, *or* in another region,
    *or* may not be read. The last two are the object's fault only if others can be read.

    Args:
        client: A boto3 S3 client.
        reference: The object.
        region: Rekognition's region.
        complaint: Rekognition's message.
        objects: Objects that Rekognition has read.
    """
    try:
        with explained("HeadObject"):
            try:
                answer = _head(client, reference, region)
            except (ClientError, _ElsewhereError) as error:
                return _refused(error, client, reference, region, complaint, objects)
            if _is_archived(answer):
                return _archived(reference)
            etag = str(answer.get("ETag", "")).strip('"')
            if not etag and not reference.version_id:
                return RetriableError(
                    f"{complaint}; and S3 answered without an ETag for {reference.uri}"
                )
            if not reference.version_id and reference.etag not in {ANY_ETAG, etag}:
                return InvalidImageError(
                    f"{reference.uri} was overwritten before Rekognition read it",
                    code="object_replaced",
                    retryable=True,
                )
            try:
                _get(client, reference, region)
            except ClientError as error:
                return _refused(error, client, reference, region, complaint, objects)
    except DetectorError as error:
        return error
    return RetriableError(
        f"{complaint}. S3 lets this worker see {reference.uri}. If this continues, the object's "
        "KMS key or a bucket policy excludes Rekognition"
    )


_Ask: TypeAlias = Callable[["S3Client", ImageReference, str], Mapping[str, Any]]


def _head(client: "S3Client", reference: ImageReference, region: str) -> Mapping[str, Any]:
    """Request an object's headers from S3.

    Raises:
        ClientError: S3 refuses. A HEAD has no body, so the code is the status.
        _ElsewhereError: It is in another region.
    """
    try:
        answer: Mapping[str, Any] = client.head_object(**_named(reference))
    except ClientError as error:
        response: Mapping[str, Any] = error.response
        if (elsewhere := _bucket_region(response)) not in {"", region}:
            raise _ElsewhereError(elsewhere) from error
        raise
    if (elsewhere := _bucket_region(answer)) not in {"", region}:
        raise _ElsewhereError(elsewhere)
    return answer


def _get(client: "S3Client", reference: ImageReference, _region: str) -> Mapping[str, Any]:
    """Read a byte of an object, which also uses its KMS key.

    Raises:
        ClientError: S3 refuses it.
    """
    answer: Any = client.get_object(**_named(reference), Range="bytes=0-0")
    answer.get("Body").close()
    return {}


def _refused(
    error: ClientError | _ElsewhereError,
    client: "S3Client",
    reference: ImageReference,
    region: str,
    complaint: str,
    objects: RefusedObjects[ImageReference],
) -> DetectorError:
    """Return the meaning of S3's refusal, after a comparison with other objects if necessary."""
    ask: _Ask = _head
    if isinstance(error, _ElsewhereError):
        says = (
            f"the bucket {reference.bucket} is in {error.region}, but Rekognition is called in "
            f"{region} and reads only buckets there: set the option region to {error.region}"
        )
        alone = InvalidImageError(
            f"{says}. Other objects can be read", code="bucket_in_other_region", retryable=True
        )
    else:
        if error.operation_name != "HeadObject":
            ask = _get
        elif _status(error) in {400, 403}:  # GET's answer has a code
            try:
                _get(client, reference, region)
            except ClientError as told:
                if _status(told) < 500:
                    error = told
        if plain := _explain(error, reference, complaint):
            return plain
        s3_code = _code(error)
        says = (
            f"S3 refuses {reference.uri} ({s3_code}): the worker's role needs s3:GetObject, "
            "s3:GetObjectVersion and s3:ListBucket on the bucket (and kms:Decrypt if it is "
            f"encrypted with a key), and the bucket must be in {region}, where Rekognition is "
            "called"
        )
        of_key = s3_code.startswith("KMS.")
        alone = InvalidImageError(
            f"{says}. Other objects can be read",
            code="kms_key_unavailable" if of_key else "access_denied",
            retryable=True,
        )
    verdict = objects.judge(
        reference, partial(_reply, client, region, ask), partial(_neighbours, client, reference)
    )
    match verdict:
        case Verdict.ALONE:
            return alone
        case Verdict.PASSED:
            return RetriableError(f"S3 refused {reference.uri} before, but not now")
    return ObjectRefusedError(says)


def _explain(error: ClientError, reference: ImageReference, complaint: str) -> DetectorError | None:
    """Return S3's error as a detector's; ``None`` if others must be compared with the object."""
    code, status = _code(error), _status(error)
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
    if code == "InvalidObjectState":
        return _archived(reference)
    if status in {408, 429} or status >= 500 or TRANSIENT_KMS_ERROR.match(code):
        return RetriableError(f"{complaint}; and S3 answered {code} for {reference.uri}")
    rule = RULES.get(code)
    if rule is not None and rule.next is Next.CREDENTIALS and code != "SignatureDoesNotMatch":
        return CredentialsError(f"S3 refuses {reference.uri} ({code}): {rule.remedy}")
    return None


def _reply(client: "S3Client", region: str, ask: "_Ask", reference: ImageReference) -> Reply:
    """Request an object from S3, for comparison."""
    try:
        ask(client, reference, region)
    except _ElsewhereError:
        return Reply.REFUSED
    except ClientError as error:
        return Reply.REFUSED if _status(error) in {400, 403} else Reply.UNKNOWN
    except (BotoCoreError, OSError):
        return Reply.UNKNOWN
    return Reply.SERVED


def _neighbours(client: "S3Client", reference: ImageReference) -> list[ImageReference]:
    found = neighbours(client, reference.bucket, reference.key)
    return [ImageReference(reference.bucket, key, etag=etag) for key, etag in found]


def _named(reference: ImageReference) -> dict[str, Any]:
    where: dict[str, Any] = {"Bucket": reference.bucket, "Key": reference.key}
    if reference.version_id:
        where["VersionId"] = reference.version_id
    return where


def _is_archived(answer: Mapping[str, Any]) -> bool:
    """Return whether an object is in an archive class, or an archive tier of its class."""
    archived = answer.get("StorageClass") in ARCHIVED or answer.get("ArchiveStatus")
    return bool(archived) and 'ongoing-request="false"' not in str(answer.get("Restore", ""))


def _archived(reference: ImageReference) -> InvalidImageError:
    return InvalidImageError(
        f"{reference.uri} is archived and must be restored before it can be read",
        code="object_archived",
        retryable=True,
    )


def _code(error: ClientError) -> str:
    response: Any = error.response
    return str(response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    response: Any = error.response
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _bucket_region(answer: Mapping[str, Any]) -> str:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region", ""))
