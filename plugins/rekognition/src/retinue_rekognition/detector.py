"""What all detectors of this plugin do alike."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO
from threading import Lock
from typing import Any, ClassVar, TypeVar

from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    Detector,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    ImageReference,
    Input,
    Result,
    StandIn,
)

from retinue_rekognition.api import Api, find_region
from retinue_rekognition.errors import RejectedError, UnreadableObjectError
from retinue_rekognition.image_parameter import MAX_SENT_BYTES, image_parameter
from retinue_rekognition.options import RekognitionOptions
from retinue_rekognition.prices import price
from retinue_rekognition.quotas import default_requests_per_second, quota

OptionsT = TypeVar("OptionsT", bound=RekognitionOptions)

STAND_IN = StandIn(
    service="Amazon Rekognition",
    module="retinue_rekognition.endpoint",
    variable="AWS_ENDPOINT_URL_REKOGNITION",
    option="endpoint_url",
    honesty="It recognises nothing: labels, faces, names and confidences are invented, always the "
    "same for the same photograph. Only colours, brightness, sharpness and the places of boxes "
    "come from the pixels. Prices are what Amazon would bill.",
)
"""The endpoint of this package, which needs no account."""

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

    def paced_operation(self, operation: str) -> AbstractContextManager[None]:
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

    def detect(self, images: Sequence[Image]) -> Sequence[Result]:
        """Ask Rekognition about each image."""
        return [self._answer(image) for image in images]

    def _answer(self, image: Image) -> Result:
        try:
            try:
                return self.look(image)
            except UnreadableObjectError as error:
                raise self.why_unreadable(image.reference, str(error)) from error
        except DetectorError as error:
            return error
        except ConfigurationError as error:  # it came too late to refuse the start
            return DetectorNotReadyError(str(error))

    @abstractmethod
    def look(self, image: Image) -> Findings:
        """Ask about one image.

        Raises:
            DetectorError: It could not be looked at.
        """

    def ask(self, image: Image, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call an operation with the image.

        Raises:
            DetectorError: It failed. A rejected parameter is blamed on the image only after a good
                image was accepted with the same options.
        """
        sent = image_parameter(image, self.options.send, max_sent_bytes=self.max_sent_bytes)
        try:
            return self.api.call(operation, {**parameters, "Image": sent})
        except RejectedError as error:
            self._check_options(operation, parameters, error)
            raise

    def why_unreadable(self, reference: ImageReference, complaint: str) -> DetectorError:
        """Why Rekognition could not read the image from S3."""
        return self.api.why_unreadable(reference, complaint)

    def _check_options(
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


class OneCallDetector(RekognitionDetector[OptionsT]):
    """A detector that calls one operation for each image.

    Subclasses name the operation and say what its parameters are and what its answer means.
    """

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The request's parameters besides the image."""

    @abstractmethod
    def findings(self, response: dict[str, Any]) -> Findings:
        """What the operation's answer means."""

    def look(self, image: Image) -> Findings:
        """Call the operation, and convert its answer."""
        return self.findings(self.ask(image, self.operation, self.parameters()))


def control_image() -> bytes:
    """A picture that every operation accepts: 160 × 160 pixels, PNG."""
    from PIL import Image as PillowImage

    file = BytesIO()
    PillowImage.linear_gradient("L").resize((160, 160)).convert("RGB").save(file, "PNG")
    return file.getvalue()
