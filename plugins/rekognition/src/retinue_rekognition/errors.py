"""Map Rekognition's errors to the SDK's, by the next step."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from botocore import exceptions as aws
from retinue_aws import is_misconfigured
from retinue_sdk import (
    ConfigurationError,
    DetectorNotReadyError,
    InvalidImageError,
    JobLostError,
    RetinueError,
    RetriableError,
)


class Next(StrEnum):
    """The next step after an error."""

    RETRY = "retry"
    """Try the same image again, a little later."""
    SLOW_DOWN = "slow_down"
    """As for ``RETRY``. There were too many calls."""
    IMAGE = "image"
    """Fail the image."""
    ASK_S3 = "ask_s3"
    """Ask S3 for the cause: the image, the region or a permission."""
    REJECTED = "rejected"
    """Find out whether the image or an option is outside the limits."""
    NOT_READY = "not_ready"
    """Wait until an operator has fixed it, because it affects every image."""
    CREDENTIALS = "credentials"
    """As for ``NOT_READY``. The next call looks for new credentials."""
    JOB_LOST = "job_lost"
    """Start another job for the video."""
    FIRST_PAGE = "first_page"
    """Read the job's result again from the first page."""
    CONFIGURATION = "configuration"
    """Report a wrong setting, which affects every image permanently."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The meaning of an error code.

    Attributes:
        next: The next step.
        remedy: The remedy for the log. It may contain ``{operation}``.
        code: The failed run's error code, if the image is the cause.
        retry_after_seconds: Minimum wait; ``None`` leaves it to the worker.
    """

    next: Next
    remedy: str = ""
    code: str = ""
    retry_after_seconds: float | None = None


class CredentialsError(DetectorNotReadyError):
    """AWS does not accept the credentials."""


class UnreadableObjectError(DetectorNotReadyError):
    """Rekognition cannot read the object from S3, and gives no reason."""


class StalePageError(RetriableError):
    """The token of a page of a job's result is no longer valid."""


class RejectedError(InvalidImageError):
    """Rekognition rejects a parameter: the image or an option is outside its limits."""


TOO_LARGE = "image_too_large_for_service"
UNSUPPORTED = "unsupported_format"
REJECTED = "rejected_by_service"
VIDEO_TOO_LARGE = "video_too_large_for_service"
UNSUPPORTED_CODEC = "unsupported_codec"

_RETRY = Rule(Next.RETRY)
_SLOW_DOWN = Rule(Next.SLOW_DOWN)
_CREDENTIALS = Rule(
    Next.CREDENTIALS, "check the worker's AWS credentials (its task role, or the profile in use)"
)
_PERMISSION = Rule(
    Next.NOT_READY, "allow the worker's role rekognition:{operation}; see permissions.py"
)

_OF_OBJECT = re.compile(r"\b(?:s3|kms):[A-Z]")
"""Names of missing permissions for the image's object, not for Rekognition."""

_BLAMING = frozenset({Next.IMAGE, Next.REJECTED, Next.ASK_S3, Next.JOB_LOST})

Rules: TypeAlias = Mapping[str, Rule]
"""The rules of error codes. For other codes, the HTTP status decides."""

RULES: Rules = {
    # Declared by the service model.
    "AccessDeniedException": _PERMISSION,
    "ConflictException": _RETRY,
    "HumanLoopQuotaExceededException": Rule(
        Next.NOT_READY, "too many human reviews are in progress", retry_after_seconds=60
    ),
    "IdempotentParameterMismatchException": Rule(
        Next.CONFIGURATION, "a request token was used twice with other parameters"
    ),
    "ImageTooLargeException": Rule(Next.IMAGE, code=TOO_LARGE),
    "InternalServerError": _RETRY,
    "InvalidImageFormatException": Rule(
        Next.IMAGE, "Rekognition reads JPEG and PNG", code=UNSUPPORTED
    ),
    "InvalidPaginationTokenException": Rule(Next.FIRST_PAGE),
    "InvalidParameterException": Rule(Next.REJECTED, code=REJECTED),
    "InvalidS3ObjectException": Rule(Next.ASK_S3),
    "LimitExceededException": Rule(
        Next.NOT_READY,
        "a limit of the account is reached; AWS asks not to try on and on",
        retry_after_seconds=60,
    ),
    "ProvisionedThroughputExceededException": _SLOW_DOWN,
    "ResourceAlreadyExistsException": Rule(Next.CONFIGURATION, "choose another name"),
    "ResourceInUseException": Rule(Next.NOT_READY, "wait until it is free"),
    "ResourceNotFoundException": Rule(
        Next.NOT_READY, "create it, or name one that exists in this region"
    ),
    "ResourceNotReadyException": Rule(Next.NOT_READY, "start the model, or wait until it runs"),
    "ServiceQuotaExceededException": Rule(
        Next.NOT_READY, "a quota of the account is used up; ask AWS for more, or make room"
    ),
    "ThrottlingException": _SLOW_DOWN,
    # Not declared; any AWS service may return them.
    "AccessDenied": _PERMISSION,
    "NotAuthorized": _PERMISSION,
    "UnauthorizedOperation": _PERMISSION,
    "AuthFailure": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
    "IncompleteSignature": _CREDENTIALS,
    "IncompleteSignatureException": _CREDENTIALS,
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "MissingAuthenticationToken": _CREDENTIALS,
    "MissingAuthenticationTokenException": _CREDENTIALS,
    "RequestExpired": Rule(Next.CREDENTIALS, "set the machine's clock"),
    "RequestTimeTooSkewed": Rule(Next.CREDENTIALS, "set the machine's clock"),
    "SignatureDoesNotMatch": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "OptInRequired": Rule(Next.NOT_READY, "subscribe the account to the service"),
    "SubscriptionRequiredException": Rule(Next.NOT_READY, "subscribe the account to the service"),
    "InternalFailure": _RETRY,
    "InternalServerErrorException": _RETRY,
    "InternalServiceException": _RETRY,
    "PriorRequestNotComplete": _RETRY,
    "RequestLimitExceeded": _SLOW_DOWN,
    "RequestTimeout": _RETRY,
    "RequestTimeoutException": _RETRY,
    "ServiceUnavailable": _RETRY,
    "ServiceUnavailableException": _RETRY,
    "SlowDown": _SLOW_DOWN,
    "Throttling": _SLOW_DOWN,
    "ThrottledException": _SLOW_DOWN,
    "TooManyRequestsException": _SLOW_DOWN,
    "InvalidAction": Rule(Next.CONFIGURATION, "this endpoint has no {operation}"),
    "UnknownOperationException": Rule(Next.CONFIGURATION, "this endpoint has no {operation}"),
    "SerializationException": Rule(Next.CONFIGURATION, "the endpoint did not read the request"),
    "ValidationException": Rule(Next.REJECTED, code=REJECTED),
}
"""The rule of each error code."""

START_RULES: Rules = {
    **RULES,
    "IdempotentParameterMismatchException": Rule(
        Next.JOB_LOST, "the job was started with other options, so its id is unknown"
    ),
    "LimitExceededException": Rule(
        Next.SLOW_DOWN,
        "the account has as many jobs under way as it may have: the video waits for the end of one",
        retry_after_seconds=60,
    ),
    "VideoTooLargeException": Rule(
        Next.IMAGE, "Rekognition takes 10 GB and 6 hours: split the video", code=VIDEO_TOO_LARGE
    ),
}
"""The rules of the operations that start a job on a video."""

RESULT_RULES: Rules = {
    **RULES,
    "InvalidParameterException": Rule(Next.NOT_READY, "please report it"),
    "ResourceNotFoundException": Rule(
        Next.JOB_LOST, "Rekognition forgets a job and its result after 7 days"
    ),
}
"""The rules of the operations that return a job's result."""

_WITHOUT_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.CredentialRetrievalError,
    aws.LoginError,
    aws.MetadataRetrievalError,
    aws.SSOError,
    aws.TokenRetrievalError,
)


@contextmanager
def explained(operation: str, rules: Rules = RULES) -> Iterator[None]:
    """Turn any exception of botocore into an error by the next step."""
    try:
        yield
    except RetinueError:
        raise
    except Exception as error:
        raise meaning(error, operation, rules) from error


def meaning(error: Exception, operation: str, rules: Rules) -> RetinueError:
    """Return the error for an exception of botocore, or of a source of credentials."""
    if isinstance(error, aws.ClientError):
        return explain(error, operation, rules)
    if isinstance(error, _WITHOUT_CREDENTIALS):
        return CredentialsError(f"{operation}: no AWS credentials: {error}")
    if is_misconfigured(error):
        return ConfigurationError(f"{operation} cannot be called: {error}")
    # Connections refused or reset, timeouts, TLS, DNS, a truncated answer.
    return RetriableError(f"{operation}: no answer from AWS: {error}")


def explain(error: aws.ClientError, operation: str, rules: Rules = RULES) -> RetinueError:
    """Return the error for AWS's answer."""
    response: Any = error.response
    told = response.get("Error", {})
    code = str(told.get("Code", "")).rpartition("#")[2]
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode") or 0
    rule = rules.get(code) or _by_status(status)
    if rule is _PERMISSION and _OF_OBJECT.search(str(told.get("Message"))):
        rule = rules["InvalidS3ObjectException"]
    if rule.next in _BLAMING and (status >= 500 or status in {408, 429}):  # it wasn't processed
        rule = _by_status(status)
    name = code if code == str(status) else f"{code} (HTTP status {status})"
    what = f"{operation}: {name}: {told.get('Message') or 'no message'}"
    if rule.remedy:
        what += f" ({rule.remedy.format(operation=operation)})"
    return _error(rule, what, _retry_after_seconds(metadata) or rule.retry_after_seconds)


def _error(rule: Rule, what: str, retry_after_seconds: float | None) -> RetinueError:
    match rule.next:
        case Next.RETRY:
            return RetriableError(what, retry_after_seconds=retry_after_seconds)
        case Next.SLOW_DOWN:
            return RetriableError(what, retry_after_seconds=retry_after_seconds, throttled=True)
        case Next.IMAGE:
            return InvalidImageError(what, code=rule.code)
        case Next.REJECTED:
            return RejectedError(what, code=rule.code)
        case Next.ASK_S3:
            return UnreadableObjectError(what)
        case Next.NOT_READY:
            return DetectorNotReadyError(what, retry_after_seconds=retry_after_seconds)
        case Next.CREDENTIALS:
            return CredentialsError(what)
        case Next.JOB_LOST:
            return JobLostError(what)
        case Next.FIRST_PAGE:
            return StalePageError(what)
        case Next.CONFIGURATION:
            return ConfigurationError(what)


def _by_status(status: int) -> Rule:
    """Return the rule of an unknown code, by the HTTP status."""
    if status == 429:
        return _SLOW_DOWN
    if status == 408 or status >= 500:
        return _RETRY
    if status == 413:
        return Rule(Next.IMAGE, code=TOO_LARGE)
    if status in {401, 403}:
        return _PERMISSION
    return Rule(Next.NOT_READY, "an error that is unknown to this plugin; please report it")


def _retry_after_seconds(metadata: Mapping[str, Any]) -> float | None:
    """Return the ``Retry-After`` header, if it is a plausible number of seconds."""
    try:
        seconds = float(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 3_600 else None
