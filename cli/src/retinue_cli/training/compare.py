"""Compare models on the same annotated images: accuracy, price and speed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from retinue_sdk import (
    AnyDetector,
    ConfigurationError,
    Detection,
    DetectorSession,
    Findings,
    Image,
    Input,
)
from retinue_sdk.accuracy import LEAST_CONFIDENCE
from retinue_sdk.plugins.manager import Plugins

from retinue_cli.data.evaluation.bootstrap import LabelEstimate, estimates
from retinue_cli.data.evaluation.label_map import LabelMap
from retinue_cli.data.evaluation.sample import CocoAnnotation, Sample, box_px
from retinue_cli.training.data import TrainingImage
from retinue_cli.training.local.train import DETECTORS
from retinue_cli.training.local.versions import Versions

CUSTOM_LABELS = "rekognition-custom-labels"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model to compare.

    Attributes:
        name: Its name in tables.
        detector: The detector that runs it.
        options: Its options.
        thresholds: The minimum confidence that counts for F1, by label; 0 for others.
    """

    name: str
    detector: str
    options: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's answers.

    Attributes:
        contestant: The model.
        samples: True items and findings of each image.
        images_per_second: Images a second, one after the other.
        usd_per_1000: Price of 1,000 images in US dollars.
        failed: The reason for each image without an answer.
    """

    contestant: Contestant
    samples: list[Sample]
    images_per_second: float
    usd_per_1000: Decimal
    failed: list[str]


def contestant(name: str, models: Path) -> Contestant:
    """Return the model that a name means.

    ``NAME`` or ``NAME/NUMBER`` is a version in the folder of models, ``arn:…`` a version of Custom
    Labels, and any other name a detector with its default options.

    Raises:
        ConfigurationError: The version doesn't exist.
    """
    if name.startswith("arn:"):
        parts = name.split("/")
        short = f"{parts[1]}/{parts[3]} (Custom Labels)" if len(parts) == 5 else name
        return Contestant(short, CUSTOM_LABELS, {"project_version_arn": name})
    folder, _, number = name.partition("/")
    if not (models / folder).is_dir():
        if number:
            raise ConfigurationError(f"{models} has no model {folder}")
        return Contestant(name, name)
    versions = Versions(models, folder)
    if number and not number.isdecimal():
        raise ConfigurationError(f"{name}: the version must be a number, such as {folder}/1")
    version = versions.find(int(number) if number else None)
    thresholds = {one["label"]: float(one["threshold"]) for one in version.card["labels"]}
    kind = version.card["kind"]
    options: dict[str, Any] = {"model": str(version.model)}
    if kind == "objects":
        options["thresholds"] = dict.fromkeys(thresholds, LEAST_CONFIDENCE)
    else:
        options["threshold"] = LEAST_CONFIDENCE
    return Contestant(version.name, DETECTORS[kind], options, thresholds)


def measure(
    one: Contestant,
    plugins: Plugins,
    images: Sequence[TrainingImage],
    read: Callable[[TrainingImage], bytes],
    names: LabelMap,
    *,
    advance: Callable[[int], None],
) -> Measured:
    """Run a model on all images.

    Raises:
        ConfigurationError: The detector isn't installed, or its options are invalid.
        RetinueError: It can't run, or no image could be processed.
    """
    detector = _made(one, plugins)
    samples, seconds, units, failed = [], 0.0, Decimal(0), list[str]()
    with DetectorSession(detector) as session:
        for image in images:
            shown = Image.from_bytes(read(image), key=Path(image.key).name)
            start = time.perf_counter()
            [result] = session.detect([shown])
            seconds += time.perf_counter() - start
            if isinstance(result, Findings):
                units += result.billed_units
            else:
                failed.append(f"{shown.reference.key}: {result}")
            detections = result.detections if isinstance(result, Findings) else ()
            samples.append(_sample(image, detections, names, shown.measure()))
            advance(1)
    if len(failed) == len(images):
        raise ConfigurationError(f"no image could be processed, such as {failed[0]}")
    rate = len(images) / seconds
    return Measured(one, samples, rate, _usd(detector, units, len(images), rate), failed)


def _made(one: Contestant, plugins: Plugins) -> AnyDetector:
    """Return the detector of a model. Images are files, so services get their bytes."""
    [detector] = plugins.make({one.detector: one.options})
    if detector.capabilities.input is Input.REFERENCE:
        [detector] = plugins.make({one.detector: {**one.options, "send": "bytes"}})
    return detector


@dataclass(frozen=True, slots=True)
class Score:
    """A model's accuracy.

    Attributes:
        labels: For each label, and the mean.
        mistakes: For each image the number of missed things and wrong findings, at the thresholds.
    """

    labels: list[LabelEstimate]
    mistakes: list[int]


def score(found: Measured, labels: Sequence[str], *, boxes: bool, seed: int) -> Score:
    """Return the accuracy of a model.

    Args:
        found: Its answers.
        labels: The labels of the ground truth.
        boxes: Whether to compare boxes, not labels of whole images.
        seed: Chooses the resamples of the confidence intervals.
    """
    from retinue_cli.data.evaluation.score import outcomes

    judged = outcomes([one.placed() if boxes else one.whole() for one in found.samples], labels)
    thresholds = [found.contestant.thresholds.get(label, 0.0) for label in labels]
    mistakes = [0] * len(found.samples)
    for each, threshold in zip(judged, thresholds, strict=True):
        for number, one in enumerate(each):
            shown = one.confidences >= threshold
            hits = int((shown & one.is_right).sum())
            mistakes[number] += int(shown.sum()) - hits + one.truths - hits
    return Score(estimates(labels, judged, thresholds, seed=seed), mistakes)


def has_boxes(found: Measured) -> bool:
    """Return whether the model reports any boxes, or nothing at all."""
    items = [item for one in found.samples for item in one.predictions]
    return not items or any(item.bbox_px is not None for item in items)


def _sample(
    image: TrainingImage,
    detections: Sequence[Detection],
    names: LabelMap,
    size_px: tuple[int, int],
) -> Sample:
    sample = Sample(Path(image.key).name, exhaustive=image.exhaustive)
    sample.ground_truth = [CocoAnnotation(one.label, one.box) for one in image.items]
    sample.absent = [CocoAnnotation(one.label, one.box) for one in image.absent]
    for one in detections:
        label = names.meaning(one.label)
        if label is not None:
            box = None if one.box is None else box_px(one.box, size_px)
            sample.predictions.append(CocoAnnotation(label, box, one.confidence))
    return sample


def _usd(detector: AnyDetector, units: Decimal, images: int, rate: float) -> Decimal:
    """Return the price of 1,000 images: of calls, and of hosting at the measured rate."""
    capabilities = detector.capabilities
    prices = capabilities.prices
    calls = sum((price.usd(units) for price in prices), Decimal(0))
    usd = (calls if prices else units * capabilities.usd_per_unit) * 1_000 / images
    hosted = getattr(detector, "managed_model", None)
    if hosted is not None:
        usd += hosted.usd_per_unit_minute * Decimal(1_000 / rate / 60)
    return usd
