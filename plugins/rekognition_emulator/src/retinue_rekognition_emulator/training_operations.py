"""The answers of operations on projects, datasets and trainings."""

from collections.abc import Callable
from typing import Any

from retinue_rekognition_emulator.datasets import Dataset, Datasets, labels_of, wrong
from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.images import UNREADABLE, Source
from retinue_rekognition_emulator.training import Training
from retinue_rekognition_emulator.version_operations import Answer, VersionOperations

MAX_MANIFEST_BYTES = 2**30
"""Maximum size of a manifest ("Guidelines and quotas in Amazon Rekognition Custom Labels")."""

PAGE = 100


class TrainingOperations:
    """Projects, datasets and trainings. ``VersionOperations`` hosts models."""

    def __init__(self, models: VersionOperations) -> None:
        self._models = models
        self.versions = models.versions
        self.source: Source | None = models.source
        self.datasets = Datasets(self.versions)
        self.training = Training(self.versions, self.datasets)
        self.known: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "CreateProject": self.create_project,
            "DeleteProject": self.delete_project,
            "DescribeProjects": self.describe_projects,
            "CreateDataset": self.create_dataset,
            "DescribeDataset": self.describe_dataset,
            "UpdateDatasetEntries": self.update_dataset_entries,
            "ListDatasetEntries": self.list_dataset_entries,
            "DistributeDatasetEntries": self.distribute_dataset_entries,
            "DeleteDataset": self.delete_dataset,
            "CreateProjectVersion": self.create_project_version,
            "DescribeProjectVersions": self.describe_project_versions,
            "DeleteProjectVersion": self.delete_project_version,
        }

    def create_project(self, request: dict[str, Any]) -> Answer:
        """Create a project."""
        return {"ProjectArn": self.versions.create_project(request["ProjectName"]).arn}

    def delete_project(self, request: dict[str, Any]) -> Answer:
        """Delete a project that has no versions."""
        with self.versions.lock:
            self.training.forget_deleted()
            project = self.versions.project(request["ProjectArn"])
            if project.versions:
                raise AwsError("ResourceInUseException", "The project has versions.")
            for dataset in self.datasets.of(project):
                self.datasets.delete(dataset)
            del self.versions.projects[project.name]
        return {"Status": "DELETING"}

    def describe_projects(self, request: dict[str, Any]) -> Answer:
        """Return projects with their datasets."""
        answer = self._models.describe_projects(request)
        with self.versions.lock:
            for told in answer["ProjectDescriptions"]:
                project = self.versions.project(told["ProjectArn"])
                told["Datasets"] = [
                    {
                        "DatasetArn": dataset.arn,
                        "DatasetType": dataset.kind,
                        "CreationTimestamp": dataset.created_at,
                        **_status(dataset),
                    }
                    for dataset in self.datasets.of(project)
                ]
        return answer

    def create_dataset(self, request: dict[str, Any]) -> Answer:
        """Create a dataset: empty, from a manifest in S3, or as a copy of another."""
        chosen = request.get("DatasetSource") or {}
        if len(chosen) > 1:
            raise AwsError("InvalidParameterException", "Give one source of the dataset.")
        with self.versions.lock:
            project = self.versions.project(request["ProjectArn"])
            manifest = None
            if "GroundTruthManifest" in chosen:
                manifest = self._read(chosen["GroundTruthManifest"].get("S3Object") or {})
            elif "DatasetArn" in chosen:
                other = self.datasets.get(chosen["DatasetArn"])
                manifest = "\n".join(other.entries.values()).encode()
            dataset = self.datasets.create(project, request["DatasetType"], manifest)
        return {"DatasetArn": dataset.arn}

    def describe_dataset(self, request: dict[str, Any]) -> Answer:
        """Return a dataset's status and counts."""
        with self.versions.lock:
            dataset = self.datasets.get(request["DatasetArn"])
            lines = list(dataset.entries.values())
            bad = sum(wrong(line) is not None for line in lines)
            labelled = sum(bool(labels_of([line])) for line in lines)
            stats = {
                "TotalEntries": len(lines),
                "LabeledEntries": labelled,
                "ErrorEntries": bad,
                "TotalLabels": len(labels_of(lines)),
            }
            told = {"CreationTimestamp": dataset.created_at, "DatasetStats": stats}
            return {"DatasetDescription": told | _status(dataset)}

    def update_dataset_entries(self, request: dict[str, Any]) -> Answer:
        """Add or replace entries."""
        with self.versions.lock:
            dataset = self.datasets.get(request["DatasetArn"])
            self.datasets.update(dataset, request["Changes"]["GroundTruth"])
        return {}

    def list_dataset_entries(self, request: dict[str, Any]) -> Answer:
        """Return a dataset's lines, all or some, in pages."""
        with self.versions.lock:
            dataset = self.datasets.get(request["DatasetArn"])
            if dataset.status == "CREATE_IN_PROGRESS":
                raise AwsError("ResourceNotReadyException", "The dataset is being created.")
            lines = [line for line in dataset.entries.items() if _wanted(*line, request)]
        token = request.get("NextToken", "0")
        if not token.isdecimal():
            raise AwsError("InvalidPaginationTokenException", "The pagination token is not valid.")
        end = int(token) + request.get("MaxResults", PAGE)
        more = {"NextToken": str(end)} if end < len(lines) else {}
        return {"DatasetEntries": [line for _, line in lines[int(token) : end]]} | more

    def distribute_dataset_entries(self, request: dict[str, Any]) -> Answer:
        """Move a fifth of the training entries to the test dataset."""
        with self.versions.lock:
            first, second = (self.datasets.get(one["Arn"]) for one in request["Datasets"])
            self.datasets.distribute(first, second)
        return {}

    def delete_dataset(self, request: dict[str, Any]) -> Answer:
        """Delete a dataset that isn't used for training."""
        with self.versions.lock:
            dataset = self.datasets.get(request["DatasetArn"])
            for one in self.versions.projects.values():
                project = self.versions.project(one.arn)
                if dataset in self.datasets.of(project) and self.training.is_in_use(project):
                    raise AwsError("ResourceInUseException", "A model is trained with it.")
            self.datasets.delete(dataset)
        return {}

    def create_project_version(self, request: dict[str, Any]) -> Answer:
        """Start training a version."""
        with self.versions.lock:
            self.training.forget_deleted()
            project = self.versions.project(request["ProjectArn"])
            name, output = request["VersionName"], request["OutputConfig"]
            return {"ProjectVersionArn": self.training.start(project, name, output).arn}

    def describe_project_versions(self, request: dict[str, Any]) -> Answer:
        """Return versions with the results of their training."""
        with self.versions.lock:
            self.training.forget_deleted()
            answer = self._models.describe_project_versions(request)
            for told in answer["ProjectVersionDescriptions"]:
                told |= self.training.told(told["ProjectVersionArn"], told["Status"])
        return answer

    def delete_project_version(self, request: dict[str, Any]) -> Answer:
        """Start deleting a version."""
        with self.versions.lock:
            self.training.forget_deleted()
            version = self.versions.get(request["ProjectVersionArn"])
            self.training.delete(version)
            return {"Status": version.status}

    def _read(self, where: dict[str, Any]) -> bytes:
        bucket, key = where.get("Bucket"), where.get("Name")
        stored = None
        if self.source is not None and bucket and key:
            stored = self.source(bucket, key, where.get("Version"))
        if stored is None:
            raise AwsError("InvalidS3ObjectException", UNREADABLE)
        if (stored.size_bytes or len(stored.data)) > MAX_MANIFEST_BYTES:
            raise AwsError("LimitExceededException", "The manifest file is larger than 1 GB.")
        return stored.data


def _status(dataset: Dataset) -> Answer:
    failed = dataset.status.endswith("FAILED")
    return {
        "Status": dataset.status,
        "StatusMessage": dataset.message,
        "StatusMessageCode": "CLIENT_ERROR" if failed else "SUCCESS",
    }


def _wanted(key: str, line: str, request: dict[str, Any]) -> bool:
    labels = labels_of([line])
    fits = {
        "Labeled": request.get("Labeled") == bool(labels),
        "HasErrors": request.get("HasErrors") == (wrong(line) is not None),
        "SourceRefContains": request.get("SourceRefContains", "") in key,
        "ContainsLabels": not labels.keys().isdisjoint(request.get("ContainsLabels", ())),
    }
    return all(fit for name, fit in fits.items() if name in request)
