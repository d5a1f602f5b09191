"""Read and check a file of annotations: COCO, or a manifest."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from retinue_sdk.detection import MAX_LABEL_BYTES

from retinue_cli.data.ground_truth.annotation import (
    AnnotatedImage,
    Annotation,
    inside,
    is_side,
    is_text,
)
from retinue_cli.data.ground_truth.label_studio import is_label_studio, read_label_studio
from retinue_cli.data.ground_truth.manifest import is_manifest, read_manifest
from retinue_cli.data.ground_truth.problems import Problems
from retinue_cli.data.ground_truth.sidecar import read_sidecar

_SAID_ELSEWHERE = {"image_id", "category_id", "bbox", "score"}
"""Fields that become columns. An annotation's other fields become attributes."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """A whole file.

    Attributes:
        images: The images, in the order of their ids, or of a manifest's lines.
        fingerprint: Digest of the content, independent of the layout: 128 bits of SHA-256.
        labels: All labels of the file, used or not.
    """

    images: list[AnnotatedImage]
    fingerprint: str
    labels: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path, problems: Problems) -> "Annotations":
        """Read a COCO file or a manifest. Add invalid parts to ``problems``.

        Raises:
            OSError: It can't be read.
            ValueError: It has neither format.
        """
        data = path.read_bytes()
        if is_manifest(data):
            lines, classes = read_manifest(data, problems)
            return cls(lines, hashlib.sha256(data).hexdigest()[:32], classes)
        try:
            content = json.loads(data, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path} isn't JSON ({error}): give a COCO file, an export of Label Studio or a "
                "manifest"
            ) from error
        if content and is_label_studio(content):
            tasks, labels_of_tasks = read_label_studio(content, problems)
            return cls(tasks, _digest(content), labels_of_tasks)
        parts = ("images", "annotations", "categories")
        if not isinstance(content, dict) or not all(
            isinstance(content.get(part), list) for part in parts
        ):
            raise ValueError(
                f"{path} is not COCO ground truth: it needs the lists images, annotations and "
                "categories"
            )
        labels = _labels(content["categories"], problems)
        images = _images(content["images"], problems)
        for annotation in content["annotations"]:
            before = problems.total
            _annotate(annotation, images, labels, problems)
            if problems.total > before and isinstance(annotation, dict):
                image = _lookup(images, annotation.get("image_id"))
                if image is not None:
                    image.is_complete = False
        return cls(
            [images[number] for number in sorted(images, key=_in_order)],
            _digest([_sorted(content[part]) for part in parts]),
            frozenset(labels.values()),
        )


def _digest(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _in_order(number: int | str) -> tuple[bool, int, str]:
    """Return a sort key with numbers first. pycocotools, too, orders images by id."""
    return (True, 0, number) if isinstance(number, str) else (False, number, "")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _sorted(entries: list[Any]) -> list[Any]:
    return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True))


def _identifier(entry: Any, problems: Problems, what: str) -> int | str | None:
    number = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(number, int | str) and not isinstance(number, bool):
        return number
    problems.add(f"{what} without an id", json.dumps(entry))
    return None


def _labels(categories: list[Any], problems: Problems) -> dict[int | str, str]:
    labels: dict[int | str, str] = {}
    for category in categories:
        number = _identifier(category, problems, "category")
        if number is None:
            continue
        name = category.get("name")
        if number in labels:
            problems.add("categories with the same id", number)
        elif not is_text(name) or len(name.encode()) > MAX_LABEL_BYTES:
            problems.add(
                f"category whose name isn't a text of 1 to {MAX_LABEL_BYTES:,} bytes", number
            )
        labels[number] = str(name)
    return labels


def _images(images: list[Any], problems: Problems) -> dict[int | str, AnnotatedImage]:
    found: dict[int | str, AnnotatedImage] = {}
    for image in images:
        number = _identifier(image, problems, "image")
        if number is None:
            continue
        if number in found:
            problems.add("images with the same id", number)
        name, uri = image.get("file_name"), image.get("coco_url")
        if not is_text(name):
            problems.add("image without a file_name", number)
            name = ""
        found[number] = AnnotatedImage(
            name=name,
            image_id=_uuid(image, number, problems),
            uri=uri if is_text(uri) and str(uri).startswith("s3://") else None,
            size_px=_size(image, number, problems),
            photograph=_photograph(image, number, problems),
        )
        read_sidecar(found[number], image.get("retinue_truth"), number, problems)
    return found


def _uuid(image: dict[str, Any], number: object, problems: Problems) -> UUID | None:
    given = image.get("retinue_image_id")
    if given is None:
        return None
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        problems.add("image whose retinue_image_id isn't a UUID", number)
        return None


def _photograph(image: dict[str, Any], number: object, problems: Problems) -> str | None:
    name = image.get("photograph")
    if name is None or is_text(name):
        return name
    problems.add("image whose photograph isn't a text", number)
    return None


def _size(image: dict[str, Any], number: object, problems: Problems) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if width is None and height is None:
        return None
    if is_side(width) and is_side(height):
        return width, height
    problems.add("image whose width or height isn't a positive integer", number)
    return None


def _annotate(
    annotation: Any,
    images: dict[int | str, AnnotatedImage],
    labels: dict[int | str, str],
    problems: Problems,
) -> None:
    """Add an annotation to an image, unless it is invalid."""
    if not isinstance(annotation, dict):
        problems.add("annotation that isn't an object", json.dumps(annotation))
        return
    number = annotation.get("id", "(no id)")
    image = _lookup(images, annotation.get("image_id"))
    label = _lookup(labels, annotation.get("category_id"))
    if image is None:
        problems.add("annotation of an image that the file does not have", number)
    if label is None:
        problems.add("annotation of a category that the file does not have", number)
    bbox = _bbox(annotation.get("bbox"), number, problems)
    score = annotation.get("score", 1.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        problems.add("annotation whose score is not 0 to 1", number)
        return
    if image is None or label is None or bbox is None:
        return
    if image.size_px is not None and not inside(bbox, image.size_px):
        problems.add("box outside its image", f"annotation {number}: {list(bbox)}")
        return
    others = {name: value for name, value in annotation.items() if name not in _SAID_ELSEWHERE}
    kind, read = others.pop("retinue_kind", "label"), others.pop("retinue_text", None)
    if not is_text(kind):
        problems.add("annotation whose retinue_kind isn't a text", number)
        return
    if kind == "text" and is_text(read) and len(str(read).encode()) <= MAX_LABEL_BYTES:
        label = str(read)  # all recognized texts are in one category
    image.annotations.append(Annotation(number, label, float(score), bbox, others, kind))


def _lookup(found: dict[int | str, Any], number: object) -> Any:
    return found.get(number) if isinstance(number, int | str) else None


def _bbox(
    value: object, number: object, problems: Problems
) -> tuple[float, float, float, float] | None:
    try:
        left, top, width, height = map(float, value)  # type: ignore[call-overload]
        if all(map(math.isfinite, (left, top, width, height))) and min(width, height) >= 0:
            return left, top, width, height
    except (TypeError, ValueError, OverflowError):
        pass
    problems.add("annotation whose bbox is not left, top, width and height", number)
    return None
