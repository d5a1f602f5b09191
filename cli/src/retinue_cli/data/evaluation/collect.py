"""Collect predictions and ground truth, image by image."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.snapshot import Snapshot
from retinue_sdk import ConfigurationError

from retinue_cli.data.evaluation.label_map import LabelMap, listed
from retinue_cli.data.evaluation.sample import EvaluationTask, Sample, Truth
from retinue_cli.data.evaluation.truth import annotation_of
from retinue_cli.data.export.images import selected_images

MAX_IDS = 100_000
"""Maximum number of images of a truth that are looked up one by one. Of more, all images that the
detector has seen are read.
"""


@dataclass(slots=True)
class Collected:
    """The data of an evaluation.

    Attributes:
        task: The kind of comparison.
        samples: The images that both have, in the order of the ground truth.
        labels: The labels of the ground truth, in order.
        not_seen: Number of images of the ground truth without a successful run of the detector.
        foreign: Number of findings with a label that the ground truth doesn't have, by label.
        left_out: Number of items that can't be compared, by reason.
    """

    task: EvaluationTask
    samples: list[Sample]
    labels: list[str]
    not_seen: int = 0
    foreign: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def collect(
    snapshot: Snapshot,
    truth: Truth,
    side: Side,
    selection: Selection,
    *,
    names: LabelMap,
    task: EvaluationTask | None = None,
    kind: str | None = None,
    only: Iterable[str] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> Collected:
    """Collect a detector's findings in the images of the ground truth.

    Args:
        snapshot: The history.
        truth: The ground truth.
        side: The detector's runs. The newest of each image counts.
        selection: The images and times.
        names: The meaning of its labels.
        task: The kind of comparison. ``None`` means boxes, if both sides have some.
        kind: Only detections of this kind.
        only: Only these labels of the ground truth; all by default.
        advance: Called for each image.

    Raises:
        ConfigurationError: The sides share no image or no label, or boxes are required and missing.
        HistoryUnavailableError: The database stopped answering.
    """
    wanted = frozenset(only)
    if strange := wanted - truth.labels:
        raise ConfigurationError(
            f"--label: the ground truth has no label {listed(strange)}. "
            f"It has {listed(truth.labels)}"
        )
    collected = Collected(EvaluationTask.DETECTION, [], sorted(wanted or truth.labels))
    found: dict[Any, Sample] = {}
    recognised = 0
    if len(truth.images) <= MAX_IDS:
        selection = replace(selection, image_ids=tuple(truth.images))
    for image in selected_images(snapshot, selection, side):
        if image.is_video:  # its rows are appearances, not boxes in a picture
            continue
        there = truth.images.get(image.image_id)
        advance(1)
        if there is None:
            continue
        sample = found[image.image_id] = Sample(there.name, exhaustive=there.exhaustive)
        sample.ground_truth = [one for one in there.items if not wanted or one.label in wanted]
        sample.absent = [one for one in there.absent if not wanted or one.label in wanted]
        for detection in image.detections:
            if kind is not None and detection.kind != kind:
                continue
            label = names.meaning(detection.label)
            if label is None:
                collected.foreign[detection.label] += 1
                continue
            recognised += 1
            if not there.scope.covers(detection.kind, label):
                collected.left_out["detection outside the scope of the ground truth"] += 1
            elif not wanted or label in wanted:
                sample.predictions.append(
                    annotation_of(detection, label, there.size_px or image.size_px)
                )
    collected.samples = [found[one] for one in truth.images if one in found]
    collected.not_seen = len(truth.images) - len(found)
    if not found:
        raise ConfigurationError(
            "this detector has no successful run, whose detections still exist, on an image of the "
            f"ground truth ({len(truth.images):,} images in the history, {truth.unknown:,} others)"
        )
    if collected.foreign and not recognised:
        raise ConfigurationError(
            "detector and ground truth have no label in common: the detector found "
            f"{listed(collected.foreign)}; the ground truth has {listed(truth.labels)}. Map "
            "labels with --map TRUTH=DETECTOR"
        )
    _shape(collected, task)
    return collected


def _shape(collected: Collected, task: EvaluationTask | None) -> None:
    """Decide the kind of comparison, and convert all annotations to it."""
    places = {
        "truth": [
            one.bbox_px is not None for each in collected.samples for one in each.ground_truth
        ],
        "found": [
            one.bbox_px is not None for each in collected.samples for one in each.predictions
        ],
    }
    if task is None:
        both = any(places["truth"]) and (any(places["found"]) or not places["found"])
        task = EvaluationTask.DETECTION if both else EvaluationTask.CLASSIFICATION
    collected.task = task
    if task is EvaluationTask.CLASSIFICATION:
        collected.samples = [sample.whole() for sample in collected.samples]
        return
    for what, name, item in (
        ("truth", "ground truth", "thing of the ground truth without a box"),
        ("found", "detector", "detection without a box"),
    ):
        without = places[what].count(False)
        if without and without == len(places[what]):
            raise ConfigurationError(
                f"the {name} has no boxes (or only in images of unknown size): score the labels "
                "of whole images with --task classification"
            )
        if without:
            collected.left_out[item] += without
    collected.samples = [sample.placed() for sample in collected.samples]
