"""The order of a deployment's steps. Every step can be repeated, and skips finished work."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from retinue_deploy.errors import DeployError, TaskFailedError
from retinue_deploy.ports import (
    Foundation,
    Images,
    Plan,
    Services,
    Signatures,
    Smoke,
    Stack,
    Tasks,
)
from retinue_deploy.review import Review


class Told(Protocol):
    """Receives a deployment's progress. ``Journal`` implements it."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Run a step inside the block."""

    def say(self, line: str) -> None:
        """Print a line for the operator."""


@dataclass(frozen=True, slots=True)
class World:
    """The interfaces that a deployment uses."""

    foundation: Foundation
    images: Images
    stack: Stack
    tasks: Tasks
    services: Services
    smoke: Smoke
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment.

    Attributes:
        tag: The image's tag.
        outputs: Terraform's outputs.
        migrate: Parameters of ECS's RunTask for ``retinue migrate``.
    """

    tag: str
    outputs: Mapping[str, Any]
    migrate: Mapping[str, Any]


def deploy(
    world: World,
    told: Told,
    make_tag: Callable[[], str],
    wanted: str | None,
    quota_vcpus: float | None = None,
    *,
    allow_delete: bool = False,
    review: Review | None = None,
) -> Deployed:
    """Deploy this checkout, or a container image that was deployed before.

    The database is migrated before any service gets the new container image. So a migration that
    fails leaves the services as they were, and a worker never meets a schema older than itself.

    Args:
        world: The interfaces.
        told: Receives the progress.
        make_tag: Returns the tag of this checkout's image.
        wanted: The tag of an image in the registry, to deploy that instead.
        quota_vcpus: Fargate's vCPU quota, if known.
        allow_delete: Whether queues, logs and services may be destroyed or replaced.
        review: The reviewed plan. Only its changes are applied. A protected environment needs one.

    Returns:
        The deployment's result.

    Raises:
        DeployError: A step failed. Finished steps stay, and the next run continues.
    """
    with told.step("state bucket and registry"):
        world.foundation.ensure()
    with told.step("pools and quota"):
        world.stack.check()
        _refuse_small_quota(world.stack.wanted_vcpus(), quota_vcpus)
        _refuse_unreviewed(world.stack, review)
    tag = provide_image(world, told, make_tag, wanted)
    if (signer := world.stack.signer()) is not None:
        with told.step("signature of the container image"):
            world.signatures.verify(tag, world.stack.variants(), signer)

    with told.step("plan"):
        first = world.stack.plan(tag)
        _refuse(first, review, allow_delete=allow_delete)
    told.say(f"  {_summary(first)}")

    with told.step("keep the container image"):
        world.images.keep(tag, world.stack.name, world.stack.variants())
    with told.step("database, network and the migrations' task"):
        _refuse(world.stack.plan(tag, migrations_only=True), review, allow_delete=allow_delete)
        world.stack.apply()
        migrate = world.stack.migrate_parameters()
    with told.step("migrations"):
        try:
            said = world.tasks.run(migrate)
        except TaskFailedError as error:
            raise TaskFailedError(
                f"{error}\nThe services keep the previous version; nothing else was changed. "
                "Fix the migration (or, if the database is newer than this container image, "
                "deploy a newer one) and run `make deploy` again."
            ) from error
    told.say(f"  {said.strip().splitlines()[-1] if said.strip() else 'done'}")

    with told.step("everything else"):
        _refuse(world.stack.plan(tag), review, allow_delete=allow_delete)
        world.stack.apply()
        outputs = world.stack.outputs()
    with told.step("services stable"):
        world.services.wait(str(outputs["cluster_name"]), expected_services(outputs))
    with told.step("one image, from the bucket to its rows"):
        found = world.smoke.check(outputs, migrate)
    told.say(f"  {found}")
    return Deployed(tag, outputs, migrate)


def provide_image(world: World, told: Told, make_tag: Callable[[], str], wanted: str | None) -> str:
    """Provide an image in the registry: an existing one, or a new one.

    Returns:
        Its tag.

    Raises:
        DeployError: The wanted tag doesn't exist, or a build or push failed.
    """
    variants = world.stack.variants()
    if wanted is not None:
        missing = world.images.missing(wanted, variants)
        if missing:
            newest = ", ".join(world.images.newest()) or "none at all"
            raise DeployError(
                f"the registry has no container image {wanted} ({' and '.join(missing)}); it has "
                f"{newest}. Set IMAGE_TAG to one of those, or omit it to build this checkout."
            )
        told.say(f"✓ container image {wanted}, from the registry")
        return wanted
    tag = make_tag()
    missing = world.images.missing(tag, variants)
    if not missing:
        told.say(f"✓ container image {tag} is in the registry already")
    for variant in missing:
        with told.step(f"container image {tag}, {variant}: build"):
            world.images.build(tag, variant)
        with told.step(f"container image {tag}, {variant}: push"):
            world.images.push(tag, variant)
    return tag


def expected_services(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the task definition that each service must run, by the service's name."""
    console = outputs.get("console")
    return {
        str(about["service_name"]): str(about["task_definition_arn"])
        for about in [*outputs["pools"].values(), *([] if console is None else [console])]
    }


def _refuse_small_quota(wanted: float, quota: float | None) -> None:
    if quota is not None and wanted > quota:
        raise DeployError(
            f"the pools may run tasks with {wanted:g} vCPUs together, and Fargate's quota here is "
            f"{quota:g}: ask for more (Service Quotas, AWS Fargate, On-Demand vCPU resource "
            "count), or lower `max` or `cpu` in the tfvars file"
        )


def _refuse_unreviewed(stack: Stack, review: Review | None) -> None:
    if review is None and stack.is_protected():
        raise DeployError(
            f"{stack.name} is protected (protect = true), so its changes must be reviewed: run "
            f"`make image plan ENV={stack.name}`, read the plan, and deploy it with the command "
            "that it prints"
        )


def _refuse(plan: Plan, review: Review | None, *, allow_delete: bool) -> None:
    """Raise for a plan that destroys data or work, or that isn't the reviewed one."""
    if review is not None:
        review.check(plan)
    if plan.lost:
        raise DeployError(
            "the plan would destroy data:\n"
            + "\n".join(f"    {address}" for address in plan.lost)
            + "\n`make deploy` refuses that. Review `make plan`. To destroy them anyway, apply "
            "it by hand (infra/README.md)."
        )
    if plan.disrupted and not allow_delete:
        raise DeployError(
            "the plan would destroy or replace queues with their messages, logs or services:\n"
            + "\n".join(f"    {address}" for address in plan.disrupted)
            + "\nA pool that has another name is another pool. `make status` shows which messages "
            "are waiting. To do it anyway: make deploy ALLOW_DELETE=1"
        )


def _summary(plan: Plan) -> str:
    done = [f"{number} to {what}" for what, number in sorted(plan.changes.items()) if number]
    return ", ".join(done) or "nothing to change"
