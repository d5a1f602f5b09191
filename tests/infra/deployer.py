"""The deployer's policies, from the calls that a deployment makes: ``python -m infra.deployer``.

`make test-stack` records the calls in ``deployer.json``. The policies allow each of them, and the
operations on the same resources that only a later deployment needs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CALLS = Path(__file__).with_suffix(".json")
POLICIES = Path(__file__).parents[2] / "infra/bootstrap/policies"

SERVICES = {
    "Application Auto Scaling": ("application-autoscaling", ["*"]),
    "CloudWatch": ("cloudwatch", ["arn:aws:cloudwatch:*:*:alarm:retinue-*",
                                  "arn:aws:cloudwatch::*:dashboard/retinue-*"]),
    "CloudWatch Logs": ("logs", ["arn:aws:logs:*:*:log-group:/retinue-*",
                                 "arn:aws:logs:*:*:log-group:/aws/*/retinue-*"]),
    "EC2": ("ec2", ["*"]),
    "ECR": ("ecr", ["arn:aws:ecr:*:*:repository/retinue"]),
    "ECS": ("ecs", ["*"]),
    "EventBridge": ("events", ["arn:aws:events:*:*:rule/retinue-*"]),
    "IAM": ("iam", ["arn:aws:iam::*:role/retinue-*", "arn:aws:iam::*:policy/retinue-*",
                    "arn:aws:iam::*:instance-profile/retinue-*"]),
    "KMS": ("kms", ["*"]),
    "RDS": ("rds", ["arn:aws:rds:*:*:*:retinue-*"]),
    "S3": ("s3", ["arn:aws:s3:::retinue-*"]),
    "SNS": ("sns", ["arn:aws:sns:*:*:retinue-*"]),
    "SQS": ("sqs", ["arn:aws:sqs:*:*:retinue-*"]),
    "STS": ("sts", ["*"]),
    "Scheduler": ("scheduler", ["arn:aws:scheduler:*:*:schedule/default/retinue-*"]),
    "Secrets Manager": ("secretsmanager", ["*"]),
}  # fmt: skip
"""Prefix of a service's actions, and the resources that a deployment changes, by the service."""

S3 = {
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
"""S3's actions whose name isn't the operation's."""

READS = re.compile(r"(BatchGet|Describe|Get|List)")
LATER = ("Delete", "Modify", "Put", "Set", "Tag", "Untag", "Update")
"""Beginnings of operations that change or remove what a deployment has created."""

LATER_OF = {
    "CloudWatch Logs": ("Associate", "Disassociate"),
    "RDS": ("Add", "Remove", "Reset"),
}
"""The same in the words of one service. RDS also checks AddTagsToResource when it creates anything
with tags.
"""

OPTIONS = [
    "athena:*", "autoscaling:*", "budgets:*", "ec2:AllocateAddress", "ec2:AttachInternetGateway",
    "ec2:DetachInternetGateway", "ec2:ReleaseAddress", "ec2:ReplaceRoute", "ec2:RunInstances",
    "elasticloadbalancing:*", "events:*", "glue:*", "inspector2:Enable",
    "sns:SetSubscriptionAttributes", "sns:Subscribe", "sns:Unsubscribe",
]  # fmt: skip
"""Actions of parts that the recorded deployment lacks: archive, GPU, console, other ways to the
internet, existing buckets and topics, budget."""

INSTANCE_PROFILES = ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile"]
"""Actions of GPU instances on resources with a name."""

READS_OF_OPTIONS = [
    "athena:Get*", "athena:List*", "autoscaling:Describe*", "budgets:ListTagsForResource",
    "budgets:ViewBudget", "ec2:Describe*", "ecs:Describe*", "elasticloadbalancing:Describe*",
    "events:Describe*", "events:List*", "glue:GetDatabase", "glue:GetTable*", "glue:GetTags",
    "iam:GetInstanceProfile", "rds:Describe*",
]  # fmt: skip
"""Actions of a plan of these parts."""

BY_SERVICES = [
    "iam:CreateServiceLinkedRole", "kms:CreateGrant", "kms:Decrypt", "kms:Encrypt",
    "kms:GenerateDataKey", "route53:AssociateVPCWithHostedZone", "secretsmanager:CreateSecret",
    "secretsmanager:RotateSecret", "secretsmanager:TagResource", "ssm:GetParameters",
]  # fmt: skip
"""Actions that AWS's services check for a deployer, and that no call shows."""

GITHUB = ["arn:aws:iam::*:role/retinue-github-*", "arn:aws:iam::*:policy/retinue-github-*"]
"""The roles of modules/github, and their policies."""

IMAGE = [
    "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload",
    "ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
]  # fmt: skip
"""Actions that pushing and signing need."""


def action(service: str, operation: str) -> str:
    """Return the IAM action of a call."""
    name = S3.get(operation, operation) if service == "S3" else operation
    return f"{SERVICES[service][0]}:{name}"


def policies(calls: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the policies by name.

    Args:
        calls: Operations by service.
    """
    reads, changes = set[str](), []
    for service, operations in sorted(calls.items()):
        prefix, resources = SERVICES[service]
        verbs = set[str]()
        for operation in operations:
            name = action(service, operation).partition(":")[2]
            if READS.match(name):
                reads.add(f"{prefix}:{name}")
            else:
                verbs.add(re.split(r"(?<=[a-z])(?=[A-Z])", name)[0])
        if verbs:
            also = [arn + "/*" for arn in resources if service == "S3"]
            changes.append(
                _allow(
                    prefix.title().replace("-", ""),
                    [f"{prefix}:{verb}*" for verb in verbs.union(LATER, LATER_OF.get(service, ()))],
                    [*resources, *also],
                )
            )
    reads -= {"s3:GetObject"}
    reads |= {"servicequotas:GetServiceQuota", "rekognition:DescribeProjects"}
    state = "arn:aws:s3:::retinue-state-*/retinue/*.tfstate"
    return {
        "plan": [
            _allow("Read", reads, ["*"]),
            _allow("ReadOptions", READS_OF_OPTIONS, ["*"]),
            _allow("ReadState", ["s3:GetObject"], [state]),
            _allow("LockState", ["s3:PutObject", "s3:DeleteObject"], [state + ".tflock"]),
            # With `console.alb`. The database owner's secret has another name.
            _allow(
                "ReadClientSecret",
                ["secretsmanager:GetSecretValue"],
                ["arn:aws:secretsmanager:*:*:secret:retinue-*"],
            ),
            _allow("ReadCanary", ["s3:GetObject*"], ["arn:aws:s3:::retinue-*/canary/*"]),
            _allow("DecryptState", ["kms:Decrypt", "kms:GenerateDataKey"], ["*"])
            | {"Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}},
        ],
        "image": [
            _allow("Push", IMAGE, SERVICES["ECR"][1]),
            _allow("SignIn", ["ecr:GetAuthorizationToken"], ["*"]),
            _allow("FindRegistry", ["s3:ListBucket"], ["arn:aws:s3:::retinue-state-*"]),
            _allow("ReadState", ["s3:GetObject"], [state]),
            _allow("LockState", ["s3:PutObject", "s3:DeleteObject"], [state + ".tflock"]),
            _allow("DecryptState", ["kms:Decrypt", "kms:GenerateDataKey"], ["*"])
            | {"Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}},
        ],
        "deploy": [
            *changes,
            _allow("Options", OPTIONS, ["*"]),
            _allow("InstanceProfiles", INSTANCE_PROFILES, SERVICES["IAM"][1]),
            _allow("CheckedByServices", BY_SERVICES, ["*"]),
            _allow("PassRoles", ["iam:PassRole"], ["arn:aws:iam::*:role/retinue-*"]),
            _allow("RunTasks", ["ecs:RunTask", "logs:FilterLogEvents"], ["*"]),
            _allow("UseState", ["s3:GetObject*"], ["arn:aws:s3:::retinue-*/*"]),
            # bootstrap's, which decide who deploys.
            _allow("NotItsOwnRights", ["iam:*"], GITHUB) | {"Effect": "Deny"},
        ],
    }


def _allow(sid: str, actions: Any, resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": list(resources),
    }


def document(statements: Sequence[Any]) -> str:
    """Return a policy's file."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"


if __name__ == "__main__":
    POLICIES.mkdir(exist_ok=True)
    for name, statements in policies(json.loads(CALLS.read_text("utf-8"))).items():
        (POLICIES / f"{name}.json").write_text(document(statements), encoding="utf-8")
