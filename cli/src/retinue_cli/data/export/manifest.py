"""Export detections as a manifest for training Amazon Rekognition Custom Labels.

The formats are those of SageMaker Ground Truth's output, one JSON object and line per image:
https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file.html
"""

import json
from enum import StrEnum
from typing import Any, BinaryIO

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot

from retinue_cli.data.export.categories import Categories
from retinue_cli.data.export.images import SelectedImage, selected_images, without_videos
from retinue_cli.data.export.outcome import Advance, Written
from retinue_cli.data.export.sizes import Sizes

JOB_NAME = "retinue-export"


class AnnotationType(StrEnum):
    """The kind of annotations in a manifest."""

    BOXES = "boxes"
    """Boxes of things (object localization)."""

    LABELS = "labels"
    """Labels of whole images (image-level labels)."""


def write_manifest(
    snapshot: Snapshot,
    selection: Selection,
    file: BinaryIO,
    advance: Advance,
    *,
    side: Side | None = None,
    categories: Categories,
    sizes: Sizes,
    annotation_type: AnnotationType,
) -> Written:
    """Write one line per image, in one of the two forms.

    ``human-annotated`` is yes only for a truth that people made. A truth that does not mark
    everything is left out and counted, because unmarked things would be learned as background. With
    boxes, an image without findings is a background image, which Custom Labels accepts. Without
    boxes, it has no information, so it is left out and counted.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written(images=0)
    images = 0
    for image in without_videos(selected_images(snapshot, selection, side), written):
        advance(max(len(image.detections), 1))
        if image.truth is not None and not image.truth.exhaustive:
            written.left_out["image in which not everything is marked"] += 1
            continue
        if annotation_type is AnnotationType.BOXES:
            line = _boxes(image, categories, sizes, written)
        else:
            line = _labels(image, written)
        if line is not None:
            images += 1
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    written.images = images
    return written


def _boxes(
    image: SelectedImage, categories: Categories, sizes: Sizes, written: Written
) -> dict[str, Any] | None:
    size_px = sizes.of(image)
    if size_px is None:
        written.left_out["image of unknown size"] += 1
        written.left_out["detection in an image of unknown size"] += len(image.detections)
        return None
    width, height = size_px
    annotations, objects, class_map = [], [], {}
    for detection in image.detections:
        if detection.box is None:
            written.left_out["detection without a box"] += 1
            continue
        # Custom Labels needs whole pixels inside the image.
        visible = detection.box.clipped()
        left, top = round(visible.left * width), round(visible.top * height)
        right, bottom = round(visible.right * width), round(visible.bottom * height)
        if right <= left or bottom <= top:
            written.left_out["detection whose box is outside the image"] += 1
            continue
        number = categories.number(detection.kind, detection.label)
        class_map[str(number)] = categories.name(detection.kind, detection.label)
        objects.append({"confidence": detection.confidence})
        annotations.append(
            {
                "class_id": number,
                "left": left,
                "top": top,
                "width": right - left,
                "height": bottom - top,
            }
        )
    written.detections += len(annotations)
    written.empty += not annotations
    return {
        "source-ref": image.reference.uri,
        "bounding-box": {
            "image_size": [{"width": width, "height": height, "depth": 3}],
            "annotations": annotations,
        },
        "bounding-box-metadata": {
            "objects": objects,
            "class-map": class_map,
            "type": "groundtruth/object-detection",
            **_origin(image),
        },
    }


def _labels(image: SelectedImage, written: Written) -> dict[str, Any] | None:
    """Return each label once, with the confidence of its most confident detection."""
    surest: dict[str, float] = {}
    for detection in image.detections:
        surest[detection.label] = max(surest.get(detection.label, 0.0), detection.confidence)
    if not surest:
        written.left_out["image without a label"] += 1
        return None
    written.detections += len(image.detections)
    line: dict[str, Any] = {"source-ref": image.reference.uri}
    for place, (label, confidence) in enumerate(sorted(surest.items()), start=1):
        # Numbered, because a label can have any length and any character.
        line[f"label-{place}"] = 1
        line[f"label-{place}-metadata"] = {
            "confidence": confidence,
            "class-name": label,
            "type": "groundtruth/image-classification",
            **_origin(image),
        }
    return line


def _origin(image: SelectedImage) -> dict[str, str]:
    return {
        "human-annotated": "yes" if image.is_human else "no",
        "creation-date": image.looked_at.strftime("%Y-%m-%dT%H:%M:%S"),
        "job-name": JOB_NAME,
    }
