"""``retinue detect``."""

import sys
from pathlib import Path
from typing import Any

import click
from retinue_sdk import (
    DetectorError,
    DetectorSession,
    Findings,
    Image,
    InvalidImageError,
    RetinueError,
)

from retinue_cli.options.detectors import detector_argument
from retinue_cli.options.plugins_dir import installed_plugins, plugins_dir_option


@click.command(short_help="Try one detector on photographs; record nothing.")
@detector_argument
@click.argument(
    "photographs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
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
    """Show PHOTOGRAPHS to one DETECTOR, print what it finds, and save pictures with boxes.

    Nothing is recorded. The exit code is 1 if some photograph could not be looked at.
    """
    [made] = installed_plugins(plugins_dir).make({detector: options})
    try:
        with DetectorSession(made) as session:
            failures = sum(not _show(session, path, pictures) for path in photographs)
    except RetinueError as error:
        raise click.ClickException(f"detector {detector}: {error}") from error
    sys.exit(1 if failures else 0)


def _show(session: DetectorSession, path: Path, pictures: Path) -> bool:
    """Print what the detector finds in a photograph, and return whether it could look at it."""
    click.echo(click.style(path.name, bold=True))
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
        click.echo(f"  {found.confidence:6.1%}  {found.label}  ({found.kind})")
        if found.box is not None:
            edges = ("left", "top", "width", "height")
            where = ", ".join(f"{edge} {getattr(found.box, edge):.3f}" for edge in edges)
            click.echo(f"          {where}")
    if any(found.box is not None for found in result.detections):
        click.echo(f"  picture: {_draw(path, result, pictures)}")
    return True


def _draw(path: Path, findings: Findings, pictures: Path) -> Path:
    """Save the photograph with its boxes."""
    # Here, because only a picture with boxes needs Pillow's fonts.
    from retinue_cli.output.draw import LabelledBox, draw

    boxes = [
        LabelledBox(
            label=found.label,
            confidence=found.confidence,
            left=found.box.left,
            top=found.box.top,
            width=found.box.width,
            height=found.box.height,
            kind=found.kind,
        )
        for found in findings.detections
        if found.box is not None
    ]
    destination = pictures / f"{path.name}.jpg"
    draw(path, boxes, destination)
    return destination
