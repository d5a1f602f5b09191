"""Turn matched images into runs."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from retinue_history import DetectionRecord, RunKey, RunRecord
from retinue_sdk.json_value import encode_json

from retinue_cli.data.ground_truth.match import Matched

BATCH = 500
"""Number of runs in one batch for the database."""

KIND = "label"

BY_PEOPLE = "human_annotated"
"""Attribute of an imported detection that isn't from a person. Its value is false."""


def make_runs(
    matched: Sequence[Matched],
    *,
    detector: str,
    version: str,
    fingerprint: str,
    imported_at: datetime,
) -> Iterator[list[RunRecord]]:
    """Yield one successful run per image in batches, including images without annotations.

    The run key contains the file's digest. Importing a file again adds nothing, and a corrected
    file adds newer runs.
    """
    for start in range(0, len(matched), BATCH):
        yield [
            RunRecord(
                RunKey(one.image_id, detector, version, fingerprint),
                event_id=f"import:{fingerprint}",
                outcome="succeeded",
                retryable=False,
                started_at=imported_at,
                duration_ms=0.0,
                detections=tuple(_detections(one)),
            )
            for one in matched[start : start + BATCH]
        ]


def _detections(matched: Matched) -> Iterator[DetectionRecord]:
    for annotation in matched.image.annotations:
        yield DetectionRecord(
            kind=KIND,
            label=annotation.label,
            confidence=annotation.confidence,
            box=_box(annotation.bbox_px, matched.size_px),
            attributes=encode_json(
                annotation.attributes
                if matched.image.human
                else {**annotation.attributes, BY_PEOPLE: False}
            ),
        )


def _box(
    bbox_px: tuple[float, float, float, float] | None, size_px: tuple[int, int] | None
) -> tuple[float, float, float, float] | None:
    """Return the box as ratios of the image. Images with boxes have a known size."""
    if bbox_px is None or size_px is None:
        return None
    left, top, width, height = bbox_px
    return left / size_px[0], top / size_px[1], width / size_px[0], height / size_px[1]
