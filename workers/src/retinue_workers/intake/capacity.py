"""Limit the messages and images that a worker holds, and the memory for them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from retinue_sdk import Capabilities, ImageLimits
from retinue_sdk.cores import usable_cores
from retinue_sdk.decoding_memory import DecodingMemory
from retinue_sdk.limits import MAX_BYTES
from retinue_sdk.memory_limit import usable_memory_bytes

from retinue_workers.settings.settings import Settings

MESSAGES = 40
IMAGES = 8
THREADS = 2

MAX_DECODING_BYTES = 4 * 2**30
"""Default maximum memory for decoding, in bytes, on machines with more than twice as much."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits of a worker.

    Attributes:
        messages: Maximum number of messages in flight.
        images: Maximum number of images in memory.
        threads: Number of images that are fetched or decoded concurrently.
    """

    messages: int
    images: int
    threads: int

    @classmethod
    def of(cls, settings: Settings, batches: Iterable[Capabilities]) -> Self:
        """Return the settings' numbers. Those that aren't set follow the detectors' batches.

        Args:
            settings: The worker's settings.
            batches: Of the detectors that prepare images. A GPU needs hundreds of images, and the
                worker frees the files and pixels of those that are prepared.
        """
        needed = max(map(batch_images, batches), default=0)
        images = settings.prefetch_images or max(IMAGES, needed)
        # A message stays in flight until its runs are committed.
        messages = settings.max_in_flight or max(MESSAGES, images * 5 // 4)
        usual = max(THREADS, usable_cores()) if needed > IMAGES else THREADS
        return cls(messages, images, settings.prefetch_threads or usual)


def batch_images(declared: Capabilities) -> int:
    """Return the number of images that fill a detector's calls and one more batch."""
    if declared.max_batch_size == 1:
        return 0
    return declared.max_batch_size * (declared.max_concurrency + 1)


def image_limits(settings: Settings) -> ImageLimits:
    """Return the limits on images. Those on memory are shares of what this worker may use.

    Half is for decoding and a quarter for files; the rest is for the interpreter and the models.
    """
    usable_bytes = usable_memory_bytes() or 8 * 2**30
    decoding_bytes = settings.max_decoding_bytes or min(
        MAX_DECODING_BYTES, usable_bytes // 2 // (1 + len(settings.isolation))
    )
    # More images than these are prepared, and their files freed.
    file_bytes = usable_bytes // 4 // (settings.prefetch_images or IMAGES)
    return ImageLimits(
        max_bytes=settings.max_image_bytes or max(1, min(MAX_BYTES, file_bytes)),
        max_px=settings.max_image_px,
        memory=DecodingMemory(decoding_bytes),
    )
