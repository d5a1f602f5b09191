"""Differences that emulators invent: what a second plan would change although nothing has changed.

Each is listed with its cause. One that is not listed fails the test, and so does one that is listed
and no longer seen.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stack.deployment import Change
from stack.services import Stack

BOTH = frozenset({Stack.LOCALSTACK, Stack.LIGHT})
LIGHT = frozenset({Stack.LIGHT})
LOCALSTACK = frozenset({Stack.LOCALSTACK})

_FORGETS = "ministack's {} does not answer with them, so each plan sets them again"


@dataclass(frozen=True, slots=True)
class Difference:
    """One that an emulator invents.

    Attributes:
        resource: The resource's address, without the modules it is in and its index.
        attributes: Which of its attributes differ.
        stacks: Where it is seen.
        cause: What the emulator does otherwise than AWS.
        actions: What the plan would do.
    """

    resource: str
    attributes: frozenset[str]
    stacks: frozenset[Stack]
    cause: str
    actions: str = "update"


def _alarm(name: str, *more: str) -> Difference:
    common = {"actions_enabled", "alarm_actions", "alarm_description"}
    return Difference(
        f"aws_cloudwatch_metric_alarm.{name}",
        frozenset(common | set(more)),
        LIGHT,
        _FORGETS.format("DescribeAlarms, in the query protocol of this provider,"),
    )


def _of_localstack(attributes: set[str], cause: str, *resources: str) -> list[Difference]:
    return [
        Difference(resource, frozenset(attributes), LOCALSTACK, cause) for resource in resources
    ]


INVENTED: tuple[Difference, ...] = (
    _alarm("connections", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("database", "dimensions", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("dead_letters", "dimensions", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("failure_rate", "ok_actions", "treat_missing_data"),
    _alarm("job_messages", "ok_actions", "treat_missing_data"),
    _alarm("job_overdue", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("overdue", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("paused", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("queue_age", "dimensions", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("sleep", "treat_missing_data"),
    _alarm("throttling", "ok_actions", "treat_missing_data"),
    _alarm("topic", "dimensions", "ok_actions", "period", "statistic", "treat_missing_data"),
    _alarm("unannounced", "treat_missing_data"),
    _alarm("wake", "treat_missing_data"),
    Difference(
        "aws_db_instance.this",
        frozenset({"enabled_cloudwatch_logs_exports", "performance_insights_kms_key_id"}),
        BOTH,
        _FORGETS.format("DescribeDBInstances"),
    ),
    Difference(
        "aws_ecs_service.this",
        frozenset({"availability_zone_rebalancing"}),
        BOTH,
        "ministack's DescribeServices leaves it out, where AWS answers DISABLED by default",
    ),
    Difference(
        "aws_flow_log.this",
        frozenset({"iam_role_arn", "max_aggregation_interval"}),
        LIGHT,
        _FORGETS.format("DescribeFlowLogs") + ", and a flow log can only be replaced",
        actions="delete/create",
    ),
    Difference(
        "aws_vpc_endpoint.interface",
        frozenset({"policy", "private_dns_enabled", "security_group_ids"}),
        LIGHT,
        _FORGETS.format("DescribeVpcEndpoints"),
    ),
    Difference(
        "aws_vpc_endpoint.s3",
        frozenset({"policy"}),
        LIGHT,
        _FORGETS.format("DescribeVpcEndpoints"),
    ),
    *_of_localstack(
        {"policy"},
        "LocalStack's DescribeVpcEndpoints does not answer with the policy",
        "aws_vpc_endpoint.interface",
        "aws_vpc_endpoint.s3",
    ),
    *_of_localstack(
        {"tags_all"},
        "LocalStack's ListTagsForResource knows no tags that an alarm was made with",
        "aws_cloudwatch_metric_alarm.connections",
        "aws_cloudwatch_metric_alarm.database",
        "aws_cloudwatch_metric_alarm.dead_letters",
        "aws_cloudwatch_metric_alarm.failure_rate",
        "aws_cloudwatch_metric_alarm.job_messages",
        "aws_cloudwatch_metric_alarm.job_overdue",
        "aws_cloudwatch_metric_alarm.overdue",
        "aws_cloudwatch_metric_alarm.paused",
        "aws_cloudwatch_metric_alarm.queue_age",
        "aws_cloudwatch_metric_alarm.sleep",
        "aws_cloudwatch_metric_alarm.topic",
        "aws_cloudwatch_metric_alarm.throttling",
        "aws_cloudwatch_metric_alarm.unannounced",
        "aws_cloudwatch_metric_alarm.wake",
    ),
)

_PLACE = re.compile(r"module\.[a-z_]+(\[[^]]*\])?\.|\[[^]]*\]$")


def _key(change: Change) -> tuple[str, str, str]:
    return _PLACE.sub("", change.address), change.actions, change.attribute


def _keys(difference: Difference) -> set[tuple[str, str, str]]:
    return {(difference.resource, difference.actions, name) for name in difference.attributes}


def unexplained(changes: Iterable[Change], stack: Stack) -> list[Change]:
    """Changes that no difference of the list accounts for."""
    listed = [_keys(difference) for difference in INVENTED if stack in difference.stacks]
    known = set().union(*listed)
    return sorted(change for change in changes if _key(change) not in known)


def not_seen(changes: Iterable[Change], stack: Stack) -> list[Difference]:
    """Differences of the list that no change shows: they are to be removed from it."""
    seen = {_key(change) for change in changes}
    return [
        difference
        for difference in INVENTED
        if stack in difference.stacks and not _keys(difference) <= seen
    ]
