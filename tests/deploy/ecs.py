"""ECS, its log and S3 in memory, as far as a deployment talks to them."""

import io
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

CLUSTER = "retinue-dev"

PAGE_LINES = 60
"""How many lines a call of GetLogEvents returns: on AWS 10,000, or 1 MB."""


@dataclass
class FakeEcs:
    """Answers in the shape of boto3's ECS client.

    Attributes:
        exit_code: How the next task ends; none if its container never started.
        stopped_reason: Why ECS says that it stopped.
        refusal: Why RunTask starts nothing, if it does not.
        states: What DescribeServices says of the service, one answer a call; the last stays.
    """

    exit_code: int | None = 0
    stopped_reason: str = "Essential container in task exited"
    refusal: str | None = None
    states: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    _looked: int = 0

    def run_task(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        if self.refusal:
            return {"tasks": [], "failures": [{"reason": self.refusal}]}
        return {"tasks": [{"taskArn": f"arn:aws:ecs:r:1:task/{CLUSTER}/abc123"}], "failures": []}

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert cluster == CLUSTER
        self._looked += 1
        if self._looked == 1:
            return {"tasks": [], "failures": [{"reason": "MISSING"}]}
        status = "RUNNING" if self._looked == 2 else "STOPPED"
        container = {"name": "retinue"}
        if self.exit_code is not None and status == "STOPPED":
            container["exitCode"] = self.exit_code  # type: ignore[assignment]
        task = {
            "taskArn": tasks[0],
            "taskDefinitionArn": "migrations:7",
            "lastStatus": status,
            "stoppedReason": self.stopped_reason,
            "containers": [container],
        }
        return {"tasks": [task]}

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        assert taskDefinition == "migrations:7"
        options = {"awslogs-group": "/retinue-dev/migrations", "awslogs-stream-prefix": "task"}
        container = {"name": "retinue", "logConfiguration": {"options": options}}
        return {"taskDefinition": {"containerDefinitions": [container]}}

    def describe_services(self, cluster: str, services: list[str]) -> dict[str, Any]:
        assert cluster == CLUSTER
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"services": [{"serviceName": name, **state} for name in services if state]}


@dataclass
class FakeLogs:
    """Answers in the shape of boto3's CloudWatch Logs client.

    Attributes:
        lines: What the task's stream holds; it is not there while empty.
        late: How many calls it takes the lines to arrive.
        runs_after: How many calls it takes a worker to tell of an image; none for never.
        event: What the worker tells.
    """

    lines: list[str] = field(default_factory=list)
    late: int = 0
    runs_after: int | None = 0
    event: str = "run_recorded"
    patterns: list[str] = field(default_factory=list)

    def get_log_events(self, **asked: Any) -> dict[str, Any]:
        assert asked["logStreamName"] == "task/retinue/abc123"
        if self.late or not self.lines:
            self.late = max(0, self.late - 1)
            problem = {"Error": {"Code": "ResourceNotFoundException", "Message": "no stream"}}
            raise ClientError(problem, "GetLogEvents")  # type: ignore[arg-type]
        # As AWS: a limited number of lines, possibly none although more follow, and after the last
        # line the token of the call.
        start = int(asked.get("nextToken", "0"))
        page = [] if start == 0 else self.lines[start - 1 : start - 1 + PAGE_LINES]
        token = 1 if start == 0 else start + len(page)
        return {
            "events": [{"message": line} for line in page],
            "nextForwardToken": str(token),
        }

    def get_paginator(self, name: str) -> "FakeLogs":
        assert name == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        """Return an empty page first, as AWS does while it searches."""
        self.patterns.append(asked["filterPattern"])
        if self.runs_after is None:
            return [{"events": []}]
        self.runs_after -= 1
        told = self.runs_after < 0 and f'"{self.event}"' in asked["filterPattern"]
        return [{"events": []}, {"events": [{"message": "{}"}] if told else []}]


@dataclass
class FakeS3:
    """Answers in the shape of boto3's S3 client."""

    objects: dict[str, bytes] = field(default_factory=dict)
    put: list[str] = field(default_factory=list)

    def put_object(self, **asked: Any) -> dict[str, Any]:
        self.objects[asked["Key"]] = io.BytesIO(asked["Body"]).read()
        self.put.append(asked["Key"])
        return {"ETag": '"e"', "VersionId": "v1"}

    def delete_object(self, **asked: Any) -> None:
        del self.objects[asked["Key"]]


class FakeSqs:
    """Three messages wait, one is in flight."""

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        numbers = {"ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "1"}
        return {"Attributes": numbers}
