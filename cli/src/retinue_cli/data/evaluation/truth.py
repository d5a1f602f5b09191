"""Load ground truth from a file or from the history."""

from typing import Any

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import BoundingBox
from sqlalchemy import Engine

from retinue_cli.data.evaluation.sample import Box, CocoAnnotation, TrueImage, Truth, box_px
from retinue_cli.data.export.images import (
    SelectedDetection,
    SelectedImage,
    SettledTruth,
    selected_images,
)
from retinue_cli.data.ground_truth import Annotation, Annotations, Problems, match


def truth_of_file(
    engine: Engine, annotations: Annotations, problems: Problems, *, bucket: str | None = None
) -> Truth:
    """Return ground truth from a file, for the images that are in the history.

    Args:
        engine: The history; a reader's login suffices.
        annotations: The file.
        problems: Collects the file's problems, as for an import.
        bucket: Search only this bucket.

    Raises:
        HistoryUnavailableError: The database doesn't answer.
    """
    matched, unknown = match(engine, annotations, problems, bucket=bucket, skip_unknown=True)
    images = {
        one.image_id: TrueImage(
            one.image.uri or one.image.name,
            one.size_px,
            [_annotated(annotation) for annotation in one.image.annotations],
            one.image.made_by,
        )
        for one in matched
    }
    return Truth(images, annotations.labels, unknown)


def truth_of_history(snapshot: Snapshot, side: Side, selection: Selection) -> Truth:
    """Return a settled truth, or a detector's findings, as ground truth.

    Raises:
        HistoryUnavailableError: The database stopped answering.
    """
    found = list(selected_images(snapshot, selection, side))
    images = {
        image.image_id: TrueImage(
            image.reference.uri,
            image.size_px,
            [annotation_of(one, one.label, image.size_px) for one in image.detections],
            "machine",
            reference=image.reference,
        )
        if image.truth is None
        else _settled(image, image.truth)
        for image in found
    }
    labels = {item.label for image in images.values() for item in image.items}
    for image in images.values():
        labels.update(image.scope.labels or ())
    reviewed = any(one.truth is not None and one.truth.source == "review" for one in found)
    return Truth(images, frozenset(labels), reviewed=reviewed)


def _settled(image: SelectedImage, truth: SettledTruth) -> TrueImage:
    return TrueImage(
        image.reference.uri,
        image.size_px,
        [annotation_of(one, one.label, image.size_px) for one in image.detections],
        truth.made_by,
        truth.scope,
        truth.exhaustive,
        [
            _with(one.label, _stored_px(one.box, image.size_px), one.confidence, {})
            for one in truth.absent
        ],
        truth.propensity,
        image.reference,
    )


def _stored_px(box: tuple[float, ...] | None, size_px: tuple[int, int] | None) -> Box | None:
    return None if box is None or size_px is None else box_px(BoundingBox(*box), size_px)


def _annotated(annotation: Annotation) -> CocoAnnotation:
    return _with(annotation.label, annotation.bbox_px, annotation.confidence, annotation.attributes)


def annotation_of(
    detection: SelectedDetection, label: str, size_px: tuple[int, int] | None
) -> CocoAnnotation:
    """Return a detection as an item of this label."""
    bbox = None if detection.box is None or size_px is None else box_px(detection.box, size_px)
    # A detector's attributes have other meanings than COCO's.
    attributes = detection.attributes if detection.run_id is None else {}
    return _with(label, bbox, detection.confidence, attributes)


def _with(
    label: str, bbox: Box | None, confidence: float, attributes: dict[str, Any]
) -> CocoAnnotation:
    area = attributes.get("area")
    number = isinstance(area, int | float) and not isinstance(area, bool)
    return CocoAnnotation(
        label,
        bbox,
        confidence,
        crowd=attributes.get("iscrowd") in (1, True),
        area_px=area if number else None,
    )
