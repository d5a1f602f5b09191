"""A detector that runs out of memory, files, threads or disk space."""

import errno
import os
import time
from collections.abc import Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from retinue_sdk import Image, InvalidImageError, Operational, Result, RetriableError

from retinue_hostile.echo import Hostile, HostileOptions, found

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShortageOptions(HostileOptions):
    """When and how resources run out."""

    what: Literal["memory", "cuda", "onnx", "files", "space", "threads", "wrapped", "invalid"] = (
        "memory"
    )
    """The resource and the error: ``wrapped`` in a RetriableError, or ``invalid`` as the cause of
    an InvalidImageError.
    """
    at_once: Annotated[int, Field(ge=0), Operational()] = 1_000_000
    """Maximum number of images in all concurrent calls. With more, each call fails."""
    failing_calls: Annotated[int, Field(ge=0), Operational()] = 0
    """Number of calls that fail before one succeeds."""
    key_fragment: str = "no key has this"
    """An image whose key contains this text always fails."""
    seconds: Annotated[float, Field(ge=0), Operational()] = 0.01
    """Duration of a call, in seconds."""


class Shortage(Hostile[ShortageOptions]):
    """Runs out of memory, files, disk space or threads."""

    name: ClassVar[str] = "hostile-shortage"

    def __init__(self, options: ShortageOptions) -> None:
        super().__init__(options)
        self._lock = Lock()
        self._images = 0
        self._calls = 0

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Raise a shortage if configured."""
        with self._in_use(len(images)):
            time.sleep(self.options.seconds)
            keys = [image.reference.key for image in images]
            if any(self.options.key_fragment in key for key in keys):
                raise shortage(self.options.what)
            return [found(image) for image in images]

    @contextmanager
    def _in_use(self, number: int) -> "Iterator[None]":
        with self._lock:
            self._images += number
            self._calls += 1
            too_much = self._images > self.options.at_once
            too_early = self._calls <= self.options.failing_calls
        try:
            if too_much or too_early:
                raise shortage(self.options.what)
            yield
        finally:
            with self._lock:
                self._images -= number


class OutOfMemoryError(RuntimeError):
    """An error like PyTorch's."""


def shortage(what: str) -> Exception:
    """Return an error as a library would raise it."""
    match what:
        case "memory":
            return MemoryError("Unable to allocate 3.00 GiB for an array")
        case "cuda":
            return OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        case "onnx":
            return RuntimeError(
                "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while "
                "running Conv node. BFCArena::AllocateRawInternal Failed to allocate memory for "
                "requested buffer of size 67108864"
            )
        case "files":
            return OSError(errno.EMFILE, os.strerror(errno.EMFILE), "weights.bin")
        case "space":
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/tile.png")  # noqa: S108 - a message
        case "threads":
            return RuntimeError("can't start new thread")
        case "wrapped":
            return _caused(RetriableError("the service doesn't answer"))
    return _caused(InvalidImageError("cannot be decoded", code="corrupt_image"))


def _caused(error: Exception) -> Exception:
    error.__cause__ = OSError(errno.ENFILE, os.strerror(errno.ENFILE))
    return error
