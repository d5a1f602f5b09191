"""Fetching and decoding images ahead of the detectors, within bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread

import structlog
from retinue_sdk import DetectorError, Image, Input

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
        """Load nothing yet."""
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._room = Semaphore(prefetch_images)
        self._held: dict[int, int] = {}
        self._lock = Lock()
        self._stopping = False
        self._threads = [
            Thread(target=self._work, name=f"loader-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Load from now on."""
        for thread in self._threads:
            thread.start()

    def load(self, image: Image, wanted: Input, uses: int, then: Callable[[], None]) -> None:
        """Load the image when there is room, then call ``then`` on a loader thread.

        Once it stops, ``then`` is called at once.

        Args:
            image: What to load.
            wanted: The most that any detector wants of it.
            uses: How often ``release`` will be called before its room is free again.
            then: What to do next.
        """
        with self._lock:
            if not self._stopping:
                self._held[id(image)] = uses
                self._orders.put(_Order(image, wanted, then))
                return
        then()

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

    def forget(self, image: Image) -> None:
        """Let go of what was fetched of an image, unless it has room and another use of it."""
        with self._lock:
            held = id(image) in self._held
        if not held:
            image.forget()

    def stop(self) -> None:
        """Load nothing any more; what waits goes on unloaded."""
        with self._lock:  # so that no order comes after the last one
            self._stopping = True
            for _ in self._threads:
                self._orders.put(None)
        self._room.release(len(self._threads))  # nobody waits for room any more

    def _work(self) -> None:
        # No variable here: it would keep the last image while the thread waits.
        while self._serve(self._orders.get()):
            pass

    def _serve(self, order: _Order | None) -> bool:
        """Load one image; ``False`` if that is all."""
        if order is None:
            return False
        if not self._stopping:
            self._room.acquire()
        if not self._stopping:
            error = prepare(order.image, order.wanted)
            if error is not None:
                log.debug("not_loaded", uri=order.image.reference.uri, reason=str(error))
        order.then()
        return True


def prepare(image: Image, wanted: Input) -> Exception | None:
    """Have what a detector needs of an image at hand; why not, if it cannot be had.

    Costs nothing when it was done before.
    """
    try:
        match wanted:
            case Input.BYTES:
                image.read()
            case Input.PIXELS:
                image.pixels()
            case Input.REFERENCE:
                pass
    except Exception as error:  # DetectorErrors are sorted by the verdict, others are bugs
        if not isinstance(error, DetectorError):
            log.exception("image_failed", image_id=str(image.image_id))
        _forget_frames(error)
        return error
    return None


def _forget_frames(error: BaseException) -> None:
    """Cut the tracebacks of an error and of its causes.

    Their frames hold the image, and the image holds the error to raise it again: a circle that
    would keep its bytes until the garbage collector comes by, which counts objects and not bytes.
    """
    cause: BaseException | None = error
    while cause is not None and cause.__traceback__ is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
