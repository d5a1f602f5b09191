"""Export detections, or a truth, as tasks of Label Studio.

The format is that of https://labelstud.io/guide/tasks#Basic-Label-Studio-JSON-format. A truth
becomes annotations; detections become predictions.
"""

import json
from typing import Any, BinaryIO

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot

from retinue_cli.data.export.images import (
    SelectedDetection,
    SelectedImage,
    selected_images,
    without_videos,
)
from retinue_cli.data.export.outcome import Advance, Written
from retinue_cli.data.export.sizes import Sizes


def write_label_studio(
    snapshot: Snapshot,
    selection: Selection,
    file: BinaryIO,
    advance: Advance,
    *,
    side: Side | None = None,
    sizes: Sizes,
) -> Written:
    """Write one task per image. Boxes are in percent of the image.

    Raises:
        HistoryUnavailableError: The database no longer answers.
        OSError: The file can't be written.
    """
    written = Written(images=0)
    number = 0
    file.write(b"[")
    for image in without_videos(selected_images(snapshot, selection, side), written):
        advance(max(len(image.detections), 1))
        size_px = sizes.of(image)
        results = []
        for place, one in enumerate(image.detections, start=1):
            if one.box is not None and size_px is None:
                written.left_out["detection in an image of unknown size"] += 1
            else:
                results.append(_result(place, one, size_px))
        written.detections += len(results)
        written.empty += not results
        number += 1
        task = json.dumps(_task(number, image, results), ensure_ascii=False)
        file.write(f"{'' if number == 1 else ','}\n{task}".encode())
    file.write(b"\n]\n")
    written.images = number
    return written


def _task(number: int, image: SelectedImage, results: list[dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "image": image.reference.uri, "retinue_image_id": str(image.image_id)
    }  # fmt: skip
    if image.truth is None:
        return {"id": number, "data": data, "predictions": [{"result": results}]}
    data["retinue_truth"] = image.truth.sidecar(image.truth.absent)
    return {"id": number, "data": data, "annotations": [{"result": results}]}


def _result(number: int, one: SelectedDetection, size_px: tuple[int, int] | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "id": str(number),
        "from_name": "label",
        "to_name": "image",
        "score": one.confidence,
        "meta": {"kind": one.kind, "confidence": one.confidence},
    }
    if one.run_id is None:  # a detector's attributes would only be in the way
        result["meta"]["attributes"] = one.attributes
    if one.box is None or size_px is None:
        return result | {"type": "choices", "value": {"choices": [one.label]}}
    return result | {
        "type": "rectanglelabels",
        "original_width": size_px[0],
        "original_height": size_px[1],
        "image_rotation": 0,
        "value": {
            "x": one.box.left * 100,
            "y": one.box.top * 100,
            "width": one.box.width * 100,
            "height": one.box.height * 100,
            "rotation": 0,
            "rectanglelabels": [one.label],
        },
    }
