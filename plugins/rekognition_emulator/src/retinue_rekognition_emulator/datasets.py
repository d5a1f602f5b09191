"""Custom Labels datasets for training and testing."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.versions import Project, Versions

TEST_SHARE = 5
"""One entry of this number goes to the test dataset when entries are distributed.

AWS takes 20 %.
"""


@dataclass
class Dataset:
    """A dataset.

    Attributes:
        arn: Its ARN.
        kind: TRAIN or TEST.
        created_at: When it was made, in seconds of the store's clock.
        entries: JSON objects by ``source-ref``, or by their digest without one.
        status: The status until ``due``.
        message: AWS's message about the status.
        due: When the status becomes a success by itself, if ever.
    """

    arn: str
    kind: str
    created_at: float
    entries: dict[str, str] = field(default_factory=dict)
    status: str = "CREATE_COMPLETE"
    message: str = "The dataset is ready."
    due: float | None = None


class Datasets:
    """The datasets of all projects.

    Attributes:
        create_seconds: Duration of creating or changing one.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._all: dict[str, dict[str, Dataset]] = {}
        self.create_seconds = 30.0

    def of(self, project: Project) -> list[Dataset]:
        """Return a project's datasets, TRAIN first."""
        found = self._all.get(project.arn, {})
        return [self._advance(found[kind]) for kind in ("TRAIN", "TEST") if kind in found]

    def get(self, arn: str) -> Dataset:
        """Return the dataset with this ARN in its current state.

        Raises:
            AwsError: It doesn't exist.
        """
        for datasets in self._all.values():
            for dataset in datasets.values():
                if dataset.arn == arn:
                    return self._advance(dataset)
        raise AwsError("ResourceNotFoundException", f"The dataset {arn} does not exist.")

    def create(self, project: Project, kind: str, manifest: bytes | None) -> Dataset:
        """Create a dataset, empty or from a manifest.

        Raises:
            AwsError: The project has one of this kind.
        """
        datasets = self._all.setdefault(project.arn, {})
        if kind in datasets:
            raise AwsError(
                "ResourceAlreadyExistsException", f"The project has a {kind} dataset already."
            )
        now = self._versions.clock()
        home = project.arn.rpartition("/")[0]
        dataset = Dataset(f"{home}/dataset/{kind.lower()}/{int(now * 1_000)}", kind, now)
        datasets[kind] = dataset
        self._work(dataset, "CREATE_IN_PROGRESS")
        if manifest is not None:
            try:
                self._put(dataset, manifest)
            except AwsError as error:
                dataset.status, dataset.message, dataset.due = "CREATE_FAILED", error.message, None
        return dataset

    def update(self, dataset: Dataset, lines: bytes) -> None:
        """Add entries, or replace those of the same image.

        Raises:
            AwsError: It is being changed already, or a line isn't a JSON object.
        """
        if dataset.status.endswith("IN_PROGRESS"):
            raise AwsError("ResourceInUseException", f"The dataset is in status {dataset.status}.")
        self._put(dataset, lines)
        self._work(dataset, "UPDATE_IN_PROGRESS")

    def distribute(self, first: Dataset, second: Dataset) -> None:
        """Move a fifth of the training entries to the test dataset.

        Raises:
            AwsError: They aren't a training dataset and an empty test dataset, both ready.
        """
        kinds = {dataset.kind: dataset for dataset in (first, second)}
        if kinds.keys() != {"TRAIN", "TEST"} or kinds["TEST"].entries:
            raise AwsError(
                "InvalidParameterException",
                "Distribution needs a training dataset and an empty test dataset.",
            )
        for dataset in kinds.values():
            if not dataset.status.endswith("COMPLETE"):
                raise AwsError(
                    "ResourceNotReadyException", f"The dataset is in status {dataset.status}."
                )
        train, test = kinds["TRAIN"], kinds["TEST"]
        for key in list(train.entries)[TEST_SHARE - 1 :: TEST_SHARE]:
            test.entries[key] = train.entries.pop(key)
        for dataset in (train, test):
            self._work(dataset, "UPDATE_IN_PROGRESS")

    def delete(self, dataset: Dataset) -> None:
        """Delete a dataset."""
        for datasets in self._all.values():
            if datasets.get(dataset.kind) is dataset:
                del datasets[dataset.kind]

    def _put(self, dataset: Dataset, lines: bytes) -> None:
        found = [line for line in lines.decode("utf-8", "replace").split("\n") if line.strip()]
        if not found or not all(_is_object(line) for line in found):
            raise AwsError("InvalidParameterException", "The manifest has a line that isn't JSON.")
        dataset.entries |= {_key(line): line for line in found}

    def _work(self, dataset: Dataset, status: str) -> None:
        dataset.status, dataset.message = status, "The dataset is being prepared."
        dataset.due = self._versions.clock() + self.create_seconds

    def _advance(self, dataset: Dataset) -> Dataset:
        if dataset.due is not None and dataset.due <= self._versions.clock():
            dataset.status = dataset.status.replace("IN_PROGRESS", "COMPLETE")
            dataset.message, dataset.due = "The dataset is ready.", None
        return dataset


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _key(line: str) -> str:
    try:
        return str(json.loads(line)["source-ref"])
    except KeyError:
        return hashlib.sha256(line.encode()).hexdigest()


def wrong(line: str) -> str | None:
    """Return AWS's name of an entry's problem; ``None`` if it is valid.

    The names are those of "Non-Terminal JSON Line Validation Errors"
    (https://docs.aws.amazon.com/rekognition/latest/customlabels-dg/tm-debugging-json-line-errors.html).
    """
    entry = json.loads(line)
    if "source-ref" not in entry:
        return "ERROR_MISSING_SOURCE_REF"
    if not str(entry["source-ref"]).startswith("s3://"):
        return "ERROR_INVALID_SOURCE_REF_FORMAT"
    if not list(_attributes(entry)):
        return "ERROR_NO_LABEL_ATTRIBUTES"
    for box, size in _boxes(entry):
        sides = [box.get(side, -1) for side in ("left", "top", "width", "height")]
        if min(sides) < 0:
            return "ERROR_INVALID_BOUNDING_BOX"
        left, top, width, height = sides
        if left + width > size["width"] or top + height > size["height"]:
            return "ERROR_INVALID_BOUNDING_BOX"
    return None


def labels_of(lines: Iterable[str]) -> dict[str, int]:
    """Return the number of entries for each label, without invalid ones."""
    found: dict[str, int] = {}
    for line in lines:
        if wrong(line) is None:
            for label in set(_labels(json.loads(line))):
                found[label] = found.get(label, 0) + 1
    return found


def has_boxes(lines: Iterable[str]) -> bool:
    """Return whether any entry has a box."""
    return any(wrong(line) is None and any(_boxes(json.loads(line))) for line in lines)


def _attributes(entry: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    for name, value in entry.items():
        metadata = entry.get(f"{name}-metadata")
        if isinstance(metadata, dict):
            yield value, metadata


def _boxes(entry: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for value, metadata in _attributes(entry):
        if metadata.get("type") == "groundtruth/object-detection":
            for box in value["annotations"]:
                yield box, value["image_size"][0]


def _labels(entry: dict[str, Any]) -> Iterator[str]:
    for value, metadata in _attributes(entry):
        if "class-name" in metadata:
            yield metadata["class-name"]
        names = metadata.get("class-map", {})
        if isinstance(value, dict):
            yield from (names[str(box["class_id"])] for box in value.get("annotations", ()))
        elif isinstance(value, list):
            yield from (names[str(number)] for number in value)
