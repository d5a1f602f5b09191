"""The first part of `make deploy`, and an environment's cost at rest, from Terraform itself."""

import re
from pathlib import Path
from typing import Any

import pytest
from infra.terraform import resources, source
from retinue_deploy import cost
from retinue_deploy.environment import MIGRATION_TARGETS

PAGE = Path(__file__).parents[2] / "docs/cost.md"
States = dict[str, dict[str, dict[str, Any]]]

pytestmark = pytest.mark.timeout(300)


def kinds(state: dict[str, Any]) -> set[str]:
    return {kind for _, kind, _ in cost.resources(state)}


def test_the_environments_test_applies_the_same_targets_first() -> None:
    text = source("environments/environment.tftest.hcl")
    listed = re.findall(r"^ +([a-z_]+\.[a-z_.]+),$", text, re.MULTILINE)
    assert tuple(listed) == MIGRATION_TARGETS


@pytest.mark.parametrize("name", ["dev", "production"])
def test_a_migration_has_all_it_needs_before_there_is_a_service(
    environments: States, name: str
) -> None:
    first, whole = environments[name]["migrations_first"], environments[name]["everything"]
    assert "aws_ecs_service" not in kinds(first)
    assert "aws_ecs_service" in kinds(whole)
    for kind in ("aws_ecs_cluster", "aws_vpc_endpoint", "aws_db_instance",
                 "aws_vpc_security_group_egress_rule", "aws_vpc_security_group_ingress_rule",
                 "aws_route_table_association"):  # fmt: skip
        assert set(resources(first, kind)) == set(resources(whole, kind)), kind
    [definition] = resources(first, "aws_ecs_task_definition")
    assert definition.startswith("module.migrations.")
    policies = set(resources(first, "aws_iam_role_policy"))
    assert "module.migrations.module.task.aws_iam_role_policy.execution" in policies


@pytest.mark.parametrize("name", ["dev", "production"])
def test_the_page_says_what_an_environment_costs_at_rest(environments: States, name: str) -> None:
    lines = cost.at_rest(environments[name]["everything"], cost.prices())
    assert all(line.usd is not None for line in lines)
    table = "\n".join(cost.table(lines))
    assert f"```text\n{table}\n```" in PAGE.read_text("utf-8"), f"docs/cost.md wants:\n{table}"


def test_sizes_without_a_price_are_said_to_have_none() -> None:
    values = {"instance_class": "db.x9.huge", "allocated_storage": 20, "multi_az": False}
    resource = {"mode": "managed", "type": "aws_db_instance", "address": "a", "values": values}
    lines = cost.at_rest({"root_module": {"resources": [resource]}}, cost.prices())
    assert lines[0].usd is None
    assert cost.table(lines)[0].endswith("no price")


@pytest.mark.parametrize(
    ("processor", "hourly"),
    [("X86_64", 0.04048 + 2 * 0.004445), ("ARM64", 0.03238 + 2 * 0.00356)],
)
def test_pools_that_always_run_cost_what_their_tasks_do(processor: str, hourly: float) -> None:
    def module(path: str, kind: str, **values: object) -> dict[str, Any]:
        address = f"{path}.{kind}.this"
        return {"mode": "managed", "type": kind, "address": address, "values": values}

    pool = 'module.pool["labels"]'
    size = {
        "cpu": "1024",
        "memory": "2048",
        "requires_compatibilities": ["FARGATE"],
        "runtime_platform": [{"cpu_architecture": processor}],
    }
    state = {
        "root_module": {
            "resources": [
                module(f"{pool}.module.task", "aws_ecs_task_definition", **size),
                module(pool, "aws_appautoscaling_target", min_capacity=2, max_capacity=4),
            ]
        }
    }
    [line] = [line for line in cost.at_rest(state, cost.prices()) if "always run" in line.what]
    assert line.what == "tasks of labels that always run, 2"
    assert line.usd == pytest.approx(2 * 730 * hourly)
