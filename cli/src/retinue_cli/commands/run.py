"""``retinue run``."""

import sys
from pathlib import Path

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.detectors import Detectors
from retinue_workers.settings.settings import Settings

from retinue_cli.options.detectors import detectors_option, wanted_detectors
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.plugins_dir import given, plugins_dir_option


@click.command(short_help="Detect what is in photographs, on this machine.")
@click.argument("images", required=False, type=click.Path(path_type=Path))
@detectors_option
@click.option(
    "--again",
    is_flag=True,
    help="Look again at what was looked at before, and replace what was found.",
)
@click.option("--all", "everything", is_flag=True, help="List every image and file, however many.")
@json_flag
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each detection.")
@plugins_dir_option
def run(
    *,
    images: Path | None,
    detectors: Detectors | None,
    again: bool,
    everything: bool,
    as_json: bool,
    as_csv: bool,
    plugins_dir: Path | None,
) -> None:
    """Detect what is in your photographs, on this machine, with no cloud account.

    IMAGES is a folder, searched recursively, or one file; five photographs that come with
    Retinue if it is left out. They go through the same queue, worker and database as in AWS, all
    started here and stopped at the end. What was detected before is not detected again, unless
    --again is given.

    Of more than twenty images, the findings are counted by label; --all lists them. With --json or
    --csv, everything but the findings goes to standard error. The exit code is 1 if some file has
    no outcome.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    try:
        from rich.console import Console

        from retinue_cli.local.report import write_csv, write_json
        from retinue_cli.local.run import run as run_on_laptop
    except ImportError as error:
        raise ConfigurationError(
            f"`retinue run` needs the extra `local`: install retinue-cli[local] ({error})"
        ) from error
    wanted = wanted_detectors(detectors)
    # Routes and the like are about these, which need not be those of RETINUE_DETECTORS.
    settings = Settings.load(detectors=wanted, **given(plugins_dir=plugins_dir))
    write = write_json if as_json else write_csv if as_csv else None
    console = Console(highlight=False, stderr=write is not None)
    try:
        code = run_on_laptop(
            images,
            wanted,
            console,
            again=again,
            plugins_dir=settings.plugins_dir,
            everything=everything,
            write=write,
        )
    except KeyboardInterrupt:
        click.echo("\nstopped; nothing is left running, and what is in the history stays", err=True)
        code = 130  # as shells report a program that Ctrl-C ended
    sys.exit(code)
