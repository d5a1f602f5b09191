"""Detectors whose answers can't be stored unchanged."""

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from retinue_sdk import BoundingBox, Detection, Findings, Image, InvalidImageError, Result

from retinue_hostile.echo import Hostile, HostileOptions, found

UNSTORABLE = "nul \0, surrogate \ud800"
"""Text that neither PostgreSQL nor UTF-8 can store."""


class NanOptions(HostileOptions):
    """The place of NaN."""

    where: Literal["attributes", "raw_response", "confidence", "box", "billed_units"] = "attributes"
    """The value types refuse NaN in all but the first two. The detector bypasses them."""


class UnicodeOptions(HostileOptions):
    """The place of text that can't be stored."""

    where: Literal["attributes", "raw_response", "label", "model_version", "error"] = "attributes"
    """``Detection`` refuses this label; the detector bypasses it. An error has it in its text and
    its code.
    """


class ManyOptions(HostileOptions):
    """The number of detections."""

    labels: Annotated[int, Field(ge=0)] = 10_000
    """Detections per image."""


class HugeResponseOptions(HostileOptions):
    """The size of the response."""

    response_bytes: Annotated[int, Field(ge=0)] = 32 * 2**20
    """Size of the raw response per image, in bytes."""


class WrongLengthOptions(HostileOptions):
    """The difference in the number of results."""

    surplus: int = -1
    """How many results more than images are returned; negative for fewer."""


class WrongTypeOptions(HostileOptions):
    """The type of the result."""

    result: Literal["none", "dict", "nothing", "generator", "detections", "exception"] = "dict"
    """For each image None, a dict, a Findings of dicts (detections), or an exception other than
    DetectorError. Or None or a generator instead of all results.
    """


class Nan(Hostile[NanOptions]):
    """Returns NaN."""

    name: ClassVar[str] = "hostile-nan"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return NaN."""
        return [self._answer(found(image)) for image in images]

    def _answer(self, findings: Findings) -> Findings:
        detection = findings.detections[0]
        match self.options.where:
            case "attributes":
                nan: dict[str, Any] = {"sharpness": math.nan, "pose": [math.inf, -math.inf]}
                return replace(findings, detections=(replace(detection, attributes=nan),))
            case "raw_response":
                return replace(findings, raw_response={"Confidence": math.nan, "Infinity": [1e999]})
            case "confidence":
                object.__setattr__(detection, "confidence", math.nan)
            case "box":
                object.__setattr__(detection.box, "left", math.nan)
            case "billed_units":
                object.__setattr__(findings, "billed_units", Decimal("NaN"))
        return findings


class Unicode(Hostile[UnicodeOptions]):
    """Returns NUL and unpaired surrogates."""

    name: ClassVar[str] = "hostile-unicode"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return NUL and an unpaired surrogate."""
        return [self._answer(found(image)) for image in images]

    def _answer(self, findings: Findings) -> Result:
        detection = findings.detections[0]
        bad: dict[str, Any] = {"text": UNSTORABLE, UNSTORABLE: [UNSTORABLE, {"": "\0"}]}
        match self.options.where:
            case "attributes":
                return replace(findings, detections=(replace(detection, attributes=bad),))
            case "raw_response":
                return replace(findings, raw_response=bad)
            case "model_version":
                return replace(findings, model_version=UNSTORABLE)
            case "error":
                return InvalidImageError(UNSTORABLE, code=UNSTORABLE)
            case "label":
                object.__setattr__(detection, "label", UNSTORABLE)
        return findings


class Many(Hostile[ManyOptions]):
    """Returns ten thousand labels for each image."""

    name: ClassVar[str] = "hostile-many"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return thousands of labels for each image."""
        number = self.options.labels
        labels = tuple(
            Detection("label", f"thing {index}", (index + 1) / number) for index in range(number)
        )
        return [Findings(labels) for _ in images]


class HugeResponse(Hostile[HugeResponseOptions]):
    """Returns tens of megabytes."""

    name: ClassVar[str] = "hostile-huge-response"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return tens of megabytes with each image."""
        response = {"Padding": "x" * self.options.response_bytes}
        return [replace(found(image), raw_response=response) for image in images]


class OutsideBoxes(Hostile[HostileOptions]):
    """Returns boxes outside the image, which is allowed."""

    name: ClassVar[str] = "hostile-outside-boxes"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return boxes across the borders, beyond them, and without area."""
        boxes = [
            BoundingBox(-0.1, -0.2, 0.5, 0.5),
            BoundingBox(0.9, 0.9, 1e6, 1e6),
            BoundingBox(-3, 5, 1, 1),
            BoundingBox(0.5, 0.5, 0, 0),
        ]
        outside = tuple(Detection("label", "Elsewhere", 0.5, box) for box in boxes)
        return [Findings(outside) for _ in images]


class WrongLength(Hostile[WrongLengthOptions]):
    """Returns too few or too many results."""

    name: ClassVar[str] = "hostile-wrong-length"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return another number of results."""
        number = max(len(images) + self.options.surplus, 0)
        return [found(images[index % len(images)]) for index in range(number)]


class WrongType(Hostile[WrongTypeOptions]):
    """Returns a value of the wrong type."""

    name: ClassVar[str] = "hostile-wrong-type"

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Return a value of another type."""
        number = len(images)
        wrong: dict[str, Any] = {
            "none": [None] * number,
            "dict": [{"label": "Dog", "confidence": 0.9}] * number,
            "detections": [Findings(cast(Any, [{"label": "Dog"}, None, "Dog"]))] * number,
            "exception": [RuntimeError("hostile: returned, not raised")] * number,
            "generator": (found(image) for image in images),
            "nothing": None,
        }
        return cast(Sequence[Result], wrong[self.options.result])
