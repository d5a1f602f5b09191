"""Matched images as runs."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from retinue_history import DetectionRecord, RunKey, RunRecord
from retinue_sdk.json_value import encode_json

from retinue_cli.data.ground_truth.match import Matched

BATCH = 500
"""Runs that are sent to the database at once."""

KIND = "label"

BY_PEOPLE = "human_annotated"
"""Attribute of an imported detection that no person made: it is false then."""


def make_runs(
    matched: Sequence[Matched],
    *,
    detector: str,
    version: str,
    fingerprint: str,
    imported_at: datetime,
) -> Iterator[list[RunRecord]]:
    """One successful run an image, in batches; an image without annotations has one too.

    The run key holds the digest of the file, so a file that was imported before adds nothing, and
    one that was corrected adds runs that are newer.
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
    """As ratios of the image; its size is known where there is a box, or the file was refused."""
    if bbox_px is None or size_px is None:
        return None
    left, top, width, height = bbox_px
    return left / size_px[0], top / size_px[1], width / size_px[0], height / size_px[1]
