"""Read manifests of SageMaker Ground Truth and Custom Labels, with one image per line.

The forms and their required fields are those of
https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/md-create-manifest-file.html
"""

import json
from typing import Any

from retinue_sdk.detection import MAX_LABEL_BYTES

from retinue_cli.data.ground_truth.annotation import (
    AnnotatedImage,
    Annotation,
    inside,
    is_side,
    is_text,
)
from retinue_cli.data.ground_truth.problems import Problems

BOXES = "groundtruth/object-detection"
LABEL = "groundtruth/image-classification"
LABELS = "groundtruth/image-classification-multilabel"

PASSED_OVER = frozenset({"groundtruth/label-verification"})
"""A reviewer's verdict on another attribute, which isn't an annotation of the image."""

_METADATA = "-metadata"


def is_manifest(data: bytes) -> bool:
    """Return whether the first non-empty line is an object with a ``source-ref`` or metadata."""
    first = data.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")[0]
    try:
        entry = json.loads(first)
    except (ValueError, RecursionError):
        return False
    if not isinstance(entry, dict):
        return False
    return "source-ref" in entry or any(name.endswith(_METADATA) for name in entry)


def read_manifest(data: bytes, problems: Problems) -> tuple[list[AnnotatedImage], frozenset[str]]:
    """Return the images of a manifest, and all its labels.

    Invalid lines are added to ``problems``, with the line's number.
    """
    images: list[AnnotatedImage] = []
    labels: set[str] = set()
    for number, line in enumerate(data.lstrip(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            problems.add("line that isn't a JSON object", number)
            continue
        before = problems.total
        image = _image(entry, number, problems)
        images.append(image)
        _annotate(image, entry, number, labels, problems)
        image.is_complete = problems.total == before
    return images, frozenset(labels)


def _image(entry: dict[str, Any], number: int, problems: Problems) -> AnnotatedImage:
    uri = entry.get("source-ref")
    if isinstance(uri, str) and is_text(uri) and uri.startswith("s3://"):
        key = uri.removeprefix("s3://").partition("/")[2]
        if key:
            return AnnotatedImage(key, None, uri, None)
    problems.add("line whose source-ref isn't s3://bucket/key", number)
    return AnnotatedImage("", None, None, None)


def _annotate(
    image: AnnotatedImage,
    entry: dict[str, Any],
    number: int,
    labels: set[str],
    problems: Problems,
) -> None:
    """Read every label attribute of a line. Each has metadata beside it."""
    known = False
    for value, metadata in _attributes(entry):
        known = True
        if metadata.get("human-annotated", "yes") == "no":
            image.made_by = "machine"
        match metadata.get("type"):
            case str(kind) if kind in PASSED_OVER:
                continue
            case str(kind) if kind == BOXES:
                _boxes(image, value, metadata, number, labels, problems)
            case str(kind) if kind == LABEL:
                label = _label(metadata.get("class-name"), number, labels, problems)
                _add(image, number, label, metadata.get("confidence"), None, problems)
            case str(kind) if kind == LABELS:
                _several(image, value, metadata, number, labels, problems)
            case other:
                problems.add("line whose annotations are of no known type", f"{number}: {other}")
    if not known:
        problems.add("line without annotations and their metadata", number)


def _attributes(entry: dict[str, Any]) -> list[tuple[object, dict[str, Any]]]:
    """Return label attributes with their metadata. Adjusted boxes replace earlier ones."""
    found: list[tuple[object, dict[str, Any]]] = []
    for name, metadata in entry.items():
        value = entry.get(name.removesuffix(_METADATA))
        if not name.endswith(_METADATA) or not isinstance(metadata, dict) or value is None:
            continue
        if metadata.get("type") == BOXES and "adjustment-status" in metadata:
            found = [one for one in found if one[1].get("type") != BOXES]
        found.append((value, metadata))
    return found


def _label(name: object, where: object, labels: set[str], problems: Problems) -> str | None:
    if not is_text(name) or len(str(name).encode()) > MAX_LABEL_BYTES:
        problems.add(f"class whose name isn't a text of 1 to {MAX_LABEL_BYTES:,} bytes", where)
        return None
    labels.add(str(name))
    return str(name)


def _class_map(
    metadata: dict[str, Any], number: int, labels: set[str], problems: Problems
) -> dict[str, str]:
    given = metadata.get("class-map")
    if not isinstance(given, dict):
        problems.add("line without a class-map", number)
        return {}
    named = ((key, _label(name, number, labels, problems)) for key, name in given.items())
    return {key: name for key, name in named if name is not None}


def _several(
    image: AnnotatedImage,
    value: object,
    metadata: dict[str, Any],
    number: int,
    labels: set[str],
    problems: Problems,
) -> None:
    names = _class_map(metadata, number, labels, problems)
    confidences = metadata.get("confidence-map")
    for one in value if isinstance(value, list) else []:
        if str(one) not in names:
            problems.add("class that the class-map does not have", f"line {number}: {one}")
            continue
        sure = confidences.get(str(one)) if isinstance(confidences, dict) else None
        _add(image, number, names[str(one)], sure, None, problems)


def _boxes(
    image: AnnotatedImage,
    value: object,
    metadata: dict[str, Any],
    number: int,
    labels: set[str],
    problems: Problems,
) -> None:
    try:
        [size] = value["image_size"]  # type: ignore[index]
        width, height = size["width"], size["height"]
        given = list(value["annotations"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        problems.add("line whose boxes lack image_size or annotations", number)
        return
    if not is_side(width) or not is_side(height):
        problems.add("image whose width or height isn't a positive integer", f"line {number}")
        return
    image.size_px = width, height
    none = not given and "class-map" not in metadata  # a background image needs no names
    names = {} if none else _class_map(metadata, number, labels, problems)
    objects = metadata.get("objects")
    for place, one in enumerate(given):
        where = f"line {number}, box {place + 1}"
        try:
            left, top, wide, high = (
                float(one[side]) for side in ("left", "top", "width", "height")
            )
            name = names.get(str(one["class_id"]))
        except (TypeError, KeyError, ValueError, OverflowError):
            problems.add("box without class_id, left, top, width and height", where)
            continue
        if name is None:
            problems.add("class that the class-map does not have", f"{where}: {one['class_id']}")
            continue
        if not (wide >= 0 and high >= 0 and inside((left, top, wide, high), (width, height))):
            problems.add("box outside its image", f"{where}: {[left, top, wide, high]}")
            continue
        sure = None
        if isinstance(objects, list) and place < len(objects) and isinstance(objects[place], dict):
            sure = objects[place].get("confidence")
        _add(image, where, name, sure, (left, top, wide, high), problems)


def _add(
    image: AnnotatedImage,
    where: object,
    label: str | None,
    confidence: object,
    bbox_px: tuple[float, float, float, float] | None,
    problems: Problems,
) -> None:
    if label is None:
        return
    if confidence is None:
        confidence = 1.0
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        confidence = -1.0
    if not 0 <= confidence <= 1:
        problems.add("confidence that is not 0 to 1", where)
        return
    image.annotations.append(Annotation(where, label, float(confidence), bbox_px, {}))
