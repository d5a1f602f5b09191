"""``retinue models promote``."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from retinue_cli.options.json_flag import json_flag, say_beside
from retinue_cli.output.table import print_json

if TYPE_CHECKING:
    from retinue_sdk import ManagedModel

    from retinue_cli.training.lease import Leases

_STDERR = 2

DETECTOR = "rekognition-custom-labels"
"""The detector that calls Custom Labels."""


@click.command(short_help="Switch a pool to another model version, blue/green.")
@click.argument("new", metavar="VERSION_ARN")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="File from which the pool reads its version's ARN, such as Terraform variables.",
)
@click.option(
    "--apply",
    "command",
    metavar="COMMAND",
    required=True,
    help="Command that applies the changed file and returns when it is in effect, such as "
    "`make deploy`.",
)
@click.option(
    "--units",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Inference units to start it with.",
)
@click.option("--lower-f1", is_flag=True, help="Promote even if the new version's F1 is lower.")
@click.option(
    "--region", metavar="REGION", help="AWS region.  [default: from the AWS configuration]"
)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@json_flag
def promote(
    *,
    new: str,
    config: Path,
    command: str,
    units: int,
    lower_f1: bool,
    region: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Start VERSION_ARN, switch a pool to it, and stop the pool's current version.

    The current version is the one of the same project in --config. If the new version doesn't
    start, or --apply fails, the command restores and applies the old file and stops the new
    version. Both versions run for a while, so the account's quota must allow two. Their leases and
    minutes are in the history, so RETINUE_DATABASE_URL must be set. For example:

    \b
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
        try:
            subprocess.run(  # noqa: S602 - the operator's own
                command, shell=True, check=True, stdout=_STDERR if as_json else None
            )
        except subprocess.CalledProcessError as error:
            raise TrainingError(f"`{command}` ended with {error.returncode}") from error

    parts = new.split("/")
    if len(parts) != 5 or parts[2] != "version":
        raise ConfigurationError(f"{new!r} isn't the ARN of a model version")
    service = CustomLabels(make_client(region))
    pool = Pool(config, apply)
    try:
        current = pool.current(parts[1])
        if current == new:
            raise ConfigurationError(f"{config} names {new} already")
        green, blue = service.describe(new), service.describe(current)
        if not lower_f1:
            compare(blue, green)
        say(f"{blue.name} ({blue.status}) → {green.name} ({green.status})")
        if not yes:
            click.confirm("Both run for a while, and are billed. Switch?", abort=True, err=as_json)
        with _leases() as held:
            switch(service, blue, green, pool, held, say, units=units)
    except TrainingError as error:
        raise click.ClickException(str(error)) from error
    say(f"the pool uses {green.name}; {blue.name} is stopped")
    if as_json:
        print_json({"config": str(config), "before": blue.arn, "after": green.arn, "units": units})


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
