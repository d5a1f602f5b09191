"""Compute the measures with pycocotools, the reference implementation."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask  # type: ignore[import-untyped]  # it ships no type information
from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it ships no type information
from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]
from retinue_sdk.accuracy import best_threshold

from retinue_cli.data.evaluation.confusion import Confusion, Left
from retinue_cli.data.evaluation.sample import CocoAnnotation, EvaluationTask, Sample

MAX_DETECTIONS = 100
"""Maximum number of findings per label and image, most confident first: COCO's ``maxDets``."""

WHOLE_IMAGE = (0.0, 0.0, 1.0, 1.0)
"""The box of a label of the whole image. Two of them overlap entirely."""


REJECTED_IOU = 0.5
"""Minimum overlap of a finding with one that people rejected, to be the same one."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The score of one label. Ratios are ``None`` if the divisor is 0.

    Attributes:
        label: The label.
        ground_truths: Number of true items without crowds.
        predictions: Number of predictions at or above the threshold.
        true_positives: Number of those that are correct.
        best_f1: The best F1 of any threshold for this label alone.
        best_threshold: The threshold of the best F1.
        ap50: Average precision at an intersection over union of 0.5.
        ap: Mean of the average precision at 0.5, 0.55, … 0.95.
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
        """Return the correct share of all findings."""
        return self.true_positives / self.predictions if self.predictions else None

    @property
    def recall(self) -> float | None:
        """Return the found share of all true items."""
        return self.true_positives / self.ground_truths if self.ground_truths else None

    @property
    def f1(self) -> float | None:
        """Return the harmonic mean of precision and recall."""
        return _f1(self.true_positives, self.predictions, self.ground_truths)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        task: The kind of comparison.
        images: Number of images.
        iou: Minimum overlap of boxes for counts and F1.
        threshold: Minimum confidence for counts and F1.
        labels: The score of each label of the ground truth.
        ap50: Mean average precision at 0.5: ``stats[1]`` of pycocotools.
        ap: At 0.5 to 0.95: ``stats[0]``.
        ap_by_size: Small (area < 32² px), medium, large (> 96² px): ``stats[3]`` to ``stats[5]``;
            none for labels of whole images.
        confusion: The confused labels.
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
        """Return the micro average: the sums of all labels."""
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
        """Return the mean F1 of labels with true items. A label without findings counts 0."""
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
    """Compute all measures.

    Args:
        samples: The images, with items of these labels only. Their order decides between findings
            of equal confidence, as the order of image ids does in pycocotools.
        labels: The labels.
        task: The kind of comparison.
        iou: Minimum overlap of boxes for counts and F1: 0.5, 0.55, … 0.95.
        threshold: Minimum confidence for counts and F1, 0 to 1. Average precision counts every
            finding.

    Raises:
        ValueError: ``iou`` has another value.
    """
    coco = _evaluated(samples, labels)
    at = int(np.argmin(np.abs(coco.overlaps - iou)))
    if abs(coco.overlaps[at] - iou) > 1e-9:
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
        ap_by_size=(
            (stats[3], stats[4], stats[5])
            if task is EvaluationTask.DETECTION
            else (None, None, None)
        ),
        confusion=_confusion(coco, samples, labels, task, at, threshold),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings of one label in one image, as pycocotools judges them.

    Attributes:
        confidences: Their confidence.
        is_right: Whether each matches a true item.
        truths: Number of true items.
    """

    confidences: npt.NDArray[np.float64]
    is_right: npt.NDArray[np.bool_]
    truths: int


def outcomes(samples: Sequence[Sample], labels: Sequence[str]) -> list[list[Outcome]]:
    """Return the outcome of each image for each label, with a minimum overlap of boxes of 0.5.

    Args:
        samples: As for ``evaluate``.
        labels: The labels.
    """
    coco = _evaluated(samples, labels)
    at = 0  # the smallest overlap
    nothing = Outcome(np.empty(0), np.empty(0, bool), 0)
    found = [[nothing] * len(samples) for _ in labels]
    for place, judged in enumerate(coco.judged):
        for one in judged:
            counts = ~np.asarray(one["dtIgnore"][at], bool)
            found[place][one["image_id"] - 1] = Outcome(
                np.asarray(one["dtScores"], float)[counts],
                np.asarray(one["dtMatches"][at])[counts] > 0,
                int(np.count_nonzero(~np.asarray(one["gtIgnore"], bool))),
            )
    return found


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """Pycocotools' evaluation of all labels.

    Attributes:
        overlaps: COCO's thresholds for the overlap of boxes: 0.5, 0.55, … 0.95.
        judged: The decisions about each label, in the images that have it, of any size.
        precision: Indexed by overlap, recall, label, size and limit of findings; -1 without true
            items.
        stats: Its summary. -1 means that there is nothing to average.
        truth: The ground truth as COCO's.
        found: The findings as COCO's.
    """

    overlaps: npt.NDArray[np.float64]
    judged: list[list[Any]]
    precision: npt.NDArray[np.float64]
    stats: npt.NDArray[np.float64]
    truth: Any
    found: Any


def _evaluated(samples: Sequence[Sample], labels: Sequence[str]) -> _Evaluated:
    """Let pycocotools evaluate label by label, each in the images that have it.

    It would look at each label in each image, which takes hours and all memory if there are many of
    both. The result is the same. Numbers begin at 1, because 0 means "no match" there.
    """
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

    with redirect_stdout(io.StringIO()):  # it prints each step
        truth, found = data(found=False), data(found=True)
        coco = _PartialEval(truth, found, samples, labels)
        params = coco.params
        sizes = len(params.areaRng), len(params.maxDets)
        judged = []
        recalls = [np.empty((len(params.iouThrs), 0, *sizes))]  # if there are no labels
        precisions = [np.empty((len(params.iouThrs), len(params.recThrs), 0, *sizes))]
        for number in numbers.values():
            having = {*truth.catToImgs[number], *found.catToImgs[number]}
            params.imgIds, params.catIds = sorted(having), [number]
            coco.evaluate()
            coco.accumulate()
            judged.append([one for one in coco.evalImgs[: len(having)] if one is not None])
            precisions.append(coco.eval["precision"])
            recalls.append(coco.eval["recall"])
        coco.eval = {
            "precision": np.concatenate(precisions, axis=2),
            "recall": np.concatenate(recalls, axis=1),
        }
        coco.summarize()
    return _Evaluated(coco.params.iouThrs, judged, coco.eval["precision"], coco.stats, truth, found)


class _PartialEval(COCOeval):  # type: ignore[misc]  # it ships no type information
    """Ignores findings without a counterpart where the ground truth doesn't mark everything.

    As LVIS does (https://www.lvisdataset.org), but a finding that people rejected counts.
    """

    def __init__(
        self, truth: Any, found: Any, samples: Sequence[Sample], labels: Sequence[str]
    ) -> None:
        super().__init__(truth, found, "bbox")
        self._samples = samples
        self._labels = labels

    def evaluateImg(self, imgId: int, catId: int, aRng: Any, maxDet: int) -> Any:  # noqa: N802, N803
        one = super().evaluateImg(imgId, catId, aRng, maxDet)
        sample = self._samples[imgId - 1]
        if one is None or sample.exhaustive:
            return one
        label = self._labels[catId - 1]
        absent = [
            list(item.bbox_px or WHOLE_IMAGE) for item in sample.absent if item.label == label
        ]
        boxes = [self.cocoDt.anns[number]["bbox"] for number in one["dtIds"]]
        rejected = np.zeros(len(boxes), bool)
        if absent and boxes:
            overlap: Any = mask.iou(boxes, absent, [0] * len(absent))
            rejected = overlap.max(axis=1) >= REJECTED_IOU
        unmatched = np.asarray(one["dtMatches"]) == 0
        one["dtIgnore"] = np.asarray(one["dtIgnore"], bool) | (unmatched & ~rejected)
        return one


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


def _score(coco: _Evaluated, place: int, label: str, at: int, threshold: float) -> LabelScore:
    scores, right, truths = [np.empty(0)], [np.empty(0, bool)], 0
    for one in coco.judged[place]:
        counts = ~np.asarray(one["dtIgnore"][at], bool)
        scores.append(np.asarray(one["dtScores"])[counts])
        right.append(np.asarray(one["dtMatches"][at])[counts] > 0)
        truths += int(np.count_nonzero(~np.asarray(one["gtIgnore"], bool)))
    sure, is_right = np.concatenate(scores), np.concatenate(right)
    counted = sure >= threshold
    best_f1, best_threshold = _best(sure, is_right, truths)
    precision = coco.precision[:, :, place, 0, -1]
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
    """Return the mean as in pycocotools' summary: -1 means a label without true items."""
    counted = precision[precision > -1]
    return float(np.mean(counted)) if counted.size else None


def _best(sure: Any, right: Any, truths: int) -> tuple[float | None, float | None]:
    """Return the best F1 and its threshold. There must be findings."""
    if not truths or not sure.size:
        return None, None
    best = best_threshold(sure, right, truths)
    counted = sure >= best
    return _f1(int(right[counted].sum()), int(counted.sum()), truths), best


def _f1(right: int, found: int, truths: int) -> float | None:
    return 2 * right / (found + truths) if found + truths else None


def _confusion(
    coco: _Evaluated,
    samples: Sequence[Sample],
    labels: Sequence[str],
    task: EvaluationTask,
    at: int,
    least: float,
) -> Confusion:
    """Count confusions: pycocotools' matches are correct, unmatched items may be confused."""
    confusion = Confusion(tuple(labels))
    left: dict[int, Left] = {}
    for label, judged in zip(labels, coco.judged, strict=True):
        for one in judged:
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
                    confusion.add(label, label, samples[one["image_id"] - 1].name)
                else:
                    rest.predictions.append((label, coco.found.anns[number]["bbox"], sure))
            for number, ignored in zip(one["gtIds"], one["gtIgnore"], strict=True):
                if not ignored and number not in matched:
                    rest.ground_truth.append((label, coco.truth.anns[number]["bbox"]))
    for number, rest in left.items():
        # If an image has several labels, a wrong one can't be attributed to one of them.
        sample = samples[number - 1]
        mixed = task is EvaluationTask.CLASSIFICATION and len(sample.ground_truth) > 1
        iou = float(coco.overlaps[at])
        confusion.match_rest(rest, sample.name, iou=iou, pair=not mixed)
    return confusion
