"""Fetching images from S3."""

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
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    Image,
    ImageLimits,
    ImageReference,
    InvalidImageError,
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

_FORBIDDEN = {"403", "AccessDenied", "AllAccessDisabled"}
"""Of these, what can be said of one object alone."""

_READ, _TAGS = "read", "tags"
_MAY_READ = "s3:GetObject, s3:GetObjectVersion and s3:ListBucket"

_WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)


class ObjectStore:
    """Reads image versions out of S3, within limits.

    Args:
        make_client: Makes a boto3 S3 client, when one is first needed: detectors that work by
            reference need none, and it is the largest of AWS's clients.
        limits: How large an image may be.
    """

    def __init__(self, make_client: "Callable[[], S3Client]", limits: ImageLimits) -> None:
        """Fetch nothing yet."""
        self._make_client = make_client
        self._made: S3Client | None = None
        self._making = Lock()
        self.limits = limits
        self._readable: dict[str, ImageReference] = {}

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
                S3 refuses it and no other (``access_denied``), it is empty, or too large. The
                first five are retryable: a new upload can succeed.
            DetectorNotReadyError: S3 refuses us; no image is to blame.
            RetriableError: S3 did not answer.
        """
        with self._explaining(_READ, reference, _MAY_READ):
            answer: Any = self.connect().get_object(**_named(reference))
            with closing(answer["Body"]) as body:  # also unread, lest the connection stay taken
                _check_etag(answer, reference)
                return self._read(body, answer["ContentLength"], reference)

    def head(self, reference: ImageReference) -> tuple[str, dict[str, str]]:
        """The object's Content-Type, and its user metadata with names in lower case.

        Raises:
            DetectorError: As ``fetch`` raises it.
        """
        with self._explaining(_READ, reference, _MAY_READ):
            answer: Any = self.connect().head_object(**_named(reference))
            _check_etag(answer, reference)
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return answer.get("ContentType", ""), metadata

    def tags(self, reference: ImageReference) -> dict[str, str]:
        """The object's tags. They belong to a version, and can change at any time.

        Where the bucket is unversioned, they are those of whatever lies under the key now.

        Raises:
            DetectorError: As ``fetch`` raises it.
        """
        needed = "s3:GetObjectTagging, s3:GetObjectVersionTagging and s3:ListBucket"
        with self._explaining(_TAGS, reference, needed):
            answer: Any = self.connect().get_object_tagging(**_named(reference))
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
    def _explaining(self, what: str, reference: ImageReference, needed: str) -> Iterator[None]:
        """Turn what boto3 raises into an error by what to do next.

        Args:
            what: What is asked for: ``_READ`` or ``_TAGS``.
            reference: What is asked about.
            needed: The permissions that the call takes.
        """
        try:
            yield
        except ClientError as error:
            if _code(error) in _FORBIDDEN and self._others_readable(what, reference):
                # Asked again after the other, lest the refusal of all ended between the two.
                if self._may(what, reference):
                    raise RetriableError(f"S3 refused {reference.uri}, and now does not") from error
                raise InvalidImageError(
                    f"S3 refuses {reference.uri}, and lets the worker read other objects: the "
                    f"object's policy, owner or key keeps it out ({needed} are needed)",
                    code="access_denied",
                    retryable=True,
                ) from error
            raise _explain(error, reference, needed) from error
        except _WITHOUT_CREDENTIALS as error:
            raise DetectorNotReadyError(f"cannot read from S3: {error}") from error
        except DetectorError:
            raise
        except Exception as error:  # whatever boto3 or a source of credentials raises
            raise RetriableError(
                f"S3 did not answer for {reference.uri}: {format_error(error)}"
            ) from error
        self._readable[what] = reference

    def _others_readable(self, what: str, refused: ImageReference) -> bool:
        """Whether S3 still lets us have what it let us have last: then one object is to blame."""
        known = self._readable.get(what)
        return known is not None and known != refused and self._may(what, known)

    def _may(self, what: str, reference: ImageReference) -> bool:
        """Whether S3 lets us have it now."""
        try:
            if what == _TAGS:
                self.connect().get_object_tagging(**_named(reference))
            else:  # a byte of it, since HEAD does not ask the object's key
                answer: Any = self.connect().get_object(**_named(reference), Range="bytes=0-0")
                answer["Body"].close()
        except (ClientError, BotoCoreError, OSError):
            return False
        return True


def _cut_off(body: Any) -> None:
    """End a read that another thread waits in: its connection is over, so the read fails."""
    # botocore offers no way to reach what urllib3 made for this.
    shutdown = getattr(body._raw_stream, "shutdown", None)  # noqa: SLF001
    if shutdown is not None:
        with suppress(OSError, ValueError):  # over already
            shutdown()


def _named(reference: ImageReference) -> Any:
    """How S3's operations name the object: by version where there is one."""
    named = {"Bucket": reference.bucket, "Key": reference.key}
    return named if reference.version_id is None else named | {"VersionId": reference.version_id}


def _check_etag(answer: Any, reference: ImageReference) -> None:
    """Refuse what another upload put in the place of an unversioned object.

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


def _explain(error: ClientError, reference: ImageReference, needed: str) -> DetectorError:
    """S3's error by what to do next."""
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
    if code in _REFUSED:
        return DetectorNotReadyError(
            f"S3 refuses {reference.uri} ({code}): the worker needs {needed} on the bucket"
        )
    return RetriableError(f"S3 answered {code} for {reference.uri}")
