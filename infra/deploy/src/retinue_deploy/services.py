"""Wait for deployments of the pools' services in ECS, and explain delays."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from retinue_deploy.errors import DeployError

TIMEOUT_SECONDS = 2_700.0
"""Time limit for services. A GPU instance must start first. A task of the previous version that is
busy is protected from ECS for up to 30 minutes (``retinue_workers.ops.task_protection``).
"""

_POLL_SECONDS = 10.0
_AT_ONCE = 10
"""Maximum number of services in a call of DescribeServices."""


class EcsServices:
    """Watches services.

    Args:
        ecs: A client.
        say: Receives progress.
        sleep: Waits.
    """

    def __init__(
        self, ecs: Any, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._ecs = ecs
        self._say = say
        self._sleep = sleep

    def describe(self, cluster: str, names: list[str]) -> list[Mapping[str, Any]]:
        """Return ECS's descriptions of services."""
        found: list[Mapping[str, Any]] = []
        for start in range(0, len(names), _AT_ONCE):
            answer = self._ecs.describe_services(
                cluster=cluster, services=names[start : start + _AT_ONCE]
            )
            found += answer["services"]
        return found

    def wait(self, cluster: str, expected: Mapping[str, str]) -> None:
        """Wait until the named services run only the wanted task definitions.

        Raises:
            DeployError: ECS rolled a version back, a service is missing, or it takes too long. The
                message has ECS's reasons.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        told: dict[str, str] = {}
        while True:
            services = {
                str(item["serviceName"]): item for item in self.describe(cluster, [*expected])
            }
            if missing := sorted(set(expected) - set(services)):
                raise DeployError(f"ECS has no service {', '.join(missing)} in {cluster}")
            waiting = []
            for name, definition in expected.items():
                state = _state(services[name], definition)
                if state == "failed":
                    raise DeployError(
                        f"ECS returned to the previous version, because the new one of {name} "
                        f"doesn't start:\n{_events(services[name])}\n`make logs POOL=…` prints "
                        "the worker's log. If this version migrated the database, the previous "
                        "version refuses to start on it: fix the new one and deploy again."
                    )
                if state != "stable":
                    waiting.append(name)
                    if told.get(name) != state:
                        told[name] = state
                        self._say(f"  {name}: {state}")
            if not waiting:
                return
            if time.monotonic() > deadline:
                about = "\n".join(f"  {name}:\n{_events(services[name])}" for name in waiting)
                raise DeployError(
                    f"not stable after {TIMEOUT_SECONDS / 60:.0f} min:\n{about}\nThey may "
                    "become stable later: `make status`."
                )
            self._sleep(_POLL_SECONDS)


def _state(service: Mapping[str, Any], definition: str) -> str:
    """Return ``stable``, ``failed``, or the current state."""
    deployments = service["deployments"]
    ours = [item for item in deployments if item["taskDefinition"] == definition]
    if not ours or ours[0].get("rolloutState") == "FAILED":
        return "failed"
    running, desired = ours[0]["runningCount"], ours[0]["desiredCount"]
    done = ours[0].get("rolloutState") == "COMPLETED"
    if done and len(deployments) == 1 and running == desired:
        return "stable"
    failed = ours[0].get("failedTasks", 0)
    before = sum(item["runningCount"] for item in deployments if item is not ours[0])
    return (
        f"{running} of {desired} tasks run the new version"
        + (f", {failed} failed" if failed else "")
        + (f"; {before} old ones still run (30 min if busy)" if before else "")
    )


def _events(service: Mapping[str, Any]) -> str:
    lines = [f"    {event['message']}" for event in service.get("events", ())[:5]]
    return "\n".join(lines) or "    (ECS reports nothing about it)"
