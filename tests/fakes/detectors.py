"""Detectors of both kinds that do what a test says."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from threading import Event, Lock
from typing import Any, ClassVar, TypeAlias

from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
)

Script: TypeAlias = Callable[[Image], Any]


def fine(image: Image) -> Findings:
    """Return a look that finds nothing and costs a unit."""
    del image
    return Findings(billed_units=Decimal(1))


class _Notes:
    """A log of calls of a detector, with controls for tests.

    Attributes:
        batches: The keys of each call, in order.
        holding: Says of which images calls wait until ``release``.
        inside: How many calls are under way.
        most_inside: The most that ever were.
        closed: How often it was closed.
        misuse: What must not happen and did.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.batches: list[list[str]] = []
        self.holding: Callable[[Image], bool] = lambda image: False
        self.inside = 0
        self.most_inside = 0
        self.starts = 0
        self.closed = 0
        self.misuse: list[str] = []
        self.lock = Lock()
        self.thread_gate = Event()
        self.loop_gate = asyncio.Event()

    def release(self) -> None:
        """Let the calls go on that wait, and all that come."""
        self.thread_gate.set()
        self.loop_gate.set()

    def holds(self, image: Image) -> bool:
        """Return whether a call about an image waits."""
        return self.holding(image) and not self.thread_gate.is_set()

    @contextmanager
    def call(self, images: Sequence[Image]) -> Iterator[bool]:
        """Note a call; yields whether it is to wait."""
        with self.lock:
            self.batches.append([image.reference.key for image in images])
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            if self.closed:
                self.misuse.append("detect after close")
        try:
            yield any(self.holding(image) for image in images)
        finally:
            with self.lock:
                self.inside -= 1

    def close(self) -> None:
        with self.lock:
            if self.inside:
                self.misuse.append("closed during a call")
            self.closed += 1

    @property
    def calls_by_key(self) -> Counter[str]:
        """Return how many calls were about each key."""
        return Counter(key for batch in self.batches for key in batch)


class Scripted(Detector[DetectorOptions]):
    """Answers for each image what the script returns, and raises what it raises."""

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"
    capabilities: Capabilities = Capabilities(Input.REFERENCE)

    def __init__(self, script: Script = fine, **capabilities: Any) -> None:
        super().__init__(DetectorOptions())
        self.capabilities = Capabilities(**({"input": Input.REFERENCE} | capabilities))
        self.notes = _Notes(script)
        self.starting: Callable[[], None] = lambda: None

    def start(self) -> None:
        self.notes.starts += 1
        self.starting()

    def detect(self, images: Sequence[Image]) -> Sequence[Any]:
        with self.notes.call(images) as waits:
            if waits:
                self.notes.thread_gate.wait(20)
            return [self.notes.script(image) for image in images]

    def close(self) -> None:
        self.notes.close()


class AsyncScripted(AsyncDetector[DetectorOptions]):
    """The same as coroutines.

    Attributes:
        stubborn: Whether a call that waits swallows cancellation.
    """

    name: ClassVar[str] = "scripted"
    version: ClassVar[str] = "1"
    capabilities: Capabilities = Capabilities(Input.REFERENCE)
    stubborn: bool = False

    def __init__(self, script: Script = fine, **capabilities: Any) -> None:
        super().__init__(DetectorOptions())
        self.capabilities = Capabilities(**({"input": Input.REFERENCE} | capabilities))
        self.notes = _Notes(script)
        self.starting: Callable[[], None] = lambda: None

    async def start(self) -> None:
        self.notes.starts += 1
        self.starting()

    async def detect(self, image: Image) -> Any:
        with self.notes.call([image]) as waits:
            if waits:
                await self._wait()
            return self.notes.script(image)

    async def close(self) -> None:
        self.notes.close()

    async def _wait(self) -> None:
        while True:
            try:
                await self.notes.loop_gate.wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
            else:
                return


AnyScripted: TypeAlias = Scripted | AsyncScripted
