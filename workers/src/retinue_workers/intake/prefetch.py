"""Fetch and decode images before the detectors need them, within limits."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

import structlog
from retinue_sdk import DetectorError, Image, Input
from retinue_sdk.decoding_memory import DecodingMemoryError

from retinue_workers.limits.threads import DaemonThreads, NoThreadError

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """An image that tasks hold.

    Attributes:
        users: Number of holds.
        has_room: Whether it counts as one of the images that may be loaded.
        is_alone: Whether it is the redelivered image that may be loaded.
        lock: Held while it is being loaded.
    """

    users: int = 0
    has_room: bool = False
    is_alone: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Prefetch:
    """Loads images and holds a limited number of them.

    Redelivered images are loaded one at a time. One of them may have killed a worker, in a batch or
    beside other images.

    Args:
        threads: Number of images that are fetched or decoded concurrently.
        max_images: Maximum number of images that are loaded or loading.
    """

    def __init__(self, *, threads: int, max_images: int) -> None:
        self._threads = DaemonThreads("prefetch", threads)
        self._room = asyncio.Semaphore(max_images)
        self._alone = asyncio.Lock()
        self._held: dict[Image, _Held] = {}

    def hold(self, image: Image, wanted: Input, *, is_redelivered: bool = False) -> "Hold":
        """Return a task's hold on an image; see ``Hold``."""
        return Hold(self, image, wanted, is_redelivered=is_redelivered)

    def reserve(self, image: Image) -> None:
        """Add a hold to an image, without loading it."""
        self._held.setdefault(image, _Held()).users += 1

    async def make_ready(self, image: Image, wanted: Input, *, is_redelivered: bool) -> None:
        """Load a reserved image when there is room.

        An image that can't be loaded raises no error here. The detector's runner loads it again and
        handles the error.
        """
        held = self._held[image]
        async with held.lock:
            if is_redelivered and not held.is_alone:
                await self._alone.acquire()
                held.is_alone = True
            if not held.has_room:
                await self._room.acquire()
                held.has_room = True
            # Images that are loaded are used and freed, so this ends.
            while isinstance(await self.load(image, wanted), DecodingMemoryError):
                pass

    def release(self, image: Image) -> None:
        """Remove a hold. The last one frees the image's bytes."""
        held = self._held[image]
        held.users -= 1
        if not held.users:
            del self._held[image]
            image.forget()
            if held.has_room:
                self._room.release()
            if held.is_alone:
                self._alone.release()

    async def load(self, image: Image, wanted: Input) -> Exception | None:
        """Fetch and decode an image, as far as ``wanted`` requires.

        Returns:
            The error of loading it; ``None`` if it is loaded.
        """
        if is_loaded(image, wanted):
            return None
        try:
            return await self._threads.run(_load, image, wanted)
        except NoThreadError as error:
            return error

    def close(self) -> None:
        """End the threads."""
        self._threads.close()


class Hold:
    """A task's hold on an image. Tasks that hold the same image share its content.

    ``with`` reserves the image: if another task loads it, it stays loaded. ``async with`` loads the
    image and releases the reservation at the end, so that a task that waits for its next attempt
    holds no bytes.
    """

    def __init__(
        self, prefetch: Prefetch, image: Image, wanted: Input, *, is_redelivered: bool
    ) -> None:
        self._prefetch = prefetch
        self._image = image
        self._wanted = wanted
        self._is_redelivered = is_redelivered
        self._is_reserved = False

    def __enter__(self) -> Self:
        """Reserve the image."""
        if self._wanted is not Input.REFERENCE and not self._is_reserved:
            self._is_reserved = True
            self._prefetch.reserve(self._image)
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the reservation."""
        if self._is_reserved:
            self._is_reserved = False
            self._prefetch.release(self._image)

    async def __aenter__(self) -> Self:
        """Reserve the image and load it."""
        self.__enter__()
        if self._is_reserved:
            try:
                await self._prefetch.make_ready(
                    self._image, self._wanted, is_redelivered=self._is_redelivered
                )
            except BaseException:
                self.__exit__()
                raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Release the reservation."""
        self.__exit__()


def is_loaded(image: Image, wanted: Input) -> bool:
    """Return whether a detector can use the image without waiting."""
    return wanted is Input.REFERENCE or image.is_loaded(pixels=wanted is Input.PIXELS)


def _load(image: Image, wanted: Input) -> Exception | None:
    try:
        if wanted is Input.PIXELS:
            image.pixels()
        else:
            image.read()
    except Exception as error:
        if not isinstance(error, DetectorError):  # a bug
            log.exception("image_failed", image_id=str(image.image_id))
        _drop_tracebacks(error)
        return error
    return None


def _drop_tracebacks(error: BaseException) -> None:
    """Remove the tracebacks of an error and its causes.

    Their frames refer to the image, and the image refers to the error. The cycle would keep the
    image's bytes until the garbage collector runs, which counts objects, not bytes.
    """
    cause: BaseException | None = error
    while cause is not None and cause.__traceback__ is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
