"""The answers of operations on Custom Labels models."""

from collections.abc import Callable
from typing import Any, TypeVar

from retinue_rekognition_emulator.faults import AwsError
from retinue_rekognition_emulator.images import ImageContent, Source, look
from retinue_rekognition_emulator.versions import HOSTED, Project, Version, Versions

Answer = dict[str, Any]

PAGE = 100
"""Maximum number of projects or versions in an answer, unless the request has a lower limit."""

ItemT = TypeVar("ItemT")


class VersionOperations:
    """Describes, starts, stops and calls model versions."""

    def __init__(self, versions: Versions, source: Source | None) -> None:
        self.versions = versions
        self.source = source
        self.known: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "DescribeProjects": self.describe_projects,
            "DescribeProjectVersions": self.describe_project_versions,
            "StartProjectVersion": self.start_project_version,
            "StopProjectVersion": self.stop_project_version,
            "DetectCustomLabels": self.detect_custom_labels,
        }

    def describe_projects(self, request: dict[str, Any]) -> Answer:
        """Return projects, all or those named, in pages."""
        names = request.get("ProjectNames")
        with self.versions.lock:
            found = [
                project
                for project in self.versions.projects.values()
                if not names or project.name in names
            ]
        page, more = _page(found, request)
        return {"ProjectDescriptions": [_project(project) for project in page]} | more

    def describe_project_versions(self, request: dict[str, Any]) -> Answer:
        """Return a project's versions, the newest first, in pages."""
        names = request.get("VersionNames")
        with self.versions.lock:
            project = self.versions.project(request["ProjectArn"])
            found = [
                version
                for version in reversed(project.versions.values())
                if not names or version.name in names
            ]
            page, more = _page(found, request)
            return {"ProjectVersionDescriptions": [_version(version) for version in page]} | more

    def start_project_version(self, request: dict[str, Any]) -> Answer:
        """Start hosting a model."""
        version = self.versions.start(
            request["ProjectVersionArn"],
            request["MinInferenceUnits"],
            request.get("MaxInferenceUnits"),
        )
        return {"Status": version.status}

    def stop_project_version(self, request: dict[str, Any]) -> Answer:
        """Stop hosting a model."""
        return {"Status": self.versions.stop(request["ProjectVersionArn"]).status}

    def detect_custom_labels(self, request: dict[str, Any]) -> Answer:
        """Return invented labels of the image, and of places in it."""
        version = self.versions.get(request["ProjectVersionArn"])
        if version.status != "RUNNING":
            raise AwsError(
                "ResourceNotReadyException",
                f"ProjectVersion {version.arn} is not ready for inference: {version.status}",
            )
        seen = look(request["Image"], self.source, smallest_px=64)
        least = request.get("MinConfidence", 50)
        found = [
            label
            for number, name in enumerate(version.labels)
            for label in _labels(seen, number, name)
            if label["Confidence"] >= least
        ]
        most = request.get("MaxResults")
        found.sort(key=lambda label: -label["Confidence"])
        return {"CustomLabels": found if most is None else found[:most]}


def _page(found: list[ItemT], request: dict[str, Any]) -> tuple[list[ItemT], Answer]:
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise AwsError("InvalidPaginationTokenException", "The pagination token is not valid.")
    start, size = int(token), request.get("MaxResults", PAGE)
    end = start + size
    return found[start:end], {"NextToken": str(end)} if end < len(found) else {}


def _project(project: Project) -> Answer:
    return {
        "ProjectArn": project.arn,
        "CreationTimestamp": project.created_at,
        "Status": "CREATED",
        "Feature": "CUSTOM_LABELS",
    }


def _version(version: Version) -> Answer:
    told: Answer = {
        "ProjectVersionArn": version.arn,
        "CreationTimestamp": version.created_at,
        "Status": version.status,
        "StatusMessage": version.message,
        "Feature": "CUSTOM_LABELS",
    }
    if version.status in HOSTED:
        told["MinInferenceUnits"] = version.min_units
        if version.max_units is not None:
            told["MaxInferenceUnits"] = version.max_units
    return told


def _labels(seen: ImageContent, number: int, name: str) -> list[Answer]:
    """Return a label for the whole image, or in up to two places."""
    draw = seen.digest[10 + number % 16]
    confidence = 40 + draw / 256 * 59.5
    if not name[:1].isupper():
        return [{"Name": name, "Confidence": confidence}]
    return [
        {
            "Name": name,
            "Confidence": confidence - place,
            "Geometry": {
                "BoundingBox": {"Width": 0.2, "Height": 0.3, "Left": 0.1 + 0.4 * place, "Top": 0.25}
            },
        }
        for place in range(draw % 3)
    ]
