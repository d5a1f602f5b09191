"""Start and stop a Custom Labels model version with boto3."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from retinue_sdk import ConfigurationError, ModelState, ModelStatus, RetriableError

from retinue_rekognition.api import rekognition
from retinue_rekognition.errors import CredentialsError, explained
from retinue_rekognition.options import ServiceOptions
from retinue_rekognition.prices import USD_PER_UNIT_MINUTE
from retinue_rekognition.version_arn import VersionArn

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

Call = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Calls an operation with parameters and returns its answer."""

STATES: Mapping[str, ModelState] = {
    "TRAINING_IN_PROGRESS": ModelState.PREPARING,
    "TRAINING_COMPLETED": ModelState.STOPPED,
    "TRAINING_FAILED": ModelState.UNUSABLE,
    "STARTING": ModelState.STARTING,
    "RUNNING": ModelState.RUNNING,
    "FAILED": ModelState.FAILED,
    "STOPPING": ModelState.STOPPING,
    "STOPPED": ModelState.STOPPED,
    "DELETING": ModelState.UNUSABLE,
    "COPYING_IN_PROGRESS": ModelState.PREPARING,
    "COPYING_COMPLETED": ModelState.STOPPED,
    "COPYING_FAILED": ModelState.UNUSABLE,
    "DEPRECATED": ModelState.UNUSABLE,
    "EXPIRED": ModelState.UNUSABLE,
}
"""The states of the service model's enum ``ProjectVersionStatus``. A test compares them."""


class ModelApi:
    """The operations on models, called by a boto3 client from a thread, a few times a minute.

    Args:
        options: Endpoint and timeouts.
        region: The region.
    """

    def __init__(self, options: ServiceOptions, region: str) -> None:
        self._options = options
        self._region = region
        self._client: RekognitionClient | None = None

    def call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation once.

        Raises:
            DetectorError: The call failed. Its class decides the next step.
            ConfigurationError: The call can never work.
        """
        if self._client is None:
            _, self._client = rekognition(self._options, self._region)
        try:
            with explained(operation):
                answer = getattr(self._client, xform_name(operation))(**parameters)
        except CredentialsError:
            self._client = None  # the next call looks for new credentials
            raise
        if answer.keys() <= {"ResponseMetadata"}:
            raise RetriableError(f"{operation}: unreadable answer")
        return dict(answer)


class CustomModel:
    """A model version in AWS. botocore's waiters aren't used, because they give up too early.

    Args:
        arn: Its ARN.
        call: Calls Rekognition.
        project_arn: Its project's ARN. If unknown, AWS is queried once.
    """

    def __init__(self, arn: VersionArn, call: Call, project_arn: str | None = None) -> None:
        self._arn = arn
        self._call = call
        self._project_arn = project_arn

    @property
    def name(self) -> str:
        """Return the ARN."""
        return self._arn.arn

    @property
    def usd_per_unit_minute(self) -> Decimal:
        """Return the price of an inference unit."""
        return USD_PER_UNIT_MINUTE

    def describe(self) -> ModelStatus:
        """Return the model's status in AWS.

        Raises:
            DetectorError: AWS didn't answer, or refused.
            ConfigurationError: The version doesn't exist in this account and region.
        """
        if self._project_arn is None:
            self._project_arn = self._find_project()
        for told in versions(self._call, self._project_arn, self._arn.version):
            if told.get("ProjectVersionArn") == self._arn.arn:
                return model_status(told)
        raise ConfigurationError(
            f"project {self._arn.project} has no version {self._arn.version} ({self.name}): "
            "it was deleted, or option project_version_arn is wrong"
        )

    def start(self, units: int) -> None:
        """Call StartProjectVersion with a fixed number of units, so that the bill is known.

        Raises:
            DetectorError: AWS didn't answer, or refused.
        """
        self._call(
            "StartProjectVersion", {"ProjectVersionArn": self.name, "MinInferenceUnits": units}
        )

    def stop(self) -> None:
        """Call StopProjectVersion.

        Raises:
            DetectorError: AWS didn't answer, or refused.
        """
        self._call("StopProjectVersion", {"ProjectVersionArn": self.name})

    def _find_project(self) -> str:
        """Return the project's ARN.

        Raises:
            ConfigurationError: The account doesn't have the project.
        """
        wanted = self._arn
        for project in projects(self._call, wanted.project):
            arn = str(project.get("ProjectArn"))
            account = arn.split(":")[4]
            if account != wanted.account:
                raise ConfigurationError(
                    f"option project_version_arn names account {wanted.account}, and the "
                    f"credentials belong to account {account}: use credentials of "
                    f"{wanted.account}, or copy the model (CopyProjectVersion) and name the copy"
                )
            return arn
        raise ConfigurationError(
            f"this account has no Custom Labels project {wanted.project} in {wanted.region}; "
            f"option project_version_arn names account {wanted.account}: check it, the region and "
            "the credentials"
        )


def model_status(told: Mapping[str, Any]) -> ModelStatus:
    """Return the status of a version's description. Wait for an unknown status."""
    status = str(told.get("Status") or "without a status")
    units = told.get("MinInferenceUnits")
    return ModelStatus(
        STATES.get(status, ModelState.PREPARING),
        status,
        str(told.get("StatusMessage") or ""),
        units if isinstance(units, int) else None,
    )


def projects(call: Call, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the account's Custom Labels projects, or the one with this name."""
    wanted = {"ProjectNames": [name]} if name else {}
    return _paged(call, "DescribeProjects", wanted, "ProjectDescriptions")


def versions(call: Call, project_arn: str, name: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield a project's versions, or the one with this name."""
    wanted: dict[str, Any] = {"ProjectArn": project_arn}
    if name:
        wanted["VersionNames"] = [name]
    return _paged(call, "DescribeProjectVersions", wanted, "ProjectVersionDescriptions")


def _paged(
    call: Call, operation: str, parameters: Mapping[str, Any], key: str
) -> Iterator[dict[str, Any]]:
    token: str | None = None
    while True:
        answer = call(operation, {**parameters, **({"NextToken": token} if token else {})})
        yield from answer.get(key) or ()
        token = answer.get("NextToken")
        if not token:
            return
