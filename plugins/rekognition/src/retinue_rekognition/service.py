"""The common base of all detectors of this plugin, of images and of videos."""

from abc import abstractmethod
from typing import ClassVar, TypeVar

from retinue_aws import RefusedObjects
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    ImageReference,
    LocalService,
    Price,
)
from retinue_sdk.detector import CommonDetector

from retinue_rekognition.api import Api, find_region
from retinue_rekognition.options import ServiceOptions
from retinue_rekognition.prices import price
from retinue_rekognition.quotas import default_requests_per_second, quota

OptionsT = TypeVar("OptionsT", bound=ServiceOptions)

EMULATOR = LocalService(
    service="Amazon Rekognition",
    module="retinue_rekognition_emulator",
    variable="AWS_ENDPOINT_URL_REKOGNITION",
    option="endpoint_url",
    disclaimer="It recognises nothing: labels, faces, names and confidences are invented, always "
    "the same for the same photograph. Only colours, brightness, sharpness and the places of boxes "
    "come from the pixels. Prices are Amazon's.",
)
"""The emulator retinue-rekognition-emulator, which needs no account."""


class RekognitionService(CommonDetector[OptionsT]):
    """A detector that calls Rekognition.

    Attributes:
        operation: The operation that is billed.
        operations: Every operation that may be called, for the IAM policy and the quotas.
        region: The AWS region.
    """

    version: ClassVar[str] = "1"
    operation: ClassVar[str]
    operations: ClassVar[tuple[str, ...]]
    local_service: ClassVar[LocalService | None] = EMULATOR

    def __init__(self, options: OptionsT) -> None:
        """Find the region, which decides the quota.

        Raises:
            ConfigurationError: No region is configured.
        """
        super().__init__(options)
        self.region = find_region(options.region)
        self._api: Api | None = None
        self._objects: RefusedObjects[ImageReference] = RefusedObjects()

    @property
    @abstractmethod
    def operations_of_rate_option(self) -> frozenset[str]:
        """Return the operations whose quota the option ``requests_per_second`` sets."""

    @property
    def billed_for(self) -> tuple[str, ...]:
        """Return the names in the price table under which each unit is billed."""
        return (self.operation,)

    @property
    def prices(self) -> tuple[Price, ...]:
        """Return the prices of a unit."""
        account = self.options.account
        return tuple(price(billed, self.region, account) for billed in self.billed_for)

    @property
    def quotas(self) -> dict[str, float]:
        """Return the quotas of all operations."""
        return {
            self._quota(operation): (
                self.options.requests_per_second
                if operation in self.operations_of_rate_option
                else None
            )
            or default_requests_per_second(operation, self.region)
            for operation in self.operations
        }

    def _quota(self, operation: str) -> str:
        return quota(operation, self.region, self.options.account)

    @property
    def api(self) -> Api:
        """Return the client of Rekognition, after the start.

        Raises:
            DetectorNotReadyError: The detector isn't started, or closed.
        """
        if self._api is None:
            raise DetectorNotReadyError(f"{self.name} was not started, or is closed")
        return self._api

    async def start(self) -> None:
        """Create the clients, and check resources that the options name.

        Raises:
            ConfigurationError: An option can't work.
            DetectorNotReadyError: No credentials are available, or a resource of an option doesn't
                exist.
        """
        await self.close()
        names = {operation: self._quota(operation) for operation in self.operations}
        self._api = Api(
            self.options, self.region, lambda operation: self.rate_limited(names[operation])
        )
        try:
            await self._api.connect()
            await self.prepare()
        except BaseException:
            await self.close()
            raise

    async def prepare(self) -> None:
        """Check resources that the options name. ``start`` calls this when Rekognition answers.

        Raises:
            ConfigurationError: An option can't work.
            DetectorNotReadyError: A resource of an option doesn't exist yet.
        """
        return

    async def close(self) -> None:
        """Close connections."""
        api, self._api = self._api, None
        if api is not None:
            await api.aclose()

    async def why_unreadable(self, reference: ImageReference, complaint: str) -> DetectorError:
        """Return why Rekognition couldn't read the object from S3."""
        return await self.api.why_unreadable(reference, complaint, self._objects)
