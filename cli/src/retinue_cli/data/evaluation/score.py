"""The measures, by pycocotools: the reference implementation, and the only one here."""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it ships no type information
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

from retinue_cli.data.evaluation.confusion import Confusion, Left
from retinue_cli.data.evaluation.sample import CocoAnnotation, EvaluationTask, Sample

MAX_DETECTIONS = 100
"""The surest findings of one label in one image that count: COCO's ``maxDets``."""

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
"""Stands for the box of a label of the image as a whole: two of them overlap entirely."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label is found. Ratios are none where they would divide by nothing.

    Attributes:
        label: The label.
        ground_truths: How many there are (crowds apart).
        predictions: How many predictions are at least as sure as the threshold.
        true_positives: How many of those are right.
        best_f1: The best F1 that a threshold for this label alone could reach.
        best_threshold: That threshold.
        ap50: Average precision at an intersection over union of 0.5.
        ap: Mean of that at 0.5, 0.55, … 0.95.
        curve: Precision at 101 recalls from 0 to 1, at 0.5; empty if there are no truths.
    """

    label: str
    ground_truths: int
    predictions: int
    true_positives: int
    best_f1: float | None
    best_threshold: float | None
    ap50: float | None
    ap: float | None
    curve: tuple[float, ...]

    @property
    def precision(self) -> float | None:
        """Right findings of all findings."""
        return self.true_positives / self.predictions if self.predictions else None

    @property
    def recall(self) -> float | None:
        """Right findings of all that is there."""
        return self.true_positives / self.ground_truths if self.ground_truths else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _f1(self.true_positives, self.predictions, self.ground_truths)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How right a detector is.

    Attributes:
        task: What was compared.
        images: In how many images.
        iou: How much boxes must overlap to show the same thing, for counts and F1.
        threshold: How sure a finding must be to count, for counts and F1.
        labels: Each label of the ground truth.
        ap50: Mean average precision at 0.5: ``stats[1]`` of pycocotools.
        ap: At 0.5 to 0.95: ``stats[0]``.
        ap_by_size: Small (area < 32² px), medium, large (> 96² px): ``stats[3]`` to ``stats[5]``.
        confusion: What was taken for what.
    """

    task: EvaluationTask
    images: int
    iou: float
    threshold: float
    labels: tuple[LabelScore, ...]
    ap50: float | None
    ap: float | None
    ap_by_size: tuple[float | None, float | None, float | None]
    confusion: Confusion

    @property
    def total(self) -> LabelScore:
        """All labels added up: the micro average."""
        return LabelScore(
            "all labels",
            sum(one.ground_truths for one in self.labels),
            sum(one.predictions for one in self.labels),
            sum(one.true_positives for one in self.labels),
            None,
            None,
            self.ap50,
            self.ap,
            (),
        )

    @property
    def macro_f1(self) -> float | None:
        """Mean of the F1 of the labels that have truths; 0 where nothing of one was found."""
        each = [one.f1 or 0.0 for one in self.labels if one.ground_truths]
        return sum(each) / len(each) if each else None


def evaluate(
    samples: Sequence[Sample],
    labels: Sequence[str],
    *,
    task: EvaluationTask = EvaluationTask.DETECTION,
    iou: float = 0.5,
    threshold: float = 0.5,
) -> Evaluation:
    """Measure.

    Args:
        samples: The images; in each, items of these labels alone. Their order decides between
            findings that are equally sure, as the order of image ids does in pycocotools.
        labels: The labels.
        task: What is compared.
        iou: How much boxes must overlap, for counts and F1: 0.5, 0.55, … 0.95.
        threshold: How sure a finding must be, for counts and F1, 0 to 1. Average precision counts
            every finding.

    Raises:
        ValueError: ``iou`` is none of those.
    """
    coco = _evaluated(samples, labels)
    overlaps = coco.params.iouThrs
    at = int(np.argmin(np.abs(overlaps - iou)))
    if abs(overlaps[at] - iou) > 1e-9:
        raise ValueError(f"{iou} is not one of COCO's thresholds: 0.5, 0.55, … 0.95")
    stats = [None if value < 0 else float(value) for value in coco.stats]
    return Evaluation(
        task=task,
        images=len(samples),
        iou=iou,
        threshold=threshold,
        labels=tuple(
            _score(coco, place, label, at, threshold) for place, label in enumerate(labels)
        ),
        ap50=stats[1],
        ap=stats[0],
        ap_by_size=(stats[3], stats[4], stats[5]),
        confusion=_confusion(coco, samples, labels, task, at, threshold),
    )


def _evaluated(samples: Sequence[Sample], labels: Sequence[str]) -> Any:
    """Pycocotools' evaluation of the samples; numbers begin at 1, as 0 means "no match" there."""
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    images = [{"id": number} for number in range(1, len(samples) + 1)]
    categories = [{"id": number, "name": label} for label, number in numbers.items()]

    def data(found: bool) -> Any:
        items = (
            (number, item)
            for number, sample in enumerate(samples, start=1)
            for item in (sample.predictions if found else sample.ground_truth)
        )
        one = COCO()
        one.dataset = {
            "images": images,
            "categories": categories,
            "annotations": [
                _annotation(place, image, item, numbers, found=found)
                for place, (image, item) in enumerate(items, start=1)
            ],
        }
        one.createIndex()
        return one

    with redirect_stdout(io.StringIO()):  # it tells of each step
        coco = COCOeval(data(found=False), data(found=True), "bbox")
        coco.params.imgIds = [image["id"] for image in images]
        coco.params.catIds = [category["id"] for category in categories]
        coco.evaluate()
        coco.accumulate()
        coco.summarize()
    return coco


def _annotation(
    number: int, image: int, item: CocoAnnotation, numbers: dict[str, int], *, found: bool
) -> dict[str, Any]:
    bbox = item.bbox_px or WHOLE_IMAGE
    area = item.area_px if item.area_px is not None and not found else bbox[2] * bbox[3]
    return {
        "id": number,
        "image_id": image,
        "category_id": numbers[item.label],
        "bbox": list(bbox),
        "area": area,
        "iscrowd": int(item.crowd and not found),
        "score": item.confidence,
    }


def _judged(coco: Any, place: int) -> Iterator[Any]:
    """Yield what pycocotools decided of a label in each image that has anything of it, any size."""
    images = len(coco.params.imgIds)
    start = place * len(coco.params.areaRng) * images
    return (one for one in coco.evalImgs[start : start + images] if one is not None)


def _score(coco: Any, place: int, label: str, at: int, threshold: float) -> LabelScore:
    scores, right, truths = [np.empty(0)], [np.empty(0, bool)], 0
    for one in _judged(coco, place):
        counts = ~np.asarray(one["dtIgnore"][at], bool)
        scores.append(np.asarray(one["dtScores"])[counts])
        right.append(np.asarray(one["dtMatches"][at])[counts] > 0)
        truths += int(np.count_nonzero(~np.asarray(one["gtIgnore"], bool)))
    sure, is_right = np.concatenate(scores), np.concatenate(right)
    counted = sure >= threshold
    best_f1, best_threshold = _best(sure, is_right, truths)
    precision = coco.eval["precision"][:, :, place, 0, -1]
    return LabelScore(
        label,
        truths,
        int(np.count_nonzero(counted)),
        int(np.count_nonzero(is_right & counted)),
        best_f1,
        best_threshold,
        _mean(precision[0]),
        _mean(precision),
        tuple(float(value) for value in precision[0]) if truths else (),
    )


def _mean(precision: Any) -> float | None:
    """As pycocotools' own summary takes it: -1 stands for what has no truths."""
    counted = precision[precision > -1]
    return float(np.mean(counted)) if counted.size else None


def _best(sure: Any, right: Any, truths: int) -> tuple[float | None, float | None]:
    """The threshold with the greatest F1, the surest of several; there must be findings."""
    if not truths or not sure.size:
        return None, None
    order = np.argsort(-sure, kind="stable")
    sure, right = sure[order], np.cumsum(right[order])
    each = 2 * right / (np.arange(1, sure.size + 1) + truths)
    last_of_ties = np.append(sure[1:] < sure[:-1], True)  # equally sure ones go together
    each = np.where(last_of_ties, each, -1.0)
    best = int(np.argmax(each))
    return float(each[best]), float(sure[best])


def _f1(right: int, found: int, truths: int) -> float | None:
    return 2 * right / (found + truths) if found + truths else None


def _confusion(
    coco: Any,
    samples: Sequence[Sample],
    labels: Sequence[str],
    task: EvaluationTask,
    at: int,
    least: float,
) -> Confusion:
    """Pycocotools' matches are what was right; what each image has left over may be confused."""
    confusion = Confusion(tuple(labels))
    left: dict[int, Left] = {}
    for place, label in enumerate(labels):
        for one in _judged(coco, place):
            rest = left.setdefault(one["image_id"], Left())
            matched = set()
            for number, match, ignored, sure in zip(
                one["dtIds"],
                one["dtMatches"][at],
                one["dtIgnore"][at],
                one["dtScores"],
                strict=True,
            ):
                if ignored or sure < least:
                    continue
                if match > 0:
                    matched.add(int(match))
                    confusion.add(label, label)
                else:
                    rest.predictions.append((label, coco.cocoDt.anns[number]["bbox"], sure))
            for number, ignored in zip(one["gtIds"], one["gtIgnore"], strict=True):
                if not ignored and number not in matched:
                    rest.ground_truth.append((label, coco.cocoGt.anns[number]["bbox"]))
    for number, rest in left.items():
        # Of an image with several labels nobody can say which of them a wrong one was taken for.
        mixed = task is EvaluationTask.CLASSIFICATION and len(samples[number - 1].ground_truth) > 1
        confusion.match_rest(rest, iou=float(coco.params.iouThrs[at]), pair=not mixed)
    return confusion
