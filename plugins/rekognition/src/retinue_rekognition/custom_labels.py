"""rekognition-custom-labels: the findings of your own model, in the image or at places in it."""

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from pydantic import Field
from retinue_sdk import (
    COSTLY,
    ConfigurationError,
    DetectorNotReadyError,
    Findings,
    ManagedModel,
    Operational,
    RetriableError,
)

from retinue_rekognition import convert
from retinue_rekognition.api import find_region
from retinue_rekognition.custom_model import (
    CustomModel,
    ModelApi,
    model_status,
    projects,
    versions,
)
from retinue_rekognition.detector import OneCallDetector
from retinue_rekognition.options import Ratio, RekognitionOptions, percent
from retinue_rekognition.version_arn import PATTERN, VersionArn


class CustomLabelsOptions(RekognitionOptions):
    """The model and its parameters."""

    project_version_arn: Annotated[str, Field(pattern=PATTERN)]
    """ARN of the model version, such as
    ``arn:aws:rekognition:eu-west-1:123456789012:project/birds/version/v1/1700000000000``."""

    project_arn: Annotated[str | None, Field(pattern=r"^arn:[^:]+:rekognition:"), Operational()] = (
        None
    )
    """ARN of its project. Default: AWS is queried (DescribeProjects)."""

    min_confidence: Ratio | None = None
    """Minimum confidence of a label, 0 to 1.

    Default: the threshold that training found for each label.
    """

    max_results: Annotated[int, Field(ge=0, le=10_000)] | None = None
    """Maximum number of labels, the most confident ones."""


class CustomLabelsDetector(OneCallDetector[CustomLabelsOptions]):
    """Finds the labels of your own model, by DetectCustomLabels."""

    name: ClassVar[str] = "rekognition-custom-labels"
    operation: ClassVar[str] = "DetectCustomLabels"
    operations: ClassVar[tuple[str, ...]] = (
        "DetectCustomLabels",
        "DescribeProjects",
        "DescribeProjectVersions",
        "StartProjectVersion",
        "StopProjectVersion",
    )

    def __init__(self, options: CustomLabelsOptions) -> None:
        """Compare the ARN with the region.

        Raises:
            ConfigurationError: The model is in another region.
        """
        super().__init__(options)
        self.arn = VersionArn.parse(options.project_version_arn)
        if self.arn.region != self.region:
            raise ConfigurationError(
                f"option project_version_arn: the model is in {self.arn.region}, but the "
                f"detector calls {self.region}. Model, bucket and worker must be in one region: "
                f"set AWS_REGION or option region to {self.arn.region}, or name a model in "
                f"{self.region}"
            )
        if options.project_arn is not None:
            _check_project(options.project_arn, self.arn)

    @property
    def billed_for(self) -> tuple[str, ...]:
        """Return no images, because the model's minutes are billed; see ``managed_model``."""
        return ()

    @property
    def model_version(self) -> str:
        """Return the version's name from its training."""
        return self.arn.version

    @property
    def managed_model(self) -> ManagedModel:
        """Return the model, for starting and stopping it."""
        api = ModelApi(self.options, self.region)
        return CustomModel(self.arn, api.call, self.options.project_arn)

    @classmethod
    def find_models(cls, patterns: Sequence[str]) -> Sequence[ManagedModel]:
        """Return the account's hosted versions whose ARN or project ARN matches a pattern.

        Raises:
            DetectorError: AWS can't be queried.
            ConfigurationError: No region is set.
        """
        if not patterns:
            return ()
        api = ModelApi(RekognitionOptions(), find_region(None))
        found: list[ManagedModel] = []
        for project in projects(api.call):
            project_arn = str(project.get("ProjectArn"))
            for told in versions(api.call, project_arn):
                arn = str(told.get("ProjectVersionArn"))
                wanted = any(fnmatchcase(name, p) for name in (arn, project_arn) for p in patterns)
                if wanted and model_status(told).state in COSTLY:
                    found.append(CustomModel(VersionArn.parse(arn), api.call, project_arn))
        return found

    async def prepare(self) -> None:
        """Check that the model exists. It may be stopped.

        Raises:
            ConfigurationError: The account or the project doesn't have the version.
            DetectorNotReadyError: AWS can't be queried now.
        """
        try:
            await asyncio.to_thread(self.managed_model.describe)
        except RetriableError as error:
            raise DetectorNotReadyError(str(error)) from error

    def parameters(self) -> dict[str, Any]:
        """Return the version and the options."""
        options = self.options
        wanted: dict[str, Any] = {"ProjectVersionArn": options.project_version_arn}
        if options.min_confidence is not None:
            wanted["MinConfidence"] = percent(options.min_confidence)
        if options.max_results is not None:
            wanted["MaxResults"] = options.max_results
        return wanted

    def findings(self, response: dict[str, Any]) -> Findings:
        """Return the labels of the image and of places in it."""
        return convert.custom_labels(response)


def _check_project(project_arn: str, version: VersionArn) -> None:
    """Raise if the version can't belong to the project.

    Raises:
        ConfigurationError: Account, region or name differ.
    """
    parts = project_arn.split(":", 5)
    name = parts[5].split("/")[1:2] if len(parts) == 6 else []
    if [*parts[3:5], *name] != [version.region, version.account, version.project]:
        raise ConfigurationError(
            f"option project_arn: {project_arn} is not the project of {version.arn}; omit it to "
            "look the project up"
        )
