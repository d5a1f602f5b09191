"""The environment `dev`, and a pool for videos, deployed to whatever stands in for AWS."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.terraform import ROOT, Terraform
from retinue_deploy import terraform as program
from retinue_deploy.bootstrap import Bootstrap, state_bucket_name
from retinue_deploy.bucket import purge
from retinue_deploy.cli import REPOSITORY
from retinue_deploy.deployment import Deployed, World, deploy
from retinue_deploy.environment import Environment
from retinue_deploy.journal import Journal
from retinue_deploy.ports import Services, Smoke, Tasks
from retinue_deploy.programs import Programs
from retinue_deploy.registry import Registry
from retinue_deploy.signature import Cosign

DEPLOYING = Path(__file__).parents[2] / "docs/deploy.md"
ENVIRONMENT = "environments/dev.tfvars"
BOOTSTRAP = "bootstrap"
REGION = "us-east-1"
TAG = "1.0.0"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One attribute that a plan would change, or a whole resource if ``attribute`` is empty."""

    address: str
    actions: str
    attribute: str


class Deployment:
    """`make deploy` and `make destroy`, with Terraform in a copy of infra/.

    Args:
        terraform: The copy, and the variables by which Terraform finds AWS.
        account: Account id of the emulators.
        client: Makes a boto3 client of a service.
        folder: For logs.
        filters_keys: Whether SNS can filter S3's events by their keys.
    """

    def __init__(
        self,
        terraform: Terraform,
        account: str,
        client: Callable[[str], Any],
        folder: Path,
        *,
        filters_keys: bool,
    ) -> None:
        self._terraform = terraform
        self._client = client
        self._journal = Journal(folder / "deploy", "deploy-dev", sys.stdout)
        _add_pool_for_videos(terraform.infra / ENVIRONMENT, filters_keys=filters_keys)
        self._programs = programs = Programs(self._journal, terraform.environment)
        self.state_bucket = state_bucket_name(account, REGION)
        self.environment = Environment.open(programs, terraform.infra / ENVIRONMENT, REGION)
        self._bootstrap = Bootstrap(
            program.Terraform(programs, terraform.infra / BOOTSTRAP, {"region": REGION}),
            client("s3"),
            client("ecr"),
            bucket=self.state_bucket,
            account_id=account,
            repository=REPOSITORY,
        )

    def deploy(self, tasks: Tasks, services: Services, smoke: Smoke) -> Deployed:
        """Run `make deploy IMAGE_TAG=…`, with a replacement for ECS.

        Args:
            tasks: Runs one-off tasks.
            services: Sees to it that the services run.
            smoke: Follows one image.
        """
        registry = Registry(self._client("ecr"), REPOSITORY, None, "")
        cosign = Cosign(self._programs, registry, self._terraform.infra)
        world = World(self, registry, self.environment, tasks, services, smoke, cosign)
        return deploy(world, self._journal, lambda: TAG, TAG)

    def ensure(self) -> None:
        """Make the state's bucket and the registry, with an image in it, and use that state."""
        self._bootstrap.ensure()
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}
        self._client("ecr").put_image(
            repositoryName=REPOSITORY, imageTag=TAG, imageManifest=json.dumps(manifest)
        )
        self.connect()

    def connect(self) -> None:
        """Use the environment's state."""
        self.environment.connect(self.state_bucket)

    def destroy(self) -> None:
        """Run `make destroy`: destroy everything except bootstrap's resources."""
        purge(self._client("s3"), str(self.environment.bucket_name()))
        with self._journal.step("destroy"):
            self.environment.destroy()

    def addresses(self) -> list[str]:
        """Everything in the state."""
        return self._run("state", "list").split()

    def changes(self) -> set[Change]:
        """Return the changes of the next apply."""
        values = (f"-var-file={ENVIRONMENT}", f"-var=region={REGION}", f"-var=image_tag={TAG}")
        self._run("plan", "-out=next.tfplan", *values)
        plan = json.loads(self._run("show", "-json", "next.tfplan"))
        return {
            change
            for resource in plan.get("resource_changes", ())
            for change in changes_of(resource["address"], resource["change"])
        }

    def _run(self, command: str, *arguments: str) -> str:
        done = self._terraform.run(ROOT, command, *arguments, timeout_seconds=900)
        assert done.returncode == 0, f"terraform {command}:\n{done.stdout[-4_000:]}{done.stderr}"
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


def _add_pool_for_videos(file: Path, *, filters_keys: bool) -> None:
    """Add the pool that the page on deploying shows, with ``key_suffixes`` if SNS knows them."""
    _, _, section = DEPLOYING.read_text("utf-8").partition("## Videos")
    shown = re.search(r"```hcl\n(.*?)```", section, re.DOTALL)
    assert shown is not None
    lines = shown[1].splitlines(keepends=True)
    kept = [line for line in lines if filters_keys or "key_suffixes" not in line]
    before, pools, after = file.read_text("utf-8").partition("pools = {\n")
    assert pools
    file.write_text(before + pools + "".join(kept) + after, "utf-8")
