"""What can go wrong with a detector in a process of its own."""

from retinue_sdk import DetectorError, InvalidImageError


class DetectorCrashedError(DetectorError):
    """The detector's process ended in the middle of a call."""


class DetectorTimeoutError(InvalidImageError):
    """The detector's process gave no answer in time, and was killed."""


class DetectorRaisedError(DetectorError):
    """The detector raised something that nobody foresaw; the text is that of its error."""
