"""``retinue show``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.selection import ImageName
from retinue_sdk import ConfigurationError, DetectorError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.originals import ImageFacts, Originals
from retinue_cli.options.selection import ImageArgument
from retinue_cli.output.words import escaped

if TYPE_CHECKING:
    from retinue_cli.output.image_view import ImageView


EXIT_NO_PICTURE = 1
"""The exit code when no picture can be drawn."""


@click.command(short_help="Draw what was found in one image.")
@click.argument("image", type=ImageArgument())
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The PNG to write.  [default: NAME.boxes.png here]",
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Draw on this file, which must be the same picture, instead of looking for it.",
)
@click.option("--open", "opened", is_flag=True, help="Open the picture.")
def show(*, image: ImageName, output: Path | None, source: Path | None, opened: bool) -> None:
    """Draw an image's latest detections as boxes, and list them.

    IMAGE is an id, s3://bucket/key, a key, or a unique part of a key. A photograph of `retinue run`
    is read from its folder, other images from S3. The exit code is 1 if no picture can be drawn: no
    detector has succeeded, or the image is gone or has changed.
    """
    from retinue_history.db.snapshot import snapshot

    from retinue_cli.output.image_view import find

    settings = Settings.load()
    with reader_url(settings) as url, snapshot(url) as history:
        found = find(history, image)
    _print(found)
    if not found.is_looked_at:
        click.echo("no picture: no detector has looked at it successfully", err=True)
        sys.exit(EXIT_NO_PICTURE)
    originals = Originals(settings)
    try:
        facts = ImageFacts(found.reference, found.etag, found.size_bytes, found.size_px)
        data = originals.read(facts) if source is None else originals.read_from(source, facts)
        picture = found.painted(data, originals.limits)
    except (ConfigurationError, DetectorError) as error:
        click.echo(f"no picture: {error}", err=True)
        if source is None:
            click.echo("If you have the file, name it with --from.", err=True)
        sys.exit(EXIT_NO_PICTURE)
    target = output or Path(f"{Path(found.reference.key).stem[:100]}.boxes.png")
    try:
        picture.save(target, "PNG")
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error}") from error
    click.echo(f"picture: {target}")
    if opened:
        click.launch(str(target))


def _print(found: "ImageView") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)
    console.print(Text(escaped(found.reference.uri), style="bold"), soft_wrap=True)
    size = "" if found.size_px is None else f"{found.size_px[0]} × {found.size_px[1]} px, "
    console.print(f"[dim]image {found.image_id}, {size}uploaded {found.uploaded_at:%Y-%m-%d %H:%M}")
    if found.deleted_at is not None:
        console.print(f"[yellow]removed from the bucket on {found.deleted_at:%Y-%m-%d %H:%M}[/]")
    if found.others:
        console.print(f"[dim]{found.others:,} more images go by this name; the newest is shown[/]")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector")
    table.add_column("model", overflow="fold")
    table.add_column("label", overflow="fold")
    table.add_column("confidence", justify="right")
    table.add_column("box (left, top, width, height)")
    for one in found.detections:
        table.add_row(
            Text(one.detector),
            Text(escaped(one.model_version or "")),
            Text(escaped(one.label)),
            f"{one.confidence:.2f}",
            "" if one.box is None else _area(one.box),
        )
    for detector in found.found_nothing:
        table.add_row(Text(detector), "", Text("nothing found", style="dim"), "", "")
    for run in found.unsuccessful:
        style = "red" if run.outcome == "failed" else "dim"
        table.add_row(Text(run.detector), "", Text(f"{run.outcome}: {run.code}", style), "", "")
    console.print(table)
    for run in found.unsuccessful:
        reason = f"{run.detector} {run.outcome}: {escaped(run.reason)}"
        console.print(Text(reason), soft_wrap=True)


def _area(area: Any) -> str:
    return ", ".join(f"{value:.3f}" for value in (area.left, area.top, area.width, area.height))
