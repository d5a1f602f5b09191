"""An ECS task as a local process: the command, variables and secrets that were registered."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("retinue")
"""The container image's entry point."""


class TaskDefinition:
    """A task definition that Terraform registered with ECS.

    Args:
        ecs: A client of ECS.
        secrets: A client of Secrets Manager.
        arn: ARN of the task definition.

    Attributes:
        command: Arguments of the program.
        environment: Its variables, secrets among them, as ECS would set them.
    """

    def __init__(self, ecs: Any, secrets: Any, arn: str) -> None:
        definition = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        [container] = definition["containerDefinitions"]
        self.command: list[str] = container["command"]
        self._health: list[str] = container.get("healthCheck", {}).get("command", [])
        plain = {entry["name"]: entry["value"] for entry in container["environment"]}
        hidden = {
            entry["name"]: _resolve(secrets, entry["valueFrom"])
            for entry in container.get("secrets", ())
        }
        self.secret_names = sorted(hidden)
        self.environment: dict[str, str] = plain | hidden

    def use_port(self, port: int) -> None:
        """Answer health checks on this port, because tasks share one address here."""
        registered = self.environment["RETINUE_HEALTH_PORT"]
        self.environment["RETINUE_HEALTH_PORT"] = str(port)
        self._health = [str(port) if one == registered else one for one in self._health]

    def is_well(self) -> bool:
        """Run ECS's health check once, and return the result."""
        _, python, *arguments = self._health
        assert python == "python"
        return subprocess.run([sys.executable, *arguments], check=False).returncode == 0

    def start(
        self, added: Mapping[str, str], log: Path, command: Sequence[str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start it.

        Args:
            added: Variables that ECS itself adds (credentials, its agent), those of RunTask's
                overrides, and where AWS is. No variable of the definition may be among them.
            log: Receives what it says.
            command: RunTask's instead of the definition's.
        """
        replaced = set(added) & set(self.environment)
        assert not replaced, f"{replaced} would not be what Terraform registered"
        with log.open("wb") as output:
            return subprocess.Popen(
                [PROGRAM, *(command or self.command)],
                env={**self.environment, **added},
                cwd=os.sep,  # where a container starts
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def _resolve(secrets: Any, reference: str) -> str:
    """Return the value of ``ARN:json-key::``, as ECS reads it."""
    *arn, key, _, _ = reference.split(":")
    value = secrets.get_secret_value(SecretId=":".join(arn))["SecretString"]
    return str(json.loads(value)[key])
