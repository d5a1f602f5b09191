"""Operators run commands where the database and the queues are reachable."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from retinue_deploy.errors import DeployError
from retinue_deploy.operate import run_command


class Ecs:
    """Answers with one pool's task definition."""

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        settings = {
            "RETINUE_QUEUE_URL": f"https://sqs/{taskDefinition}",
            "RETINUE_DETECTORS": "{}",
            "RETINUE_DATABASE_URL": "postgresql://retinue_worker@db/retinue",
        }
        environment = [{"name": name, "value": value} for name, value in settings.items()]
        return {"taskDefinition": {"containerDefinitions": [{"environment": environment}]}}


class Tasks:
    """Returns what it was asked to run."""

    def run(
        self,
        parameters: Mapping[str, Any],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        return json.dumps([parameters, command, environment])


def outputs(*pools: str) -> dict[str, Any]:
    return {
        "pools": {pool: {"task_definition_arn": pool} for pool in pools},
        "operator": json.dumps({"taskDefinition": "operator"}),
        "migrate": json.dumps({"taskDefinition": "migrations"}),
        "maintenance": json.dumps({"taskDefinition": "maintenance"}),
    }


def run(*arguments: str, pools: Sequence[str] = ("labels",), **options: Any) -> list[Any]:
    said = run_command(Tasks(), Ecs(), outputs(*pools), arguments, **options)
    found: list[Any] = json.loads(said)
    return found


def test_a_command_reads_as_the_analyst_and_sends_to_the_pools_queue() -> None:
    assert run("failures", "--since", "1d") == [
        {"taskDefinition": "operator"},
        ["failures", "--since", "1d"],
        {"RETINUE_QUEUE_URL": "https://sqs/labels", "RETINUE_DETECTORS": "{}"},
    ]


def test_of_several_pools_one_must_be_named() -> None:
    both = ("labels", "faces")
    assert run("failures", pools=both)[2] == {}
    assert run("failures", pools=both, pool="faces")[2]["RETINUE_QUEUE_URL"].endswith("faces")
    with pytest.raises(DeployError, match="no pool cats; there are faces, labels"):
        run("failures", pools=both, pool="cats")


def test_what_erases_runs_with_the_owners_rights() -> None:
    assert run("forget", as_owner=True)[0] == {"taskDefinition": "migrations"}


@pytest.mark.parametrize("as_owner", [False, True])
def test_maintenance_runs_with_the_environments_retention(*, as_owner: bool) -> None:
    assert run("maintain", "--dry-run", as_owner=as_owner)[:2] == [
        {"taskDefinition": "maintenance"},
        ["maintain", "--dry-run"],
    ]


def test_an_older_environment_must_be_deployed_first() -> None:
    old = outputs("labels")
    del old["operator"]
    with pytest.raises(DeployError, match="run `make deploy`"):
        run_command(Tasks(), Ecs(), old, ["failures"])
