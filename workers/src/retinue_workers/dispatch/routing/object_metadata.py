"""Read an image's metadata from S3 and the file's header, for routes."""

import asyncio
from collections.abc import Mapping
from functools import partial
from weakref import WeakKeyDictionary

from retinue_sdk import Image, Input, Media, media_of

from retinue_workers.dispatch.routing.decide import ObjectMetadata
from retinue_workers.intake.prefetch import Form, Prefetch
from retinue_workers.intake.s3 import ObjectStore
from retinue_workers.intake.video_header import read_video
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.routes import Route

BYTES = Form(Input.BYTES)

CONCURRENCY = 8
"""Maximum number of concurrent requests to S3. An answer takes tens of milliseconds."""


class MetadataReader:
    """Reads the metadata of images, once per image for all routes.

    Args:
        store: Reads the images.
        prefetch: Loads an image if its header is needed.
        routes: The routes by detector. They decide which metadata is read.
    """

    def __init__(self, store: ObjectStore, prefetch: Prefetch, routes: Mapping[str, Route]) -> None:
        self._store = store
        self._prefetch = prefetch
        self._head = any(route.needs_head for route in routes.values())
        self._tags = any(route.needs_tags for route in routes.values())
        self._size_px = any(route.needs_size_px for route in routes.values())
        self._threads = DaemonThreads("routes", CONCURRENCY)
        self._reading: WeakKeyDictionary[Image, asyncio.Task[ObjectMetadata]] = WeakKeyDictionary()

    async def read(self, image: Image) -> ObjectMetadata:
        """Return an image's metadata from S3 and the file's header.

        Raises:
            DetectorError: It can't be read. The class decides the next step.
        """
        reading = self._reading.get(image)
        if reading is None:
            reading = self._reading[image] = asyncio.create_task(self._read(image))
            reading.add_done_callback(partial(self._forget_failure, image))
        return await asyncio.shield(reading)

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    def _forget_failure(self, image: Image, reading: "asyncio.Task[ObjectMetadata]") -> None:
        """Forget an error, to ask again. Its traceback would also keep the image in memory."""
        if reading.cancelled() or reading.exception() is not None:
            self._reading.pop(image, None)

    async def _read(self, image: Image) -> ObjectMetadata:
        reference, run = image.reference, self._threads.run
        content_type, metadata = await run(self._store.head, reference) if self._head else ("", {})
        tags = await run(self._store.tags, reference) if self._tags else {}
        size_px = await self._measure(image) if self._size_px else None
        return ObjectMetadata(content_type, metadata, tags, size_px)

    async def _measure(self, image: Image) -> tuple[int, int] | None:
        """Return width and height as displayed, from the file's header, if it has them."""
        if media_of(image.reference.key) is Media.VIDEO:
            video = await self._threads.run(read_video, self._store, image.reference)
            if video.width_px is None or video.height_px is None:
                return None
            return video.width_px, video.height_px
        from retinue_sdk.decode import measure  # NumPy and Pillow, which few workers need

        async with self._prefetch.hold(image, BYTES):
            error = await self._prefetch.load(image, BYTES)
            if error is not None:
                raise error
            return await self._threads.run(measure, image.read(), self._store.limits)
