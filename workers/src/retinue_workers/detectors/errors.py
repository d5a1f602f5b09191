"""What can go wrong with a detector's call, beyond what the detector says itself."""

from retinue_sdk import DetectorError, DetectorNotReadyError, InvalidImageError


class InvalidAnswerError(TypeError):
    """A detector returned something that is not an answer, or not one for each image."""


class DetectorCrashedError(DetectorError):
    """The detector's process ended in the middle of a call."""


class DetectorTimeoutError(InvalidImageError):
    """The detector gave no answer in time."""

    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(
            f"no answer within {timeout_seconds:g} s", code="detector_timeout", retryable=True
        )


class DetectorRaisedError(DetectorError):
    """An isolated detector raised an unforeseen exception; the text is that of its error."""


class ShortageError(DetectorNotReadyError):
    """Memory, files, threads or disk space ran out.

    Args:
        message: The error.
        retry_after_seconds: How long to wait.
        code: The failed run's error code, if the image is to blame.
        is_images_fault: Whether the image alone needs more than there is.
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
