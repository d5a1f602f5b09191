"""Fetching images from S3."""

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
"""How long all of a body may take: S3 sends the largest image in a few seconds. boto3's own timeout
is about the next byte, and a body that drips never meets it."""

_NOT_FOUND = {"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"}
"""MethodNotAllowed is what S3 answers when the version is a delete marker."""

_WITHOUT_RIGHTS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "UnrecognizedClientException",
}
"""The worker's credentials are refused, so every object is."""

_REFUSED = {
    "400",
    "403",
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidRequest",
    "SignatureDoesNotMatch",
}
"""One object is refused, or all are. InvalidRequest is about an object whose encryption key the
uploader keeps (SSE-C). HEAD has no body, so its code is the status. SignatureDoesNotMatch can be
about one key that a proxy rewrites."""

_KMS = "KMS."
_KMS_PASSES = re.compile("Throttling|Internal|Timeout|KeyUnavailable|Limit")
"""KMS's errors that have nothing to do with the key."""

_MAY_READ = "s3:GetObject, s3:GetObjectVersion and s3:ListBucket"
_NEEDED = {
    "get_object": _MAY_READ,
    "head_object": _MAY_READ,
    "get_object_tagging": "s3:GetObjectTagging, s3:GetObjectVersionTagging and s3:ListBucket",
}
"""The permissions that each call takes."""

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class ObjectStore:
    """Reads image versions out of S3, within limits.

    Args:
        make_client: Makes a boto3 S3 client, when one is first needed: detectors that work by
            reference need none, and it is the largest of AWS's clients.
        limits: How large an image may be.
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
        """The client, made on first use; a worker that will need it makes it at its start.

        Raises:
            ConfigurationError: AWS's configuration cannot be used.
        """
        with self._making:
            if self._made is None:
                self._made = self._make_client()
            return self._made

    def image(self, reference: ImageReference, size_bytes: int | None) -> Image:
        """An image of which nothing is fetched yet."""
        return Image(
            reference,
            partial(self.fetch, reference),
            limits=self.limits,
            size_bytes=size_bytes,
        )

    def fetch(self, reference: ImageReference) -> bytes:
        """The bytes of exactly this version.

        Raises:
            InvalidImageError: It is gone (``object_not_found``, ``bucket_not_found``), another
                upload took its place (``object_replaced``), it is archived (``object_archived``),
                S3 refuses it and serves others (``access_denied``, ``kms_key_unavailable``), it is
                empty, or too large. All but the last two are retryable: a new upload can succeed.
            ObjectRefusedError: S3 refuses it, and perhaps others.
            DetectorNotReadyError: S3 refuses us; no image is to blame.
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
        """The object's Content-Type, and its user metadata with names in lower case.

        Raises:
            DetectorError: As ``fetch`` raises it.
        """
        with self._explaining("head_object", reference):
            asked_at = time.monotonic()
            answer: Any = self.connect().head_object(**_named(reference))
            self._refusals["head_object"].record_served(reference, asked_at)
            _check_etag(answer, reference)
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return answer.get("ContentType", ""), metadata

    def tags(self, reference: ImageReference) -> dict[str, str]:
        """The object's tags. They belong to a version, and can change at any time.

        Where the bucket is unversioned, they are those of whatever lies under the key now.

        Raises:
            DetectorError: As ``fetch`` raises it.
        """
        with self._explaining("get_object_tagging", reference):
            asked_at = time.monotonic()
            answer: Any = self.connect().get_object_tagging(**_named(reference))
            self._refusals["get_object_tagging"].record_served(reference, asked_at)
            return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def _read(self, body: Any, size_bytes: int, reference: ImageReference) -> bytes:
        """All of the body, unless its size is outside the limits."""
        self.limits.check_bytes(size_bytes)
        watch = Timer(LONGEST_READ_SECONDS, _cut_off, [body])
        watch.daemon = True
        watch.start()
        try:
            data: bytes = body.read(size_bytes)
        finally:
            watch.cancel()
        if len(data) != size_bytes:  # the connection broke, for which no image is to blame
            raise RetriableError(
                f"S3 sent {len(data):,} of {size_bytes:,} bytes of {reference.uri}"
            )
        return data

    @contextmanager
    def _explaining(self, operation: str, reference: ImageReference) -> Iterator[None]:
        """Turn what boto3 raises into an error by what to do next.

        Args:
            operation: The client's method that is called.
            reference: What it is asked about.
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
        except Exception as error:  # whatever boto3 or a source of credentials raises
            raise RetriableError(
                f"S3 did not answer for {reference.uri}: {format_error(error)}"
            ) from error

    def _explain_refusal(
        self, error: ClientError, operation: str, reference: ImageReference
    ) -> DetectorError:
        """Tell an object that is refused alone from a worker that is refused all."""
        if operation == "head_object":  # whose answer has no code
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
        """Ask S3 for an object, for comparison."""
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
        """Return S3's error about an object, of which a byte is read at most."""
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
    """End a read that another thread waits in: its connection is over, so the read fails."""
    # botocore offers no way to reach what urllib3 made for this.
    shutdown = getattr(body._raw_stream, "shutdown", None)  # noqa: SLF001
    if shutdown is not None:
        with suppress(OSError, ValueError):  # over already
            shutdown()


def _named(reference: ImageReference) -> Any:
    """Return how S3's operations name the object: by version where there is one."""
    named = {"Bucket": reference.bucket, "Key": reference.key}
    return named if reference.version_id is None else named | {"VersionId": reference.version_id}


def _check_etag(answer: Any, reference: ImageReference) -> None:
    """Refuse an unversioned object that another upload has replaced.

    Raises:
        InvalidImageError: It was replaced.
        RetriableError: There is no ETag, so it is not S3 that answered.
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
    """Return S3's error by what to do next; ``None`` if others must be compared with the object."""
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
