"""An environment, such as dev: its folder under infra/environments, and its Terraform."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Plan
from retinue_deploy.terraform import Terraform

PLAN_FILE = "retinue.tfplan"

MIGRATION_TARGETS = (
    "module.stack.aws_ecs_cluster.this",
    "module.stack.module.network",
    "module.stack.module.database",
    "module.stack.module.migrations",
)
"""What a migration needs: a cluster to run in, the database, the way from the task to it, to the
registry and the log. No service is among them or among what they depend on. Terraform leaves out an
output of which it is not told to make everything."""

_ANY_TAG = {"image_tag": "not-yet-built"}

_ANY_URI = {"image_uri": "none/none:none"}
"""For plans that need no image: to check, and to destroy, when the one that was may be gone."""


class Environment:
    """Terraform's idea of an environment.

    Args:
        terraform: In the environment's folder.
    """

    def __init__(self, terraform: Terraform) -> None:
        self._terraform = terraform

    def connect(self, state_bucket: str, region: str) -> None:
        """Use the state in the bucket."""
        self._terraform.init({"bucket": state_bucket, "region": region})

    def check(self) -> None:
        """See whether everything in ``terraform.tfvars`` is right; needs no image."""
        self._terraform.check(_ANY_URI)

    def needs_cuda(self) -> bool:
        """Whether a pool has a GPU."""
        answer = self._terraform.evaluate(
            "anytrue([for pool in values(var.pools) : pool.gpu])", _ANY_TAG
        )
        return answer == "true"

    def wanted_vcpus(self) -> float:
        """How many vCPUs Fargate must run at once when every pool is at its maximum."""
        answer = self._terraform.evaluate(
            "sum([for pool in values(var.pools) : pool.gpu ? 0 : pool.max * pool.cpu / 1024])",
            _ANY_TAG,
        )
        return float(answer)

    def smoke_key(self, name: str) -> str:
        """A key for an image that at least one pool looks at."""
        text = self._terraform.evaluate(
            "jsonencode([for pool in values(var.pools) : [pool.key_prefixes, pool.key_suffixes]])",
            _ANY_TAG,
        )
        return choose_key(json.loads(json.loads(text)), name)

    def plan(self, tag: str, *, migrations_only: bool = False) -> Plan:
        """See what applying a tag would do."""
        targets = MIGRATION_TARGETS if migrations_only else ()
        return self._terraform.plan(PLAN_FILE, {"image_tag": tag}, targets=targets)

    def show(self) -> str:
        """The last plan, for people."""
        return self._terraform.show(PLAN_FILE)

    def apply(self) -> None:
        """Do what was planned last. The plan is of no use afterwards, and is removed."""
        try:
            self._terraform.apply(PLAN_FILE)
        finally:
            (self._terraform.folder / PLAN_FILE).unlink(missing_ok=True)

    def migrate_parameters(self) -> Mapping[str, Any]:
        """Parameters of ECS's RunTask for ``retinue migrate``."""
        parameters: dict[str, Any] = json.loads(self._terraform.output("migrate"))
        return parameters

    def outputs(self) -> Mapping[str, Any]:
        """Where everything is."""
        outputs: dict[str, Any] = self._terraform.output("stack")
        return outputs

    def state(self) -> Mapping[str, Any]:
        """What is there, as ``terraform show -json`` gives it."""
        return self._terraform.state()

    def protected(self) -> list[str]:
        """Databases that refuse to be deleted."""
        return [
            address
            for address, kind, values in resources(self.state())
            if kind == "aws_db_instance" and values.get("deletion_protection")
        ]

    def destroy(self) -> None:
        """Destroy all of it."""
        self._terraform.plan(PLAN_FILE, _ANY_URI, destroy=True)
        self.apply()


def choose_key(patterns: list[list[list[str]]], name: str) -> str:
    """A key that the first pool's patterns let through.

    Args:
        patterns: Key prefixes and key suffixes of each pool.
        name: What to call the image, without ending.
    """
    for prefixes, suffixes in patterns:
        if not prefixes and not suffixes:
            return f"retinue-smoke/{name}.jpg"
    prefixes, suffixes = patterns[0]
    return f"{prefixes[0]}{name}.jpg" if prefixes else f"retinue-smoke/{name}{suffixes[0]}"


def resources(shown: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Address, type and values of every resource in a state or plan that Terraform showed."""
    values = shown.get("values", shown)
    found: list[tuple[str, str, Mapping[str, Any]]] = []

    def walk(module: Mapping[str, Any]) -> None:
        found.extend(
            (resource["address"], resource["type"], resource.get("values", {}))
            for resource in module.get("resources", ())
            if resource["mode"] == "managed"
        )
        for child in module.get("child_modules", ()):
            walk(child)

    walk(values.get("root_module", {}))
    return found


def find_environment(root: Path, name: str) -> Path:
    """The folder of an environment.

    Raises:
        DeployError: There is none of that name.
    """
    environments = root / "infra/environments"
    folder = environments / name
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or not (folder / "main.tf").exists():
        known = sorted(path.parent.name for path in environments.glob("*/main.tf"))
        raise DeployError(f"there is no environment {name!r}; there are {', '.join(known)}")
    return folder


def tfvars(folder: Path, name: str) -> str | None:
    """A plain text that ``terraform.tfvars`` gives a variable, if it does."""
    text = (folder / "terraform.tfvars").read_text(encoding="utf-8")
    found = re.search(rf'^{name}\s*=\s*"([^"]*)"', text, re.MULTILINE)
    return found[1] if found else None
