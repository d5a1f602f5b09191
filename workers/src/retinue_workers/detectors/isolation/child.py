"""What runs in a detector's own process: it makes the detector, and answers for it."""

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
from collections.abc import Sequence
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
    Findings,
    Image,
    ImageLimits,
    ImageReference,
    InvalidImageError,
)

from retinue_workers.detectors.isolation.protocol import (
    MAX_TEXT_CHARACTERS,
    Message,
    answer_data,
    error_data,
    error_of,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from retinue_sdk import Pixels

OUT_OF_MEMORY = 71
"""Exit status of a process whose detector met ``MemoryError``: it may hold half of anything."""

_PR_SET_PDEATHSIG = 1
"""prctl's "kill me when my parent dies" (linux/prctl.h)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make a detector, in words that any process understands.

    Attributes:
        module: The name of the module that defines its class.
        file: That module's file, for one that cannot be imported by name.
        class_name: The class's qualified name in it.
        options: Its options, pickled; read once the module is there.
        limits: How large an image may be.
        max_memory_bytes: Most data of the process, in bytes; ``None`` for no limit.
    """

    module: str
    file: str | None
    class_name: str
    options: bytes
    limits: ImageLimits
    max_memory_bytes: int | None

    def make(self) -> AnyDetector:
        """Make the detector."""
        place: Any = _module(self.module, self.file)
        for name in self.class_name.split("."):
            place = getattr(place, name)
        detector: AnyDetector = place(pickle.loads(self.options))  # noqa: S301 - from our worker
        return detector


class SentImage(Image):
    """An image of which the worker sends what is asked for."""

    def __init__(
        self,
        reference: ImageReference,
        line: "Line",
        index: int,
        limits: ImageLimits,
        size_bytes: int | None,
        pixels: "Pixels | None",
    ) -> None:
        """Keep the pixels, if they came along."""
        super().__init__(reference, partial(line.load, index), limits=limits, size_bytes=size_bytes)
        self._pixels = pixels


class Line:
    """The line to the worker. Threads of a detector may share it."""

    def __init__(self, connection: Connection) -> None:
        """Say nothing yet."""
        self._connection = connection
        self._lock = Lock()

    def say(self, message: Message) -> None:
        """Tell the worker."""
        with self._lock:
            self._connection.send_bytes(pack(message))

    def send(self, frame: bytes) -> None:
        """Send what is packed already."""
        with self._lock:
            self._connection.send_bytes(frame)

    def hear(self) -> tuple[Message, list[bytes]]:
        """Wait for what the worker says, and for the frames that belong to it."""
        message = unpack(self._connection.recv_bytes())
        return message, [self._connection.recv_bytes() for _ in range(message.get("frames", 0))]

    def load(self, index: int) -> bytes:
        """Ask the worker for the bytes of an image of the call."""
        with self._lock:
            self._connection.send_bytes(pack({"load": index}))
            message, frames = self.hear()
        if "error" in message:
            raise error_of(message["error"])
        return frames[0]


def main(recipe: Recipe, connection: Connection, parent_id: int) -> None:
    """Serve one worker until it says ``close``, or is gone."""
    die_with(parent_id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the worker decides
    faulthandler.enable()  # a crash in native code says where
    if recipe.max_memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (recipe.max_memory_bytes, recipe.max_memory_bytes))
    line = Line(connection)
    try:
        _serve(recipe, line)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the worker is gone
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _serve(recipe: Recipe, line: Line) -> None:
    try:
        detector = recipe.make()
        detector.start()
        line.say({"started": True, "model_version": _model_version(detector)})
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the worker is to know
        line.say({"error": error_data(error), "traceback": _traceback(error)})
        return
    while True:
        message, frames = line.hear()
        if "close" in message:
            detector.close()
            return
        images = [
            _image(recipe, line, index, data, frames)
            for index, data in enumerate(message["detect"])
        ]
        _answer(detector, images, line, message["max_bytes"])


def _answer(detector: AnyDetector, images: Sequence[Image], line: Line, max_bytes: int) -> None:
    """Have the detector look, and send what it says."""
    said: Message = {"model_version": None}
    try:
        # One more than wanted tells that there are too many, even if they never end.
        results: list[object] = list(islice(detector.detect(images), len(images) + 1))
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - sorted by the worker
        results = [error] * len(images)
        if not isinstance(error, DetectorError | ConfigurationError):
            said["traceback"] = _traceback(error)
    if len(results) != len(images):
        number = len(results) if len(results) < len(images) else "more"
        wrong = TypeError(f"detect returned {number} results for {len(images)} images")
        results = [wrong] * len(images)
    try:
        said["model_version"] = _model_version(detector)
    except Exception as error:  # noqa: BLE001 - the worker is to know
        results = [_refusal(f"model_version raised {type(error).__name__}: {error}")] * len(images)
    answers = [_packed(result) for result in results]
    if sum(map(len, answers)) > max_bytes:
        answers = [_packed(_refusal(f"more than {max_bytes:,} bytes of results"))] * len(images)
    line.say(said)
    for answer in answers:
        line.send(answer)


def _refusal(reason: str) -> InvalidImageError:
    return InvalidImageError(reason, code="invalid_result", retryable=True)


def _packed(result: object) -> bytes:
    """One answer as JSON, or why it is none."""
    if not isinstance(result, Findings | BaseException):
        kind = type(result).__name__
        result = TypeError(f"detect returned a {kind}, not Findings or DetectorError")
    try:
        return pack(answer_data(result))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - values that a plugin got past the SDK's types
        reason = f"the findings cannot be sent: {type(error).__name__}: {error}"
        return pack(answer_data(_refusal(reason)))


def _image(recipe: Recipe, line: Line, index: int, data: Message, frames: list[bytes]) -> SentImage:
    pixels: Pixels | None = None
    if data["shape"] is not None:
        import numpy as np

        pixels = np.frombuffer(frames[index], dtype=np.uint8).reshape(data["shape"])
    reference = ImageReference(**data["reference"])
    return SentImage(reference, line, index, recipe.limits, data["size_bytes"], pixels)


def _model_version(detector: AnyDetector) -> str | None:
    version = detector.model_version
    return None if version is None else str(version)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-MAX_TEXT_CHARACTERS:]


def die_with(parent_id: int) -> None:
    """End when the worker does, even if it is killed and this process hangs in native code."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_id:  # it died before
            os._exit(0)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_follow, args=[parent], name="parent", daemon=True).start()


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(0)


def _module(name: str, file: str | None) -> Any:
    """Import a module by name, or else from its file: a plugin may be one file in a folder."""
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
