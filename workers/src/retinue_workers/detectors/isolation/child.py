"""Run in a detector's process: create the detector, and answer the worker's calls."""

import ctypes
import faulthandler
import importlib
import importlib.util
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    DetectorError,
    DetectorSession,
    Findings,
    Image,
    ImageLimits,
    ImageReference,
    InvalidImageError,
)
from retinue_sdk.errors import drop_tracebacks

from retinue_workers.detectors.bill import billed_units
from retinue_workers.detectors.errors import wrong_number, wrong_type
from retinue_workers.detectors.isolation.protocol import (
    MAX_TEXT_CHARACTERS,
    JsonMessage,
    answer_data,
    error_data,
    error_of,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from retinue_sdk import Pixels

OUT_OF_MEMORY = 71
"""Exit status of a process whose detector raised ``MemoryError`` and may be inconsistent."""

_PR_SET_PDEATHSIG = 1
"""prctl's signal at the parent's death (linux/prctl.h)."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A description of a detector that another process can create it from.

    Attributes:
        module: The name of the module that defines its class.
        file: The module's file, if it can't be imported by name.
        class_name: The class's qualified name in the module.
        options: The pickled options. They are read after the module is imported.
        version: The detector's version in the worker.
        fingerprint: The detector's fingerprint in the worker.
        limits: Limits on the size of images.
        max_memory_bytes: Maximum data of the process in bytes; ``None`` for no limit.
    """

    module: str
    file: str | None
    class_name: str
    options: bytes
    version: str
    fingerprint: str
    limits: ImageLimits
    max_memory_bytes: int | None

    def make(self) -> AnyDetector:
        """Create the detector.

        Raises:
            ConfigurationError: It isn't the one of the worker, whose runs have the worker's version
                and fingerprint: its code or model was replaced meanwhile.
        """
        place: Any = _module(self.module, self.file)
        for name in self.class_name.split("."):
            place = getattr(place, name)
        if place.version != self.version:
            raise ConfigurationError(
                f"its code now has version {place.version}, and this worker started with version "
                f"{self.version}; restart the worker"
            )
        detector: AnyDetector = place(pickle.loads(self.options))  # noqa: S301 - from our worker
        if detector.fingerprint() != self.fingerprint:
            raise ConfigurationError(
                "its model, or an option's default, changed since this worker started; restart the "
                "worker"
            )
        return detector


class SentImage(Image):
    """An image whose bytes or pixels the worker sends on request."""

    def __init__(
        self,
        reference: ImageReference,
        channel: "Channel",
        index: int,
        limits: ImageLimits,
        size_bytes: int | None,
        pixels: "Pixels | None",
        *,
        has_file: bool,
    ) -> None:
        super().__init__(
            reference, partial(channel.load, index), limits=limits, size_bytes=size_bytes
        )
        self._content.pixels = pixels
        self.has_file = has_file


class Channel:
    """The channel to the worker. A detector's threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def send(self, message: JsonMessage) -> None:
        """Send a message to the worker."""
        with self._lock:
            self._connection.send_bytes(pack(message))

    def send_frame(self, frame: bytes) -> None:
        """Send an encoded frame."""
        with self._lock:
            self._connection.send_bytes(frame)

    def receive(self) -> tuple[JsonMessage, list[bytes]]:
        """Wait for the worker's next message and its frames."""
        message = unpack(self._connection.recv_bytes())
        return message, [self._connection.recv_bytes() for _ in range(message.get("frames", 0))]

    def load(self, index: int) -> bytes:
        """Request the bytes of an image of the call from the worker."""
        with self._lock:
            self._connection.send_bytes(pack({"load": index}))
            message, frames = self.receive()
        if "error" in message:
            raise error_of(message["error"])
        return frames[0]


def main(spec: DetectorSpec, connection: Connection, stack: Connection, parent_id: int) -> None:
    """Serve the worker until it sends ``close`` or ends."""
    with serving(stack, parent_id, spec.max_memory_bytes):
        _serve(spec, Channel(connection))


@contextmanager
def serving(stack: Connection, parent_id: int, max_memory_bytes: int | None) -> Iterator[None]:
    """Serve the worker inside the block. End this process with the worker, or without memory.

    Args:
        stack: Gets the thread's stack if native code crashes.
        parent_id: The worker's process id.
        max_memory_bytes: Maximum data of this process in bytes; ``None`` for no limit.
    """
    die_with(parent_id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the worker decides
    os.set_blocking(stack.fileno(), False)
    faulthandler.enable(stack.fileno(), all_threads=False)
    if max_memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (max_memory_bytes, max_memory_bytes))
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the worker has ended
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _serve(spec: DetectorSpec, channel: Channel) -> None:
    try:
        session = DetectorSession(spec.make())
        session.start()
        channel.send({"started": True, "model_version": _model_version(session)})
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - the worker needs to know
        channel.send({"error": error_data(error), "traceback": _traceback(error)})
        return
    while True:
        message, frames = channel.receive()
        if "close" in message:
            session.close()
            return
        images = [
            _image(spec, channel, index, data, frames)
            for index, data in enumerate(message["detect"])
        ]
        _answer(session, images, channel, message["max_bytes"])


def _answer(
    session: DetectorSession, images: Sequence[Image], channel: Channel, max_bytes: int
) -> None:
    """Call the detector and send its answers."""
    head: JsonMessage = {"model_version": None}
    try:
        # One more answer than expected shows that there are too many, even if they never end.
        results: list[object] = list(islice(session.detect(images), len(images) + 1))
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - the worker decides by its class
        results = [error] * len(images)
        if not isinstance(error, DetectorError | ConfigurationError):
            head["traceback"] = _traceback(error)
    if len(results) != len(images):
        results = [wrong_number(len(results), len(images))] * len(images)
    try:
        head["model_version"] = _model_version(session)
    except Exception as error:  # noqa: BLE001 - the worker needs to know
        reason = f"model_version raised {type(error).__name__}: {error}"
        results = [_invalid(result, reason) for result in results]
    answers = [packed(result) for result in results]
    for result in results:
        if isinstance(result, BaseException):
            drop_tracebacks(result)
    if sum(map(len, answers)) > max_bytes:
        reason = f"more than {max_bytes:,} bytes of results"
        answers = [packed(_invalid(result, reason)) for result in results]
    channel.send(head)
    for answer in answers:
        channel.send_frame(answer)


def _invalid(result: object, reason: str) -> InvalidImageError:
    """Return the error for a result that can't be sent, with the billed units."""
    return InvalidImageError(
        reason, code="invalid_result", retryable=True, billed_units=billed_units(result)
    )


def packed(result: object) -> bytes:
    """Encode one answer, or the reason why it is invalid."""
    if not isinstance(result, Findings | BaseException):
        result = wrong_type(result)
    try:
        return pack(answer_data(result))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - values that a plugin got past the SDK's types
        reason = f"the answer cannot be sent: {type(error).__name__}: {error}"
        return pack(answer_data(_invalid(result, reason)))


def _image(
    spec: DetectorSpec, channel: Channel, index: int, data: JsonMessage, frames: list[bytes]
) -> SentImage:
    """Return an image of a call. Takes its frame, if it has one, from ``frames``."""
    pixels: Pixels | None = None
    if data["shape"] is not None:
        import numpy as np

        pixels = np.frombuffer(frames.pop(0), dtype=np.uint8).reshape(data["shape"])
    reference = ImageReference(**data["reference"])
    return SentImage(
        reference,
        channel,
        index,
        spec.limits,
        data["size_bytes"],
        pixels,
        has_file=data["has_file"],
    )


def _model_version(session: DetectorSession) -> str | None:
    version = session.detector.model_version
    return None if version is None else str(version)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-MAX_TEXT_CHARACTERS:]


def die_with(parent_id: int) -> None:
    """End when the worker ends, even if it is killed and this process hangs in native code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_id:  # the worker ended before
            os._exit(0)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_follow, args=[parent], name="parent", daemon=True).start()


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(0)


def _module(name: str, file: str | None) -> Any:
    """Import a module by name, or from its file if it is a single-file plugin."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        if file is None:
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported as {name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
