"""Show running pools: tasks, queues and logs."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from retinue_deploy.account import Account
from retinue_deploy.errors import DeployError
from retinue_deploy.services import EcsServices
from retinue_deploy.smoke import backlog


def show_status(account: Account, outputs: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Print each pool's running tasks, waiting messages, and latest ECS event."""
    pools = outputs["pools"]
    services = EcsServices(account.client("ecs"), say).describe(
        str(outputs["cluster_name"]), [pool["service_name"] for pool in pools.values()]
    )
    by_name = {service["serviceName"]: service for service in services}
    sqs = account.client("sqs")
    for name, pool in pools.items():
        service = by_name.get(pool["service_name"])
        waiting, in_flight = backlog(sqs, pool["queue_url"])
        dead, _ = backlog(sqs, pool["dead_letter_queue_url"])
        say(f"{name}: {waiting} waiting, {in_flight} in flight, {dead} dead letters")
        if service is None:
            say("  ECS has no service for it: run `make deploy`")
            continue
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
    """Print the pools' log lines of the last minutes, oldest first.

    Raises:
        DeployError: The pool doesn't exist.
    """
    pools = outputs["pools"]
    if pool is not None and pool not in pools:
        raise DeployError(f"there is no pool {pool!r}; there are {', '.join(sorted(pools))}")
    since = int((time.time() - minutes * 60) * 1_000)
    for name in [pool] if pool else sorted(pools):
        pages = (
            account.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=pools[name]["log_group_name"], startTime=since)
        )
        lines = [event["message"].rstrip() for page in pages for event in page["events"]]
        say(f"-- {name}: {len(lines)} lines in the last {minutes} minutes")
        for line in lines:
            say(line)
