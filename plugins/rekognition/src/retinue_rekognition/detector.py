"""What all detectors of this plugin do alike."""

import time
from io import BytesIO
from threading import Lock
from typing import Any, ClassVar, TypeVar

from retinue_sdk import (
    Capabilities,
    Detector,
    DetectorError,
    DetectorNotReadyError,
    ImageReference,
    Input,
    Paced,
    RetinueError,
    StandIn,
)

from retinue_rekognition.api import Api, find_region
from retinue_rekognition.errors import RejectedError
from retinue_rekognition.image_parameter import MAX_SENT_BYTES
from retinue_rekognition.options import RekognitionOptions
from retinue_rekognition.prices import price
from retinue_rekognition.quotas import default_requests_per_second, quota

OptionsT = TypeVar("OptionsT", bound=RekognitionOptions)

STAND_IN = StandIn(
    service="Amazon Rekognition",
    module="retinue_rekognition_emulator",
    variable="AWS_ENDPOINT_URL_REKOGNITION",
    option="endpoint_url",
    honesty="It recognises nothing: labels, faces, names and confidences are invented, always the "
    "same for the same photograph. Only colours, brightness, sharpness and the places of boxes "
    "come from the pixels. Prices are what Amazon would bill.",
)
"""The emulator of retinue-rekognition-emulator, which needs no account."""

CONTROL_SECONDS = 600.0
"""How long it is believed that the options are fine, after a good image was accepted."""


class RekognitionDetector(Detector[OptionsT]):
    """A detector that asks Rekognition about each image.

    Attributes:
        operation: The operation whose quota and price hold for an image.
        operations: Every operation that may be called, for the IAM policy and the quotas.
        max_sent_bytes: Largest image that the operation takes in a request.
        region: The AWS region.
    """

    version: ClassVar[str] = "1"
    operation: ClassVar[str]
    operations: ClassVar[tuple[str, ...]]
    max_sent_bytes: ClassVar[int] = MAX_SENT_BYTES
    stand_in: ClassVar[StandIn | None] = STAND_IN

    def __init__(self, options: OptionsT) -> None:
        """Find the region, on which the quota depends; call nothing.

        Raises:
            ConfigurationError: No region is known.
        """
        super().__init__(options)
        self.region = find_region(options.region)
        self._api: Api | None = None
        self._control_lock = Lock()
        self._options_fine_until = 0.0

    @property
    def capabilities(self) -> Capabilities:
        """One image a call, many calls at once, at the quota's pace."""
        by_reference = self.options.send == "reference"
        return Capabilities(
            input=Input.REFERENCE if by_reference else Input.BYTES,
            max_concurrency=self.options.max_concurrency,
            prices=tuple(
                price(billed, self.region, self.options.account) for billed in self.billed_for
            ),
            quotas={
                self._quota(operation): (
                    self.options.requests_per_second if operation in self.set_pace else None
                )
                or default_requests_per_second(operation, self.region)
                for operation in self.operations
            },
        )

    @property
    def set_pace(self) -> frozenset[str]:
        """Operations of which the option ``requests_per_second`` speaks."""
        return frozenset({self.operation})

    @property
    def billed_for(self) -> tuple[str, ...]:
        """What each billed image is billed for, by the names of the price table."""
        return (self.operation,)

    def paced_operation(self, operation: str) -> Paced:
        """Wait until an operation may be called; then call it inside."""
        return self.paced(self._quota(operation))

    def _quota(self, operation: str) -> str:
        return quota(operation, self.region, self.options.account)

    @property
    def api(self) -> Api:
        """Rekognition, once started.

        Raises:
            DetectorNotReadyError: Not started yet, or closed.
        """
        if self._api is None:
            raise DetectorNotReadyError(f"{self.name} was not started, or is closed")
        return self._api

    def start(self) -> None:
        """Make the clients.

        Raises:
            ConfigurationError: An option cannot work.
            DetectorNotReadyError: There are no credentials.
        """
        RekognitionDetector.close(self)  # an earlier start may have failed half-way
        api = Api(self.options, self.region, self.paced_operation)
        api.connect()
        self._api = api

    def close(self) -> None:
        """Close connections."""
        api, self._api = self._api, None
        if api is not None:
            api.close()

    def why_unreadable(self, reference: ImageReference, complaint: str) -> DetectorError:
        """Why Rekognition could not read the image from S3."""
        return self.api.why_unreadable(reference, complaint)

    def check_options(
        self, operation: str, parameters: dict[str, Any], complaint: DetectorError
    ) -> None:
        """Make sure that it is the image that Rekognition rejects, and not an option.

        InvalidParameterException means either, and its message ("Request has Invalid Parameters",
        boto/botocore#1366) does not say which. A small picture that is beyond doubt is sent with
        the same options: if it is rejected too, no image is to blame. It costs one image, at most
        once in ``CONTROL_SECONDS``.

        Raises:
            DetectorNotReadyError: An option is rejected.
        """
        with self._control_lock:
            if time.monotonic() < self._options_fine_until:
                return
            try:
                self.api.call(operation, {**parameters, "Image": {"Bytes": control_image()}})
            except RejectedError as error:
                raise DetectorNotReadyError(
                    f"{complaint}. A plain picture is rejected as well, so an option of "
                    f"{self.name} is at fault: {self.options.model_dump(exclude_defaults=True)}"
                ) from error
            self._options_fine_until = time.monotonic() + CONTROL_SECONDS


def as_result(error: RetinueError) -> DetectorError:
    """An error as the answer for an image."""
    if isinstance(error, DetectorError):
        return error
    return DetectorNotReadyError(str(error))  # ConfigurationError: too late to refuse the start


def control_image() -> bytes:
    """A picture that every operation accepts: 160 × 160 pixels, PNG."""
    from PIL import Image as PillowImage

    file = BytesIO()
    PillowImage.linear_gradient("L").resize((160, 160)).convert("RGB").save(file, "PNG")
    return file.getvalue()
