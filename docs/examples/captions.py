"""Call a service that limits and bills its calls."""

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorOptions,
    Findings,
    Image,
    Input,
    Result,
    RetriableError,
)


def call_service(file: bytes) -> int:
    """Stand in for an HTTP call and return its status."""
    return 200 if file else 429


class Captions(Detector[DetectorOptions]):
    """Calls a service that allows 20 calls a second."""

    name: ClassVar[str] = "captions"
    version: ClassVar[str] = "1"
    capabilities = Capabilities(
        input=Input.BYTES,
        max_concurrency=8,
        quotas={"captions": 20.0},
        usd_per_unit=Decimal("0.001"),
    )

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Call the service for each image."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Result:
        try:
            with self.rate_limited("captions"):
                if call_service(image.read()) == 429:
                    raise RetriableError("too many calls", throttled=True)
        except RetriableError as error:
            return error
        return Findings(billed_units=Decimal(1))
