"""``retinue run``."""

import sys
from pathlib import Path

import click
from pydantic import JsonValue
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.plugins_dir import given, plugins_dir_option

DEFAULT_DETECTORS = ("onnx-objects", "onnx-faces")
"""What looks at the photographs unless the user says otherwise: both run on this machine."""


@click.command(short_help="Detect what is in photographs, on this machine.")
@click.argument("images", required=False, type=click.Path(path_type=Path))
@click.option(
    "--detectors",
    metavar="NAME,…",
    help="Detectors to apply, by name.  [default: RETINUE_DETECTORS, or onnx-objects,onnx-faces]",
)
@plugins_dir_option
def run(images: Path | None, detectors: str | None, plugins_dir: Path | None) -> None:
    """Detect what is in your photographs, on this machine, with no cloud account.

    IMAGES is a folder, searched recursively, or one file; photographs that come with installed
    packages if it is left out. They go through the same queue, worker and database as in AWS, all
    started here and stopped at the end. What was detected before is not detected again.
    """
    try:
        from rich.console import Console

        from retinue_cli.local.run import run as run_on_laptop
    except ImportError as error:
        raise ConfigurationError(
            f"`retinue run` needs the extra `local`: install retinue-cli[local] ({error})"
        ) from error
    settings = Settings.load(**given(plugins_dir=plugins_dir))
    wanted = _wanted(detectors, settings)
    try:
        sys.exit(
            run_on_laptop(
                images, wanted, Console(highlight=False), plugins_dir=settings.plugins_dir
            )
        )
    except KeyboardInterrupt:
        click.echo("\nstopped; nothing is left running, and what is in the history stays")
        sys.exit(130)  # as shells report a program that Ctrl-C ended


def _wanted(names: str | None, settings: Settings) -> dict[str, dict[str, JsonValue]]:
    """Detectors with their options: those named, or those of the settings, or the default."""
    if names is None:
        return settings.detectors or {name: {} for name in DEFAULT_DETECTORS}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise ConfigurationError("--detectors names no detector")
    return {name: settings.detectors.get(name, {}) for name in chosen}
