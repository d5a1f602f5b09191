"""What can go wrong with a detector in a process of its own."""

from retinue_sdk import DetectorError


class DetectorCrashedError(DetectorError):
    """The detector's process ended in the middle of a call."""


class DetectorRaisedError(DetectorError):
    """The detector raised something that nobody foresaw; the text is that of its error."""
