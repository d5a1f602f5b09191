"""The environment `dev`, unchanged, applied to whatever stands in for AWS."""

import json
import re
import sys
from dataclasses import dataclass
from typing import Any

from infra.terraform import Terraform

ENVIRONMENT = "environments/dev"
BOOTSTRAP = "bootstrap"
REGION = "us-east-1"
TAG = "1.0.0"

_LONG = re.compile(
    r"^(\S+: (?:Creation|Destruction) complete after .*(?:\dm|[3-9]\ds))", re.MULTILINE
)
"""What took half a minute or more, and is worth a line."""


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One attribute that a plan would change, or a whole resource if ``attribute`` is empty."""

    address: str
    actions: str
    attribute: str


class Deployment:
    """Runs Terraform as `make deploy` does.

    Args:
        terraform: Runs it; its variables say where AWS is.
        account: Account id of the emulators.
    """

    def __init__(self, terraform: Terraform, account: str) -> None:
        self._terraform = terraform
        self.state_bucket = f"retinue-state-{account}-{REGION}"

    def bootstrap(self) -> None:
        """Make the bucket for the state, and the registry."""
        self._run(BOOTSTRAP, "init")
        self._run(BOOTSTRAP, "apply", "-auto-approve", f"-var=region={REGION}")

    def init(self) -> None:
        """Prepare the environment, with its state in the bucket."""
        self._run(
            ENVIRONMENT,
            "init",
            f"-backend-config=bucket={self.state_bucket}",
            f"-backend-config=region={REGION}",
            # The state's bucket has no name of its own in DNS here.
            "-backend-config=use_path_style=true",
        )

    def apply(self) -> None:
        """Plan and apply."""
        self._run(ENVIRONMENT, "apply", "-auto-approve", *self._variables)

    def destroy(self) -> None:
        """Destroy everything but what bootstrap made."""
        self._run(ENVIRONMENT, "destroy", "-auto-approve", *self._variables)

    def addresses(self) -> list[str]:
        """Everything in the state."""
        return self._run(ENVIRONMENT, "state", "list").split()

    def output(self) -> dict[str, Any]:
        """The environment's outputs."""
        return dict(json.loads(self._run(ENVIRONMENT, "output", "-json", "stack")))

    def changes(self) -> set[Change]:
        """What the next apply would change."""
        self._run(ENVIRONMENT, "plan", "-out=next.tfplan", *self._variables)
        plan = json.loads(self._run(ENVIRONMENT, "show", "-json", "next.tfplan"))
        return {
            change
            for resource in plan.get("resource_changes", ())
            for change in changes_of(resource["address"], resource["change"])
        }

    @property
    def _variables(self) -> list[str]:
        return [f"-var=region={REGION}", f"-var=image_tag={TAG}"]

    def _run(self, directory: str, command: str, *arguments: str) -> str:
        more = [] if command in ("show", "state", "output") else ["-no-color"]
        done = self._terraform.run(directory, command, *more, *arguments, timeout_seconds=900)
        assert done.returncode == 0, f"terraform {command}:\n{done.stdout[-4_000:]}{done.stderr}"
        for line in _LONG.findall(done.stdout):
            sys.stdout.write(f"\n  {line}")
        return done.stdout


def changes_of(address: str, change: dict[str, Any]) -> list[Change]:
    if change["actions"] in (["no-op"], ["read"]):
        return []
    actions = "/".join(change["actions"])
    before, after = change["before"] or {}, change["after"] or {}
    unknown = change.get("after_unknown") or {}
    differing = sorted(
        name
        for name in before.keys() | after.keys() | unknown.keys()
        if before.get(name) != after.get(name) or unknown.get(name) is True
    )
    if change["actions"] != ["update"]:
        differing = sorted(path[0] for path in change.get("replace_paths", ())) or [""]
    return [Change(address, actions, name) for name in differing]
