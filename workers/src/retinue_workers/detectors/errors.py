"""What can go wrong with a detector's call, beyond what the detector says itself."""

from retinue_sdk import DetectorError, InvalidImageError


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
