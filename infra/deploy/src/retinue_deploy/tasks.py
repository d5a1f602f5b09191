"""Run tasks in ECS, such as migrations: start, wait, read the log."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from retinue_deploy.errors import TaskFailedError

TIMEOUT_SECONDS = 1_800.0
"""Time limit of a task. A migration of a large history may rewrite a table."""

_POLL_SECONDS = 5.0
_LOG_TRIES = 4
_TAIL_LINES = 30
_CONTAINER = "retinue"
"""The container's name in every task definition (modules/task)."""


class EcsTasks:
    """Runs tasks.

    Args:
        ecs: A client.
        logs: A client.
        say: Receives progress.
        sleep: Waits.
    """

    def __init__(
        self,
        ecs: Any,
        logs: Any,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ecs = ecs
        self._logs = logs
        self._say = say
        self._sleep = sleep

    def run(
        self,
        parameters: Mapping[str, Any],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a task to its end.

        Args:
            parameters: The parameters of RunTask.
            command: Arguments of ``retinue`` instead of the task definition's.
            environment: Variables in addition to the task definition's.

        Returns:
            Its output.

        Raises:
            TaskFailedError: It could not be started, failed, or takes too long.
        """
        asked: dict[str, Any] = {**parameters, "startedBy": "make deploy"}
        if command is not None:
            variables = [
                {"name": name, "value": value} for name, value in (environment or {}).items()
            ]
            container = {
                "name": _CONTAINER,
                "command": list(command),
                "environment": variables,
            }
            asked["overrides"] = {"containerOverrides": [container]}
        started = self._ecs.run_task(**asked)
        if started.get("failures"):
            reasons = ", ".join(str(failure.get("reason")) for failure in started["failures"])
            raise TaskFailedError(f"ECS does not start the task: {reasons}")
        arn = started["tasks"][0]["taskArn"]
        task = self._wait(str(parameters["cluster"]), arn)
        said = self._log(task)
        containers = task.get("containers", ())
        codes = [container.get("exitCode", "none") for container in containers]
        if codes != [0]:
            told = [task.get("stoppedReason"), *(item.get("reason") for item in containers)]
            why = "; ".join(dict.fromkeys(str(reason) for reason in told if reason))
            tail = "\n".join(f"    {line}" for line in said.splitlines()[-_TAIL_LINES:])
            raise TaskFailedError(
                f"the task {arn.rpartition('/')[2]} failed (exit code "
                f"{codes[0] if codes else 'none'}; {why or 'no reason given'}). The end of its "
                f"log:\n{tail or '    (empty: the task has not started)'}"
            )
        return said

    def _wait(self, cluster: str, arn: str) -> Mapping[str, Any]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        status = ""
        while True:
            described = self._ecs.describe_tasks(cluster=cluster, tasks=[arn])
            if described["tasks"]:  # a task that was just started may not be visible everywhere
                task: Mapping[str, Any] = described["tasks"][0]
                if task["lastStatus"] == "STOPPED":
                    return task
                if task["lastStatus"] != status:
                    status = task["lastStatus"]
                    self._say(f"  task {arn.rpartition('/')[2][:8]}: {status.lower()}")
            if time.monotonic() > deadline:
                raise TaskFailedError(
                    f"the task {arn} has been running for {TIMEOUT_SECONDS / 60:.0f} min. It still "
                    f"runs; stop it with: aws ecs stop-task --cluster {cluster} --task {arn}"
                )
            self._sleep(_POLL_SECONDS)

    def _log(self, task: Mapping[str, Any]) -> str:
        """Return the task's output. Its last lines may arrive some seconds late."""
        definition = self._ecs.describe_task_definition(taskDefinition=task["taskDefinitionArn"])
        [container] = definition["taskDefinition"]["containerDefinitions"]
        options = container["logConfiguration"]["options"]
        stream = "/".join(
            (options["awslogs-stream-prefix"], _CONTAINER, task["taskArn"].rpartition("/")[2])
        )
        lines: list[str] = []
        for attempt in range(_LOG_TRIES):
            found = self._lines(options["awslogs-group"], stream)
            if found and len(found) == len(lines):
                break
            lines = found
            if attempt < _LOG_TRIES - 1:
                self._sleep(2.0)
        return "\n".join(lines)

    def _lines(self, group: str, stream: str) -> list[str]:
        """Return all lines of a log stream so far; none if it doesn't exist yet.

        A call returns at most 10,000 lines or 1 MB, and possibly none although more follow. After
        the last line, it returns the token of the call.
        """
        lines: list[str] = []
        token: dict[str, str] = {}
        while True:
            try:
                answer = self._logs.get_log_events(
                    logGroupName=group, logStreamName=stream, startFromHead=True, **token
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":
                    raise
                return lines
            lines += [str(event["message"]) for event in answer["events"]]
            following = {"nextToken": answer["nextForwardToken"]}
            if following == token:
                return lines
            token = following
