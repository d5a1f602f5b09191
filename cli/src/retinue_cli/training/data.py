"""Training data from any source: images with labels, optionally with boxes."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from retinue_history.review.truth import EVERYTHING, MadeBy, Scope
from retinue_sdk import ImageReference, S3Uri

from retinue_cli.data.evaluation.sample import Box
from retinue_cli.data.ground_truth import AnnotatedImage, Annotations, Problems
from retinue_cli.training import limits

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from retinue_cli.data.evaluation.sample import Truth

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
"""Extensions of images in a folder."""

JOB_NAME = "retinue-train"

TEST_SHARE = 0.2
"""The share of the history's images that models are tested with."""


class Thing(NamedTuple):
    """A labelled thing: its label, its box in pixels if known, and its confidence."""

    label: str
    box: Box | None
    confidence: float = 1.0


@dataclass(slots=True)
class TrainingImage:
    """One training image.

    Attributes:
        bucket: Its bucket, or the bucket of its future upload; empty if it stays on this machine.
        key: Its key.
        items: Its labelled things.
        size_px: Width and height, if known.
        path: Its file, if it is on this machine.
        image_id: Its id, if it comes from the history.
        made_by: The kind of author, such as people.
        scope: Labels that people or detectors looked for.
        exhaustive: Whether everything within the scope is among the items.
        absent: Things that people rejected.
        reference: The version of the object that was annotated, if it comes from the history.
        sha256: The hash of its bytes, if they were read.
        is_correction: Whether its annotations replace those of other copies of the file.
        photograph: The photograph that it was made from, if known. Images of one photograph, such
            as crops, are in the same part.
    """

    bucket: str
    key: str
    items: list[Thing] = field(default_factory=list)
    made_by: MadeBy = "people"
    size_px: tuple[int, int] | None = None
    path: Path | None = None
    image_id: UUID | None = None
    scope: Scope = EVERYTHING
    exhaustive: bool = True
    absent: list[Thing] = field(default_factory=list)
    reference: ImageReference | None = None
    sha256: str | None = None
    is_correction: bool = False
    photograph: str | None = None

    @property
    def is_human(self) -> bool:
        """Return whether people annotated it."""
        return self.made_by != "machine"

    @property
    def uri(self) -> str:
        """Return its URI for a manifest, or its name in a folder of this machine."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket else self.key


def from_annotations(annotations: Annotations, home: str | Path | None) -> list[TrainingImage]:
    """Return the images of a COCO file or a manifest.

    Args:
        annotations: The file.
        home: ``s3://bucket/prefix/`` or the folder of images without a URI.

    Raises:
        ValueError: An image has no URI, and no home is given.
    """
    return [_annotated(image, home) for image in annotations.images if image.name]


def _annotated(image: AnnotatedImage, home: str | Path | None) -> TrainingImage:
    path = None
    if image.uri is not None:
        place = S3Uri.parse(image.uri)
        bucket, key = place.bucket, place.key
    elif isinstance(home, Path):
        bucket, key, path = "", image.name, home / image.name
    elif home is not None:
        place = S3Uri.parse(home)
        bucket, key = place.bucket, place.folder + image.name
    else:
        raise ValueError(
            f"{image.name} has no s3:// URI in coco_url: name the location of the images with "
            "--images s3://bucket/prefix/"
        )
    items = [Thing(one.label, one.bbox_px, one.confidence) for one in image.annotations]
    return TrainingImage(
        bucket,
        key,
        items,
        image.made_by,
        image.size_px,
        path,
        exhaustive=image.exhaustive and image.is_complete,
        photograph=image.photograph,
    )


def from_truth(truth: "Truth") -> list[TrainingImage]:
    """Return images of the history, with a ground truth or with a detector's findings."""
    images = []
    for image_id, one in truth.images.items():
        place = S3Uri.parse(one.name)
        items = [Thing(item.label, item.bbox_px, item.confidence) for item in one.items]
        images.append(
            TrainingImage(
                place.bucket,
                place.key,
                items,
                one.made_by,
                one.size_px,
                image_id=image_id,
                scope=one.scope,
                exhaustive=one.exhaustive,
                absent=[Thing(item.label, item.bbox_px) for item in one.absent],
                reference=one.reference,
            )
        )
    return images


def teachable(
    images: Sequence[TrainingImage], *, bulk: bool = True, whole_images: bool = False
) -> tuple[list[TrainingImage], dict[str, list[str]]]:
    """Return the images to learn from, and the URIs of the others by reason.

    A model learns unmarked things as background. So an image is left out if its truth isn't
    exhaustive, or if its scope lacks a label that other images have.

    Args:
        images: The images.
        bulk: Whether to keep images about which a decision about many images was made.
        whole_images: Whether only labels of whole images are learned. Then it is enough that each
            label was confirmed or rejected: not every thing needs a box.
    """
    left_out: dict[str, list[str]] = {}
    labels = labels_of(image for image in images if image.exhaustive)
    kept: list[TrainingImage] = []
    for image in images:
        known = {one.label for one in (*image.items, *image.absent)}
        if not image.exhaustive and not (whole_images and labels and labels <= known):
            left_out.setdefault("image in which not everything is marked", []).append(image.uri)
        elif not bulk and image.made_by == "bulk":
            left_out.setdefault("image of a decision about many images", []).append(image.uri)
        else:
            kept.append(image)
    labels = labels_of(kept)
    whole = []
    for image in kept:
        if image.scope.labels is None or labels.issubset(image.scope.labels):
            whole.append(image)
        else:
            reason = "image in which not every label was looked for"
            left_out.setdefault(reason, []).append(image.uri)
    return whole, left_out


def split(images: Sequence[TrainingImage]) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Return the images to learn from, and about a fifth to test with.

    The digest of an image's id decides, so no image is in the training part of one model and in the
    test part of the next. Both parts have an image if there are two. The test part is larger if a
    fifth of the images had too few of the labels for Custom Labels.
    """
    ordered = sorted(images, key=place)
    fifth = sum(place(image) < TEST_SHARE for image in ordered)
    fifth = min(max(fifth, 1), max(len(ordered) - 1, 0))
    learned = Counter(label for image in ordered for label in labels_of([image]))
    tested: set[str] = set()
    for number, image in enumerate(ordered[:-1], start=1):
        labels = labels_of([image])
        tested |= labels
        learned -= Counter(labels)
        if number >= fifth and covers(tested, learned.keys()):
            return ordered[number:], ordered[:number]
    return ordered[fifth:], ordered[:fifth]


def labels_of(images: Iterable[TrainingImage]) -> set[str]:
    """Return the labels that any of the images has."""
    return {thing.label for image in images for thing in image.items}


def covers(tested: Set[str], learned: Set[str]) -> bool:
    """Return whether the labels to test with are enough of those to learn for Custom Labels."""
    return len(tested & learned) >= limits.MIN_LABEL_OVERLAP * len(learned)


def place(image: TrainingImage) -> float:
    """Return a number from 0 to 1 that never changes, the same for images of one photograph."""
    name = (image.photograph or image.sha256 or image.uri).encode()
    if image.image_id is not None and image.photograph is image.sha256 is None:
        name = image.image_id.bytes
    return int.from_bytes(hashlib.sha256(name).digest()[:6]) / 2**48


def from_folder(folder: Path, home: str) -> list[TrainingImage]:
    """Return the files of one subfolder per label, to be uploaded below ``home``."""
    place = S3Uri.parse(home)
    return [
        TrainingImage(
            place.bucket,
            f"{place.folder}{path.parent.name}/{path.name}",
            [Thing(path.parent.name, None)],
            path=path,
        )
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in SUFFIXES
    ]


def from_own_folder(folder: Path, problems: Problems) -> list[TrainingImage]:
    """Return the files of one subfolder per label, which stay on this machine.

    Files of all formats are returned. Hidden ones are ignored, as file managers write them.

    Args:
        folder: The folder.
        problems: Collects what isn't a file in a label's folder.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_dir():
            if path.is_symlink():
                problems.add("link to a folder, which isn't followed", name.as_posix())
        elif path.exists() and not path.is_file():
            problems.add("file that isn't a regular one", name.as_posix())
        elif len(name.parts) == 2:
            label = name.parts[0]
            found.append(TrainingImage("", name.as_posix(), [Thing(label, None)], path=path))
        else:
            problems.add("file that isn't directly in a label's folder", name.as_posix())
    return found


def from_bucket(s3: "S3Client", uri: str) -> list[TrainingImage]:
    """Return the objects of one subfolder per label.

    Raises:
        ClientError: S3 refuses.
    """
    place = S3Uri.parse(uri)
    bucket, prefix = place.bucket, place.folder
    found = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Contents", ()):
            label, slash, name = one["Key"].removeprefix(prefix).partition("/")
            if slash and "/" not in name and Path(name).suffix.lower() in SUFFIXES:
                found.append(TrainingImage(bucket, one["Key"], [Thing(label, None)]))
    return found


def has_boxes(images: Sequence[TrainingImage]) -> bool:
    """Return whether any image has a box."""
    return any(box is not None for image in images for _, box, _ in image.items)


def manifest(images: Sequence[TrainingImage], *, boxes: bool) -> Iterator[bytes]:
    """Yield lines of a manifest.

    Args:
        images: The images, whose sizes are known.
        boxes: Whether things have boxes. Images that show nothing cannot decide it.
    """
    labels = sorted(labels_of(images))
    numbers = {label: number for number, label in enumerate(labels)}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for image in images:
        origin = {
            "human-annotated": "yes" if image.is_human else "no",
            "creation-date": at,
            "job-name": JOB_NAME,
        }
        line: dict[str, Any] = {"source-ref": image.uri}
        line |= _boxes(image, numbers, origin) if boxes else _labels(image, numbers, origin)
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def whole_px(box: Box) -> tuple[int, int, int, int]:
    """Return a box in whole pixels for Custom Labels: left, top, right and bottom."""
    left, top, width, height = box
    return round(max(left, 0)), round(max(top, 0)), round(left + width), round(top + height)


def _boxes(image: TrainingImage, numbers: dict[str, int], origin: dict[str, str]) -> dict[str, Any]:
    width, height = image.size_px or (0, 0)
    annotations, objects = [], []
    for label, box, confidence in image.items:
        if box is not None:
            left, top, right, bottom = whole_px(box)
            right, bottom = min(right, width), min(bottom, height)
            objects.append({"confidence": confidence})
            annotations.append(
                {
                    "class_id": numbers[label],
                    "left": left,
                    "top": top,
                    "width": right - left,
                    "height": bottom - top,
                }
            )
    used = labels_of([image])
    return {
        "bounding-box": {
            "image_size": [{"width": width, "height": height, "depth": 3}],
            "annotations": annotations,
        },
        "bounding-box-metadata": {
            "objects": objects,
            "class-map": {str(numbers[label]): label for label in sorted(used)},
            "type": "groundtruth/object-detection",
            **origin,
        },
    }


def _labels(
    image: TrainingImage, numbers: dict[str, int], origin: dict[str, str]
) -> dict[str, Any]:
    line: dict[str, Any] = {}
    surest: dict[str, float] = {}
    for label, _, confidence in image.items:
        surest[label] = max(surest.get(label, 0.0), confidence)
    for label, confidence in sorted(surest.items()):
        # By number, because a label can have any length and any character.
        line[f"label-{numbers[label]}"] = 1
        line[f"label-{numbers[label]}-metadata"] = {
            "confidence": confidence,
            "class-name": label,
            "type": "groundtruth/image-classification",
            **origin,
        }
    return line
