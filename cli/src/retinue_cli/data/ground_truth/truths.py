"""Turn matched images into truths."""

import json
from collections.abc import Iterator, Sequence

from retinue_history.recording.records import Box
from retinue_history.review.truth import ImportedTruth, Scope, TruthItem
from retinue_sdk.json_value import encode_json

from retinue_cli.data.ground_truth.match import Matched

BATCH = 500
"""Number of truths in one batch for the database."""


def make_truths(
    matched: Sequence[Matched], labels: frozenset[str], *, exhaustive: bool = True
) -> Iterator[list[ImportedTruth]]:
    """Yield one truth per image in batches, including images without annotations.

    Args:
        matched: The images of the file.
        labels: The labels that the file was annotated with: its scope, unless an image has another.
        exhaustive: Whether everything with these labels is annotated.
    """
    scope = Scope(None, tuple(sorted(labels)))
    for start in range(0, len(matched), BATCH):
        yield [
            ImportedTruth(
                one.image_id,
                (*_items(one), *one.image.others),
                one.image.scope or scope,
                exhaustive and one.image.exhaustive,
                one.image.made_by,
                one.size_px,
            )
            for one in matched[start : start + BATCH]
        ]


def _items(matched: Matched) -> Iterator[TruthItem]:
    for annotation in matched.image.annotations:
        yield TruthItem(
            annotation.kind,
            annotation.label,
            _box(annotation.bbox_px, matched.size_px),
            confidence=annotation.confidence,
            attributes=json.loads(encode_json(annotation.attributes)),
        )


def _box(
    bbox_px: tuple[float, float, float, float] | None, size_px: tuple[int, int] | None
) -> Box | None:
    """Return the box as ratios of the image. Images with boxes have a known size."""
    if bbox_px is None or size_px is None:
        return None
    left, top, width, height = bbox_px
    return left / size_px[0], top / size_px[1], width / size_px[0], height / size_px[1]
