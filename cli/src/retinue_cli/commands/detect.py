"""``retinue detect``."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    RetinueError,
)
from retinue_sdk.errors import format_error, format_plugin_frames

from retinue_cli.options.detectors import detector_argument
from retinue_cli.options.plugins_dir import installed_plugins, plugins_dir_option
from retinue_cli.output.attributes import printable


@click.command(short_help="Try one detector on photographs; record nothing.")
@detector_argument
@click.argument(
    "photographs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".retinue/detect"),
    show_default=True,
    help="Where to save the photographs with boxes.",
)
@plugins_dir_option
def detect(
    *,
    detector: str,
    photographs: tuple[Path, ...],
    options: dict[str, Any],
    pictures: Path,
    plugins_dir: Path | None,
) -> None:
    """Run a DETECTOR on PHOTOGRAPHS, print what it finds, and save pictures with boxes.

    A folder stands for all photographs in it and its subfolders. Nothing is recorded. The exit
    code is 1 if a photograph could not be processed.
    """
    [made] = installed_plugins(plugins_dir).make({detector: options})
    files = [file for path in photographs for file in _files(path)]
    try:
        with DetectorSession(made) as session:
            model = f", model {made.model_version}" if made.model_version else ""
            click.echo(
                click.style(f"{made.name} version {made.version}{printable(model)}", dim=True)
            )
            failures = sum(
                not _show(session, name, path, pictures / f"{name}.jpg") for name, path in files
            )
    except RetinueError as error:
        raise click.ClickException(f"detector {detector}: {error}") from error
    except Exception as error:  # plugins can raise anything
        raise click.ClickException(
            f"detector {detector}:{format_plugin_frames(error)}\n{format_error(error)}"
        ) from error
    sys.exit(1 if failures else 0)


def _files(path: Path) -> list[tuple[str, Path]]:
    """Return the photographs that the user named, each with a name."""
    if not path.is_dir():
        return [(path.name, path)]
    try:
        from retinue_cli.local.photographs import folder_photographs, passed_over, shown
    except ImportError as error:  # a slim installation
        raise ConfigurationError(
            f"a folder needs the extra `local`: install retinue-cli[local], or name files ({error})"
        ) from error
    found = folder_photographs(path)
    if found.others:
        click.echo(passed_over(found.others), err=True)
    for file in found.skipped:
        click.echo(f"not read: {shown(file.path)}: {file.reason}", err=True)
    return [(photograph.key, photograph.path) for photograph in found.photographs]


def _show(session: DetectorSession, name: str, path: Path, picture: Path) -> bool:
    """Print the detections in a photograph. Return whether the detector could process it."""
    click.echo(click.style(printable(name), bold=True))
    image = Image.from_file(path)
    try:
        [result] = session.detect([image])
    except DetectorError as error:
        result = error
    if not isinstance(result, Findings):
        code = f" ({result.code})" if isinstance(result, InvalidImageError) else ""
        click.echo(f"  {click.style(type(result).__name__, fg='red')}{code}: {result}")
        return False
    if not result.detections:
        click.echo("  nothing found")
    for found in result.detections:
        click.echo(f"  {found.confidence:6.1%}  {printable(found.label)}  ({found.kind})")
        if found.box is not None:
            edges = ("left", "top", "width", "height")
            where = ", ".join(f"{edge} {getattr(found.box, edge):.3f}" for edge in edges)
            click.echo(f"          {where}")
        if found.attributes:
            click.echo(f"          {printable(json.dumps(found.attributes, ensure_ascii=False))}")
    if result.detections:
        _draw(path, result, picture)
        click.echo(f"  picture: {printable(str(picture))}")
    return True


def _draw(path: Path, findings: Findings, picture: Path) -> None:
    """Save the photograph with its boxes."""
    # Imported here because only pictures with boxes need Pillow's fonts.
    from retinue_cli.output.draw import LabelledBox, draw

    boxes = [
        LabelledBox.of_image(found.label, found.confidence, found.kind)
        if found.box is None
        else LabelledBox(
            label=found.label,
            confidence=found.confidence,
            left=found.box.left,
            top=found.box.top,
            width=found.box.width,
            height=found.box.height,
            kind=found.kind,
        )
        for found in findings.detections
    ]
    draw(path, boxes, picture)
