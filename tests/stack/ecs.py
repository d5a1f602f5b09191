"""Replace ECS and its logs in a deployment: tasks are processes, and logs are files."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from fakes.waiting import eventually
from retinue_deploy.smoke import ImageSmoke
from stack.task import TaskDefinition

PHOTOGRAPH = Path(__file__).parents[2] / "docs/astronaut.jpg"
SMOKE_PREFIX = "retinue-smoke/"


class LocalTasks:
    """Runs tasks as ECS would, by the definition that was registered.

    Args:
        definition: Reads a task definition.
        added: Variables that ECS itself adds, and where AWS is.
        folder: For what they print.
    """

    def __init__(
        self,
        definition: Callable[[str], TaskDefinition],
        added: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._definition = definition
        self._added = added
        self._folder = folder

    def run(
        self,
        parameters: Mapping[str, Any],
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a task to its end; what it printed."""
        task = self._definition(str(parameters["taskDefinition"]))
        log = self._folder / "task.log"
        process = task.start({**self._added, **(environment or {})}, log, command)
        try:
            assert process.wait(300) == 0, log.read_text()
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return log.read_text()


class LocalServices:
    """Runs the pools' services, one task each, as ECS would.

    Args:
        definition: Reads a task definition.
        added: Variables that ECS itself adds, and where AWS is.
        folder: For what the workers log.

    Attributes:
        workers: The running tasks by service.
    """

    def __init__(
        self,
        definition: Callable[[str], TaskDefinition],
        added: Mapping[str, str],
        folder: Path,
    ) -> None:
        self._definition = definition
        self._added = added
        self._folder = folder
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def wait(self, cluster: str, expected: Mapping[str, str]) -> None:
        """Start a worker for each service; it is stable as soon as the worker is well."""
        del cluster
        for port, (service, arn) in enumerate(expected.items(), start=8080):
            task = self._definition(arn)
            task.use_port(port)
            log = self.log(service)
            worker = self.workers[service] = task.start(self._added, log)

            eventually(task.is_well, within_seconds=300, what="the worker to be well")
            assert worker.poll() is None, log.read_text()

    def log(self, service: str) -> Path:
        """Return the path of a service's log."""
        return self._folder / f"{service}.log"

    def close(self) -> None:
        """Leave none behind."""
        for worker in self.workers.values():
            worker.kill()
            worker.wait()


class WorkerLogs:
    """CloudWatch Logs, as far as the workers' own logs go.

    Args:
        log: Where a service's worker logs.
    """

    def __init__(self, log: Callable[[str], Path]) -> None:
        self._log = log

    def get_paginator(self, name: str) -> Self:
        """Return what has the pages."""
        assert name == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        """Lines about the image that the pattern names."""
        named = re.search(r'\$\.image_id = "([0-9a-f-]+)"', asked["filterPattern"])
        assert named is not None
        service = asked["logGroupName"].strip("/").replace("/", "-")
        lines = self._log(service).read_text().splitlines()
        told = [line for line in lines if named[1] in line and '"run_recorded"' in line]
        return [{"events": told}]


def smoke_test(
    client: Callable[[str], Any], tasks: LocalTasks, log: Callable[[str], Path]
) -> ImageSmoke:
    """Return the smoke test, which follows one image.

    Args:
        client: Makes a boto3 client of a service.
        tasks: Puts the question to the database.
        log: Where a service's worker logs.
    """
    return ImageSmoke(
        client("s3"),
        WorkerLogs(log),
        client("sqs"),
        tasks,
        image=PHOTOGRAPH,
        key=lambda name: f"{SMOKE_PREFIX}{name}.jpg",
        say=print,
    )
