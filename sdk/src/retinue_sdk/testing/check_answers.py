"""Checks of a detector's answers for valid images."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from retinue_sdk.box import BoundingBox
from retinue_sdk.detection import Findings
from retinue_sdk.detector import Input, preparation_of
from retinue_sdk.errors import DetectorError
from retinue_sdk.testing import pictures
from retinue_sdk.testing.bench import Bench, CheckFailedError
from retinue_sdk.testing.check import Checks, NotApplicableError, Suite
from retinue_sdk.testing.compare import expect_same

CHECKS = Checks()

MAX_BATCH = 64
"""Maximum number of images in the largest batch that is tried."""


@CHECKS.add(
    "answers-complete",
    "Returns Findings for each photograph",
    remedy="return a list with one Findings for each image, in order, even if two images are equal",
)
def complete(bench: Bench) -> None:
    """Detect each photograph alone, and the same one twice in a batch if there are batches."""
    for image in bench.photographs():
        bench.found(image)
    if bench.capabilities.max_batch_size > 1:
        twice = [bench.photographs()[0], bench.photographs()[0]]
        for result in bench.detect(twice):
            if isinstance(result, DetectorError):
                raise CheckFailedError(f"the same image twice in a batch: {result}")


@CHECKS.add(
    "answers-are-json",
    "Returns JSON as attributes and raw response: no NaN, no NUL, no types of other libraries",
    remedy="convert NumPy numbers with float(x) and int(n), arrays with list(a), and NaN to None",
)
def json(bench: Bench) -> None:
    """Encode attributes and raw responses as the database requires."""
    for image in bench.photographs():
        findings = bench.found(image)
        _check_json(findings.raw_response, "raw_response")
        for detection in findings.detections:
            _check_json(detection.attributes, f"attributes of {detection.label!r}")


@CHECKS.add(
    "boxes-normalised",
    "Returns boxes as ratios of the image, overlapping it",
    remedy="create boxes with BoundingBox.from_edges(left, top, right, bottom, width=, height=), "
    "with the width and height of the image to which the edges belong",
)
def boxes(bench: Bench) -> None:
    """Check each box. It may extend beyond the image by the image's size; more is a wrong unit."""
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
    "Returns Findings, not an error, for a picture of nothing",
    remedy="return Findings() if the detector looked and found nothing",
)
def empty(bench: Bench) -> None:
    """Detect an image of one shade of grey."""
    bench.found(bench.image(pictures.plain(), "plain.png"))


@CHECKS.add(
    "deterministic",
    "Returns the same answer for the same image, also from another instance with the same options",
    remedy="fix the random seeds, and put models into evaluation mode",
)
def deterministic(bench: Bench) -> None:
    """Detect twice with one instance, and once with another."""
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
    "Bills each image if a unit has a price",
    remedy="set billed_units in Findings, usually to 1 for each image",
)
def priced(bench: Bench) -> None:
    """Check that a detector with a price bills units. Otherwise its calls seem free."""
    if not bench.capabilities.usd_per_unit:
        raise NotApplicableError("the detector has no price")
    if not any(bench.found(image).billed_units for image in bench.photographs()):
        raise CheckFailedError("no photograph was billed")


@CHECKS.add(
    "in-time",
    "Answers the largest declared batch within the time limit",
    remedy="declare a smaller max_batch_size, set a timeout for every connection, or ask the "
    "operator for a larger RETINUE_DETECTOR_TIMEOUT_SECONDS",
)
def in_time(bench: Bench) -> None:
    """Time the largest batch. The worker's limit applies to a whole call."""
    number = min(bench.capabilities.max_batch_size, MAX_BATCH)
    data = bench.subject.photographs[0]
    bench.detect([bench.image(data, f"photograph-{index}.png") for index in range(number)])


@CHECKS.add(
    "input-honest",
    "Uses no more of an image than it declares",
    remedy="declare Input.BYTES if you call image.read(), and Input.PIXELS if you call "
    "image.pixels(): the worker then has them ready",
)
def honest(bench: Bench) -> None:
    """Check that a detector with references fetches nothing, and one with bytes decodes nothing."""
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
    "prepared-equals-unprepared",
    "Returns the same answer for an image that the worker has prepared, and needs nothing else",
    remedy="call image.prepared(self.prepare) in detect, and put all that detect needs into the "
    "result of prepare",
    suite=Suite.PIXELS,
)
def prepared(bench: Bench) -> None:
    """Prepare images on another thread, and then free their bytes and pixels."""
    prepare = preparation_of(bench.detector)
    if prepare is None:
        raise NotApplicableError("the detector has no prepare")
    for number, image in enumerate(bench.photographs()):
        unprepared = bench.single(image)
        image.forget()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(image.prepared, prepare).result()
        image.forget(keep_prepared=True)
        image.touched.clear()
        expect_same(unprepared, bench.single(image), f"photograph {number}, prepared and not")
        if image.touched:
            what = " and ".join(f"image.{name}()" for name in sorted(image.touched))
            raise CheckFailedError(f"detect calls {what} for an image that is prepared")


@CHECKS.add(
    "batch-equals-singles",
    "Returns the same answer for an image in a batch as alone, at the image's position",
    remedy="keep the order of the images, and let no image affect another one's answer (padding,"
    " normalisation over the batch)",
    suite=Suite.BATCHES,
)
def batch(bench: Bench) -> None:
    """Detect all photographs in one batch, in both orders."""
    size = min(bench.capabilities.max_batch_size, len(bench.subject.photographs))
    alone = [bench.single(image) for image in bench.photographs()[:size]]
    together = bench.detect(bench.photographs()[:size])
    backwards = bench.detect(bench.photographs()[:size][::-1])[::-1]
    for number, single in enumerate(alone):
        expect_same(single, together[number], f"photograph {number}, alone and in a batch")
        expect_same(single, backwards[number], f"photograph {number}, first and last in a batch")


@CHECKS.add(
    "orientation",
    "Returns the same answer for a photograph in all eight EXIF orientations",
    remedy="use image.pixels(), which is upright; don't decode image.read() yourself",
    suite=Suite.PIXELS,
)
def orientation(bench: Bench) -> None:
    """Detect a photograph in eight EXIF orientations that display alike."""
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
    """Raise ``CheckFailedError`` for values that jsonb or strict JSON can't store."""
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
                    raise CheckFailedError(f"{where} has a key that isn't a text: {key!r:.80}")
                _check_json(key, where)
                _check_json(item, f"{where}.{key}")
        case list() | tuple():
            for index, item in enumerate(value):
                _check_json(item, f"{where}[{index}]")
        case _:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise CheckFailedError(f"{where} has a {kind}: {value!r:.80}")


def answered(result: object) -> bool:
    """Return whether a result has findings that aren't empty."""
    return isinstance(result, Findings) and bool(result.detections)
