"""Export detections as a COCO data set."""

import json
import shutil
import tempfile
from typing import Any, BinaryIO

import numpy as np
from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_history.review.truth import TruthItem
from retinue_sdk.masks import decode_mask, encode_mask

from retinue_cli.data.body_points import LIMBS, visible_points
from retinue_cli.data.export.boxes import visible_px
from retinue_cli.data.export.categories import TEXT, Categories
from retinue_cli.data.export.images import (
    SelectedDetection,
    SelectedImage,
    selected_images,
    without_videos,
)
from retinue_cli.data.export.outcome import Advance, Written
from retinue_cli.data.export.sizes import Sizes

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_SPOOL_BYTES = 8 * 2**20
"""Maximum part of the list of images in memory. The rest goes to a temporary file."""


def write_coco(
    snapshot: Snapshot,
    selection: Selection,
    file: BinaryIO,
    advance: Advance,
    *,
    side: Side | None = None,
    categories: Categories,
    sizes: Sizes,
) -> Written:
    """Write images, annotations and categories in COCO's object detection format.

    Boxes are left, top, width and height in pixels of the image as displayed, cut at its border.
    Images without findings are included. Detections without a box, or in an image of unknown size,
    are left out and counted.

    A detector's masks become ``segmentation``, at the size of the image, and its body points
    ``keypoints``, also those that people accepted.

    Recognized texts are in the category ``text``; ``retinue_text`` has the text.

    pycocotools needs numbers as ids of images and annotations. They are valid only in the file. The
    history's ids are in ``retinue_image_id`` and ``retinue_run_id``. Of a truth, ``retinue_truth``
    has what COCO can't express, for ``retinue import``.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written(images=0)
    number = 0
    points: dict[int, tuple[str, ...]] = {}
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        # Annotations go directly into the file and images beside it: one query returns both.
        file.write(b'{"info":{"description":"exported from a Retinue history"},"annotations":[')
        for image in without_videos(selected_images(snapshot, selection, side), written):
            advance(max(len(image.detections), 1))
            size_px = sizes.of(image)
            if size_px is None:
                written.left_out["image of unknown size"] += 1
                written.left_out["detection in an image of unknown size"] += len(image.detections)
                continue
            number += 1
            spool.write(_line(_image(number, image, size_px), first=number == 1))
            before = written.detections
            for detection in image.detections:
                if detection.box is None:
                    written.left_out["detection without a box"] += image.truth is None
                    continue
                bbox = visible_px(detection.box, size_px)
                if bbox is None:
                    written.left_out["detection whose box is outside the image"] += 1
                    continue
                written.detections += 1
                category = categories.number(detection.kind, detection.label)
                entry = _annotation(written.detections, number, category, detection, bbox)
                entry |= _segmentation(detection, size_px)
                entry |= _keypoints(detection, size_px, points, category)
                file.write(_line(entry, first=written.detections == 1))
            written.empty += written.detections == before
        file.write(b'\n],"images":[')
        spool.seek(0)
        shutil.copyfileobj(spool, file)
    file.write(b'\n],"categories":[')
    for place, one in enumerate(categories):
        named = {"id": one.number, "name": one.name, "supercategory": one.group}
        skeleton = _skeleton(points[one.number]) if one.number in points else {}
        file.write(_line(named | skeleton, first=place == 0))
    file.write(b"\n]}\n")
    written.images = number
    return written


def _line(entry: dict[str, Any], *, first: bool) -> bytes:
    return f"{'' if first else ','}\n{_JSON.encode(entry)}".encode()


def _image(number: int, image: SelectedImage, size_px: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": image.reference.key,
        "width": size_px[0],
        "height": size_px[1],
        "coco_url": image.reference.uri,
        "retinue_image_id": str(image.image_id),
        **({} if image.truth is None else {"retinue_truth": image.truth.sidecar(_others(image))}),
    }


def _others(image: SelectedImage) -> list[TruthItem]:
    """Return the things of a truth that are not there, and those that have no box."""
    whole = [
        TruthItem(one.kind, one.label, None, True, one.confidence, one.attributes)
        for one in image.detections
        if one.box is None
    ]
    return [*whole, *(image.truth.absent if image.truth is not None else ())]


def _segmentation(detection: SelectedDetection, size_px: tuple[int, int]) -> dict[str, Any]:
    """Return the mask that a detector found, and its area in pixels."""
    stored = detection.attributes.get("mask")
    if not isinstance(stored, dict):
        return {}
    # Imported here, because few exports have masks.
    from PIL import Image

    try:
        mask = decode_mask(stored)
    except ValueError:
        return {}
    if not mask.size:
        return {}
    resized = Image.fromarray(mask).resize(size_px)
    return {
        "segmentation": encode_mask(np.asarray(resized)),
        "area": resized.convert("L").histogram()[255],
    }


def _keypoints(
    detection: SelectedDetection,
    size_px: tuple[int, int],
    points: dict[int, tuple[str, ...]],
    category: int,
) -> dict[str, Any]:
    """Return the body points that a detector found, in pixels.

    Args:
        detection: The finding.
        size_px: Width and height of its image.
        points: The names of each category's points, in order: those of its first finding.
        category: The finding's category.
    """
    stored = detection.attributes.get("keypoints")
    if not isinstance(stored, list):
        return {}
    names = tuple(str(one.get("type")) for one in stored if isinstance(one, dict))
    if not names or len(set(names)) < len(stored) or points.setdefault(category, names) != names:
        return {}
    visible = visible_points(stored)
    flat: list[float] = []
    for name in names:
        x, y = visible.get(name, (0.0, 0.0))
        shown = 2 if name in visible else 0
        flat += [round(x * size_px[0], 3), round(y * size_px[1], 3), shown]
    return {"keypoints": flat, "num_keypoints": len(visible)}


def _skeleton(names: tuple[str, ...]) -> dict[str, Any]:
    limbs = [
        [names.index(first) + 1, names.index(second) + 1]
        for first, second in LIMBS
        if first in names and second in names
    ]
    return {"keypoints": names, "skeleton": limbs}


def _is_shape(name: str, value: Any) -> bool:
    """Return whether an attribute is a mask or body points as detectors return them."""
    if name == "keypoints":
        return isinstance(value, list) and any(isinstance(one, dict) for one in value)
    return name == "mask" and isinstance(value, dict)


def _annotation(
    number: int, image: int, category: int, detection: SelectedDetection, bbox: list[float]
) -> dict[str, Any]:
    # Attributes from a COCO file are exported unchanged; a detector's have other meanings.
    kept = {
        name: value
        for name, value in detection.attributes.items()
        if detection.run_id is None
        and name != "id"
        and not name.startswith("retinue_")
        and not _is_shape(name, value)
    }
    origin: dict[str, Any] = {
        "retinue_run_id": detection.run_id, "retinue_detector": detection.detector
    }  # fmt: skip
    if detection.run_id is None:
        origin = {} if detection.kind == "label" else {"retinue_kind": detection.kind}
    if detection.kind == TEXT:
        origin["retinue_text"] = detection.label
    return {
        "area": round(bbox[2] * bbox[3], 3),
        "iscrowd": 0,
        **kept,
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": bbox,
        "score": detection.confidence,
        **origin,
    }
