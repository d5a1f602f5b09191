"""Bound the memory that decoding and decoded images take."""

import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Lock

from retinue_sdk.errors import InvalidImageError, RetriableError

WAIT_SECONDS = 10.0
"""How long to wait for memory. Afterwards the thread must be free for an image that others need."""

_BYTES_PER_PX = {"GIF": 9, "PNG": 9, "BMP": 13, "TIFF": 16, "WEBP": 18, "AVIF": 24, "HEIF": 24}
"""Peak memory of decoding by format, in bytes per pixel, with the result's three.

Measured as the growth of VmHWM for 16 megapixels with Pillow 12.2: GIF 4.7, PNG 8.2 (RGBA), BMP 12
(RLE, in masks), TIFF 8.8, WebP 16.4 (with transparency), AVIF 12. The rest is for files that were
not measured: TIFFs in one strip, AVIFs and HEIFs of 12 bits. ``test_decode_memory.py`` repeats it.
"""

_PARTIAL_BYTES_PER_PX = 22
"""The same for a truncated file, which is decoded twice: 21 measured for RGBA."""


def decoding_bytes(
    form: str, full_px: int, decoded_px: int, *, bands: int, is_partial: bool
) -> int:
    """Return the peak memory of decoding an image, in bytes.

    Args:
        form: Pillow's name of the format.
        full_px: The number of pixels in the file.
        decoded_px: The number of pixels that are decoded.
        bands: The number of channels in the file.
        is_partial: Whether the file is truncated.
    """
    if is_partial:
        return full_px * _PARTIAL_BYTES_PER_PX
    if form == "JPEG":
        # libjpeg keeps all coefficients of a progressive file, of two bytes each. Pillow has four
        # bytes per pixel and the result three. Measured: 7.7 and 12.0 (CMYK, progressive).
        return full_px * 2 * bands + decoded_px * 5
    return decoded_px * _BYTES_PER_PX[form]


class DecodingMemoryError(RetriableError):
    """Other images take the memory for decoding."""


class DecodingMemory:
    """Memory for decoding and for decoded images, shared by the threads of a process.

    A copy that is pickled for another process counts that process's images.

    Args:
        limit_bytes: How much there is.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._free_bytes = limit_bytes  # guarded by the turn
        self._turn = Lock()
        # A finalizer can run anywhere, even inside this class; putting is safe there.
        self._returned: SimpleQueue[int] = SimpleQueue()

    def __reduce__(self) -> tuple[type["DecodingMemory"], tuple[int]]:
        """Pickle the limit alone."""
        return type(self), (self.limit_bytes,)

    @contextmanager
    def reserved(self, size_bytes: int) -> Iterator[None]:
        """Reserve memory for decoding an image inside the block. Wait for it.

        Raises:
            InvalidImageError: There will never be as much (``too_many_pixels``).
            DecodingMemoryError: There was too little for ``WAIT_SECONDS``.
        """
        if size_bytes > self.limit_bytes:
            raise InvalidImageError(
                f"decoding it takes about {size_bytes / 1e6:,.0f} MB of memory; the limit of this "
                f"worker is {self.limit_bytes / 1e6:,.0f} MB",
                code="too_many_pixels",
            )
        self._take(size_bytes)
        try:
            yield
        finally:
            self._returned.put(size_bytes)

    def keep(self, decoded: object, size_bytes: int) -> None:
        """Count a decoded image until it is freed."""
        self._returned.put(-size_bytes)
        weakref.finalize(decoded, self._returned.put, size_bytes)

    def _take(self, size_bytes: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        if not self._turn.acquire(timeout=WAIT_SECONDS):
            raise DecodingMemoryError("other images take the memory for decoding")
        try:
            while not self._returned.empty():
                self._free_bytes += self._returned.get()
            while self._free_bytes < size_bytes:
                remaining = max(0.0, deadline - time.monotonic())
                self._free_bytes += self._returned.get(timeout=remaining)
            self._free_bytes -= size_bytes
        except Empty:
            raise DecodingMemoryError("other images take the memory for decoding") from None
        finally:
            self._turn.release()
