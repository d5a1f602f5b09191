"""A plugin of the tests' own: detectors that read images, answers gone wrong, and an observer."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from threading import Event
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    Field,
    FieldSerializationInfo,
    ValidationInfo,
    field_serializer,
    field_validator,
)
from retinue_sdk import (
    AnyDetector,
    AsyncDetector,
    Capabilities,
    Detection,
    Detector,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Operational,
    Result,
    RetriableError,
    Run,
    hookimpl,
)

told: list[Run] = []
"""What the observer was told; the fixture ``observed`` empties it."""

observer_gate = Event()
"""The observer does not return before it is set."""
observer_gate.set()


class PixelOptions(DetectorOptions):
    max_batch_size: Annotated[int, Field(ge=1), Operational()] = 4
    max_concurrency: Annotated[int, Field(ge=1), Operational()] = 1
    hold_seconds: Annotated[float, Operational()] = 0.0


class Pixels(Detector[PixelOptions]):
    """Measures an image, and its mean colour."""

    name: ClassVar[str] = "pixels"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            Input.PIXELS,
            max_batch_size=self.options.max_batch_size,
            max_concurrency=self.options.max_concurrency,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        time.sleep(self.options.hold_seconds)
        return [self._measure(image) for image in images]

    def _measure(self, image: Image) -> Findings:
        pixels = image.pixels()
        colour = [round(float(level)) for level in pixels.mean(axis=(0, 1))]
        label = f"{pixels.shape[1]}x{pixels.shape[0]}"
        return Findings((Detection("size", label, 1.0, attributes={"colour": colour}),))


class Prepared(Pixels):
    """The same, of a prepared image, whose bytes it must not need any more."""

    name: ClassVar[str] = "prepared"

    def prepare(self, image: Image) -> Findings:
        return super()._measure(image)

    def _measure(self, image: Image) -> Findings:
        return image.prepared(self.prepare)


class Bytes(Detector[DetectorOptions]):
    """Counts an image's bytes."""

    name: ClassVar[str] = "bytes"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.BYTES)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        return [
            Findings((Detection("size", f"{len(image.read())} bytes", 1.0),)) for image in images
        ]


class UnprintableError(RuntimeError):
    """An error that cannot even be described."""

    def __str__(self) -> str:
        raise ValueError("no words")


class FieldlessError(RetriableError):
    """An error whose author forgot to call the base class."""

    def __init__(self) -> None:
        pass


class FieldlessNotReadyError(DetectorNotReadyError):
    """The same, of another kind."""

    def __init__(self) -> None:
        pass


Wrong = Literal[
    "unprintable",
    "unprintable-retriable",
    "fieldless",
    "fieldless-not-ready",
    "code-not-text",
    "model-version-raises",
    "model-version-not-text",
    "label-not-text",
    "detection-is-dict",
    "huge-bill",
    "endless",
    "retry-in-a-million-years",
    "box-is-tuple",
]


class WrongOptions(DetectorOptions):
    how: Wrong
    max_batch_size: Annotated[int, Operational()] = 1


class WrongAnswers(Detector[WrongOptions]):
    """Answers in ways that the type checker would have refused."""

    name: ClassVar[str] = "wrong"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(Input.REFERENCE, max_batch_size=self.options.max_batch_size)

    def __init__(self, options: WrongOptions) -> None:
        super().__init__(options)
        self._started = False

    @property
    def model_version(self) -> str | None:
        if self.options.how == "model-version-raises" and self._started:
            raise RuntimeError("no version any more")
        return None

    def start(self) -> None:
        self._started = False

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        self._started = True
        if self.options.how == "endless":
            return cast("Sequence[Result]", repeat(Findings()))
        return [cast("Result", self._answer()) for _ in images]

    def _answer(self) -> Any:
        fine = Detection("label", "Dog", 0.5)
        match self.options.how:
            case "unprintable":
                raise UnprintableError
            case "unprintable-retriable":
                error = type("Odd", (UnprintableError, RetriableError), {})()
                error.retry_after_seconds = None
                return error
            case "fieldless":
                return FieldlessError()
            case "fieldless-not-ready":
                return FieldlessNotReadyError()
            case "code-not-text":
                return InvalidImageError("no", code=cast("str", 7))
            case "model-version-not-text":
                return Findings((fine,), model_version=cast("str", 3.5))
            case "label-not-text":
                object.__setattr__(fine, "label", 5)
            case "detection-is-dict":
                return Findings(cast("Any", ({"label": "Dog"},)))
            case "huge-bill":
                return Findings((fine,), billed_units=cast("Any", "1E+999999"))
            case "retry-in-a-million-years":
                return RetriableError(retry_after_seconds=1e13)
            case "box-is-tuple":
                object.__setattr__(fine, "box", (0, 0, 1, 1))
        return Findings((fine,))


class StartOptions(DetectorOptions):
    exits_at: int = 1
    """Which call of start leaves with SystemExit; those before are not ready."""
    ready_at: int = 3
    """Which call of start succeeds at last."""


class LeavesAtStart(Detector[StartOptions]):
    """Calls ``sys.exit`` where others load a model."""

    name: ClassVar[str] = "leaves-at-start"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def __init__(self, options: StartOptions) -> None:
        super().__init__(options)
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.starts == self.options.exits_at:
            sys.exit("no licence")
        if self.starts < self.options.ready_at:
            raise DetectorNotReadyError("not yet", retry_after_seconds=0.01)

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        return [Findings() for _ in images]


class PanicException(BaseException):
    """The Python exception of a panic of native code (``pyo3_runtime.PanicException``)."""


class UnprintablePanic(PanicException):
    """A panic that cannot even be described."""

    def __str__(self) -> str:
        raise PanicException("no words")


NOT_EXCEPTIONS: dict[str, BaseException] = {
    "panic": PanicException("boom"),
    "unprintable": UnprintablePanic(),
    "exit": SystemExit("boom"),
    "interrupt": KeyboardInterrupt("boom"),
    "generator": GeneratorExit("boom"),
    "cancelled": asyncio.CancelledError("boom"),
}
"""What ``except Exception`` does not catch."""

Place = Literal["options", "constructor", "capabilities", "model_fingerprint", "start", "dump"]


class PanicOptions(DetectorOptions):
    where: Place
    how: str

    @field_validator("how")
    @classmethod
    def _check(cls, how: str, info: ValidationInfo) -> str:
        if info.data.get("where") == "options":
            raise NOT_EXCEPTIONS[how]
        return how

    @field_serializer("how")
    def _dump(self, how: str, info: FieldSerializationInfo) -> str:
        if self.where == "dump" and info.mode == "json":
            raise NOT_EXCEPTIONS[how]
        return how


class Panics(Detector[PanicOptions]):
    """Raises what is no Exception, wherever it is told to."""

    name: ClassVar[str] = "panics"
    version: ClassVar[str] = "1"

    def __init__(self, options: PanicOptions) -> None:
        super().__init__(options)
        self.raise_in("constructor")

    @property
    def capabilities(self) -> Capabilities:
        self.raise_in("capabilities")
        return Capabilities(Input.REFERENCE)

    def model_fingerprint(self) -> str:
        self.raise_in("model_fingerprint")
        return ""

    def fingerprint(self) -> str:
        return self.model_fingerprint()

    def start(self) -> None:
        self.raise_in("start")

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        return [Findings() for _ in images]

    def raise_in(self, place: Place) -> None:
        if self.options.where == place:
            raise NOT_EXCEPTIONS[self.options.how]


class PanicsAsync(AsyncDetector[PanicOptions]):
    """The same in its coroutine ``start``."""

    name: ClassVar[str] = "panics-async"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(Input.REFERENCE)

    def fingerprint(self) -> str:
        return "1"

    async def start(self) -> None:
        raise NOT_EXCEPTIONS[self.options.how]

    async def detect(self, image: Image) -> Findings:
        return Findings()


class GateOptions(DetectorOptions):
    max_batch_size: Annotated[int, Operational()] = 1
    max_concurrency: Annotated[int, Operational()] = 1


class Gate(Detector[GateOptions]):
    """Waits in ``detect`` until the test lets it go on; tells what happens to it."""

    name: ClassVar[str] = "gate"
    version: ClassVar[str] = "1"

    def __init__(self, options: GateOptions) -> None:
        super().__init__(options)
        self.entered = Event()
        self.go_on = Event()
        self.closed = False
        self.misuse: list[str] = []
        self.batches: list[list[str]] = []

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            Input.REFERENCE,
            max_batch_size=self.options.max_batch_size,
            max_concurrency=self.options.max_concurrency,
        )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        if self.closed:
            self.misuse.append("detect after close")
        self.batches.append([image.reference.key for image in images])
        self.entered.set()
        self.go_on.wait(20)
        if self.closed:
            self.misuse.append("closed during detect")
        return [Findings() for _ in images]

    def close(self) -> None:
        if self.closed:
            self.misuse.append("closed twice")
        self.closed = True


DETECTORS: tuple[type[AnyDetector], ...] = (
    Pixels,
    Prepared,
    Bytes,
    WrongAnswers,
    LeavesAtStart,
    Panics,
    PanicsAsync,
    Gate,
)


@hookimpl
def retinue_register_detectors(register: Callable[[type[AnyDetector]], None]) -> None:
    for detector in DETECTORS:
        register(detector)


@hookimpl
def retinue_run_finished(run: Run) -> None:
    observer_gate.wait(20)
    told.append(run)


def observing() -> Iterator[list[Run]]:
    """Yield the observer's notes, empty at first; for a fixture."""
    told.clear()
    observer_gate.set()
    yield told
    observer_gate.set()
