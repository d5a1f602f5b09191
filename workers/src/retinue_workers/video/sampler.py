"""Choose the frames of a video that a detector receives."""

from dataclasses import dataclass

from retinue_workers.settings.video import VideoSampling


@dataclass(slots=True)
class Sampler:
    """Takes the first frame of each interval.

    Attributes:
        interval_ms: The length of the intervals, 1 or more.
        next_ms: Start of the next interval.
    """

    interval_ms: int
    next_ms: int = 0

    @classmethod
    def of(cls, sampling: VideoSampling, duration_ms: int | None) -> "Sampler":
        """Return the sampler of a video, with longer intervals if it is too long."""
        needed_ms = -(-(duration_ms or 0) // sampling.max_frames)
        return cls(max(sampling.every_ms, needed_ms))

    def takes(self, time_ms: int) -> bool:
        """Return whether to take the frame of this time. Call it in the order of the frames."""
        if time_ms < self.next_ms:
            return False
        self.next_ms = (time_ms // self.interval_ms + 1) * self.interval_ms
        return True
