"""Run a command of retinue inside the network, where the database and the queues are reachable."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Tasks

_OF_A_POOL = ("RETINUE_QUEUE_URL", "RETINUE_DETECTORS", "RETINUE_PRICES")
"""Settings of a pool that operators' commands read."""

_MAINTENANCE = "maintain"
"""A command that has a task of its own, with the retention and its rights."""


def run_command(
    tasks: Tasks,
    ecs: Any,
    outputs: Mapping[str, Any],
    arguments: Sequence[str],
    *,
    pool: str | None = None,
    as_owner: bool = False,
) -> str:
    """Run a command to its end.

    Args:
        tasks: Runs it.
        ecs: A client.
        outputs: Terraform's outputs.
        arguments: The command and its options, without ``retinue``.
        pool: The pool whose queue and detectors the command uses. The default is the only pool; of
            several, none.
        as_owner: Whether to run it with the database owner's rights, as ``retinue migrate``.

    Returns:
        Its output.

    Raises:
        DeployError: There is no such pool, the environment is older than the operators' task, or
            the command failed.
    """
    pools = outputs["pools"]
    if pool is None and len(pools) == 1:
        [pool] = pools
    if pool is not None and pool not in pools:
        raise DeployError(f"there is no pool {pool}; there are {', '.join(sorted(pools))}")
    name = "migrate" if as_owner else "operator"
    if arguments[0] == _MAINTENANCE:
        name = "maintenance"
    if name not in outputs:
        raise DeployError("this environment has no task for this command yet: run `make deploy`")
    environment = {} if pool is None else _settings(ecs, pools[pool]["task_definition_arn"])
    return tasks.run(json.loads(outputs[name]), arguments, environment)


def _settings(ecs: Any, definition_arn: str) -> dict[str, str]:
    definition = ecs.describe_task_definition(taskDefinition=definition_arn)["taskDefinition"]
    [container] = definition["containerDefinitions"]
    return {
        variable["name"]: variable["value"]
        for variable in container["environment"]
        if variable["name"] in _OF_A_POOL
    }
