"""Custom Labels projects and their model versions, with AWS's life cycle."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import RLock

from retinue_rekognition_emulator.faults import AwsError

ACCOUNT = "123456789012"
"""The account in this endpoint's ARNs."""

STARTABLE = frozenset({"TRAINING_COMPLETED", "COPYING_COMPLETED", "STOPPED", "FAILED"})
"""Statuses in which StartProjectVersion is accepted."""

HOSTED = frozenset({"STARTING", "RUNNING", "STOPPING"})
"""Statuses in which inference units are used, and billed."""


@dataclass
class Version:
    """A model version.

    Attributes:
        arn: Its ARN.
        name: Its name: the fourth part of the ARN, separated by slashes.
        created_at: When it was created, in seconds of the store's clock.
        status: Its status when its clock was last read. ``Versions.get`` returns the current one.
        message: AWS's message about the status.
        labels: Its labels. Labels that begin with a capital have boxes, the others apply to the
            whole image.
        min_units: Inference units while it is hosted.
        max_units: Maximum inference units; ``None`` if they equal ``min_units``.
        due: Its next status and its time, if it changes by itself.
        unit_seconds: Inference-unit seconds of hosts that have ended.
        hosted_since: Since when units are used; ``None`` if none are.
        starts: Number of starts.
    """

    arn: str
    name: str
    created_at: float
    status: str = "TRAINING_COMPLETED"
    message: str = "The model is ready to run."
    labels: tuple[str, ...] = ("Bird", "outdoors")
    min_units: int = 0
    max_units: int | None = None
    due: tuple[float, str, str] | None = None
    unit_seconds: float = 0.0
    hosted_since: float | None = None
    starts: int = 0


@dataclass
class Project:
    """A project: its versions by ARN, in the order of their creation."""

    name: str
    arn: str
    created_at: float
    versions: dict[str, Version] = field(default_factory=dict)


class Versions:
    """All projects of the account.

    Time is read only from ``clock``, which a test can replace and move.

    Attributes:
        lock: Hold it to change several things together.
        clock: Returns the time, in seconds since the epoch.
        region: The region in the ARNs.
        start_seconds: Duration of a start. AWS documents "a few minutes"; users report 10.
        stop_seconds: Duration of a stop.
        max_running: Maximum number of hosted models ("Guidelines and quotas in Amazon Rekognition
            Custom Labels": 2).
        max_units: Maximum of inference units of all hosted models together (the same page: 5).
        failing_starts: Messages of the next starts that end as FAILED, one after the other.
        projects: Projects by name.
    """

    def __init__(self, clock: Callable[[], float] = time.time, region: str = "us-east-1") -> None:
        self.lock = RLock()
        self.clock = clock
        self.region = region
        self.start_seconds = 600.0
        self.stop_seconds = 120.0
        self.max_running = 2
        self.max_units = 5
        self.failing_starts: deque[str] = deque()
        self.projects: dict[str, Project] = {}

    def create_project(self, name: str) -> Project:
        """Create a project.

        Raises:
            AwsError: The name is taken.
        """
        with self.lock:
            if name in self.projects:
                raise AwsError("ResourceInUseException", f"A project named {name} already exists.")
            project = Project(name, f"{self._prefix}/{name}/{self._stamp()}", self.clock())
            self.projects[name] = project
            return project

    def add(
        self, project: str, name: str, *, status: str = "TRAINING_COMPLETED", message: str = ""
    ) -> Version:
        """Add a version to a project, which is created if necessary.

        Raises:
            AwsError: The name is taken.
        """
        with self.lock:
            home = self.projects.get(project) or self.create_project(project)
            if any(version.name == name for version in home.versions.values()):
                raise AwsError("ResourceInUseException", f"A version named {name} already exists.")
            arn = f"{self._prefix}/{project}/version/{name}/{self._stamp()}"
            version = Version(arn, name, self.clock(), status)
            version.message = message or version.message
            home.versions[arn] = version
            return version

    def project(self, arn: str) -> Project:
        """Return the project with this ARN, with its versions' current states.

        Raises:
            AwsError: It doesn't exist.
        """
        with self.lock:
            for project in self.projects.values():
                if project.arn == arn:
                    for version in project.versions.values():
                        self._advance(version)
                    return project
        raise AwsError("ResourceNotFoundException", f"The project {arn} does not exist.")

    def get(self, arn: str) -> Version:
        """Return the version with this ARN in its current state.

        Raises:
            AwsError: It doesn't exist.
        """
        with self.lock:
            for version in self._all():
                if version.arn == arn:
                    return version
        raise AwsError("ResourceNotFoundException", f"The project version {arn} does not exist.")

    def start(self, arn: str, min_units: int, max_units: int | None = None) -> Version:
        """Start hosting a version.

        Raises:
            AwsError: It doesn't exist, can't be started now, or a quota is reached.
        """
        with self.lock:
            version = self.get(arn)
            if version.status not in STARTABLE:
                raise AwsError(
                    "ResourceInUseException",
                    f"The project version cannot be started: it is in status {version.status}.",
                )
            if max_units is not None and max_units < min_units:
                raise AwsError(
                    "InvalidParameterException", "MaxInferenceUnits is less than MinInferenceUnits."
                )
            hosted = [other for other in self._all() if other.status in HOSTED]
            if len(hosted) >= self.max_running:
                raise AwsError(
                    "LimitExceededException", f"{self.max_running} models are running already."
                )
            taken = sum(other.max_units or other.min_units for other in hosted)
            if taken + (max_units or min_units) > self.max_units:
                raise AwsError(
                    "LimitExceededException",
                    f"{taken} of {self.max_units} inference units are in use.",
                )
            now = self.clock()
            version.min_units, version.max_units = min_units, max_units
            version.hosted_since, version.starts = now, version.starts + 1
            self._become(version, "STARTING", "The model is starting.")
            then = ("RUNNING", "The model is running.")
            if self.failing_starts:
                then = ("FAILED", self.failing_starts.popleft())
            version.due = (now + self.start_seconds, *then)
            return version

    def stop(self, arn: str) -> Version:
        """Stop hosting a version.

        Raises:
            AwsError: It doesn't exist, or isn't running.
        """
        with self.lock:
            version = self.get(arn)
            if version.status != "RUNNING":
                raise AwsError(
                    "ResourceInUseException",
                    f"The project version cannot be stopped: it is in status {version.status}.",
                )
            self._become(version, "STOPPING", "The model is stopping.")
            version.due = (self.clock() + self.stop_seconds, "STOPPED", "The model is stopped.")
            return version

    def billed_unit_seconds(self, arn: str) -> float:
        """Return inference-unit seconds from each start to the end of its stop, until now."""
        with self.lock:
            version = self.get(arn)
            since = version.hosted_since
            running = 0.0 if since is None else (self.clock() - since) * version.min_units
            return version.unit_seconds + running

    def _all(self) -> Iterator[Version]:
        for project in self.projects.values():
            for version in project.versions.values():
                self._advance(version)
                yield version

    def _advance(self, version: Version) -> None:
        """Apply the changes of status that are due."""
        while version.due is not None and version.due[0] <= self.clock():
            at, status, message = version.due
            version.due = None
            self._become(version, status, message)
            if status not in HOSTED and version.hosted_since is not None:
                version.unit_seconds += (at - version.hosted_since) * version.min_units
                version.hosted_since = None

    @staticmethod
    def _become(version: Version, status: str, message: str) -> None:
        version.status, version.message = status, message

    def _stamp(self) -> int:
        """Return thirteen digits for the end of an ARN, as in AWS: milliseconds."""
        return int(self.clock() * 1_000)

    @property
    def _prefix(self) -> str:
        return f"arn:aws:rekognition:{self.region}:{ACCOUNT}:project"
