"""Fetching and decoding images ahead of the detectors, within bounds."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

import structlog
from retinue_sdk import DetectorError, Image, Input

from retinue_workers.limits.threads import DaemonThreads, NoThreadError

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """An image that tasks hold.

    Attributes:
        users: How many holds there are.
        has_room: Whether it counts among the images that may be loaded.
        lock: Held while it is being loaded.
    """

    users: int = 0
    has_room: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Prefetch:
    """Loads images and holds a bounded number of them.

    Args:
        threads: How many images are fetched or decoded at the same time.
        max_images: How many images may be loaded or loading at the same time.
    """

    def __init__(self, *, threads: int, max_images: int) -> None:
        self._threads = DaemonThreads("prefetch", threads)
        self._room = asyncio.Semaphore(max_images)
        self._held: dict[Image, _Held] = {}

    def hold(self, image: Image, wanted: Input) -> "Hold":
        """Return a task's hold on an image; see ``Hold``."""
        return Hold(self, image, wanted)

    def reserve(self, image: Image) -> None:
        """Add a hold to an image, without loading it."""
        self._held.setdefault(image, _Held()).users += 1

    async def make_ready(self, image: Image, wanted: Input) -> None:
        """Load an image that is reserved, once there is room.

        An image that cannot be loaded raises nothing here. The detector's runner loads it again and
        handles the error.
        """
        held = self._held[image]
        async with held.lock:
            if not held.has_room:
                await self._room.acquire()
                held.has_room = True
            await self.load(image, wanted)

    def release(self, image: Image) -> None:
        """Remove a hold; the image's bytes go with the last."""
        held = self._held[image]
        held.users -= 1
        if not held.users:
            del self._held[image]
            image.forget()
            if held.has_room:
                self._room.release()

    async def load(self, image: Image, wanted: Input) -> Exception | None:
        """Fetch and decode as much of an image as ``wanted`` asks for.

        Returns:
            Why it cannot be loaded; ``None`` if it is loaded.
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
    """A task's hold on an image. Tasks that hold the same image share what was loaded.

    ``with`` reserves the image. If another task loads it, it stays loaded for a task that still
    waits for a result. ``async with`` loads the image and releases the reservation at the end, so
    that a task that waits for its next attempt holds no bytes.
    """

    def __init__(self, prefetch: Prefetch, image: Image, wanted: Input) -> None:
        self._prefetch = prefetch
        self._image = image
        self._wanted = wanted
        self._is_reserved = False

    def __enter__(self) -> Self:
        """Reserve the image."""
        if self._wanted is not Input.REFERENCE and not self._is_reserved:
            self._is_reserved = True
            self._prefetch.reserve(self._image)
        return self

    def __exit__(self, *exception: object) -> None:
        """Give the reservation up."""
        if self._is_reserved:
            self._is_reserved = False
            self._prefetch.release(self._image)

    async def __aenter__(self) -> Self:
        """Reserve the image and load it."""
        self.__enter__()
        if self._is_reserved:
            try:
                await self._prefetch.make_ready(self._image, self._wanted)
            except BaseException:
                self.__exit__()
                raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Give the reservation up."""
        self.__exit__()


def is_loaded(image: Image, wanted: Input) -> bool:
    """Return whether a detector can use the image without waiting for it."""
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
    """Cut the tracebacks of an error and of its causes.

    Their frames hold the image, and the image holds the error to raise it again: a cycle that
    would keep the image's bytes until the garbage collector runs, which counts objects, not bytes.
    """
    cause: BaseException | None = error
    while cause is not None and cause.__traceback__ is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
