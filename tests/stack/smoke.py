"""``make smoke`` on the emulators: its tasks run here; the worker's log is a file."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retinue_deploy.smoke import ImageSmoke
from stack.task import TaskDefinition

PHOTOGRAPH = Path(__file__).parents[2] / "docs/astronaut.jpg"


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


class WorkerLog:
    """CloudWatch Logs, as far as the worker's own log goes."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        """Lines about the image that the pattern names."""
        named = re.search(r'\$\.image_id = "([0-9a-f-]+)"', asked["filterPattern"])
        assert named is not None
        lines = self._log.read_text().splitlines()
        return {"events": [line for line in lines if named[1] in line and '"run"' in line]}


def smoke(client: Callable[[str], Any], tasks: LocalTasks, log: Path) -> ImageSmoke:
    """What `make smoke` does, on the emulators."""
    return ImageSmoke(
        client("s3"),
        WorkerLog(log),
        client("sqs"),
        tasks,
        image=PHOTOGRAPH,
        key=lambda name: f"retinue-smoke/{name}.jpg",
        say=lambda line: None,
    )
