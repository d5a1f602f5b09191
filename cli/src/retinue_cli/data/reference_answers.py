"""Compare findings with reference answers."""

import json
from collections.abc import Sequence
from pathlib import Path

from retinue_sdk import BoundingBox, ConfigurationError, Detection

from retinue_cli.data.ground_truth.annotations import Annotations
from retinue_cli.data.ground_truth.problems import Problems

MARGIN = 0.05
"""Detections within this of the threshold may be in one answer and not in the other."""


def read_expected(path: Path) -> dict[str, list[Detection]]:
    """Return the answers by file name: COCO, or JSON of `retinue detect --json`.

    Raises:
        ConfigurationError: The file can't be read, or has another format.
    """
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and "pictures" in content:  # of `models verify --json`
            content = content["pictures"]
        if isinstance(content, list):
            return {
                Path(look["path"]).name: [
                    Detection(
                        found["kind"],
                        found["label"],
                        found["confidence"],
                        BoundingBox(*(found[f"box_{edge}"] for edge in _EDGES))
                        if found["box_left"] is not None
                        else None,
                    )
                    for found in look["detections"]
                ]
                for look in content
            }
        return _of_coco(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"--expected: {path} can't be used ({error!r:.200}); give COCO ground truth, or the "
            "output of `retinue detect --json`"
        ) from error


_EDGES = ("left", "top", "width", "height")


def _of_coco(path: Path) -> dict[str, list[Detection]]:
    problems = Problems()
    annotations = Annotations.read(path, problems)
    if problems:
        raise ValueError(str(problems))
    answers: dict[str, list[Detection]] = {}
    for image in annotations.images:
        if image.size_px is None:
            raise ValueError(f"{image.name} needs width and height")
        width, height = image.size_px
        answers[Path(image.name).name] = [
            Detection(
                "label",
                one.label,
                one.confidence,
                BoundingBox(left / width, top / height, wide / width, high / height),
            )
            for one in image.annotations
            if one.bbox_px is not None
            for left, top, wide, high in [one.bbox_px]
        ]
    return answers


def differences(
    expected: Sequence[Detection],
    found: Sequence[Detection],
    *,
    min_iou: float,
    threshold: float,
) -> list[str]:
    """Return a sentence for each detection that only one of the answers has.

    Args:
        expected: The reference answer.
        found: The detections.
        min_iou: Minimum intersection over union of equal boxes, 0 to 1.
        threshold: The detector's threshold. Less confident detections are ignored.
    """
    left = [*found]
    sentences = []
    for wanted in sorted(expected, key=lambda one: -one.confidence):
        rivals = [(_overlap(one.box, wanted.box), one) for one in left if one.label == wanted.label]
        iou, best = max(rivals, key=lambda rival: rival[0], default=(0.0, None))
        if best is not None and iou >= min_iou:
            left.remove(best)
        elif wanted.confidence >= threshold + MARGIN:
            near = f"; the nearest overlaps by {iou:.2f}" if best is not None else ""
            sentences.append(f"missing: {wanted.label} ({wanted.confidence:.0%}){near}")
    sentences += [
        f"not expected: {one.label} ({one.confidence:.0%})"
        for one in left
        if one.confidence >= threshold + MARGIN
    ]
    return sentences


def _overlap(one: BoundingBox | None, other: BoundingBox | None) -> float:
    """Return the intersection over union of two places; the whole image has no box."""
    if one is None or other is None:
        return float(one is other)
    return one.iou(other)
