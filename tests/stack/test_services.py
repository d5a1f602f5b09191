"""The table of services: what it must hold, and what follows from it."""

import re

import pytest
from infra.terraform import INFRA
from stack.services import (
    LACKING,
    NOBODY,
    TABLE,
    Emulator,
    Layer,
    Stack,
    chosen,
    emulator_of,
    endpoint,
    variables,
)

UNANSWERED = {"rds", "ecs", "ecr", "application-autoscaling"}
"""What LocalStack's community edition answers with 501."""

BEGINNINGS = {
    "application-autoscaling": ("appautoscaling",),
    "cloudwatch": tuple(
        f"cloudwatch_{x}" for x in ("composite_alarm", "dashboard", "metric_alarm")
    ),
    "ec2": (
        *("vpc", "subnet", "route", "security_group", "default_security_group", "flow_log"),
        *("availability_zones", "launch_template", "region", "partition"),
        *("eip", "internet_gateway", "nat_gateway"),
    ),
    "events": ("cloudwatch_event_",),
    "logs": ("cloudwatch_log",),
    "rds": ("db_", "rds_"),
    "secretsmanager": ("db_instance", "secretsmanager_"),  # RDS keeps the owner's password there
    "sts": ("caller_identity",),
}
"""How resource types of Terraform begin, where not with the service's own name."""

NOT_IN_DEV = {
    *("autoscaling_group", "default_tags"),
    *("athena_named_query", "athena_workgroup", "glue_catalog_database", "glue_catalog_table"),
    *("budgets_budget", "lb", "lb_listener", "lb_target_group"),
}
"""What `dev` makes only for pools with a GPU, an archive, a budget, or the console."""


def test_localstack_serves_everything_it_can() -> None:
    others = {s for s in TABLE if emulator_of(s, Stack.LOCALSTACK) is not Emulator.LOCALSTACK}
    assert others == UNANSWERED | {"rekognition"}


def test_a_licensed_localstack_serves_everything_but_rekognition() -> None:
    assert {s for s in TABLE if emulator_of(s, Stack.LICENSED) is not Emulator.LOCALSTACK} == {
        "rekognition"
    }


def test_the_light_stack_knows_no_localstack() -> None:
    assert Emulator.LOCALSTACK not in {emulator_of(service, Stack.LIGHT) for service in TABLE}


@pytest.mark.parametrize(
    ("environment", "stack"),
    [
        ({}, Stack.LOCALSTACK),
        ({"STACK": ""}, Stack.LOCALSTACK),
        ({"STACK": "light"}, Stack.LIGHT),
        ({"LOCALSTACK_AUTH_TOKEN": "ls-token"}, Stack.LICENSED),
        ({"STACK": "light", "LOCALSTACK_AUTH_TOKEN": "ls-token"}, Stack.LIGHT),
    ],
)
def test_the_stack_that_is_asked_for(environment: dict[str, str], stack: Stack) -> None:
    assert chosen(environment) is stack


def test_an_unknown_stack_says_what_there_is() -> None:
    with pytest.raises(ValueError, match="STACK=light"):
        chosen({"STACK": "heavy"})


def test_terraform_is_told_by_its_own_names() -> None:
    named = variables(Stack.LOCALSTACK)
    assert named["AWS_ENDPOINT_URL_SECRETS_MANAGER"] == endpoint("secretsmanager", Stack.LOCALSTACK)
    assert "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING" in named
    assert len(named) == len(TABLE) + 1
    assert named["AWS_ENDPOINT_URL"] == NOBODY
    assert all(address.startswith("http://127.0.0.1:") for address in named.values())


def test_the_table_has_every_service_that_the_terraform_uses() -> None:
    kinds = {
        kind
        for path in INFRA.rglob("*.tf")
        for kind in re.findall(
            r'^(?:resource|data) "aws_(\w+)"', path.read_text("utf-8"), re.MULTILINE
        )
    }
    used = {service for kind in kinds for service in TABLE if _is_of(kind, service)}
    assert {kind for kind in kinds if not any(_is_of(kind, s) for s in TABLE)} == NOT_IN_DEV
    assert set(TABLE) - used == {"rekognition"}


def _is_of(kind: str, service: str) -> bool:
    """Return whether a resource type of Terraform is made by a service."""
    return kind.startswith(BEGINNINGS.get(service, (service,)))


def test_every_layer_makes_up_for_one_emulator() -> None:
    assert set(LACKING) == set(Layer) - {Layer.NONE}
    assert {layer for _, _, layer in TABLE.values()} == set(Layer)
