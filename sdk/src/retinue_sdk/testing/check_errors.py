"""Checks that a detector raises the right class of error."""

from retinue_sdk.detection import Findings
from retinue_sdk.detector import Input
from retinue_sdk.errors import (
    DetectorError,
    DetectorNotReadyError,
    InvalidImageError,
    ObjectRefusedError,
    RetriableError,
)
from retinue_sdk.testing.bench import Bench, CheckFailedError, WatchedImage
from retinue_sdk.testing.check import Checks, NotApplicableError

CHECKS = Checks()

_LET_THROUGH = (
    "don't catch the error of image.read() and image.pixels(), or return it for its "
    "image; don't wrap it, and don't return Findings() instead"
)


@CHECKS.add(
    "retriable-stays-retriable",
    "Returns the temporary error of an image that can't be fetched at the moment",
    remedy=_LET_THROUGH,
)
def retriable(bench: Bench) -> None:
    """Show images that can't be fetched now, because S3 is busy or denies access."""
    for error in (
        RetriableError("S3 asks to slow down", retry_after_seconds=7),
        DetectorNotReadyError("S3 denies access"),
        ObjectRefusedError("S3 refuses the object, and perhaps others"),
    ):
        _expect(bench, error)


@CHECKS.add(
    "permanent-stays-permanent",
    "Returns InvalidImageError with its code for an image that is gone",
    remedy=_LET_THROUGH,
)
def permanent(bench: Bench) -> None:
    """Show images that are gone."""
    _expect(bench, InvalidImageError("deleted meanwhile", code="object_not_found", retryable=True))


@CHECKS.add(
    "faults-classified",
    "Raises the error class that the subject expects for each fault of the service",
    remedy="RetriableError for throttling, timeouts and lost connections; DetectorNotReadyError "
    "for lost permissions and stopped models; InvalidImageError for a problem of the "
    "image",
)
def faults(bench: Bench) -> None:
    """Cause each fault, then check for a good answer after it."""
    if not bench.subject.faults:
        raise NotApplicableError("the subject names no faults; see Subject.faults")
    bench.found(bench.photographs()[0])
    for name, fault in bench.subject.faults.items():
        with fault.happening():
            result = bench.single(bench.photographs()[0])
        if not isinstance(result, fault.expected):
            raise CheckFailedError(
                f"{name} was answered with {type(result).__name__}: {result}, not with "
                f"{fault.expected.__name__}"
            )
        bench.found(bench.photographs()[0])


def _expect(bench: Bench, error: DetectorError) -> None:
    """Show an image that raises ``error`` when it is read."""
    if bench.capabilities.input is Input.REFERENCE:
        raise NotApplicableError("the detector fetches nothing")

    def load() -> bytes:
        raise error

    reference = bench.photographs()[0].reference
    result = bench.single(WatchedImage(reference, load))
    told = "Findings" if isinstance(result, Findings) else f"{type(result).__name__}: {result}"
    if type(result) is not type(error):
        raise CheckFailedError(f"{type(error).__name__} came out as {told}")
    code, kept = getattr(error, "code", None), getattr(result, "code", None)
    if kept != code:
        raise CheckFailedError(f"the code {code!r} came out as {kept!r}")
