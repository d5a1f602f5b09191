"""Read an export of Label Studio: a list of tasks, each with people's annotations.

The format is that of https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks
"""

from typing import Any

from retinue_sdk.detection import MAX_LABEL_BYTES

from retinue_cli.data.ground_truth.annotation import AnnotatedImage, Annotation, is_side, is_text
from retinue_cli.data.ground_truth.problems import Problems
from retinue_cli.data.ground_truth.sidecar import read_sidecar


def is_label_studio(content: Any) -> bool:
    """Return whether parsed JSON is a list of tasks."""
    return isinstance(content, list) and all(
        isinstance(task, dict) and "annotations" in task and "data" in task for task in content
    )


def read_label_studio(
    content: list[dict[str, Any]], problems: Problems
) -> tuple[list[AnnotatedImage], frozenset[str]]:
    """Return the annotated tasks, and the labels that they use.

    Of several annotations of a task, the last one counts that was not cancelled. Tasks without one
    are left out.
    """
    images: list[AnnotatedImage] = []
    for place, task in enumerate(content, start=1):
        number = task.get("id", place)
        done = [
            one
            for one in task["annotations"] or ()
            if isinstance(one, dict) and not one.get("was_cancelled")
        ]
        if done:
            before = problems.total
            images.append(_image(task, number, done[-1], problems))
            images[-1].is_complete = problems.total == before
    labels = {one.label for image in images for one in image.annotations}
    for image in images:
        labels.update(image.scope.labels or () if image.scope is not None else ())
    return images, frozenset(labels)


def _image(
    task: dict[str, Any], number: object, annotation: dict[str, Any], problems: Problems
) -> AnnotatedImage:
    data = task["data"] if isinstance(task["data"], dict) else {}
    uri = data.get("image")
    if not is_text(uri):
        problems.add("task without data.image", number)
        return AnnotatedImage("", None, None, None)
    uri = str(uri)
    image = AnnotatedImage(
        uri.removeprefix("s3://").partition("/")[2] if uri.startswith("s3://") else uri,
        None,
        uri if uri.startswith("s3://") else None,
        None,
    )
    read_sidecar(image, data.get("retinue_truth"), number, problems)
    for one in annotation.get("result") or ():
        try:
            _add(image, one, number, problems)
        except (AttributeError, KeyError, TypeError, ValueError):
            problems.add("result that can't be read", number)
    return image


def _add(image: AnnotatedImage, one: dict[str, Any], number: object, problems: Problems) -> None:
    kind, value = one["type"], one["value"]
    if kind == "choices":
        names, bbox = value["choices"], None
    elif kind == "rectanglelabels":
        names, size = value["rectanglelabels"], (one["original_width"], one["original_height"])
        if not (is_side(size[0]) and is_side(size[1])):
            problems.add("image whose width or height isn't a positive integer", number)
            return
        if image.size_px not in (None, size):
            problems.add("task with several sizes", number)
        if value.get("rotation"):
            problems.add("rotated box", number)
        image.size_px = size
        wide, high = size[0] / 100, size[1] / 100
        bbox = (
            float(value["x"]) * wide,
            float(value["y"]) * high,
            float(value["width"]) * wide,
            float(value["height"]) * high,
        )
        if not (bbox[2] >= 0 and bbox[3] >= 0):
            problems.add("box without x, y, width and height", number)
            return
    else:
        problems.add("result of another type than rectanglelabels or choices", f"{number}: {kind}")
        return
    meta = one.get("meta") or {}
    for name in names:
        if not is_text(name) or len(name.encode()) > MAX_LABEL_BYTES:
            problems.add(f"label that isn't a text of 1 to {MAX_LABEL_BYTES:,} bytes", number)
            continue
        image.annotations.append(
            Annotation(
                number,
                name,
                float(meta.get("confidence", 1.0)),
                bbox,
                dict(meta.get("attributes") or {}),
                str(meta.get("kind", "label")),
            )
        )
