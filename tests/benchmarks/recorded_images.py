"""Images with answers like Rekognition's, to be recorded by a benchmark."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from retinue_history import Charge, DetectionRecord, ImageRecord, RunKey, RunRecord
from retinue_rekognition import convert
from retinue_sdk import ImageReference
from retinue_sdk.json_value import encode_json

Batch = tuple[list[ImageRecord], list[RunRecord]]

LABELS = 10
"""Labels an answer. Two of them have a place in the image, so there are twelve detections."""

_VOCABULARY = 300
_PLACED = 2
_PRICE = Decimal("0.001")


def batch(size: int, numbers: random.Random) -> Batch:
    """Return that many new images of one upload, each with the run of a detector."""
    now = datetime.now(UTC)
    images = []
    for _ in range(size):
        key = f"2026/11/{numbers.randbytes(8).hex()}.jpg"
        version = numbers.randbytes(16).hex()
        images.append(
            ImageRecord(
                ImageReference(bucket="photos", key=key, version_id=version).image_id,
                "photos",
                key,
                version,
                True,
                now,
                sequencer=f"{numbers.getrandbits(64):016X}",
                etag=numbers.randbytes(16).hex(),
                size_bytes=numbers.randrange(10_000, 5_000_000),
            )
        )
    return images, [_run(image, now, numbers) for image in images]


def _run(image: ImageRecord, now: datetime, numbers: random.Random) -> RunRecord:
    findings = convert.labels(_answer(numbers))
    return RunRecord(
        RunKey(image.image_id, "rekognition-labels", "1", "0123456789abcdef0123456789abcdef"),
        image.sequencer or "",
        "succeeded",
        False,
        now,
        212.5,
        model_version=findings.model_version,
        billed_units=Decimal(1),
        price_usd=_PRICE,
        raw_response=encode_json(findings.raw_response),
        detections=tuple(
            DetectionRecord(
                found.kind,
                found.label,
                found.confidence,
                found.box and (found.box.left, found.box.top, found.box.width, found.box.height),
                encode_json(found.attributes),
            )
            for found in findings.detections
        ),
        charges=(Charge("rekognition:eu-west-1:group-2", Decimal(1), _PRICE),),
    )


def _answer(numbers: random.Random) -> dict[str, Any]:
    """Return an answer of DetectLabels. Few labels are frequent and many are rare (Zipf)."""
    chosen = dict.fromkeys(numbers.choices(range(_VOCABULARY), _weights(), k=3 * LABELS))
    wanted = [*chosen, *(n for n in range(_VOCABULARY) if n not in chosen)][:LABELS]
    return {
        "LabelModelVersion": "3.0",
        "Labels": [
            {
                **_label(number),
                "Confidence": round(numbers.uniform(55, 100), 5),
                "Instances": [_instance(numbers)] if place < _PLACED else [],
            }
            for place, number in enumerate(wanted)
        ],
    }


def _instance(numbers: random.Random) -> dict[str, Any]:
    edges = ("Left", "Top", "Width", "Height")
    return {
        "BoundingBox": {edge: round(numbers.uniform(0.05, 0.45), 10) for edge in edges},
        "Confidence": round(numbers.uniform(55, 100), 5),
    }


@cache
def _weights() -> list[float]:
    return [1 / (number + 1) for number in range(_VOCABULARY)]


@cache
def _label(number: int) -> Mapping[str, Any]:
    """Return what is the same in every answer that has this label."""
    return {
        "Name": f"Label {number:03}",
        "Parents": [{"Name": f"Parent {number % 40:02}"}, {"Name": f"Grandparent {number % 8}"}],
        "Aliases": [{"Name": f"Alias {number:03}"}],
        "Categories": [{"Name": f"Category {number % 20:02}"}],
    }
