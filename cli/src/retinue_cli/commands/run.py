"""``retinue run``."""

import sys
from contextlib import suppress
from pathlib import Path

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.detectors import Detectors
from retinue_workers.settings.settings import Settings

from retinue_cli.loading import loading
from retinue_cli.options.detectors import detectors_option, wanted_detectors
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.plugins_dir import given, plugins_dir_option


@click.command(short_help="Run detectors on photographs on this machine.")
@click.argument("images", nargs=-1, type=click.Path(readable=False, path_type=Path))
@detectors_option
@click.option(
    "--again",
    is_flag=True,
    help="Process images again that were processed before.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="List every image and every failed file, however many.",
)
@json_flag
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each detection.")
@click.option(
    "--console/--no-console",
    "with_console",
    default=None,
    help="Start the web console.  [default: on a terminal]",
)
@plugins_dir_option
def run(
    *,
    images: tuple[Path, ...],
    detectors: Detectors | None,
    again: bool,
    everything: bool,
    as_json: bool,
    as_csv: bool,
    with_console: bool | None,
    plugins_dir: Path | None,
) -> None:
    """Run detectors on your photographs and videos, on this machine, without a cloud account.

    IMAGES are files, and folders, which are searched recursively. The default is five photographs
    that come with Retinue. The same worker as in AWS processes them, with an emulated queue and a
    local database, all started here and stopped at the end. An image that a detector has already
    processed isn't processed again, unless you pass --again.

    By default, detectors that take pixels look at one frame a second of each video; RETINUE_VIDEO
    changes that.

    For more than twenty images, detections are counted by label; --all lists them. With --json or
    --csv, all other output goes to standard error. The exit code is 1 if a file has no result.

    On a terminal, the web console starts with the run, on the first free port from 8600 on, and
    stays after the summary until Ctrl-C. With --console, it starts without a terminal, too, and
    ends with the run.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    try:
        with loading():
            from rich.console import Console

            from retinue_cli.local.console_process import ConsoleProcess, is_installed
            from retinue_cli.local.report import write_csv, write_json
            from retinue_cli.local.run import run as run_on_laptop
            from retinue_cli.local.signals import Interruption
            from retinue_cli.local.state import State
    except ImportError as error:
        raise ConfigurationError(
            f"`retinue run` needs the extra `local`: install retinue-cli[local] ({error})"
        ) from error
    wanted = wanted_detectors(detectors)
    # Routes and the like refer to these detectors, which may differ from RETINUE_DETECTORS.
    settings = Settings.load(detectors=wanted, **given(plugins_dir=plugins_dir))
    write = write_json if as_json else write_csv if as_csv else None
    console = Console(highlight=False, stderr=write is not None)
    is_watched = write is None and sys.stdout.isatty()
    if with_console is None:
        with_console = is_watched and is_installed()
    elif with_console and not is_installed():
        raise ConfigurationError("--console needs the web console: pip install 'retinue[console]'")
    with ConsoleProcess(State.find()) as web:
        try:
            code = run_on_laptop(
                images,
                wanted,
                console,
                again=again,
                plugins_dir=settings.plugins_dir,
                videos=settings.video or None,
                everything=everything,
                web=web if with_console else None,
                write=write,
            )
        except KeyboardInterrupt as stopped:
            if stopped.__cause__ is not None:  # the error is printed
                raise
            click.echo("\nstopped; no process is left, and the history is kept", err=True)
            sys.exit(130)  # the exit status that shells use for a program that Ctrl-C ended
        if is_watched and (address := web.address) is not None:
            click.echo(f"\n{address} (Ctrl-C stops it)")
            with suppress(KeyboardInterrupt), Interruption() as interruption:
                web.wait(interruption)
    sys.exit(code)
