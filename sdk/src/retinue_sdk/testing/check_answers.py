"""Checks of what a detector answers for images that it can look at."""

import math
from collections.abc import Mapping
from typing import Any

from retinue_sdk.box import BoundingBox
from retinue_sdk.detection import Findings
from retinue_sdk.detector import Input
from retinue_sdk.errors import DetectorError
from retinue_sdk.testing import pictures
from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Checks, NotApplicableError, Suite
from retinue_sdk.testing.compare import expect_same

CHECKS = Checks()

MAX_BATCH = 64
"""Most images in the largest batch that is tried."""


@CHECKS.add(
    "answers-complete",
    "Every photograph gets an answer of its own, and it is Findings",
    remedy="return a list with one Findings for each image, in order, also when two are the same",
)
def complete(bench: Bench) -> None:
    """Each alone; and the same one twice in a call, if there are batches."""
    for image in bench.photographs():
        bench.found(image)
    if bench.capabilities.max_batch_size > 1:
        twice = [bench.photographs()[0], bench.photographs()[0]]
        for result in bench.detect(twice):
            if isinstance(result, DetectorError):
                raise CheckFailedError(f"the same image twice in a batch: {result}")


@CHECKS.add(
    "answers-are-json",
    "Attributes and raw response are JSON: no NaN, no NUL, no types of other libraries",
    remedy="write float(x) and int(n) for numbers of NumPy, list(a) for arrays, None for NaN",
)
def json(bench: Bench) -> None:
    """What goes into the database as JSON."""
    for image in bench.photographs():
        findings = bench.found(image)
        _check_json(findings.raw_response, "raw_response")
        for detection in findings.detections:
            _check_json(detection.attributes, f"attributes of {detection.label!r}")


@CHECKS.add(
    "boxes-normalised",
    "Boxes are ratios of the image, and lie on it",
    remedy="make boxes with BoundingBox.from_edges(left, top, right, bottom, width=, height=) from "
    "pixels of the very image that the edges belong to",
)
def boxes(bench: Bench) -> None:
    """A box may stick out by as much as the image is large; more is another unit."""
    seen = 0
    for image in bench.photographs():
        for detection in bench.found(image).detections:
            if detection.box is not None:
                seen += 1
                if not _plausible(detection.box):
                    raise CheckFailedError(f"{detection.label!r} is in {detection.box}")
    if not seen:
        raise NotApplicableError("no box was found in any photograph")


@CHECKS.add(
    "empty-is-no-failure",
    "A picture of nothing is answered with Findings, not with an error",
    remedy="return Findings() when nothing was found: the detector could look",
)
def empty(bench: Bench) -> None:
    """One shade of grey."""
    bench.found(bench.image(pictures.plain(), "plain.png"))


@CHECKS.add(
    "deterministic",
    "The same image gets the same answer, again and from another detector of the same options",
    remedy="fix the seeds, and put models into evaluation mode",
)
def deterministic(bench: Bench) -> None:
    """Twice on one instance, once on another."""
    first = [bench.single(image) for image in bench.photographs()]
    again = [bench.single(image) for image in bench.photographs()]
    other = bench.make()
    bench.start(other)
    try:
        fresh = [bench.single(image, other) for image in bench.photographs()]
    finally:
        bench.close(other)
    for number, results in enumerate(zip(first, again, fresh, strict=True)):
        expect_same(results[0], results[1], f"photograph {number}, asked twice")
        expect_same(results[0], results[2], f"photograph {number}, asked of another instance")


@CHECKS.add(
    "priced",
    "If a unit has a price, looking at an image is billed",
    remedy="set billed_units in Findings, usually to 1 for each image",
)
def priced(bench: Bench) -> None:
    """A price without a bill makes costs look like nothing."""
    if not bench.capabilities.usd_per_unit:
        raise NotApplicableError("the detector has no price")
    if not any(bench.found(image).billed_units for image in bench.photographs()):
        raise CheckFailedError("no photograph was billed")


@CHECKS.add(
    "in-time",
    "The largest batch that is declared is answered within the time limit",
    remedy="declare a smaller max_batch_size, give every connection a timeout, or ask the operator "
    "for a larger RETINUE_DETECTOR_TIMEOUT_SECONDS",
)
def in_time(bench: Bench) -> None:
    """The worker's time limit holds for a call, however many images it has."""
    number = min(bench.capabilities.max_batch_size, MAX_BATCH)
    data = bench.subject.photographs[0]
    bench.detect([bench.image(data, f"photograph-{index}.png") for index in range(number)])


@CHECKS.add(
    "input-honest",
    "The detector uses no more of an image than it declares",
    remedy="declare Input.BYTES if you call image.read(), and Input.PIXELS if you call "
    "image.pixels(): the worker then has them ready",
)
def honest(bench: Bench) -> None:
    """By reference nothing is fetched; with bytes nothing is decoded by the worker."""
    allowed = {
        Input.REFERENCE: set[str](),
        Input.BYTES: {"read"},
        Input.PIXELS: {"read", "pixels"},
    }[bench.capabilities.input]
    for image in bench.photographs():
        bench.detect([image])
        if image.touched - allowed:
            what = " and ".join(f"image.{name}()" for name in sorted(image.touched - allowed))
            raise CheckFailedError(f"it declares {bench.capabilities.input!s} and calls {what}")


@CHECKS.add(
    "batch-equals-singles",
    "An image gets the same answer in a batch as alone, and in its place",
    remedy="keep the order of the images, and let no image change what another one gets (padding, "
    "normalisation over the batch)",
    suite=Suite.BATCHES,
)
def batch(bench: Bench) -> None:
    """All photographs together, in both orders."""
    size = min(bench.capabilities.max_batch_size, len(bench.subject.photographs))
    alone = [bench.single(image) for image in bench.photographs()[:size]]
    together = bench.detect(bench.photographs()[:size])
    backwards = bench.detect(bench.photographs()[:size][::-1])[::-1]
    for number, single in enumerate(alone):
        expect_same(single, together[number], f"photograph {number}, alone and in a batch")
        expect_same(single, backwards[number], f"photograph {number}, first and last in a batch")


@CHECKS.add(
    "orientation",
    "A photograph gets the same answer in all eight EXIF orientations",
    remedy="use image.pixels(), which is upright; do not decode image.read() yourself",
    suite=Suite.PIXELS,
)
def orientation(bench: Bench) -> None:
    """Stored in eight ways, the same to look at."""
    data = bench.subject.photographs[0]
    files = pictures.oriented(data)
    upright = bench.single(bench.image(files[1], "orientation-1.png"))
    for number, file in files.items():
        turned = bench.single(bench.image(file, f"orientation-{number}.png"))
        expect_same(upright, turned, f"EXIF orientation 1, then {number}")


def _plausible(box: BoundingBox) -> bool:
    return box.right > 0 and box.bottom > 0 and box.left < 1 and box.top < 1 and _near(box)


def _near(box: BoundingBox) -> bool:
    return min(box.left, box.top) >= -1 and max(box.right, box.bottom) <= 2


def _check_json(value: Any, where: str) -> None:
    """Refuse what PostgreSQL's jsonb or strict JSON cannot hold."""
    match value:
        case None | bool() | int():
            return
        case float():
            if not math.isfinite(value):
                raise CheckFailedError(f"{where} has {value!r}")
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise CheckFailedError(f"{where} has text that cannot be stored: {value!r:.80}")
        case Mapping():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise CheckFailedError(f"{where} has a key that is no text: {key!r:.80}")
                _check_json(key, where)
                _check_json(item, f"{where}.{key}")
        case list() | tuple():
            for index, item in enumerate(value):
                _check_json(item, f"{where}[{index}]")
        case _:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise CheckFailedError(f"{where} has a {kind}: {value!r:.80}")


def answered(result: object) -> bool:
    """Return whether a result says something: findings that are not empty."""
    return isinstance(result, Findings) and bool(result.detections)
