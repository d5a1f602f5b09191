"""Errors of detector calls that the detector itself doesn't report."""

from retinue_sdk import DetectorError, DetectorNotReadyError, InvalidImageError


class InvalidAnswerError(DetectorError):
    """A detector returned a value that isn't an answer, or the wrong number of answers."""


def wrong_type(result: object) -> InvalidAnswerError:
    """Return the error for a result that is neither findings nor an error."""
    kind = type(result).__name__
    return InvalidAnswerError(f"detect returned a {kind}, not Findings or DetectorError")


def wrong_number(results: int, images: int) -> InvalidAnswerError:
    """Return the error for the wrong number of results, of which at most one is too many."""
    number = results if results < images else "more"
    return InvalidAnswerError(f"detect returned {number} results for {images} image(s)")


class DetectorCrashedError(DetectorError):
    """The detector's process ended during a call.

    Attributes:
        may_be_leak: Whether it reached its own memory limit after it had processed other images.
    """

    may_be_leak = False


class MessageExpiredError(DetectorError):
    """SQS no longer hides the message, because it was in flight for too long."""


class DetectorTimeoutError(InvalidImageError):
    """The detector didn't answer in time."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(
            f"no answer within {timeout_seconds:g} s", code="detector_timeout", retryable=True
        )


class DetectorRaisedError(DetectorError):
    """An isolated detector raised an unexpected exception. The text is that of the exception."""


class ShortageError(DetectorNotReadyError):
    """Memory, files, threads or disk space ran out.

    Args:
        message: The error.
        retry_after_seconds: How long to wait.
        code: The failed run's error code, if the image is the cause.
        is_images_fault: Whether the image alone needs more than is available.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float = 0.0,
        code: str = "resources_exhausted",
        is_images_fault: bool = False,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.code = code
        self.is_images_fault = is_images_fault
