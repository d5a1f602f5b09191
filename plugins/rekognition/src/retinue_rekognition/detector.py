"""The common base of the detectors of images."""

import asyncio
import time
from abc import abstractmethod
from functools import cached_property
from io import BytesIO
from typing import Any, ClassVar, TypeVar

from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
    RetriableError,
)

from retinue_rekognition.errors import RejectedError, UnreadableObjectError
from retinue_rekognition.image_parameter import MAX_SENT_BYTES, image_parameter
from retinue_rekognition.options import RekognitionOptions
from retinue_rekognition.service import RekognitionService

OptionsT = TypeVar("OptionsT", bound=RekognitionOptions)

CONTROL_SECONDS = 600.0
"""How long the options count as valid after a control image was accepted."""


class RekognitionDetector(RekognitionService[OptionsT], AsyncDetector[OptionsT]):
    """A detector that calls Rekognition for each image.

    Attributes:
        max_sent_bytes: Maximum size of an image in a request.
    """

    max_sent_bytes: ClassVar[int] = MAX_SENT_BYTES

    def __init__(self, options: OptionsT) -> None:
        super().__init__(options)
        self._checking_options = asyncio.Lock()
        self._options_valid_until = 0.0

    @property
    def capabilities(self) -> Capabilities:
        """Declare many concurrent calls, within the quota."""
        by_reference = self.options.send == "reference"
        return Capabilities(
            input=Input.REFERENCE if by_reference else Input.BYTES,
            max_concurrency=self.options.max_concurrency,
            prices=self.prices,
            quotas=self.quotas,
        )

    @property
    def operations_of_rate_option(self) -> frozenset[str]:
        """Return the operation for each image."""
        return frozenset({self.operation})

    async def detect(self, image: Image) -> Findings:
        """Call Rekognition for an image.

        Raises:
            DetectorError: Rekognition couldn't process it.
        """
        asked_at = time.monotonic()
        try:
            try:
                findings = await self.look(image)
            except UnreadableObjectError as error:
                raise await self.why_unreadable(image.reference, str(error)) from error
        except ConfigurationError as error:  # the worker runs: too late to refuse the start
            raise DetectorNotReadyError(str(error)) from error
        except RecursionError as error:
            raise RetriableError(f"{self.name}: unreadable answer: {error}") from error
        if self.options.send == "reference":
            self._objects.record_served(image.reference, asked_at)
        return findings

    @abstractmethod
    async def look(self, image: Image) -> Findings:
        """Make the calls for an image.

        Raises:
            UnreadableObjectError: Rekognition couldn't read the image from S3.
            DetectorError: Rekognition couldn't process it.
        """

    async def ask(self, image: Image, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call an operation with the image.

        Raises:
            DetectorError: The call failed. A rejected parameter counts as the image's fault only
                after a control image was accepted with the same options.
        """
        sent = image_parameter(image, self.options.send, max_sent_bytes=self.max_sent_bytes)
        try:
            return await self.api.call(operation, {**parameters, "Image": sent})
        except RejectedError as error:
            await self.check_options(operation, parameters, error)
            raise

    async def check_options(
        self, operation: str, parameters: dict[str, Any], complaint: DetectorError
    ) -> None:
        """Check that Rekognition rejects the image and not an option.

        InvalidParameterException can mean either, and its message is the same ("Request has Invalid
        Parameters", boto/botocore#1366). A control image is sent with the same options. If
        Rekognition rejects it, too, the options are the cause. It costs one image, at most once in
        ``CONTROL_SECONDS``.

        Raises:
            DetectorNotReadyError: An option is rejected.
        """
        async with self._checking_options:
            if time.monotonic() < self._options_valid_until:
                return
            control = {"Bytes": await asyncio.to_thread(control_image)}
            try:
                await self.api.call(operation, {**parameters, "Image": control})
            except RejectedError as error:
                raise DetectorNotReadyError(
                    f"{complaint}. A plain picture is rejected as well, so an option of "
                    f"{self.name} is at fault: {self.options.model_dump(exclude_defaults=True)}"
                ) from error
            self._options_valid_until = time.monotonic() + CONTROL_SECONDS


class OneCallDetector(RekognitionDetector[OptionsT]):
    """A detector that calls one operation for each image."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return the request's parameters without the image."""

    @abstractmethod
    def findings(self, response: dict[str, Any]) -> Findings:
        """Return the findings of the operation's answer."""

    async def look(self, image: Image) -> Findings:
        """Call the operation."""
        return self.findings(await self.ask(image, self.operation, self._parameters))

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        return self.parameters()


def control_image() -> bytes:
    """Return a picture that every operation accepts: 160 × 160 pixels, PNG."""
    from PIL import Image as PillowImage

    file = BytesIO()
    PillowImage.linear_gradient("L").resize((160, 160)).convert("RGB").save(file, "PNG")
    return file.getvalue()
