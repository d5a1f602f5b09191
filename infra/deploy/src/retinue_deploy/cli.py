"""The command line of ``make deploy`` and related commands."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from retinue_deploy import certificates, cost, source
from retinue_deploy.account import Account
from retinue_deploy.base import newest_base, pin_base
from retinue_deploy.bootstrap import Bootstrap, state_bucket_name
from retinue_deploy.bucket import purge
from retinue_deploy.builder import Builder
from retinue_deploy.checks import Prerequisites, check
from retinue_deploy.deployment import World, deploy, provide_image
from retinue_deploy.environment import Environment, find_environment
from retinue_deploy.errors import DeployError
from retinue_deploy.journal import Journal
from retinue_deploy.look import say_unheard_alarms, show_logs, show_status
from retinue_deploy.operate import run_command
from retinue_deploy.programs import Programs
from retinue_deploy.registry import Registry
from retinue_deploy.review import Review
from retinue_deploy.services import EcsServices
from retinue_deploy.signature import Cosign
from retinue_deploy.smoke import ImageSmoke
from retinue_deploy.tasks import EcsTasks
from retinue_deploy.terraform import Terraform

REPOSITORY = "retinue"
"""Name of the registry's repository (infra/bootstrap/main.tf)."""

SMOKE_IMAGE = Path("docs/astronaut.jpg")
"""The image of the smoke test."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class DeploySession:
    """The objects of a command, after the checks."""

    account: Account
    findings: Prerequisites
    journal: Journal
    environment: Environment
    bootstrap: Bootstrap
    world: World
    root: Path
    name: str

    def connect(self) -> None:
        """Read the environment's state.

        Raises:
            DeployError: Nothing has been deployed yet.
        """
        if not self.bootstrap.ready():
            raise DeployError(
                f"nothing is deployed in account {self.findings.account_id}, region "
                f"{self.findings.region}: run `make deploy ENV={self.name}`"
            )
        self.world.foundation.connect()

    def refuse_other_review(self, review: Review, image_tag: str | None) -> None:
        """Raise if a reviewed plan is for something else.

        Raises:
            DeployError: It is for another environment, account, region or container image.
        """
        here = (self.name, self.findings.account_id, self.findings.region, image_tag)
        there = (review.environment, review.account_id, review.region, review.tag)
        if here != there:
            raise DeployError(
                f"the plan is for {', '.join(there)}, and this is {', '.join(map(str, here))}"
            )


class _Foundation:
    """Runs bootstrap, and then connects Terraform to its state."""

    def __init__(self, bootstrap: Bootstrap, environment: Environment) -> None:
        self._bootstrap = bootstrap
        self._environment = environment

    def ensure(self) -> None:
        self._bootstrap.ensure()
        self.connect()

    def connect(self) -> None:
        self._environment.connect(self._bootstrap.bucket)


def open_session(command: str, name: str, region: str | None, *, builds: bool) -> DeploySession:
    """Check all requirements, and create the objects of a command.

    Raises:
        DeployError: A requirement isn't met. The message names all.
    """
    root = Path.cwd()
    file = find_environment(root, name)
    findings = check(file, region=region, builds=builds)
    findings.raise_if_any()
    if findings.region is None or findings.account_id is None:
        raise AssertionError("the checks let that through")
    journal = Journal(root / ".retinue/deploy", f"{command}-{name}", sys.stdout)
    journal.say(f"account {findings.account_id}, region {findings.region}, environment {name}")
    for warning in findings.warnings:
        journal.say(f"  warning: {warning}")

    account, programs = Account(findings.region), Programs(journal)
    environment = Environment.open(programs, file, findings.region, account.client("s3"))
    bootstrap = Bootstrap(
        Terraform(programs, root / "infra/bootstrap", {"region": findings.region}),
        account.client("s3"),
        account.client("ecr"),
        bucket=state_bucket_name(findings.account_id, findings.region),
        account_id=findings.account_id,
        repository=REPOSITORY,
    )
    builder = findings.builder and Builder(
        programs, findings.builder, root, root / ".retinue/deploy/secrets"
    )
    tasks = EcsTasks(account.client("ecs"), account.client("logs"), journal.say)
    registry = Registry(
        account.client("ecr"),
        REPOSITORY,
        builder or None,
        source.revision(root) if builder else "",
    )
    world = World(
        _Foundation(bootstrap, environment),
        registry,
        environment,
        tasks,
        EcsServices(account.client("ecs"), journal.say),
        ImageSmoke(
            account.client("s3"),
            account.client("logs"),
            account.client("sqs"),
            tasks,
            image=root / SMOKE_IMAGE,
            key=environment.smoke_key,
            say=journal.say,
        ),
        Cosign(programs, registry, root),
    )
    return DeploySession(account, findings, journal, environment, bootstrap, world, root, name)


def _common(command: _Command) -> _Command:
    """Add the common options of all commands."""
    region = click.option(
        "--region", help="AWS region. [default: the tfvars file's, or the AWS configuration's]"
    )
    name = click.option("--env", "name", default="dev", show_default=True, help="Environment.")
    return name(region(command))


@click.group()
def retinue_deploy() -> None:
    """Deploy Retinue to an AWS account, and operate it. See docs/deploy.md."""


@retinue_deploy.command("deploy")
@_common
@click.option(
    "--image-tag", help="A container image in the registry, instead of building; rolls back."
)
@click.option(
    "--allow-delete", is_flag=True, help="Allow to destroy or replace queues, logs and services."
)
@click.option(
    "--plan",
    "reviewed",
    type=click.Path(path_type=Path),
    help="A plan that `make plan` saved: apply its changes, and no others.",
)
def deploy_command(
    name: str,
    region: str | None,
    image_tag: str | None,
    reviewed: Path | None,
    *,
    allow_delete: bool,
) -> None:
    """Deploy this checkout, or an earlier container image. Safe to repeat after a failure."""
    review = Review.load(reviewed) if reviewed else None
    image_tag = image_tag or (review.tag if review else None)
    session = open_session("deploy", name, region, builds=image_tag is None)
    if review is not None:
        session.refuse_other_review(review, image_tag)
    deployed = _logged(
        session,
        lambda: deploy(
            session.world,
            session.journal,
            lambda: source.image_tag(session.root),
            image_tag,
            session.findings.quota_vcpus,
            allow_delete=allow_delete,
            review=review,
        ),
    )
    _report(session, deployed.tag, deployed.outputs)


@retinue_deploy.command("plan")
@_common
@click.option("--image-tag", help="A container image in the registry, instead of building.")
def plan_command(name: str, region: str | None, image_tag: str | None) -> None:
    """Show what a deployment would change in AWS, and save it for `deploy --plan`.

    Changes nothing. Builds no container image: without one, the plan is a preview.
    """
    session = open_session("plan", name, region, builds=False)
    _logged(session, lambda: _plan(session, image_tag or source.image_tag(session.root)))


def _plan(session: DeploySession, tag: str) -> None:
    environment, journal, findings = session.environment, session.journal, session.findings
    is_based = session.bootstrap.ready()
    if is_based:
        session.world.foundation.connect()
    exists = is_based and not session.world.images.missing(tag, environment.variants())
    with journal.step("plan"):
        if exists:
            plan = session.world.stack.plan(tag)
        else:
            host = f"{findings.account_id}.dkr.ecr.{findings.region}.amazonaws.com"
            plan = environment.preview(f"{host}/{REPOSITORY}:{tag}", has_state=is_based)
    click.echo(environment.show())
    if plan.lost or plan.disrupted:
        listed = "\n".join(f"    {address}" for address in [*plan.lost, *plan.disrupted])
        journal.say(f"It would destroy or replace:\n{listed}")
    if not exists:
        journal.say(
            f"This is a preview: the registry has no container image {tag} yet. For a plan that "
            f"can be applied: make image plan ENV={session.name}"
        )
        return
    file = session.journal.path.parent / f"{session.name}.plan.json"
    account, region = str(findings.account_id), str(findings.region)
    Review(session.name, account, region, tag, plan.resources).save(file)
    shown = file.relative_to(session.root)
    journal.say(f"To apply this: make deploy ENV={session.name} PLAN={shown}")


@retinue_deploy.command("image")
@_common
def image_command(name: str, region: str | None) -> None:
    """Build and push this checkout's container image.

    Skips what the registry already has.
    """
    session = open_session("image", name, region, builds=True)

    def image() -> None:
        session.world.foundation.ensure()
        make_tag = lambda: source.image_tag(session.root)  # noqa: E731
        provide_image(session.world, session.journal, make_tag, None)

    _logged(session, image)


@retinue_deploy.command("sign")
@_common
@click.option("--image-tag", help="A container image in the registry. [default: this checkout's]")
@click.option("--sbom", type=click.Path(path_type=Path), required=True, help="A CycloneDX file.")
def sign_command(name: str, region: str | None, image_tag: str | None, sbom: Path) -> None:
    """Sign the container image in the registry with cosign, and attest its packages."""
    session = open_session("sign", name, region, builds=False)

    def sign() -> None:
        session.connect()
        tag = image_tag or source.image_tag(session.root)
        with session.journal.step(f"sign {tag}"):
            signatures = session.world.signatures
            signatures.sign(tag, session.environment.variants(), session.root / sbom)

    _logged(session, sign)


@retinue_deploy.command("drift")
@_common
@click.option("--image-tag", help="A container image. [default: the deployed one]")
def drift_command(name: str, region: str | None, image_tag: str | None) -> None:
    """Fail if AWS differs from the files of this checkout."""
    session = open_session("drift", name, region, builds=False)

    def drift() -> None:
        session.connect()
        tag = image_tag or session.world.stack.outputs()["image_tag"]
        with session.journal.step("plan"):
            plan = session.world.stack.plan(tag)
        if plan.changes:
            click.echo(session.environment.show())
            listed = "\n".join(f"    {address}" for address in sorted(plan.resources))
            raise DeployError(
                f"{name} differs from these files:\n{listed}\nDeploy them, or take over in them "
                "what was changed in AWS."
            )
        session.journal.say(f"{name} is as in these files")

    _logged(session, drift)


@retinue_deploy.command("smoke")
@_common
def smoke_command(name: str, region: str | None) -> None:
    """Upload one image and wait for its rows."""
    session = open_session("smoke", name, region, builds=False)

    def smoke() -> None:
        session.connect()
        stack = session.world.stack
        with session.journal.step("one image, from the bucket to its rows"):
            found = session.world.smoke.check(stack.outputs(), stack.migrate_parameters())
        session.journal.say(f"  {found}")

    _logged(session, smoke)


@retinue_deploy.command("status")
@_common
def status_command(name: str, region: str | None) -> None:
    """Show tasks, queues, dead letters and ECS events."""
    session = open_session("status", name, region, builds=False)

    def status() -> None:
        session.connect()
        show_status(session.account, session.world.stack.outputs(), session.journal.say)

    _logged(session, status)


@retinue_deploy.command("logs")
@_common
@click.option("--pool", help="One pool, or console; all of them if omitted.")
@click.option(
    "--minutes",
    type=click.IntRange(1, 7 * 24 * 60),
    default=15,
    show_default=True,
    help="Maximum age of the lines.",
)
def logs_command(name: str, region: str | None, pool: str | None, minutes: int) -> None:
    """Print recent log lines of the workers and the console."""
    session = open_session("logs", name, region, builds=False)

    def logs() -> None:
        session.connect()
        outputs = session.world.stack.outputs()
        show_logs(session.account, outputs, pool, minutes, click.echo)

    _logged(session, logs)


@retinue_deploy.command("retinue", context_settings={"ignore_unknown_options": True})
@_common
@click.option("--pool", help="Whose queue and detectors to use. [default: the only pool's]")
@click.option("--owner", is_flag=True, help="Use the database owner's rights, to erase data.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED)
def retinue_command(
    name: str, region: str | None, pool: str | None, arguments: tuple[str, ...], *, owner: bool
) -> None:
    """Run a command of retinue, such as `failures --since 1d`, as a task in the network."""
    session = open_session("retinue", name, region, builds=False)

    def operate() -> None:
        session.connect()
        ecs, outputs = session.account.client("ecs"), session.world.stack.outputs()
        tasks = session.world.tasks
        click.echo(run_command(tasks, ecs, outputs, arguments, pool=pool, as_owner=owner))

    _logged(session, operate)


@retinue_deploy.command("destroy")
@_common
@click.option("--confirm", help="The environment's full name, such as retinue-dev.")
def destroy_command(name: str, region: str | None, confirm: str | None) -> None:
    """Destroy an environment, with its images and its history."""
    if confirm != f"retinue-{name}":
        raise DeployError(
            f"this destroys the environment {name} with all images, all versions of them, and "
            f"the whole history. To confirm: make destroy ENV={name} CONFIRM=retinue-{name}"
        )
    session = open_session("destroy", name, region, builds=False)

    def destroy() -> None:
        session.connect()
        if protected := session.environment.protected():
            raise DeployError(
                f"{', '.join(protected)} is protected from deletion. To destroy it anyway, "
                f"set protect = false in infra/environments/{name}.tfvars and `make deploy` first."
            )
        bucket = session.environment.bucket_name()
        if bucket is not None:
            with session.journal.step(f"empty {bucket}"):
                s3 = session.account.client("s3")
                purge(s3, bucket, lambda gone: session.journal.note(f"{gone} versions gone"))
        with session.journal.step("destroy"):
            session.environment.destroy()
        session.journal.say(
            "The registry and the bucket with Terraform's state stay; infra/bootstrap made them."
        )

    _logged(session, destroy)


@retinue_deploy.command("base")
def base_command() -> None:
    """Pin the container image's base to the registry's current digest."""
    dockerfile = Path.cwd() / "infra/image/Dockerfile"
    before, after = pin_base(dockerfile, newest_base)
    click.echo("the base is up to date" if before == after else f"{before}\n→ {after}")


@retinue_deploy.command("certificates")
def certificates_command() -> None:
    """Install AWS's copy of RDS's certificate authorities.

    Compares it with the container image's first.
    """
    new, gone = certificates.renew(Path.cwd() / certificates.BUNDLE, certificates.aws_bundle)
    if not new and not gone:
        click.echo(f"{certificates.BUNDLE} equals the certificates that AWS publishes")
    else:
        click.echo(
            f"{certificates.BUNDLE} is AWS's copy now: {new} certificates added, {gone} removed"
        )


def _logged(session: DeploySession, work: Callable[[], Any]) -> Any:
    """Do a command's work. A failure prints the path of the log."""
    try:
        return work()
    except DeployError as error:
        raise DeployError(f"{error}\nThe whole log: {session.journal.path}") from error


def _report(session: DeploySession, tag: str, outputs: Any) -> None:
    say = session.journal.say
    say("")
    where = f"s3://{outputs['bucket_name']}" if outputs["bucket_name"] else "a bucket of sources"
    say(f"Deployed {tag}. Drop images into {where}")
    for pool, about in outputs["pools"].items():
        say(f"  pool {pool}: {about['queue_url']}, log {about['log_group_name']}")
    say(f"  database {outputs['database_identifier']}, dashboard {outputs['dashboard_url']}")
    say_unheard_alarms(session.account, outputs, say)
    price = cost.prices()
    say(f"At rest it costs about, in US dollars a month ({price['region']}, {price['as_of']}):")
    for line in cost.table(cost.at_rest(session.environment.state(), price)):
        say(f"  {line}")


def main() -> None:
    """Run a command. An error is printed as one message, without a traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        retinue_deploy(prog_name="retinue-deploy", standalone_mode=False)
    except DeployError as error:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(1)
    except (BotoCoreError, ClientError) as error:  # usually a missing permission
        click.echo(f"{click.style('error:', fg='red', bold=True)} AWS says: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped; run the same command again to continue", err=True)
        sys.exit(130)
