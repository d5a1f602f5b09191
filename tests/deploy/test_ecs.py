"""Tasks, services and the smoke test, on an ECS in memory."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploy.ecs import CLUSTER, FakeEcs, FakeLogs, FakeS3, FakeSqs
from retinue_deploy import services as services_module
from retinue_deploy import smoke as smoke_module
from retinue_deploy.environment import choose_key
from retinue_deploy.errors import DeployError, TaskFailedError
from retinue_deploy.look import say_unheard_alarms, show_logs, show_status
from retinue_deploy.services import EcsServices
from retinue_deploy.smoke import ImageSmoke
from retinue_deploy.tasks import EcsTasks
from retinue_workers.ops import task_protection

MIGRATE = {"cluster": CLUSTER, "taskDefinition": "migrations:7", "launchType": "FARGATE"}
OUTPUTS = {
    "bucket_name": "images",
    "pools": {"labels": {"log_group_name": "/retinue-dev/labels", "queue_url": "q"}},
}


def tasks(ecs: FakeEcs, logs: FakeLogs, said: list[str] | None = None) -> EcsTasks:
    return EcsTasks(ecs, logs, (said if said is not None else []).append, sleep=lambda _: None)


def test_a_task_says_what_it_printed_though_its_log_comes_late() -> None:
    ecs, said = FakeEcs(), list[str]()
    printed = tasks(ecs, FakeLogs(["migrated from 1 to 2"], late=1), said).run(MIGRATE)
    assert printed == "migrated from 1 to 2"
    assert "overrides" not in ecs.asked[0]
    assert said == ["  task abc123: running"]


def test_a_task_says_all_that_it_printed() -> None:
    lines = [f"row {number}" for number in range(1_000)]
    assert tasks(FakeEcs(), FakeLogs(lines)).run(MIGRATE).splitlines() == lines


def test_a_task_takes_another_command() -> None:
    ecs = FakeEcs()
    tasks(ecs, FakeLogs(["[]"])).run(MIGRATE, ["query", "select 1"], {"NAME": "value"})
    [override] = ecs.asked[0]["overrides"]["containerOverrides"]
    assert override == {
        "name": "retinue",
        "command": ["query", "select 1"],
        "environment": [{"name": "NAME", "value": "value"}],
    }


def test_a_task_that_fails_shows_the_end_of_its_log() -> None:
    lines = [f"line {number}" for number in range(100)]
    with pytest.raises(
        TaskFailedError, match=r"exit code 1; .*\n.*line 70\n(.*\n)*.*line 99"
    ) as failure:
        tasks(FakeEcs(exit_code=1), FakeLogs(lines)).run(MIGRATE)
    assert "line 69" not in str(failure.value)


def test_a_task_whose_container_never_started_has_no_exit_code() -> None:
    ecs = FakeEcs(exit_code=None, stopped_reason="CannotPullContainerError: not found")
    with pytest.raises(TaskFailedError, match="exit code none; CannotPullContainerError"):
        tasks(ecs, FakeLogs()).run(MIGRATE)


def test_a_task_that_ecs_does_not_start() -> None:
    with pytest.raises(TaskFailedError, match="RESOURCE:FARGATE"):
        tasks(FakeEcs(refusal="RESOURCE:FARGATE"), FakeLogs()).run(MIGRATE)


def deployment(definition: str, running: int, rollout: str, **more: Any) -> dict[str, Any]:
    counts = {"runningCount": running, "desiredCount": 2}
    return {"taskDefinition": definition, "rolloutState": rollout, **counts, **more}


STABLE = {"deployments": [deployment("labels:2", 2, "COMPLETED")]}


def wait(ecs: FakeEcs) -> list[str]:
    said: list[str] = []
    EcsServices(ecs, said.append, sleep=lambda _: None).wait(CLUSTER, {"labels": "labels:2"})
    return said


def test_services_are_waited_for_and_progress_is_told_once() -> None:
    old = deployment("labels:1", 2, "COMPLETED")
    half = {"deployments": [deployment("labels:2", 1, "IN_PROGRESS"), old]}
    new = deployment("labels:2", 2, "IN_PROGRESS")
    done = {"deployments": [new, deployment("labels:1", 0, "COMPLETED")]}
    assert wait(FakeEcs(states=[half, half, half, done, STABLE])) == [
        "  labels: 1 of 2 tasks run the new version; 2 old ones still run (30 min if busy)",
        "  labels: 2 of 2 tasks run the new version",
    ]


def test_services_are_waited_for_until_a_busy_worker_lets_ecs_stop_it() -> None:
    busy = task_protection.LONGEST_SECONDS + task_protection.PAUSE_SECONDS
    assert busy + 600 <= services_module.TIMEOUT_SECONDS  # new tasks start before, old ones stop


def test_a_version_that_ecs_took_back_is_told_with_ecs_reason() -> None:
    events = [{"message": "(service labels) deployment failed: tasks failed to start."}]
    taken_back = {
        "deployments": [
            deployment("labels:1", 2, "COMPLETED"),
            deployment("labels:2", 0, "FAILED", failedTasks=3),
        ],
        "events": events,
    }
    with pytest.raises(DeployError, match=r"the previous version(.|\n)*failed to start"):
        wait(FakeEcs(states=[taken_back]))
    taken_back["deployments"] = taken_back["deployments"][:1]
    with pytest.raises(DeployError, match="returned to the previous"):
        wait(FakeEcs(states=[taken_back]))


def test_services_that_never_become_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_module, "TIMEOUT_SECONDS", -1.0)
    half = {"deployments": [deployment("labels:2", 1, "IN_PROGRESS")]}
    with pytest.raises(DeployError, match="ECS reports nothing about it"):
        wait(FakeEcs(states=[half]))


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(DeployError, match="ECS has no service labels"):
        wait(FakeEcs(states=[{}]))


def smoke(
    tmp_path: Path,
    s3: FakeS3,
    logs: FakeLogs,
    said: list[str],
    key: Callable[[str], str | None] = lambda name: f"smoke/{name}.jpg",
) -> ImageSmoke:
    image = tmp_path / "image.jpg"
    image.write_bytes(b"jpeg")
    return ImageSmoke(
        s3, logs, FakeSqs(), tasks(FakeEcs(), logs), image=image,
        key=key, say=said.append, sleep=lambda _: None,
    )  # fmt: skip


def run_of(outcome: str, **more: object) -> str:
    return json.dumps([{"detector": "onnx-faces", "outcome": outcome, **more}])


def test_an_image_is_followed_to_its_rows_and_removed(tmp_path: Path) -> None:
    s3, said = FakeS3(), list[str]()
    logs = FakeLogs([run_of("succeeded")], runs_after=2)
    found = smoke(tmp_path, s3, logs, said).check(OUTPUTS, MIGRATE)
    assert found.startswith("1 runs by onnx-faces")
    assert said[0] == "  waiting for a worker: labels 3 waiting, 1 in flight"
    assert len(s3.put) == 1
    assert s3.objects == {}
    assert len(logs.patterns) == 3


def test_an_image_that_nobody_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_module, "TIMEOUT_SECONDS", -1.0)
    s3 = FakeS3()
    with pytest.raises(DeployError, match=r"no worker has processed.*labels 3 waiting"):
        smoke(tmp_path, s3, FakeLogs(runs_after=None), []).check(OUTPUTS, MIGRATE)
    assert s3.objects == {}


def test_a_failed_run_fails_the_smoke_test(tmp_path: Path) -> None:
    logs = FakeLogs([run_of("failed", error_code="access_denied", error_message="no")])
    with pytest.raises(DeployError, match="onnx-faces: access_denied: no"):
        smoke(tmp_path, FakeS3(), logs, []).check(OUTPUTS, MIGRATE)


def test_a_route_that_excludes_the_image_fails_no_deployment(tmp_path: Path) -> None:
    runs = [
        {"detector": "onnx-faces", "outcome": "succeeded"},
        {"detector": "onnx-text", "outcome": "skipped", "error_code": "skipped_by_pixels"},
    ]
    logs = FakeLogs([json.dumps(runs)])
    found = smoke(tmp_path, FakeS3(), logs, []).check(OUTPUTS, MIGRATE)
    assert found.startswith("1 runs by onnx-faces; routes exclude the image from onnx-text; after")


def test_an_image_that_every_route_excludes_is_noticed(tmp_path: Path) -> None:
    logs = FakeLogs([run_of("skipped", error_code="skipped_by_key")], event="run_skipped")
    found = smoke(tmp_path, FakeS3(), logs, []).check(OUTPUTS, MIGRATE)
    assert found.startswith("routes exclude the image from onnx-faces; after")


def test_a_worker_that_says_so_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the history has no run of it"):
        smoke(tmp_path, FakeS3(), FakeLogs(["[]"]), []).check(OUTPUTS, MIGRATE)


@pytest.mark.parametrize(
    ("patterns", "key"),
    [
        ([[["a/"], []], [[], []]], "retinue-smoke/n.jpg"),
        ([[["a/", "b/"], []]], "a/n.jpg"),
        ([[[], [".png"]]], "retinue-smoke/n.png"),
        ([], None),
    ],
)
def test_the_key_is_one_that_a_pool_looks_at(
    patterns: list[list[list[str]]], key: str | None
) -> None:
    assert choose_key(patterns, "n") == key


def test_no_image_is_uploaded_for_pools_of_videos(tmp_path: Path) -> None:
    s3 = FakeS3()
    asked = smoke(tmp_path, s3, FakeLogs(), [], key=lambda _: None)
    assert asked.check(OUTPUTS, MIGRATE) == "no image uploaded: the pools process only videos"
    assert s3.put == []


TOPIC = "arn:aws:sns:eu-west-1:123456789012:retinue-dev-alarms"
CONFIRMED = (f"{TOPIC}:1", "ann@example.com")
WAITING = ("PendingConfirmation", "bob@example.com")


class Cloud:
    """An account whose logs say the name of their group, and whose services run."""

    def __init__(self, *subscriptions: tuple[str, str]) -> None:
        self._subscriptions = subscriptions

    def client(self, name: str) -> Any:
        return {"ecs": self, "sqs": FakeSqs(), "logs": self, "sns": self}[name]

    def describe_services(self, cluster: str, services: list[str]) -> dict[str, Any]:
        numbers = {"runningCount": 2, "desiredCount": 2, "pendingCount": 0}
        return {
            "services": [
                {"serviceName": name, "taskDefinition": f"x/{name}:7", **numbers}
                for name in services
            ]
        }

    def get_paginator(self, name: str) -> "Cloud":
        assert name in ("filter_log_events", "list_subscriptions_by_topic")
        return self

    def paginate(self, **asked: Any) -> list[Any]:
        if "TopicArn" in asked:
            names = ("SubscriptionArn", "Endpoint")
            return [
                {
                    "Subscriptions": [
                        dict(zip(names, one, strict=True)) for one in self._subscriptions
                    ]
                }
            ]
        assert asked["startTime"] > 0
        return [{"events": [{"message": f"from {asked['logGroupName']}"}]}]


@pytest.mark.parametrize("has_console", [True, False])
def test_status_and_logs_know_the_console(has_console: bool) -> None:
    pool = {"service_name": "labels", "dead_letter_queue_url": "d", **OUTPUTS["pools"]["labels"]}
    console = {
        "service_name": "the-console",
        "log_group_name": "/retinue-dev/console",
        "load_balancer_dns_name": "lb.example.com",
    }
    outputs = {
        "alarm_topic_arn": TOPIC,
        "cluster_name": CLUSTER,
        "pools": {"labels": pool},
        "console": console if has_console else None,
    }
    said: list[str] = []
    show_status(Cloud(CONFIRMED), outputs, said.append)  # type: ignore[arg-type]
    assert ("console: at lb.example.com" in said) == has_console
    assert ("the-console:7" in said[-1]) == has_console
    said.clear()
    show_logs(Cloud(), outputs, None, 15, said.append)  # type: ignore[arg-type]
    assert "from /retinue-dev/labels" in said
    assert ("from /retinue-dev/console" in said) == has_console
    with pytest.raises(DeployError, match="there is no pool 'other'; there are "):
        show_logs(Cloud(), outputs, "other", 15, said.append)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subscriptions", "warning"),
    [
        ([], rf"set alarm_emails, or subscribe to {TOPIC}$"),
        ([WAITING], r"until bob@example\.com opens the link"),
        ([WAITING, CONFIRMED], None),
    ],
)
def test_alarms_without_a_recipient_are_told(
    subscriptions: list[tuple[str, str]], warning: str | None
) -> None:
    said: list[str] = []
    account: Any = Cloud(*subscriptions)
    say_unheard_alarms(account, {"alarm_topic_arn": TOPIC}, said.append)
    assert len(said) == (warning is not None)
    assert warning is None or re.search(warning, said[0])
