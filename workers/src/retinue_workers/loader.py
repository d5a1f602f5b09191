"""Fetching and decoding images ahead of the detectors, within bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread

import structlog
from retinue_sdk import Image, Input, RetinueError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    image: Image
    wanted: Input
    then: Callable[[], None]


class Loader:
    """Makes images ready on threads of its own, a bounded number of them at a time.

    It only warms the image: an error is met again, and answered, by the detector that needs it.

    Args:
        threads: How many images are fetched or decoded at the same time.
        prefetch_images: How many images may be ready or in the making at once.
    """

    def __init__(self, *, threads: int, prefetch_images: int) -> None:
        """Start the threads, which wait."""
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._room = Semaphore(prefetch_images)
        self._held: dict[int, int] = {}
        self._lock = Lock()
        self._threads = threads
        self._stopping = False
        for number in range(threads):
            Thread(target=self._work, name=f"loader-{number}", daemon=True).start()

    def load(self, image: Image, wanted: Input, uses: int, then: Callable[[], None]) -> None:
        """Load the image when there is room, then call ``then`` on a loader thread.

        Args:
            image: What to load.
            wanted: The most that any detector wants of it.
            uses: How often ``release`` will be called before its room is free again.
            then: What to do next.
        """
        with self._lock:
            self._held[id(image)] = uses
        self._orders.put(_Order(image, wanted, then))

    def release(self, image: Image) -> None:
        """One use of the image is over; does nothing for an image that was never loaded."""
        with self._lock:
            uses = self._held.get(id(image))
            if uses is None:
                return
            if uses > 1:
                self._held[id(image)] = uses - 1
                return
            del self._held[id(image)]
        self._room.release()

    def stop(self) -> None:
        """Load nothing any more; what waits goes on unloaded."""
        self._stopping = True
        for _ in range(self._threads):
            self._orders.put(None)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            self._room.acquire()
            if not self._stopping:
                try:
                    if order.wanted is Input.PIXELS:
                        order.image.pixels()
                    else:
                        order.image.read()
                except RetinueError as error:
                    log.debug("not_loaded", uri=order.image.reference.uri, reason=str(error))
                except Exception:
                    log.exception("load_failed", uri=order.image.reference.uri)
            order.then()
