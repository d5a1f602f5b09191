"""Asking S3, and the file's header, for what a route wants to know."""

from collections.abc import Sequence
from typing import Any, ClassVar

from retinue_history import RunRecord
from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Json,
    Result,
)

from retinue_workers.dispatch.routing.decide import Facts
from retinue_workers.intake.s3 import ObjectStore

CONCURRENCY = 8
"""How many images are asked about at once: an answer of S3 takes some tens of milliseconds."""


class ObjectFacts(Detector[DetectorOptions]):
    """Asks for facts in the way in which detectors are asked for findings.

    So a lane can feed it, and an S3 that refuses, is slow or knows no such object is met by the
    same retries, pauses and failures as everywhere. No plugin registers it, and it makes no run of
    its own: the router takes its answers, with ``facts_of``.

    Args:
        store: Where to ask.
        head: Whether to ask for content type and metadata.
        tags: Whether to ask for tags.
        size_px: Whether to read the header.
    """

    name: ClassVar[str] = "routes"
    version: ClassVar[str] = "1"

    def __init__(self, store: ObjectStore, *, head: bool, tags: bool, size_px: bool) -> None:
        """Ask nothing yet."""
        super().__init__(DetectorOptions())
        self._store = store
        self._head = head
        self._tags = tags
        self._size_px = size_px

    @property
    def capabilities(self) -> Capabilities:
        """One image a call, several calls at once."""
        return Capabilities(
            Input.BYTES if self._size_px else Input.REFERENCE, max_concurrency=CONCURRENCY
        )

    def start(self) -> None:
        """Make the client of S3."""
        self._store.connect()

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Ask about each image."""
        return [self._ask(image) for image in images]

    def _ask(self, image: Image) -> Result:
        answer: dict[str, Json] = {}
        try:
            if self._head:
                answer["content_type"], answer["metadata"] = self._store.head(image.reference)
            if self._tags:
                answer["tags"] = self._store.tags(image.reference)
            if self._size_px:
                from retinue_sdk.decode import measure

                answer["size_px"] = measure(image.read(), self._store.limits)
        except DetectorError as error:
            return error
        return Findings(raw_response=answer)


def facts_of(record: RunRecord) -> Facts:
    """The facts out of the record that a lane makes of the answer."""
    answer: Any = record.raw_response
    size_px = answer.get("size_px")
    return Facts(
        answer.get("content_type", ""),
        answer.get("metadata", {}),
        answer.get("tags", {}),
        None if size_px is None else (size_px[0], size_px[1]),
    )
