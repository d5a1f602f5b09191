"""Show running pools and the console: tasks, queues and logs. Show who receives the alarms."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from retinue_deploy.account import Account
from retinue_deploy.errors import DeployError
from retinue_deploy.services import EcsServices
from retinue_deploy.smoke import backlog

CONSOLE = "console"
"""Name of the console among the pools."""


def show_status(account: Account, outputs: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Print the tasks and latest ECS event of each pool and the console, and waiting messages.

    Print also if alarms have no recipient.
    """
    pools = outputs["pools"]
    console = outputs.get("console")
    of_pools = [pool["service_name"] for pool in pools.values()]
    services = EcsServices(account.client("ecs"), say).describe(
        str(outputs["cluster_name"]),
        of_pools if console is None else [*of_pools, console["service_name"]],
    )
    by_name = {service["serviceName"]: service for service in services}
    sqs = account.client("sqs")
    for name, pool in pools.items():
        waiting, in_flight = backlog(sqs, pool["queue_url"])
        dead, _ = backlog(sqs, pool["dead_letter_queue_url"])
        say(f"{name}: {waiting} waiting, {in_flight} in flight, {dead} dead letters")
        _say_service(by_name.get(pool["service_name"]), say)
    if console is not None:
        say(f"{CONSOLE}: at {console['load_balancer_dns_name']}")
        _say_service(by_name.get(console["service_name"]), say)
    say_unheard_alarms(account, outputs, say)


def say_unheard_alarms(
    account: Account, outputs: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Print if no subscription of the alarms' topic is confirmed.

    Prints nothing about a topic whose subscriptions these credentials can't list, such as another
    account's.
    """
    topic = str(outputs["alarm_topic_arn"])
    pages = account.client("sns").get_paginator("list_subscriptions_by_topic")
    try:
        found = [one for page in pages.paginate(TopicArn=topic) for one in page["Subscriptions"]]
    except ClientError:
        return
    if any(one["SubscriptionArn"].startswith("arn:") for one in found):
        return
    if found:
        waiting = ", ".join(sorted(one["Endpoint"] for one in found))
        say(f"warning: no one receives alarms until {waiting} opens the link that AWS has sent")
    else:
        say(f"warning: no one receives alarms: set alarm_emails, or subscribe to {topic}")


def _say_service(service: Mapping[str, Any] | None, say: Callable[[str], None]) -> None:
    if service is None:
        say("  ECS has no service for it: run `make deploy`")
        return
    say(
        f"  {service['runningCount']} tasks run, {service['desiredCount']} are wanted, "
        f"{service['pendingCount']} are starting; "
        f"{service['taskDefinition'].rpartition('/')[2]}"
    )
    for event in service.get("events", ())[:1]:
        say(f"  {event['message']}")


def show_logs(
    account: Account,
    outputs: Mapping[str, Any],
    pool: str | None,
    minutes: int,
    say: Callable[[str], None],
) -> None:
    """Print the log lines of the pools and the console of the last minutes, oldest first.

    Args:
        account: The account.
        outputs: Terraform's outputs.
        pool: One pool, or ``console``; ``None`` for all.
        minutes: Number of minutes.
        say: Prints a line.

    Raises:
        DeployError: The pool doesn't exist.
    """
    groups = {name: one["log_group_name"] for name, one in sorted(outputs["pools"].items())}
    if outputs.get("console") is not None:
        groups.setdefault(CONSOLE, outputs["console"]["log_group_name"])
    if pool is not None and pool not in groups:
        raise DeployError(f"there is no pool {pool!r}; there are {', '.join(groups)}")
    since = int((time.time() - minutes * 60) * 1_000)
    for name in [pool] if pool else groups:
        pages = (
            account.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=groups[name], startTime=since)
        )
        lines = [event["message"].rstrip() for page in pages for event in page["events"]]
        say(f"-- {name}: {len(lines)} lines in the last {minutes} minutes")
        for line in lines:
            say(line)
