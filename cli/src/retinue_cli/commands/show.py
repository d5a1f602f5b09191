"""``retinue show``."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.selection import ImageName
from retinue_sdk import ConfigurationError, DetectorError, ImageLimits
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.selection import ImageArgument

if TYPE_CHECKING:
    from retinue_cli.output.image_view import ImageView


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
    help="Draw on this file instead of fetching the image from S3.",
)
@click.option("--open", "opened", is_flag=True, help="Open the picture.")
def show(*, image: ImageName, output: Path | None, source: Path | None, opened: bool) -> None:
    """Draw the boxes of an image's latest detections on it, and list them.

    IMAGE is its id, s3://bucket/key, or a key. If the image itself is gone, there is the list
    alone.
    """
    from retinue_history.db.snapshot import snapshot

    from retinue_cli.output.image_view import find

    settings = Settings.load()
    with reader_url(settings) as url, snapshot(url) as history:
        found = find(history, image)
    _print(found)
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_px)
    try:
        data = _bytes(found, source, settings, limits)
        picture = found.painted(data, limits)
    except (ConfigurationError, DetectorError) as error:
        click.echo(f"no picture: {error}", err=True)
        click.echo("If you have the file, name it with --from.", err=True)
        return
    target = output or Path(f"{Path(found.reference.key).name[:100]}.boxes.png")
    try:
        picture.save(target, "PNG")
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error}") from error
    click.echo(f"picture: {target}")
    if opened:
        click.launch(str(target))


def _bytes(
    found: "ImageView", source: Path | None, settings: Settings, limits: ImageLimits
) -> bytes:
    """The image's file: the one that is named, one that comes with the laptop, or from S3."""
    from retinue_workers.intake.s3 import ObjectStore

    from retinue_cli.options.s3_client import s3_client

    if source is not None:
        try:
            limits.check_bytes(source.stat().st_size)
            return source.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"cannot read {source}: {error}") from error
    try:
        return ObjectStore(lambda: s3_client(settings), limits).fetch(found.reference)
    except (ConfigurationError, DetectorError):
        data = _package_photograph(found)
        if data is None:
            raise
        return data


def _package_photograph(found: "ImageView") -> bytes | None:
    """A photograph that `make run` uploads by default, if the image is the very same file."""
    try:
        from retinue_cli.local.photographs import package_photographs
    except ImportError:  # a slim installation
        return None
    for photograph in package_photographs():
        if photograph.key == found.reference.key:
            data = photograph.path.read_bytes()
            # The ETag of an object that was uploaded at once is the MD5 of its bytes.
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            return data if digest == found.reference.etag else None
    return None


def _print(found: "ImageView") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=10_000)
    console.print(Text(_printable(found.reference.uri), style="bold"), soft_wrap=True)
    size = "" if found.size_px is None else f"{found.size_px[0]} × {found.size_px[1]} px, "
    console.print(f"[dim]image {found.image_id}, {size}uploaded {found.uploaded_at:%Y-%m-%d %H:%M}")
    if found.deleted_at is not None:
        console.print(f"[yellow]removed from the bucket on {found.deleted_at:%Y-%m-%d %H:%M}[/]")
    if found.others:
        console.print(f"[dim]{found.others:,} more images go by this name; the newest is shown[/]")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector")
    table.add_column("label", overflow="fold")
    table.add_column("confidence", justify="right")
    table.add_column("box (left, top, width, height)")
    for one in found.detections:
        table.add_row(
            Text(one.detector),
            Text(_printable(one.label)),
            f"{one.confidence:.2f}",
            "" if one.box is None else _area(one.box),
        )
    for detector in found.found_nothing:
        table.add_row(Text(detector), Text("nothing found", style="dim"), "", "")
    console.print(table)


def _area(area: Any) -> str:
    return ", ".join(f"{value:.3f}" for value in (area.left, area.top, area.width, area.height))


def _printable(text: str) -> str:
    """Without what could move a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
