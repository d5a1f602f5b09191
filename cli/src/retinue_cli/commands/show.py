"""``retinue show``."""

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.selection import ImageName
from retinue_sdk import ConfigurationError, DetectorError, ImageLimits
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import is_of_laptop, reader_url
from retinue_cli.options.selection import ImageArgument
from retinue_cli.output.words import escaped

if TYPE_CHECKING:
    from retinue_cli.output.image_view import ImageView


EXIT_NO_PICTURE = 1
"""Exit code when there is nothing to draw, or nothing to draw on."""


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
    """Draw the boxes of an image's latest detections on it, and list them.

    IMAGE is its id, s3://bucket/key, a key, or a part that no other key has. A photograph of
    `retinue run` is read from its folder, any other image from S3. The exit code is 1 if there is
    no picture: no detector has succeeded, or the image is gone or has changed.
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
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_px)
    try:
        data = _bytes(found, source, settings, limits)
        picture = found.painted(data, limits)
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


def _bytes(
    found: "ImageView", source: Path | None, settings: Settings, limits: ImageLimits
) -> bytes:
    """The image's file: the one that is named, the original on a laptop, or from S3.

    Raises:
        ConfigurationError: There is none, or it is another picture.
        DetectorError: S3 doesn't give it, or it is too large.
    """
    from retinue_workers.intake.s3 import ObjectStore

    from retinue_cli.options.s3_client import s3_client

    is_laptop = is_of_laptop(settings)
    if source is not None:
        data = _read(source, limits)
        _check_same(found, data, source, etag_is_md5=is_laptop)
        return data
    if (sample := _sample(found)) is not None:
        return sample
    if is_laptop and not _is_endpoint_named():
        original = _original(found)
        data = _read(original, limits)
        _check_same(found, data, original, etag_is_md5=True)
        return data
    return ObjectStore(lambda: s3_client(settings), limits).fetch(found.reference)


def _is_endpoint_named() -> bool:
    """Return whether the laptop's objects are in an emulator that stays."""
    from retinue_cli.local.endpoint import named_endpoint

    return named_endpoint() is not None


def _sample(found: "ImageView") -> bytes | None:
    """One of the photographs that come with Retinue, if the image is the very same file."""
    try:
        from retinue_cli.local.photographs import package_photographs
    except ImportError:  # a slim installation
        return None
    for photograph in package_photographs():
        if photograph.key == found.reference.key:
            data = photograph.path.read_bytes()
            return data if _md5(data) == found.etag else None
    return None


def _original(found: "ImageView") -> Path:
    """The file that `retinue run` uploaded under the image's key, if it is still there.

    Raises:
        ConfigurationError: It isn't known which file that was.
    """
    from retinue_cli.local.folders import Folders
    from retinue_cli.local.state import State

    key = found.reference.key
    file = Folders(State.find().folders).path(key)
    if file is None:
        raise ConfigurationError(f"{key} comes from no folder that `retinue run` knows")
    return file


def _md5(data: bytes) -> str:
    """The ETag of an object that was uploaded at once, where S3 doesn't encrypt with KMS."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _read(file: Path, limits: ImageLimits) -> bytes:
    try:
        limits.check_bytes(file.stat().st_size)
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{file} is gone") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror or error}") from error


def _check_same(found: "ImageView", data: bytes, file: Path, *, etag_is_md5: bool) -> None:
    """Make sure that a file is the image, as far as that is known.

    Args:
        found: The image.
        data: The file's bytes.
        file: Its name.
        etag_is_md5: Whether the ETag is the MD5 of the bytes: not where S3 encrypts with KMS.

    Raises:
        ConfigurationError: It is another one.
    """
    from retinue_cli.data.export.sizes import size_of

    if found.etag == _md5(data):
        return
    if found.size_bytes is not None and found.size_bytes != len(data):
        difference = f"it has {len(data):,} bytes, and the image {found.size_bytes:,}"
    elif found.size_px is not None and (size_px := size_of(data)) != found.size_px:
        said = "no size" if size_px is None else f"{size_px[0]} × {size_px[1]} px"
        difference = f"it has {said}, and the image {found.size_px[0]} × {found.size_px[1]} px"
    elif etag_is_md5:
        difference = "its bytes are others"
    else:
        return
    raise ConfigurationError(f"{file} is not the picture that the detectors saw: {difference}")


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
