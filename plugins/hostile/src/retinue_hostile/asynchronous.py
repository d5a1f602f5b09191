"""Asynchronous detectors: one that passes every check, and one that fails each of their checks."""

import asyncio
import time
from typing import ClassVar

from retinue_sdk import AsyncDetector, Capabilities, Findings, Image, Input, RetriableError

from retinue_hostile.conforming import Conforming, ConformingOptions


class ConformingAsync(AsyncDetector[ConformingOptions]):
    """Is an ``AsyncDetector`` that returns the same findings."""

    name: ClassVar[str] = "conforming-async"
    version: ClassVar[str] = "1"
    capabilities: ClassVar[Capabilities] = Capabilities(Input.PIXELS, max_concurrency=16)

    def __init__(self, options: ConformingOptions) -> None:
        super().__init__(options)
        self.conforming = Conforming(options)

    async def detect(self, image: Image) -> Findings:
        """Detect on another thread."""
        return await asyncio.to_thread(self.conforming.look, image)


class BlocksLoop(ConformingAsync):
    """Is asynchronous but blocks the event loop."""

    name: ClassVar[str] = "failing-event-loop-runs"

    async def detect(self, image: Image) -> Findings:
        """Block all other coroutines."""
        time.sleep(0.15)
        return await super().detect(image)


class RefusesCancellation(ConformingAsync):
    """Is asynchronous and treats cancellation as a failure of its service."""

    name: ClassVar[str] = "failing-cancellation-ends-call"

    async def detect(self, image: Image) -> Findings:
        """Catch the cancellation, too."""
        try:
            return await super().detect(image)
        except asyncio.CancelledError as error:
            raise RetriableError("no answer") from error
