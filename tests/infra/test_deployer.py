"""The policies of the roles for GitHub are what the recorded calls need."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from infra.deployer import CALLS, POLICIES, action, document, policies
from infra.terraform import source

MOST_CHARACTERS = 6_144
"""IAM's limit of a policy, without white space."""


@pytest.fixture(scope="module")
def calls() -> dict[str, list[str]]:
    """Return the recorded calls."""
    found: dict[str, list[str]] = json.loads(CALLS.read_text("utf-8"))
    return found


def test_the_policies_are_made_from_the_recorded_calls(calls: dict[str, list[str]]) -> None:
    for name, statements in policies(calls).items():
        text = document(statements)
        told = "renew them: PYTHONPATH=tests python -m infra.deployer"
        assert (POLICIES / f"{name}.json").read_text("utf-8") == text, told
        assert len("".join(text.split())) <= MOST_CHARACTERS


def test_a_deployment_may_do_what_it_does_and_a_plan_changes_nothing(
    calls: dict[str, list[str]],
) -> None:
    found: dict[str, Any] = policies(calls)

    def allows(name: str, wanted: str) -> bool:
        return any(
            fnmatchcase(wanted, allowed)
            for statement in found[name]
            for allowed in statement["Action"]
            if statement["Effect"] == "Allow"
        )

    done = {action(service, one) for service, names in calls.items() for one in names}
    assert {one for one in done if not allows("plan", one) and not allows("deploy", one)} == set()
    for change in ("sqs:DeleteQueue", "iam:CreateRole", "ecs:UpdateService", "s3:PutBucketPolicy"):
        assert not allows("plan", change)
        assert allows("deploy", change)
    # AWS checks them for CreateDBInstance with tags, and for CreateVpcEndpoint with private names.
    for implied in ("rds:AddTagsToResource", "route53:AssociateVPCWithHostedZone"):
        assert allows("deploy", implied)
    # Parts that the recorded deployment lacks: NAT gateways, GPU instances, Aurora, the console.
    for option in ("ec2:AllocateAddress", "ec2:RunInstances", "iam:AddRoleToInstanceProfile"):
        assert allows("deploy", option)
    for read in (
        "ec2:DescribeNatGateways",
        "ec2:DescribeLaunchTemplates",
        "ecs:DescribeCapacityProviders",
        "iam:GetInstanceProfile",
        "rds:DescribeDBClusters",
    ):
        assert allows("plan", read)
    anywhere = {one for s in found["deploy"] for one in s["Action"] if s["Resource"] == ["*"]}
    named = {one for one in anywhere if one.startswith(("iam:", "s3:"))}
    assert named == {"iam:CreateServiceLinkedRole"}


def test_a_deployment_does_not_decide_who_deploys(calls: dict[str, list[str]]) -> None:
    [denied] = [one for one in policies(calls)["deploy"] if one["Effect"] == "Deny"]
    module = source("modules/github/main.tf")
    for kind, name in (("role", "aws_iam_role"), ("policy", "aws_iam_policy")):
        found = re.search(
            rf'resource "{name}" "this" \{{(.*?)^}}', module, re.DOTALL | re.MULTILINE
        )
        assert found is not None
        assert re.search(r'^  name += "retinue-github-\$\{each.key\}"$', found[1], re.MULTILINE)
        assert f"arn:aws:iam::*:{kind}/retinue-github-*" in denied["Resource"]
    assert denied["Action"] == ["iam:*"]
