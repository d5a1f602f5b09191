"""An environment, such as dev: its tfvars file, and its Terraform."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from retinue_deploy.bucket_events import event_problems
from retinue_deploy.errors import DeployError
from retinue_deploy.pool_settings import SETTINGS_OF_POOLS, pool_problems
from retinue_deploy.ports import Plan, Signer
from retinue_deploy.programs import Programs
from retinue_deploy.terraform import Terraform

ROOT = Path("infra")
"""The root module, in the repository."""

ENVIRONMENTS = ROOT / "environments"
"""The folder of the environments, with a tfvars file each."""

MIGRATION_TARGETS = (
    "aws_ecs_cluster.this",
    "module.network",
    "module.database",
    "module.migrations",
)
"""The targets of a migration: a cluster, the database, and the network to the database, the
registry and the log. Neither these nor their dependencies include a service. Terraform omits
outputs that depend on anything else.
"""

_SOURCES = "jsonencode(var.sources)"

_ANY_TAG = {"image_tag": "not-yet-built"}

_ANY_URI = {"image_uri": "none/none:none"}
"""The tag for plans that need no image: checks, and destroying when the image may be gone."""


class Environment:
    """One environment, through Terraform.

    Args:
        terraform: In the root module, with the environment's values.
        name: The environment's name.
        region: AWS region.
        s3: A client, to look at existing buckets.
    """

    def __init__(self, terraform: Terraform, name: str, region: str, s3: Any = None) -> None:
        self._terraform = terraform
        self._s3 = s3
        self._name = name
        self._region = region
        self._plan_file = f"{name}.tfplan"
        self._preview_override = terraform.folder / "preview_override.tf"

    @classmethod
    def open(cls, programs: Programs, file: Path, region: str, s3: Any = None) -> Self:
        """Return the environment of a tfvars file, ``environments/NAME.tfvars`` of a root module.

        Args:
            programs: Runs Terraform.
            file: The tfvars file.
            region: AWS region.
            s3: A client, to look at existing buckets.
        """
        root = file.with_name("root.tf")
        if root.exists():  # state and provider, which a module doesn't have
            shutil.copy(root, file.parents[1])
        terraform = Terraform(
            programs,
            file.parents[1],
            {"region": region},
            var_file=file,
            data_dir=f".terraform/{file.stem}",
        )
        return cls(terraform, file.stem, region, s3)

    @property
    def name(self) -> str:
        """Return the environment's name."""
        return self._name

    def connect(self, state_bucket: str) -> None:
        """Use the environment's state in the bucket."""
        self._preview_override.unlink(missing_ok=True)  # of a preview that was killed
        self._terraform.init(
            {
                "bucket": state_bucket,
                "key": f"retinue/{self._name}.tfstate",
                "region": self._region,
            }
        )

    def check(self) -> None:
        """Raise for invalid values, or existing buckets without events. Needs no image."""
        self._terraform.check(_ANY_URI)
        text = self._terraform.evaluate(SETTINGS_OF_POOLS, _ANY_URI)
        if problems := list(pool_problems(json.loads(json.loads(text)), self._region)):
            lines = "\n".join(f"    {problem}" for problem in problems)
            raise DeployError(f"workers would refuse to start with these settings:\n{lines}")
        sources = json.loads(json.loads(self._terraform.evaluate(_SOURCES, _ANY_URI)))
        if problems := list(event_problems(self._s3, sources)):
            lines = "\n".join(f"    {problem}" for problem in problems)
            raise DeployError(f"images in these buckets would never arrive:\n{lines}")

    def is_protected(self) -> bool:
        """Return whether the tfvars file protects the environment."""
        return self._terraform.evaluate("var.protect", _ANY_TAG) == "true"

    def signer(self) -> Signer | None:
        """Return the signer that container images need, if any."""
        text = self._terraform.evaluate("jsonencode(var.signed_by)", _ANY_TAG)
        found = json.loads(json.loads(text))
        return None if found is None else Signer(**found)

    def variants(self) -> list[str]:
        """Return the variants of the container image that the pools need: cpu, arm64, cuda."""
        answer = self._terraform.evaluate(
            'join(",", concat([var.arm64 ? "arm64" : "cpu"], '
            'anytrue([for pool in values(var.pools) : pool.gpu]) ? ["cuda"] : []))',
            _ANY_TAG,
        )
        return answer.strip('"').split(",")

    def wanted_vcpus(self) -> float:
        """Return the vCPUs that Fargate needs if every pool is at its maximum."""
        answer = self._terraform.evaluate(
            "sum([for pool in values(var.pools) : pool.gpu ? 0 : pool.max * pool.cpu / 1024])",
            _ANY_TAG,
        )
        return float(answer)

    def smoke_key(self, name: str) -> str | None:
        """Return a key for an image that at least one pool processes; ``None`` if none does."""
        text = self._terraform.evaluate(
            "jsonencode([for pool in values(var.pools) : [pool.key_prefixes, pool.key_suffixes] "
            'if !alltrue([for name in keys(pool.detectors) : startswith(name, "rekognition-video-")'
            "])])",
            _ANY_TAG,
        )
        return choose_key(json.loads(json.loads(text)), name)

    def plan(self, tag: str, *, migrations_only: bool = False) -> Plan:
        """Plan the application of a tag."""
        targets = MIGRATION_TARGETS if migrations_only else ()
        return self._terraform.plan(self._plan_file, {"image_tag": tag}, targets=targets)

    def preview(self, uri: str, *, has_state: bool) -> Plan:
        """Plan with a container image that doesn't exist yet. The plan can't be applied.

        Args:
            uri: The container image.
            has_state: Whether the environment has a state; without one, everything is new.
        """
        if has_state:
            return self._terraform.plan(self._plan_file, {"image_uri": uri})
        override = self._preview_override
        override.write_text('terraform {\n  backend "local" {}\n}\n', encoding="utf-8")
        try:
            self._terraform.init(reconfigure=True)
            return self._terraform.plan(self._plan_file, {"image_uri": uri})
        finally:
            override.unlink()

    def show(self) -> str:
        """Return the last plan as text."""
        return self._terraform.show(self._plan_file)

    def apply(self) -> None:
        """Apply the last plan, and remove its file."""
        try:
            self._terraform.apply(self._plan_file)
        finally:
            (self._terraform.folder / self._plan_file).unlink(missing_ok=True)

    def migrate_parameters(self) -> Mapping[str, Any]:
        """Return the parameters of ECS's RunTask for ``retinue migrate``.

        Raises:
            DeployError: The migrations' task has never been applied.
        """
        parameters: dict[str, Any] = json.loads(self._outputs("migrate")["migrate"])
        return parameters

    def outputs(self) -> Mapping[str, Any]:
        """Return the root module's outputs.

        Raises:
            DeployError: No complete deployment has been applied.
        """
        return self._outputs("pools")

    def bucket_name(self) -> str | None:
        """Return the name of the image bucket; ``None`` if it doesn't exist."""
        name: str | None = self._terraform.outputs().get("bucket_name")
        return name

    def _outputs(self, needed: str) -> dict[str, Any]:
        outputs = self._terraform.outputs()
        if needed not in outputs:
            raise DeployError(
                f"{self._name} is not deployed yet: run `make deploy ENV={self._name}`"
            )
        return outputs

    def state(self) -> Mapping[str, Any]:
        """Return the resources, as in ``terraform show -json``."""
        return self._terraform.state()

    def protected(self) -> list[str]:
        """Return the databases that refuse to be deleted."""
        return [
            address
            for address, kind, values in resources(self.state())
            if kind == "aws_db_instance" and values.get("deletion_protection")
        ]

    def destroy(self) -> None:
        """Destroy everything in the environment."""
        self._terraform.plan(self._plan_file, _ANY_URI, destroy=True)
        self.apply()


def choose_key(patterns: list[list[list[str]]], name: str) -> str | None:
    """Return a key that the first pool's patterns accept; ``None`` without pools.

    Args:
        patterns: Key prefixes and key suffixes of each pool that processes images.
        name: The image's name, without extension.
    """
    if not patterns:
        return None
    for prefixes, suffixes in patterns:
        if not prefixes and not suffixes:
            return f"retinue-smoke/{name}.jpg"
    prefixes, suffixes = patterns[0]
    return f"{prefixes[0]}{name}.jpg" if prefixes else f"retinue-smoke/{name}{suffixes[0]}"


def resources(shown: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return address, type and values of every resource in Terraform's JSON."""
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
    """Return the tfvars file of an environment.

    Raises:
        DeployError: No environment has that name.
    """
    file = root / ENVIRONMENTS / f"{name}.tfvars"
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or not file.exists():
        known = sorted(path.stem for path in (root / ENVIRONMENTS).glob("*.tfvars"))
        raise DeployError(
            f"unknown environment {name!r}: {ENVIRONMENTS} has {', '.join(known)}. "
            "To create one, add a tfvars file"
        )
    return file


def tfvars(file: Path, name: str) -> str | None:
    """Return the string that a tfvars file gives a variable, or None."""
    found = re.search(rf'^{name}\s*=\s*"([^"]*)"', file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None
