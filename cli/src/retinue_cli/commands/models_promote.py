"""``retinue models promote``."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retinue_cli.options.json_flag import Say, json_flag, say_beside
from retinue_cli.output.table import print_json

if TYPE_CHECKING:
    from retinue_sdk import ManagedModel

    from retinue_cli.training.lease import Leases
    from retinue_cli.training.promote import Pool

_STDERR = 2

DETECTOR = "rekognition-custom-labels"
"""The detector that calls Custom Labels."""


@click.command(short_help="Switch a pool to another version of its model.")
@click.argument("new", metavar="VERSION")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="File from which the pool reads its version, such as Terraform variables.",
)
@click.option(
    "--apply",
    "command",
    metavar="COMMAND",
    help="Command that applies the changed file and returns when it is in effect, such as "
    "`make deploy`; required for an ARN.",
)
@click.option(
    "--units",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Inference units to start it with.",
)
@click.option(
    "--force",
    "reason",
    metavar="REASON",
    help="Promote even if the new version's F1 is lower, and record why.",
)
@click.option(
    "--back", is_flag=True, help="Local: return to the version before the last promotion."
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("models"),
    show_default=True,
    help="Local: folder of all models.",
)
@click.option(
    "--region", metavar="REGION", help="AWS region.  [default: from the AWS configuration]"
)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@json_flag
def promote(
    *,
    new: str,
    config: Path,
    command: str | None,
    units: int,
    reason: str | None,
    back: bool,
    models: Path,
    region: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Switch a pool to VERSION of the model that it uses.

    VERSION is NAME or NAME/NUMBER of a model trained with --on local; without a number, the newest
    version. The path of the current one in --config is replaced, or its URI in S3, where the new
    one is uploaded first. If --apply fails, the file is restored and applied again.
    promotions.jsonl in the model's folder records each switch.

    VERSION can also be the ARN of a Custom Labels version. Then the command starts it, switches,
    and stops the version of the same project in --config. If the new version doesn't start, or
    --apply fails, the command restores and applies the old file and stops the new version. Both
    versions run for a while, so the account's quota must allow two. Their leases and minutes are in
    the history, so RETINUE_DATABASE_URL must be set. For example:

    \b
    retinue models promote birds --config pool.env --apply "make deploy"
    retinue models promote birds --back --config pool.env
    retinue models promote arn:aws:rekognition:… --config prod.tfvars \\
        --apply "make deploy"
    """  # noqa: D301 - click reads a backspace, not a backslash
    from retinue_sdk import ConfigurationError

    from retinue_cli.training.errors import TrainingError
    from retinue_cli.training.promote import Pool, compare
    from retinue_cli.training.promote import promote as switch
    from retinue_cli.training.service import CustomLabels, make_client

    say = say_beside(as_json=as_json)

    def apply() -> None:
        if command is None:
            return
        try:
            subprocess.run(  # noqa: S602 - the operator's own
                command, shell=True, check=True, stdout=_STDERR if as_json else None
            )
        except subprocess.CalledProcessError as error:
            raise TrainingError(f"`{command}` ended with {error.returncode}") from error

    pool = Pool(config, apply)
    if not new.startswith("arn:"):
        try:
            switched = _promote_local(new, pool, models, reason, say, back=back)
        except TrainingError as error:
            raise click.ClickException(str(error)) from error
        if command is None:
            say("workers that read the file use it when they start")
        say(
            "processed images keep their results; `retinue backfill s3://… --again` prints the "
            "cost before it processes them again"
        )
        if as_json:
            print_json(switched)
        return
    parts = new.split("/")
    if len(parts) != 5 or parts[2] != "version":
        raise ConfigurationError(f"{new!r} isn't the ARN of a model version")
    if command is None or back:
        raise click.UsageError("an ARN needs --apply, and has no --back: name the old version")
    service = CustomLabels(make_client(region))
    try:
        current = pool.current(parts[1])
        if current == new:
            raise ConfigurationError(f"{config} names {new} already")
        green, blue = service.describe(new), service.describe(current)
        if reason is None:
            compare(blue, green)
        say(f"{blue.name} ({blue.status}) → {green.name} ({green.status})")
        if not yes:
            click.confirm("Both run for a while, and are billed. Switch?", abort=True, err=as_json)
        with _leases() as held:
            switch(service, blue, green, pool, held, say, units=units, reason=reason)
    except TrainingError as error:
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        raise (_Interrupted if interrupted else click.ClickException)(str(error)) from error
    say(f"the pool uses {green.name}; {blue.name} is stopped")
    if as_json:
        print_json({"config": str(config), "before": blue.arn, "after": green.arn, "units": units})


def _promote_local(
    wanted: str, pool: "Pool", models: Path, reason: str | None, say: Say, *, back: bool
) -> dict[str, Any]:
    from retinue_sdk import ConfigurationError
    from retinue_workers.intake.clients import make_clients

    from retinue_cli.training.errors import TrainingError
    from retinue_cli.training.local.promote import compare, plan, switch_over
    from retinue_cli.training.local.publish import publish
    from retinue_cli.training.local.versions import Versions

    name, _, number = wanted.partition("/")
    if number and (back or not number.isdecimal()):
        raise ConfigurationError(
            f"{wanted!r} isn't a version: write {name}, {name}/NUMBER, or {name} --back"
        )
    versions = Versions(models, name)
    switch = plan(versions, pool, int(number) if number else None, back=back)
    if reason is None and not back:
        compare(switch)
    if switch.home is not None:
        publish(switch.new, switch.home, make_clients(connections=1).s3())
    try:
        switch_over(versions, pool, switch, "back" if back and reason is None else reason)
    except TrainingError as error:
        raise TrainingError(f"{error}\n{pool.file} was restored") from error
    say(f"{pool.file}: {switch.before} → {switch.after}")
    return {"config": str(pool.file), "before": switch.before, "after": switch.after}


class _Interrupted(click.ClickException):
    """Ctrl-C ended the command. The message has the state."""

    exit_code = 130  # as shells report a program that Ctrl-C ended


@contextmanager
def _leases() -> "Iterator[Leases]":
    from retinue_sdk import ConfigurationError
    from retinue_sdk.plugins.manager import Plugins
    from retinue_workers.settings.settings import Settings

    from retinue_cli.options.model_sessions import open_model_sessions
    from retinue_cli.training.lease import Leases

    settings = Settings.load()
    plugins = Plugins(folder=settings.plugins_dir)

    def make(version_arn: str) -> "ManagedModel":
        [detector] = plugins.make({DETECTOR: {"project_version_arn": version_arn}})
        if detector.managed_model is None:
            raise ConfigurationError(f"{DETECTOR} has no model")
        return detector.managed_model

    with open_model_sessions(settings) as sessions:
        yield Leases(sessions, make, DETECTOR, f"promotion:{socket.gethostname()}:{os.getpid()}")
