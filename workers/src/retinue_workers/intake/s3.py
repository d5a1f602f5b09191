"""Fetch images from S3."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from retinue_aws import (
    TRANSIENT_KMS_ERROR,
    BodyTooLargeError,
    RefusedObjects,
    Reply,
    S3Object,
    Verdict,
    neighbours,
)
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    Image,
    ImageLimits,
    ImageReference,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_sdk.errors import format_error

from retinue_workers.intake.object_reader import LONGEST_READ_SECONDS, ObjectReader

_NOT_FOUND = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"}
"""Error codes of an object that doesn't exist. S3 returns MethodNotAllowed for a delete marker."""

_BEYOND_END = {"416", "InvalidRange"}
"""Error codes of a range that begins behind the object's end. An empty object has no other."""

_WITHOUT_RIGHTS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "UnrecognizedClientException",
}
"""Error codes that refuse the worker's credentials, and so every object."""

_REFUSED = {
    "400",
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidRequest",
    "SignatureDoesNotMatch",
}
"""Error codes that refuse one object, or all. InvalidRequest means an object whose encryption key
the uploader keeps (SSE-C). HEAD has no body, so its code is the status. SignatureDoesNotMatch can
affect a single key that a proxy rewrites.
"""

_KMS = "KMS."

_MAY_READ = "s3:GetObject, s3:GetObjectVersion and s3:ListBucket"
_NEEDED = {
    "get_object": _MAY_READ,
    "head_object": _MAY_READ,
    "get_object_tagging": "s3:GetObjectTagging, s3:GetObjectVersionTagging and s3:ListBucket",
}
"""The permissions that each call requires."""

_METADATA = "x-amz-meta-"
"""Prefix of the headers that hold user metadata."""

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class ObjectStore:
    """Reads image versions from S3, within limits.

    Args:
        make_reader: Creates the reader on first use. Detectors by reference need none, and its
            boto3 client is AWS's largest.
        limits: Limits on the size of images.
    """

    def __init__(self, make_reader: Callable[[], ObjectReader], limits: ImageLimits) -> None:
        self._make_reader = make_reader
        self._made: ObjectReader | None = None
        self._making = Lock()
        self.limits = limits
        self._refusals: defaultdict[str, RefusedObjects[ImageReference]] = defaultdict(
            RefusedObjects
        )

    def connect(self) -> ObjectReader:
        """Return the reader, created on first use. A worker that needs it creates it at startup.

        Raises:
            ConfigurationError: AWS's configuration is invalid.
        """
        with self._making:
            if self._made is None:
                self._made = self._make_reader()
            return self._made

    def close(self) -> None:
        """Close the reader, if there is one."""
        with self._making:
            if self._made is not None:
                self._made.close()

    def image(self, reference: ImageReference, size_bytes: int | None) -> Image:
        """Return an image, not fetched."""
        return Image(
            reference,
            partial(self.fetch, reference),
            limits=self.limits,
            size_bytes=size_bytes,
        )

    def fetch(self, reference: ImageReference) -> bytes:
        """Return the bytes of exactly this version.

        Raises:
            InvalidImageError: It is gone (``object_not_found``, ``bucket_not_found``), another
                upload replaced it (``object_replaced``), it is archived (``object_archived``), S3
                refuses it but serves others (``access_denied``, ``kms_key_unavailable``), or it is
                empty or too large. All but the last two are retryable: a new upload can succeed.
            ObjectRefusedError: S3 refuses it, and possibly others.
            DetectorNotReadyError: S3 refuses all objects.
            RetriableError: S3 did not answer.
        """
        with self._explaining("get_object", reference):
            asked_at = time.monotonic()
            answer = self._get(reference)
            self._refusals["get_object"].record_served(reference, asked_at)
            _check_etag(answer, reference)
            self.limits.check_bytes(answer.content_length)
            if len(answer.body) != answer.content_length:
                raise RetriableError(
                    f"S3 sent {len(answer.body):,} of {answer.content_length:,} bytes of "
                    f"{reference.uri}"
                )
            return answer.body

    def read_part(self, reference: ImageReference, at: int, size: int) -> tuple[bytes, int]:
        """Return up to ``size`` bytes of this version from an offset, and the object's size.

        Fewer are returned only at the object's end. The limit on the size doesn't apply.

        Raises:
            InvalidImageError: As for ``fetch``.
            DetectorError: As for ``fetch``.
        """
        with self._explaining("get_object", reference):
            asked_at = time.monotonic()
            try:
                answer = self.connect().get_object(
                    *_place(reference), max_bytes=size, byte_range=(at, at + size - 1)
                )
            except ClientError as error:
                if _code(error) not in _BEYOND_END:
                    raise
                answer = self.connect().head_object(*_place(reference))
                _check_etag(answer, reference)
                self.limits.check_bytes(min(answer.content_length, self.limits.max_bytes))
                raise RetriableError(
                    f"S3 has no byte {at:,} of {reference.uri} with {answer.content_length:,} bytes"
                ) from error
            self._refusals["get_object"].record_served(reference, asked_at)
            _check_etag(answer, reference)
            total = answer.headers.get("content-range", "").rpartition("/")[2]
            return answer.body, int(total) if total.isdecimal() else answer.content_length

    def head(self, reference: ImageReference) -> tuple[str, dict[str, str]]:
        """Return the object's Content-Type, and its user metadata with lower-case names.

        Raises:
            DetectorError: As for ``fetch``.
        """
        with self._explaining("head_object", reference):
            asked_at = time.monotonic()
            answer = self.connect().head_object(*_place(reference))
            self._refusals["head_object"].record_served(reference, asked_at)
            _check_etag(answer, reference)
        metadata = {
            name.removeprefix(_METADATA): value
            for name, value in answer.headers.items()
            if name.startswith(_METADATA)
        }
        return answer.headers.get("content-type", ""), metadata

    def tags(self, reference: ImageReference) -> dict[str, str]:
        """Return the object's tags. They belong to a version, and can change at any time.

        In an unversioned bucket they are those of the current object.

        Raises:
            DetectorError: As for ``fetch``.
        """
        with self._explaining("get_object_tagging", reference):
            asked_at = time.monotonic()
            tags = self._tags(reference)
            self._refusals["get_object_tagging"].record_served(reference, asked_at)
            return tags

    def _get(self, reference: ImageReference) -> S3Object:
        """Return the object, or only its headers if it is too large."""
        try:
            return self.connect().get_object(*_place(reference), max_bytes=self.limits.max_bytes)
        except BodyTooLargeError:  # perhaps another upload replaced it
            return self.connect().head_object(*_place(reference))

    def _tags(self, reference: ImageReference) -> dict[str, str]:
        named: Any = {"Bucket": reference.bucket, "Key": reference.key}
        if reference.version_id is not None:
            named["VersionId"] = reference.version_id
        answer = self.connect().client.get_object_tagging(**named)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    @contextmanager
    def _explaining(self, operation: str, reference: ImageReference) -> Iterator[None]:
        """Turn botocore's exceptions into errors by the next step.

        Args:
            operation: The method.
            reference: The object.
        """
        try:
            yield
        except ClientError as error:
            explained = _explain(error, reference)
            if explained is None:
                explained = self._explain_refusal(error, operation, reference)
            raise explained from error
        except _WITHOUT_CREDENTIALS as error:
            raise DetectorNotReadyError(f"cannot read from S3: {error}") from error
        except DetectorError:
            raise
        except TimeoutError as error:
            raise RetriableError(
                f"S3 did not send {reference.uri} within {LONGEST_READ_SECONDS:g} seconds"
            ) from error
        except Exception as error:  # botocore and sources of credentials can raise anything
            raise RetriableError(
                f"S3 did not answer for {reference.uri}: {format_error(error)}"
            ) from error

    def _explain_refusal(
        self, error: ClientError, operation: str, reference: ImageReference
    ) -> DetectorError:
        """Distinguish an object that S3 refuses alone from a worker that it refuses all objects."""
        if operation == "head_object":  # HEAD's answer has no code
            with suppress(BotoCoreError, OSError):
                error = self._refusal("get_object", reference) or error
            if explained := _explain(error, reference):
                return explained
        code, needed = _code(error), _NEEDED[operation]
        verdict = self._refusals[operation].judge(
            reference, partial(self._ask, operation), partial(self._neighbours, reference)
        )
        match verdict:
            case Verdict.PASSED:
                return RetriableError(f"S3 refused {reference.uri} before, but not now")
            case Verdict.UNDECIDED:
                return ObjectRefusedError(
                    f"S3 refuses {reference.uri} ({code}): {needed} are needed on the bucket"
                )
        if code.startswith(_KMS):
            return InvalidImageError(
                f"S3 cannot use the KMS key of {reference.uri} ({code}) but serves other objects",
                code="kms_key_unavailable",
                retryable=True,
            )
        return InvalidImageError(
            f"S3 refuses {reference.uri} ({code}) but serves other objects: check the object's "
            f"owner, policy and key ({needed} are needed)",
            code="access_denied",
            retryable=True,
        )

    def _ask(self, operation: str, reference: ImageReference) -> Reply:
        """Request an object for comparison."""
        try:
            refusal = self._refusal(operation, reference)
        except (BotoCoreError, OSError):
            return Reply.UNKNOWN
        if refusal is None:
            return Reply.SERVED
        code = _code(refusal)
        refused = code in _REFUSED | _WITHOUT_RIGHTS or code.startswith(_KMS)
        return Reply.REFUSED if refused else Reply.UNKNOWN

    def _neighbours(self, reference: ImageReference) -> list[ImageReference]:
        found = neighbours(self.connect().client, reference.bucket, reference.key)
        return [ImageReference(reference.bucket, key, etag=etag) for key, etag in found]

    def _refusal(self, operation: str, reference: ImageReference) -> ClientError | None:
        """Return S3's error for an object. At most one byte is read."""
        try:
            match operation:
                case "get_object":
                    self.connect().get_object(
                        *_place(reference), max_bytes=self.limits.max_bytes, byte_range=(0, 0)
                    )
                case "head_object":
                    self.connect().head_object(*_place(reference))
                case _:
                    self._tags(reference)
        except ClientError as error:
            return error
        return None


def _place(reference: ImageReference) -> tuple[str, str, str | None]:
    return reference.bucket, reference.key, reference.version_id


def _check_etag(answer: S3Object, reference: ImageReference) -> None:
    """Raise if another upload replaced an unversioned object.

    Raises:
        InvalidImageError: It was replaced.
    """
    etag = answer.etag.strip('"')
    if reference.version_id is None and etag != reference.etag:
        raise InvalidImageError(
            f"{reference.uri} was overwritten: its ETag is now {etag}, "
            f"the event's was {reference.etag}",
            code="object_replaced",
            retryable=True,
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _explain(error: ClientError, reference: ImageReference) -> DetectorError | None:
    """Return S3's error by the next step; ``None`` if other objects must be compared."""
    code = _code(error)
    if code == "NoSuchBucket":
        return InvalidImageError(
            f"the bucket {reference.bucket} does not exist", code="bucket_not_found", retryable=True
        )
    if code == "404" and error.operation_name != "HeadObject":
        return RetriableError(f"{reference.uri}: a response with status 404 that isn't from S3")
    if code in _NOT_FOUND:
        return InvalidImageError(
            f"{reference.uri} (version {reference.version}) does not exist",
            code="object_not_found",
            retryable=True,
        )
    if code == "InvalidObjectState":
        return InvalidImageError(
            f"{reference.uri} is archived and must be restored before it can be read",
            code="object_archived",
            retryable=True,
        )
    if code in _WITHOUT_RIGHTS:
        return DetectorNotReadyError(
            f"S3 refuses {reference.uri} ({code}): it doesn't accept the credentials"
        )
    if code in _REFUSED or (code.startswith(_KMS) and not TRANSIENT_KMS_ERROR.match(code)):
        return None
    return RetriableError(f"S3 answered {code} for {reference.uri}")
