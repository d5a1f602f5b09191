"""Custom Labels' projects, datasets and versions."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from retinue_cli.output.words import count
from retinue_cli.training.errors import TrainingError

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

IAM_ACTIONS = frozenset(
    {
        "rekognition:CreateDataset",
        "rekognition:CreateProject",
        "rekognition:CreateProjectVersion",
        "rekognition:DeleteDataset",
        "rekognition:DescribeDataset",
        "rekognition:DescribeProjectVersions",
        "rekognition:DescribeProjects",
        "rekognition:DistributeDatasetEntries",
        "rekognition:ListDatasetEntries",
        "rekognition:StartProjectVersion",
        "rekognition:StopProjectVersion",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    }
)
"""The actions that an operator of training needs; see docs/custom-labels.md."""

Kind = Literal["TRAIN", "TEST"]

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version, as the service describes it.

    Attributes:
        arn: Its ARN.
        status: Its status.
        message: The service's message about the status.
        created_at: When its training began.
        f1: The F1 score of the training; ``None`` until it ends.
        billed_seconds: Seconds of training that are billed.
        summary: The location of the complete evaluation in S3.
    """

    arn: str
    status: str
    message: str
    created_at: datetime
    f1: float | None
    billed_seconds: int | None
    summary: str | None

    @property
    def name(self) -> str:
        """Return the version's name."""
        return self.arn.split("/")[3]

    @property
    def project(self) -> str:
        """Return the project's name."""
        return self.arn.split("/")[1]


class CustomLabels:
    """Custom Labels in one region.

    Args:
        client: Rekognition.
        sleep: Waits for a number of seconds.
    """

    def __init__(self, client: "RekognitionClient", sleep: Sleep = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    def project(self, name: str) -> str | None:
        """Return the project's ARN; ``None`` if it doesn't exist."""
        found = self._described(name)
        return None if found is None else str(found["ProjectArn"])

    def make_project(self, name: str) -> str:
        """Create a project and return its ARN."""
        with _explained("CreateProject"):
            return self._client.create_project(ProjectName=name)["ProjectArn"]

    def datasets(self, project: str) -> dict[str, str]:
        """Return the ARNs of a project's datasets by kind."""
        found = self._described(project) or {}
        return {one["DatasetType"]: one["DatasetArn"] for one in found.get("Datasets", [])}

    def images_of(self, dataset: str) -> set[str]:
        """Return the URIs of a dataset's images."""
        import json

        found = set()
        with _explained("ListDatasetEntries"):
            pages = self._client.get_paginator("list_dataset_entries").paginate(DatasetArn=dataset)
            for page in pages:
                found |= {json.loads(line)["source-ref"] for line in page["DatasetEntries"]}
        return found

    def delete_dataset(self, dataset: str) -> None:
        """Delete a dataset and wait until it is gone."""
        with _explained("DeleteDataset"):
            self._client.delete_dataset(DatasetArn=dataset)
        while True:
            try:
                self._client.describe_dataset(DatasetArn=dataset)
            except ClientError as error:
                if _code(error) == "ResourceNotFoundException":
                    return
                raise TrainingError(f"DescribeDataset: {error}") from error
            self._sleep(5)

    def make_dataset(self, project_arn: str, kind: Kind, manifest: tuple[str, str] | None) -> str:
        """Create a dataset, empty or from a manifest at (bucket, key), and wait until it is ready.

        Raises:
            TrainingError: The service refuses the request.
        """
        more: dict[str, Any] = {}
        if manifest is not None:
            where = {"Bucket": manifest[0], "Name": manifest[1]}
            more["DatasetSource"] = {"GroundTruthManifest": {"S3Object": where}}
        with _explained("CreateDataset"):
            arn = self._client.create_dataset(ProjectArn=project_arn, DatasetType=kind, **more)[
                "DatasetArn"
            ]
        self.wait_for_dataset(arn)
        return arn

    def distribute(self, train: str, test: str) -> None:
        """Move a fifth of the training images to the test dataset, and wait for it."""
        with _explained("DistributeDatasetEntries"):
            self._client.distribute_dataset_entries(Datasets=[{"Arn": train}, {"Arn": test}])
        self.wait_for_dataset(train)
        self.wait_for_dataset(test)

    def wait_for_dataset(self, arn: str) -> None:
        """Wait until a dataset is ready.

        Raises:
            TrainingError: It failed, or has entries that the service rejects.
        """
        while True:
            with _explained("DescribeDataset"):
                told = self._client.describe_dataset(DatasetArn=arn)["DatasetDescription"]
            if told["Status"].endswith("COMPLETE"):
                break
            if told["Status"].endswith("FAILED"):
                raise TrainingError(f"{arn}: {told['Status']}: {told.get('StatusMessage', '')}")
            self._sleep(5)
        if errors := told.get("DatasetStats", {}).get("ErrorEntries"):
            raise TrainingError(
                f"{arn}: the service refuses {count(errors, 'image')}; nothing was trained. "
                "`aws rekognition list-dataset-entries --has-errors` says why"
            )

    def versions(self, project_arn: str, name: str | None = None) -> list[ModelVersion]:
        """Return a project's versions, the newest first, or the one with this name."""
        more: dict[str, Any] = {} if name is None else {"VersionNames": [name]}
        with _explained("DescribeProjectVersions"):
            pages = self._client.get_paginator("describe_project_versions").paginate(
                ProjectArn=project_arn, **more
            )
            return [_version(one) for page in pages for one in page["ProjectVersionDescriptions"]]

    def train(self, project_arn: str, name: str, bucket: str, prefix: str) -> None:
        """Start training a version. Its results go to S3."""
        with _explained("CreateProjectVersion"):
            self._client.create_project_version(
                ProjectArn=project_arn,
                VersionName=name,
                OutputConfig={"S3Bucket": bucket, "S3KeyPrefix": prefix},
            )

    def describe(self, version_arn: str) -> ModelVersion:
        """Return a version by its ARN.

        Raises:
            TrainingError: It doesn't exist, or the service doesn't answer.
        """
        parts = version_arn.split("/")
        project_arn = self.project(parts[1])
        found = [] if project_arn is None else self.versions(project_arn, parts[3])
        for one in found:
            if one.arn == version_arn:
                return one
        raise TrainingError(f"there is no model version {version_arn} in this account and region")

    def start(self, version_arn: str, units: int) -> None:
        """Start hosting a version, which is billed until it is stopped."""
        with _explained("StartProjectVersion"):
            self._client.start_project_version(
                ProjectVersionArn=version_arn, MinInferenceUnits=units
            )

    def stop(self, version_arn: str) -> None:
        """Stop hosting a version."""
        with _explained("StopProjectVersion"):
            self._client.stop_project_version(ProjectVersionArn=version_arn)

    def _described(self, name: str) -> Any:
        with _explained("DescribeProjects"):
            found = self._client.describe_projects(ProjectNames=[name])["ProjectDescriptions"]
        return found[0] if found else None


def make_client(region: str | None) -> "RekognitionClient":
    """Return a client for Rekognition with AWS's standard configuration.

    Raises:
        ConfigurationError: No region is set.
    """
    import os

    import boto3
    from botocore.config import Config
    from botocore.exceptions import NoRegionError
    from retinue_sdk import ConfigurationError

    once = Config(retries={"total_max_attempts": 5, "mode": "standard"}, read_timeout=60)
    try:
        session = boto3.session.Session(region_name=region or os.environ.get("AWS_REGION"))
        client: RekognitionClient = session.client("rekognition", config=once)
    except NoRegionError as error:
        raise ConfigurationError("no AWS region is set: set AWS_REGION") from error
    return client


@contextmanager
def _explained(operation: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise TrainingError(f"{operation}: {error}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _version(told: Any) -> ModelVersion:
    result = told.get("EvaluationResult", {})
    where = result.get("Summary", {}).get("S3Object")
    return ModelVersion(
        told["ProjectVersionArn"],
        told["Status"],
        told.get("StatusMessage", ""),
        told["CreationTimestamp"],
        result.get("F1Score"),
        told.get("BillableTrainingTimeInSeconds"),
        None if not where else f"s3://{where['Bucket']}/{where['Name']}",
    )
