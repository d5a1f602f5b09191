"""A Custom Labels model version as something that is started and stopped."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from retinue_sdk import ConfigurationError, ModelState, ModelStatus

from retinue_rekognition.api import Api
from retinue_rekognition.prices import USD_PER_UNIT_MINUTE
from retinue_rekognition.version_arn import VersionArn

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
"""Every status of the service model's enum ``ProjectVersionStatus``; a test holds them together."""


class CustomModel:
    """A model version at AWS. The waiters of botocore are not used: they give up too early.

    Args:
        arn: Its ARN.
        connect: Makes the API, connected, on first use.
        project_arn: Its project's ARN, if known; otherwise AWS is asked once.
    """

    def __init__(
        self, arn: VersionArn, connect: Callable[[], Api], project_arn: str | None = None
    ) -> None:
        """Call nothing yet."""
        self._arn = arn
        self._connect = connect
        self._api: Api | None = None
        self._project_arn = project_arn

    @property
    def name(self) -> str:
        """The ARN."""
        return self._arn.arn

    @property
    def usd_per_unit_minute(self) -> Decimal:
        """The price of an inference unit."""
        return USD_PER_UNIT_MINUTE

    def describe(self) -> ModelStatus:
        """Ask AWS.

        Raises:
            DetectorError: There was no answer, or it was a refusal.
            ConfigurationError: There is no such version in this account and region.
        """
        if self._project_arn is None:
            self._project_arn = self._find_project()
        for told in versions(self._called, self._project_arn, self._arn.version):
            if told.get("ProjectVersionArn") == self._arn.arn:
                return model_status(told)
        raise ConfigurationError(
            f"project {self._arn.project} has no version {self._arn.version} ({self.name}): "
            "it was deleted, or option project_version_arn is wrong"
        )

    def start(self, units: int) -> None:
        """StartProjectVersion; the number of units is fixed, so that the bill is known.

        Raises:
            DetectorError: There was no answer, or it was a refusal.
        """
        self._called(
            "StartProjectVersion", {"ProjectVersionArn": self.name, "MinInferenceUnits": units}
        )

    def stop(self) -> None:
        """StopProjectVersion.

        Raises:
            DetectorError: There was no answer, or it was a refusal.
        """
        self._called("StopProjectVersion", {"ProjectVersionArn": self.name})

    def _called(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self._api is None:
            self._api = self._connect()
        return self._api.call(operation, parameters)

    def _find_project(self) -> str:
        """The project's ARN, by its name.

        Raises:
            ConfigurationError: The account has no such project.
        """
        wanted = self._arn
        for project in projects(self._called, wanted.project):
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
    """What a description of a version means; a status that nobody foresaw means: wait."""
    status = str(told.get("Status") or "without a status")
    units = told.get("MinInferenceUnits")
    return ModelStatus(
        STATES.get(status, ModelState.PREPARING),
        status,
        str(told.get("StatusMessage") or ""),
        units if isinstance(units, int) else None,
    )


def projects(
    called: Callable[[str, Mapping[str, Any]], dict[str, Any]], name: str | None = None
) -> Iterator[dict[str, Any]]:
    """Custom Labels projects of the account, all or the one of that name."""
    wanted = {"ProjectNames": [name]} if name else {}
    return _paged(called, "DescribeProjects", wanted, "ProjectDescriptions")


def versions(
    called: Callable[[str, Mapping[str, Any]], dict[str, Any]],
    project_arn: str,
    name: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Versions of a project, all or the one of that name."""
    wanted: dict[str, Any] = {"ProjectArn": project_arn}
    if name:
        wanted["VersionNames"] = [name]
    return _paged(called, "DescribeProjectVersions", wanted, "ProjectVersionDescriptions")


def _paged(
    called: Callable[[str, Mapping[str, Any]], dict[str, Any]],
    operation: str,
    parameters: Mapping[str, Any],
    key: str,
) -> Iterator[dict[str, Any]]:
    token: str | None = None
    while True:
        answer = called(operation, {**parameters, **({"NextToken": token} if token else {})})
        yield from answer.get(key) or ()
        token = answer.get("NextToken")
        if not token:
            return
