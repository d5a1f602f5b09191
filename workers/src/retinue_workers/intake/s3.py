"""Fetch images from S3."""

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)
from retinue_aws import RefusedObjects, Reply, Verdict, neighbours
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

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

LONGEST_READ_SECONDS = 60.0
"""Time limit for a whole body. S3 sends the largest image in a few seconds. boto3's own timeout
applies to the next byte only, so a slow body never exceeds it.
"""

_NOT_FOUND = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"}
"""Error codes of an object that doesn't exist. S3 returns MethodNotAllowed for a delete marker."""

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
_KMS_PASSES = re.compile("Throttling|Internal|Timeout|KeyUnavailable|Limit")
"""Errors of KMS that don't depend on the key."""

_MAY_READ = "s3:GetObject, s3:GetObjectVersion and s3:ListBucket"
_NEEDED = {
    "get_object": _MAY_READ,
    "head_object": _MAY_READ,
    "get_object_tagging": "s3:GetObjectTagging, s3:GetObjectVersionTagging and s3:ListBucket",
}
"""The permissions that each call requires."""

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class ObjectStore:
    """Reads image versions from S3, within limits.

    Args:
        make_client: Creates a boto3 S3 client on first use. Detectors by reference need none, and
            it is AWS's largest client.
        limits: Limits on the size of images.
    """

    def __init__(self, make_client: "Callable[[], S3Client]", limits: ImageLimits) -> None:
        self._make_client = make_client
        self._made: S3Client | None = None
        self._making = Lock()
        self.limits = limits
        self._refusals: defaultdict[str, RefusedObjects[ImageReference]] = defaultdict(
            RefusedObjects
        )

    def connect(self) -> "S3Client":
        """Return the client, created on first use. A worker that needs it creates it at startup.

        Raises:
            ConfigurationError: AWS's configuration is invalid.
        """
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

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
            answer: Any = self.connect().get_object(**_named(reference))
            with closing(answer["Body"]) as body:  # also if unread, to free the connection
                self._refusals["get_object"].record_served(reference, asked_at)
                _check_etag(answer, reference)
                return self._read(body, answer["ContentLength"], reference)

    def head(self, reference: ImageReference) -> tuple[str, dict[str, str]]:
        """Return the object's Content-Type, and its user metadata with lower-case names.

        Raises:
            DetectorError: As for ``fetch``.
        """
        with self._explaining("head_object", reference):
            asked_at = time.monotonic()
            answer: Any = self.connect().head_object(**_named(reference))
            self._refusals["head_object"].record_served(reference, asked_at)
            _check_etag(answer, reference)
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return answer.get("ContentType", ""), metadata

    def tags(self, reference: ImageReference) -> dict[str, str]:
        """Return the object's tags. They belong to a version, and can change at any time.

        In an unversioned bucket they are those of the current object.

        Raises:
            DetectorError: As for ``fetch``.
        """
        with self._explaining("get_object_tagging", reference):
            asked_at = time.monotonic()
            answer: Any = self.connect().get_object_tagging(**_named(reference))
            self._refusals["get_object_tagging"].record_served(reference, asked_at)
            return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def _read(self, body: Any, size_bytes: int, reference: ImageReference) -> bytes:
        """Return the whole body, if its size is within the limits."""
        self.limits.check_bytes(size_bytes)
        watch = Timer(LONGEST_READ_SECONDS, _cut_off, [body])
        watch.daemon = True
        watch.start()
        try:
            data: bytes = body.read(size_bytes)
        finally:
            watch.cancel()
        if len(data) != size_bytes:  # the connection broke, which isn't the image's fault
            raise RetriableError(
                f"S3 sent {len(data):,} of {size_bytes:,} bytes of {reference.uri}"
            )
        return data

    @contextmanager
    def _explaining(self, operation: str, reference: ImageReference) -> Iterator[None]:
        """Turn boto3's exceptions into errors by the next step.

        Args:
            operation: The client's method.
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
        except Exception as error:  # boto3 and sources of credentials can raise anything
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
                return RetriableError(f"S3 refused {reference.uri}, and now does not")
            case Verdict.UNDECIDED:
                return ObjectRefusedError(
                    f"S3 refuses {reference.uri} ({code}): the worker needs {needed} on the bucket"
                )
        if code.startswith(_KMS):
            return InvalidImageError(
                f"S3 cannot use the KMS key of {reference.uri} ({code}), and serves other objects",
                code="kms_key_unavailable",
                retryable=True,
            )
        return InvalidImageError(
            f"S3 refuses {reference.uri} ({code}), and lets the worker read other objects: the "
            f"object's policy, owner or key keeps it out ({needed} are needed)",
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
        found = neighbours(self.connect(), reference.bucket, reference.key)
        return [ImageReference(reference.bucket, key, etag=etag) for key, etag in found]

    def _refusal(self, operation: str, reference: ImageReference) -> ClientError | None:
        """Return S3's error for an object. At most one byte is read."""
        named = _named(reference)
        try:
            match operation:
                case "get_object":
                    answer: Any = self.connect().get_object(**named, Range="bytes=0-0")
                    answer["Body"].close()
                case "head_object":
                    self.connect().head_object(**named)
                case _:
                    self.connect().get_object_tagging(**named)
        except ClientError as error:
            return error
        return None


def _cut_off(body: Any) -> None:
    """End a read in another thread by closing its connection."""
    # botocore has no public way to reach urllib3's response.
    shutdown = getattr(body._raw_stream, "shutdown", None)  # noqa: SLF001
    if shutdown is not None:
        with suppress(OSError, ValueError):  # over already
            shutdown()


def _named(reference: ImageReference) -> Any:
    """Return the parameters that name the object, by version if it has one."""
    named = {"Bucket": reference.bucket, "Key": reference.key}
    return named if reference.version_id is None else named | {"VersionId": reference.version_id}


def _check_etag(answer: Any, reference: ImageReference) -> None:
    """Raise if another upload replaced an unversioned object.

    Raises:
        InvalidImageError: It was replaced.
        RetriableError: The answer has no ETag, so it isn't from S3.
    """
    etag = answer.get("ETag", "").strip('"')
    if not etag:
        raise RetriableError(f"S3 answered without an ETag for {reference.uri}")
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
        return RetriableError(f"{reference.uri}: an answer with status 404 that is not S3's")
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
            f"S3 refuses {reference.uri} ({code}): it doesn't accept the worker's credentials"
        )
    if code in _REFUSED or (code.startswith(_KMS) and not _KMS_PASSES.search(code)):
        return None
    return RetriableError(f"S3 answered {code} for {reference.uri}")
