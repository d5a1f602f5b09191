"""A plugin for version 0.1 of the SDK, never to be changed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr
from retinue_sdk import (
    BoundingBox,
    Capabilities,
    ConfigurationError,
    Detection,
    Detector,
    DetectorError,
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

told: list[str] = []


class FrozenOptions(DetectorOptions):
    """Every form of option that 0.1 knew."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least confidence, 0 to 1."""
    key: SecretStr = SecretStr("")
    """A secret."""
    max_batch_size: Annotated[int, Field(ge=1, le=64), Operational()] = 4
    """Most images in one call."""


class Frozen(Detector[FrozenOptions]):
    """Uses every word of the SDK of 0.1, positional arguments and all."""

    name: ClassVar[str] = "frozen"
    version: ClassVar[str] = "1"

    @property
    def capabilities(self) -> Capabilities:
        """All that 0.1 could declare."""
        return Capabilities(
            input=Input.BYTES,
            max_batch_size=self.options.max_batch_size,
            max_concurrency=1,
            requests_per_second=None,
            usd_per_unit=Decimal("0.001"),
        )

    def model_fingerprint(self) -> str:
        """Of no file."""
        return "weights"

    def start(self) -> None:
        """Refuse what cannot work."""
        if self.options.key.get_secret_value() == "wrong":
            raise ConfigurationError("option key: it is wrong; give another")

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Answer by the words in the file."""
        return [self._answer(image) for image in images]

    def _answer(self, image: Image) -> Result:
        try:
            words = image.read().decode("latin-1")
        except DetectorError as error:
            return error
        if "busy" in words:
            return RetriableError("busy", retry_after_seconds=0.01)
        if "away" in words:
            return DetectorNotReadyError("away", retry_after_seconds=0.01)
        if "broken" in words:
            return InvalidImageError("broken", code="frozen_broken")
        box = BoundingBox(0.1, 0.2, 0.3, 0.4)
        edges = BoundingBox.from_edges(1, 2, 3, 4, width=10, height=10)
        return Findings(
            detections=(
                Detection("word", words, 0.75, box, {"edges": edges.left}),
                Detection("word", words, 1.0),
            ),
            raw_response={"words": words, "key": image.reference.key},
            model_version="frozen-1",
            billed_units=Decimal(1),
        )


@hookimpl
def retinue_register_detectors(register):  # type: ignore[no-untyped-def]
    """With the argument of 0.1."""
    register(Frozen)


@hookimpl
def retinue_run_finished():  # type: ignore[no-untyped-def]
    """With fewer arguments than there are."""
    told.append("a run")


class Observer:
    """Another observer, with the argument of 0.1."""

    @hookimpl
    def retinue_run_finished(self, run: Run) -> None:
        """Keep what 0.1 told."""
        told.append(f"{run.detector} {run.succeeded} {len(run.detections)} {run.price_usd}")
