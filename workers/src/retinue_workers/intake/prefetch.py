"""Fetch and decode images before the detectors need them, within limits."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import structlog
from retinue_sdk import DetectorError, Image, Input
from retinue_sdk.decoding_memory import DecodingMemoryError
from retinue_sdk.errors import drop_tracebacks

from retinue_workers.limits.threads import DaemonThreads, NoThreadError

log = structlog.get_logger(__name__)


StageObserver: TypeAlias = Callable[[str, float], None]
"""Takes the name of a stage of the work, and its seconds."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an image that a detector needs.

    Attributes:
        input: As the detector declares it.
        prepare: The detector's ``prepare``, which is called instead of decoding; ``None`` without.
        on_stage: Gets the seconds of ``fetch``, ``decode`` and ``prepare``.
        waits_for_others: Whether a loaded image waits for a full batch.
    """

    input: Input
    prepare: Callable[[Image], object] | None = None
    on_stage: StageObserver | None = None
    waits_for_others: bool = False

    def is_loaded(self, image: Image) -> bool:
        """Return whether a detector can use the image without waiting."""
        if self.input is Input.REFERENCE:
            return True
        if self.prepare is not None:
            # A hanging ``prepare`` has been abandoned; the call waits for it, with a deadline.
            return image.is_prepared(self.prepare) or image.is_being_prepared or not image.has_file
        return image.is_loaded(pixels=self.input is Input.PIXELS)


@dataclass(slots=True)
class _Held:
    """An image that tasks hold.

    Attributes:
        holds: The tasks' holds.
        needing_file: Those for which its bytes or pixels are needed.
        has_room: Whether it counts as one of the images that may be loaded.
        is_alone: Whether it is the redelivered image that may be loaded.
        lock: Held while it is being loaded.
    """

    holds: "set[Hold]" = field(default_factory=set)
    needing_file: "set[Hold]" = field(default_factory=set)
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
        prepare_seconds: Time limit of a detector's ``prepare``.
    """

    def __init__(
        self, *, threads: int, max_images: int, prepare_seconds: float | None = None
    ) -> None:
        self._prepare_seconds = prepare_seconds
        self._threads = DaemonThreads("prefetch", threads)
        self._room = asyncio.Semaphore(max_images)
        self._alone = asyncio.Lock()
        self._held: dict[Image, _Held] = {}

    @property
    def is_loading(self) -> bool:
        """Return whether an image is being loaded, or waits for a thread."""
        return self._threads.is_busy

    def hold(self, image: Image, form: Form, *, is_redelivered: bool = False) -> "Hold":
        """Return a task's hold on an image; see ``Hold``."""
        return Hold(self, image, form, is_redelivered=is_redelivered)

    def reserve(self, hold: "Hold") -> None:
        """Add a hold to its image, without loading it."""
        held = self._held.setdefault(hold.image, _Held())
        held.holds.add(hold)
        held.needing_file.add(hold)

    async def make_ready(self, hold: "Hold") -> None:
        """Load a reserved image when there is room.

        Its bytes and pixels are freed if every hold has what its detector prepared. An image that
        can't be loaded raises no error here. The detector's runner loads it again and handles the
        error.
        """
        image, form = hold.image, hold.form
        held = self._held[image]
        async with held.lock:
            if hold.is_redelivered and not held.is_alone:
                await self._alone.acquire()
                held.is_alone = True
            if not held.has_room:
                await self._room.acquire()
                held.has_room = True
            # Images that are loaded are used and freed, so this ends.
            while isinstance(await self.load(image, form), DecodingMemoryError):
                pass
            if form.prepare is not None and image.is_prepared(form.prepare):
                held.needing_file.discard(hold)
                if not held.needing_file:
                    image.forget(keep_prepared=True)

    def release(self, hold: "Hold") -> None:
        """Remove a hold. The last one frees everything of the image."""
        held = self._held[hold.image]
        held.holds.discard(hold)
        held.needing_file.discard(hold)
        if not held.holds:
            del self._held[hold.image]
            hold.image.forget()
            if held.has_room:
                self._room.release()
            if held.is_alone:
                self._alone.release()

    async def load(self, image: Image, form: Form) -> Exception | None:
        """Fetch an image, and decode or prepare it if its form requires that.

        Returns:
            The error of loading it; ``None`` if it is loaded. ``None`` also if ``prepare`` exceeds
            its time limit: the detector's call waits for it, and has a deadline.
        """
        if form.is_loaded(image):
            return None
        timeout_seconds = self._prepare_seconds if form.prepare else None
        try:
            return await self._threads.run(
                _load,
                image,
                form,
                timeout_seconds=timeout_seconds,
                is_urgent=not form.waits_for_others,
            )
        except NoThreadError as error:
            return error
        except TimeoutError:
            log.warning("prepare_timed_out", image_id=str(image.image_id))
            return None

    def close(self) -> None:
        """End the threads."""
        self._threads.close()


class Hold:
    """A task's hold on an image. Tasks that hold the same image share its content.

    ``with`` reserves the image: if another task loads it, it stays loaded. ``async with`` also
    loads it. Both release the reservation when the block ends, so a task that waits for its next
    attempt holds no bytes.
    """

    def __init__(
        self, prefetch: Prefetch, image: Image, form: Form, *, is_redelivered: bool
    ) -> None:
        self.image = image
        self.form = form
        self.is_redelivered = is_redelivered
        self._prefetch = prefetch
        self._is_reserved = False

    def __enter__(self) -> Self:
        """Reserve the image."""
        if self.form.input is not Input.REFERENCE and not self._is_reserved:
            self._is_reserved = True
            self._prefetch.reserve(self)
        return self

    def __exit__(self, *exception: object) -> None:
        """Release the reservation."""
        if self._is_reserved:
            self._is_reserved = False
            self._prefetch.release(self)

    async def __aenter__(self) -> Self:
        """Reserve the image and load it."""
        self.__enter__()
        if self._is_reserved:
            try:
                await self._prefetch.make_ready(self)
            except BaseException:
                self.__exit__()
                raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Release the reservation."""
        self.__exit__()


def _load(image: Image, form: Form) -> Exception | None:
    try:
        began = time.perf_counter()
        image.read()
        fetched, decoded = time.perf_counter(), image.decode_seconds
        if form.prepare is not None:
            image.prepared(form.prepare)
        elif form.input is Input.PIXELS:
            image.pixels()
        if form.on_stage is not None:
            decoded = image.decode_seconds - decoded
            form.on_stage("fetch", fetched - began)
            form.on_stage("decode", decoded)
            form.on_stage("prepare", time.perf_counter() - fetched - decoded)
    except Exception as error:
        if not isinstance(error, DetectorError):  # a bug
            log.exception("image_failed", image_id=str(image.image_id))
        drop_tracebacks(error)
        return error
    return None
