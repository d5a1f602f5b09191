"""Training of Custom Labels models, with AWS's life cycle."""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retinue_rekognition_emulator.datasets import Dataset, Datasets, has_boxes, labels_of, wrong
from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.versions import HOSTED, Project, Version, Versions

INVALID_SHARE = 0.2
"""Training fails if more than this share of the lines is invalid. The figure is from "Understanding
training and testing validation result manifests".
"""

MIN_LABEL_OVERLAP = 0.5
"""Training fails if the test images have less than this share of the labels to learn. The figure is
from "Validation rules for manifest files".
"""


@dataclass(frozen=True)
class Trained:
    """The data of a training.

    Attributes:
        ends_at: When it ends, in seconds of the store's clock.
        seconds: Its duration, all of which is billed.
        f1: Its F1 score.
        output: The location of its results.
    """

    ends_at: float
    seconds: float
    f1: float
    output: dict[str, Any]


class Training:
    """Trains versions.

    Attributes:
        seconds: Duration of a training. AWS documents 30 minutes to 24 hours.
        delete_seconds: Duration of deleting a version.
        max_running: Maximum number of concurrent trainings (Service Quotas: 2 per account).
        failing: Messages of the next trainings that end as TRAINING_FAILED, one after the other.
        f1_scores: The F1 of the next trainings; otherwise invented, 0.6 to 0.99.
    """

    def __init__(self, versions: Versions, datasets: Datasets) -> None:
        self._versions = versions
        self._datasets = datasets
        self._trained: dict[str, Trained] = {}
        self._deleted: dict[str, float] = {}
        self.seconds = 2 * 3600.0
        self.delete_seconds = 30.0
        self.max_running = 2
        self.failing: deque[str] = deque()
        self.f1_scores: deque[float] = deque()

    def start(self, project: Project, name: str, output: dict[str, Any]) -> Version:
        """Start training a version.

        Raises:
            AwsError: The datasets aren't ready, the name is taken, or a quota is reached.
        """
        datasets = self._datasets.of(project)
        if [dataset.kind for dataset in datasets] != ["TRAIN", "TEST"]:
            raise AwsError(
                "InvalidParameterException", "The project lacks a training or a test dataset."
            )
        for dataset in datasets:
            if not dataset.status.endswith("COMPLETE"):
                raise AwsError(
                    "ResourceInUseException", f"A dataset is in status {dataset.status}."
                )
        if self._running() >= self.max_running:
            raise AwsError(
                "LimitExceededException", f"{self.max_running} models are being trained already."
            )
        now = self._versions.clock()
        version = self._versions.add(
            project.name, name, status="TRAINING_IN_PROGRESS", message="The model is being trained."
        )
        lines = [line for dataset in datasets for line in dataset.entries.values()]
        digest = hashlib.sha256("\n".join(lines).encode() + name.encode()).digest()
        f1 = self.f1_scores.popleft() if self.f1_scores else 0.6 + digest[0] / 256 * 0.39
        self._trained[version.arn] = Trained(now + self.seconds, self.seconds, f1, output)
        end, message = "TRAINING_COMPLETED", "The model is ready to run."
        if problem := self._refused(datasets, lines):
            end, message = "TRAINING_FAILED", problem
        elif self.failing:
            end, message = "TRAINING_FAILED", self.failing.popleft()
        version.labels = tuple(sorted(labels_of(lines)))
        version.due = (now + self.seconds, end, message)
        return version

    def delete(self, version: Version) -> None:
        """Start deleting a version.

        Raises:
            AwsError: It is in use.
        """
        if version.status in HOSTED or version.status == "TRAINING_IN_PROGRESS":
            raise AwsError(
                "ResourceInUseException",
                f"The project version cannot be deleted: it is in status {version.status}.",
            )
        version.status, version.message, version.due = "DELETING", "It is being deleted.", None
        self._deleted[version.arn] = self._versions.clock() + self.delete_seconds

    def forget_deleted(self) -> None:
        """Remove versions whose deletion has ended."""
        now = self._versions.clock()
        for arn in [arn for arn, at in self._deleted.items() if at <= now]:
            del self._deleted[arn]
            for project in self._versions.projects.values():
                project.versions.pop(arn, None)

    def told(self, arn: str, status: str) -> dict[str, Any]:
        """Return DescribeProjectVersions' fields about a version's training."""
        trained = self._trained.get(arn)
        if trained is None:
            return {}
        told: dict[str, Any] = {"OutputConfig": trained.output}
        if status == "TRAINING_IN_PROGRESS":
            return told
        told |= {"TrainingEndTimestamp": trained.ends_at}
        if status == "TRAINING_FAILED":
            return told
        prefix = trained.output.get("S3KeyPrefix", "")
        summary = {"Bucket": trained.output["S3Bucket"], "Name": f"{prefix}EvaluationResult.json"}
        return told | {
            "BillableTrainingTimeInSeconds": int(trained.seconds),
            "EvaluationResult": {"F1Score": trained.f1, "Summary": {"S3Object": summary}},
        }

    def is_in_use(self, project: Project) -> bool:
        """Return whether a version of the project is in training."""
        return any(
            version.status == "TRAINING_IN_PROGRESS" for version in project.versions.values()
        )

    def _running(self) -> int:
        projects = [self._versions.project(one.arn) for one in self._versions.projects.values()]
        return sum(
            version.status == "TRAINING_IN_PROGRESS"
            for project in projects
            for version in project.versions.values()
        )

    @staticmethod
    def _refused(datasets: Sequence[Dataset], lines: Sequence[str]) -> str | None:
        """Return why the data can't be used for training, in the words of AWS's terminal errors."""
        if not lines:
            return "The manifest file is empty."
        bad = sum(wrong(line) is not None for line in lines)
        if bad > INVALID_SHARE * len(lines):
            return "The manifest file has too many invalid rows."
        learned, tested = (labels_of(one.entries.values()).keys() for one in datasets)
        if len(learned | tested) < (1 if has_boxes(lines) else 2):
            return "The dataset has too few labels."
        if len(learned & tested) < MIN_LABEL_OVERLAP * len(learned):
            return "Less than 50% label overlap between the training and testing manifest files."
        buckets = [{uri.split("/")[2] for uri in one.entries if "/" in uri} for one in datasets]
        if any(len(names) > 1 for names in buckets):
            return "The manifest file contains images from multiple S3 buckets."
        return None
