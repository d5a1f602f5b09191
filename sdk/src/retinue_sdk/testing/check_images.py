"""Checks of a detector's answers for unusual and broken images."""

from retinue_sdk.detection import Findings
from retinue_sdk.detector import Input, Result
from retinue_sdk.errors import InvalidImageError
from retinue_sdk.limits import ImageLimits
from retinue_sdk.testing import pictures
from retinue_sdk.testing.bench import Bench, CheckFailedError, WatchedImage
from retinue_sdk.testing.check import Checks, NotApplicableError, Suite
from retinue_sdk.testing.check_answers import answered
from retinue_sdk.testing.compare import expect_same

CHECKS = Checks()


@CHECKS.add(
    "odd-formats",
    "Processes or refuses greyscale, CMYK, 16-bit, palette and transparent pictures",
    remedy="image.pixels() is always RGB; a detector that uses bytes returns InvalidImageError "
    'with the code "unsupported_format" for files that it cannot read',
)
def odd_formats(bench: Bench) -> None:
    """Show forms that are rarer than RGB."""
    for name, data in pictures.odd(bench.subject.photographs[0]).items():
        result = bench.single(bench.image(data, name))
        if bench.capabilities.input is Input.PIXELS and not isinstance(result, Findings):
            raise CheckFailedError(f"{name} was answered with {_told(result)}, though it is RGB")
        _expect_looked_at_or_refused(result, name)


@CHECKS.add(
    "odd-sizes",
    "Processes or refuses a picture of one pixel, a line, or twelve megapixels",
    remedy="scale images, and return InvalidImageError for those too small or too large for the "
    "model",
)
def odd_sizes(bench: Bench) -> None:
    """Show images of extreme size: one pixel, one line, many megapixels."""
    for name, data in pictures.sizes().items():
        _expect_looked_at_or_refused(bench.single(bench.image(data, name)), name)


@CHECKS.add(
    "too-large-refused",
    "Returns the worker's InvalidImageError for an image above the worker's limits",
    remedy="don't catch the error of image.read() and image.pixels(), or return it for its image",
)
def too_large(bench: Bench) -> None:
    """Show images that exceed the limit of bytes, or of pixels in the header."""
    if bench.capabilities.input is Input.REFERENCE:
        raise NotApplicableError("the detector fetches nothing")
    data = bench.subject.photographs[0]
    limits = {"too_many_bytes": ImageLimits(max_bytes=len(data) - 1)}
    if bench.capabilities.input is Input.PIXELS:
        limits["too_many_pixels"] = ImageLimits(max_px=16)
    for code, limit in limits.items():
        reference = bench.image(data, f"{code}.png").reference
        image = WatchedImage(reference, lambda: data, limits=limit)
        result = bench.single(image)
        if not (isinstance(result, InvalidImageError) and result.code == code):
            raise CheckFailedError(f"{code} was answered with {_told(result)}")


@CHECKS.add(
    "corrupt-refused",
    "Returns InvalidImageError for a corrupt or truncated file, never empty Findings",
    remedy="return InvalidImageError if the image can't be read. Findings() would mean that the "
    "detector looked and found nothing. Any other error keeps the message until its last "
    "receive",
)
def corrupt(bench: Bench) -> None:
    """Show corrupt files. A detector that doesn't read the content may find something anyway."""
    by_pixels = bench.capabilities.input is Input.PIXELS
    for name, data in pictures.corrupt(bench.subject.photographs[0]).items():
        result = bench.single(bench.image(data, name))
        if isinstance(result, InvalidImageError):
            continue
        if by_pixels or not answered(result):
            raise CheckFailedError(f"{name} was answered with {_told(result)}")


@CHECKS.add(
    "batch-survives-bad-image",
    "Fails only the bad image of a batch. The others get the same answers as without it",
    remedy="catch DetectorError around each image and return it at the image's position; raise "
    "only errors of the whole batch",
    suite=Suite.BATCHES,
)
def bad_in_batch(bench: Bench) -> None:
    """Show a bad image between good ones, as far as the batch size allows."""
    if bench.capabilities.input is Input.REFERENCE and bench.subject.store is None:
        raise NotApplicableError("the images are in no store; see Subject.store")
    data = bench.subject.photographs[0]
    alone = bench.single(bench.image(data, "1-good.png"))
    bad = pictures.corrupt(data)["truncated.jpg"]
    images = [
        bench.image(data, "1-good.png"),
        bench.image(bad, "2-truncated.jpg"),
        bench.image(data, "3-good.png"),
    ]
    results = bench.detect(images[: bench.capabilities.max_batch_size])
    if not isinstance(results[1], InvalidImageError) and not answered(results[1]):
        raise CheckFailedError(f"the bad image was answered with {_told(results[1])}")
    for result in (results[0], *results[2:]):
        expect_same(alone, result, "a good image alone, and beside a bad one")


def _expect_looked_at_or_refused(result: Result, name: str) -> None:
    if not isinstance(result, Findings | InvalidImageError):
        raise CheckFailedError(f"{name} was answered with {_told(result)}")


def _told(result: Result) -> str:
    if isinstance(result, Findings):
        return f"Findings with {len(result.detections)} detections"
    code = f" ({result.code})" if isinstance(result, InvalidImageError) else ""
    return f"{type(result).__name__}{code}: {result}"
