"""Matched images as runs."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from retinue_history import DetectionRecord, RunKey, RunRecord

from retinue_workers.ground_truth.match import Matched

BATCH = 500
"""Runs that are sent to the database at once."""

KIND = "label"


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
                final=True,
                started_at=imported_at,
                duration_ms=0.0,
                detections=tuple(_detections(one)),
            )
            for one in matched[start : start + BATCH]
        ]


def _detections(matched: Matched) -> Iterator[DetectionRecord]:
    if matched.size_px is None:  # then there are no annotations: they would need one
        return
    image_width, image_height = matched.size_px
    for annotation in matched.image.annotations:
        left, top, width, height = annotation.bbox_px
        yield DetectionRecord(
            kind=KIND,
            label=annotation.label,
            confidence=annotation.confidence,
            box=(
                left / image_width,
                top / image_height,
                width / image_width,
                height / image_height,
            ),
            attributes=annotation.attributes,
        )
