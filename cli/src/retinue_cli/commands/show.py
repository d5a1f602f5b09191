"""``retinue show``."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.selection import ImageName
from retinue_sdk import ConfigurationError, DetectorError, Media, media_of
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.originals import ImageFacts, Originals
from retinue_cli.options.selection import ImageArgument
from retinue_cli.output.attributes import EDGES, brief, detection_columns, span
from retinue_cli.output.table import Name, least_cells, output_console, print_json
from retinue_cli.output.words import escaped, escaped_lines

if TYPE_CHECKING:
    from retinue_cli.output.image_view import ImageView


PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Suffixes of the pictures that can be written."""

EXIT_NO_PICTURE = 1
"""The exit code when no picture can be drawn."""


def _with_known_format(
    context: click.Context, option: click.Parameter, output: Path | None
) -> Path | None:
    del context, option
    if output is not None and output.suffix.lower() not in (*PICTURES, ".html"):
        raise click.BadParameter(f"{output.name!r} must end in .png, .jpg, .webp or .html")
    return output


@click.command(short_help="Draw the detections in one image.")
@click.argument("image", type=ImageArgument())
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_with_known_format,
    help="The PNG, JPEG or WebP to write, or for a video also HTML.  [default: NAME.boxes.png "
    "here, or NAME.timeline.png and .html]",
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Draw on this file, which must be the same picture, instead of looking for it.",
)
@click.option("--open", "opened", is_flag=True, help="Open the picture.")
@json_flag
def show(
    *, image: ImageName, output: Path | None, source: Path | None, opened: bool, as_json: bool
) -> None:
    """Draw an image's latest detections as boxes, or a video's as a timeline, and list them.

    IMAGE is an id, s3://bucket/key, a key, or a unique part of a key. A photograph of `retinue run`
    is read from its folder, other images from S3. The exit code is 1 if no picture can be drawn: no
    detector has succeeded, or the image is gone or has changed.
    """
    from retinue_history.db.snapshot import snapshot

    from retinue_cli.output.image_view import find

    settings = Settings.load()
    with reader_url(settings) as url, snapshot(url) as history:
        found = find(history, image)
    if not as_json:
        _print(found)
    try:
        if media_of(found.reference.key) is Media.VIDEO:
            picture = _draw_timeline(found, output)
        else:
            picture = _draw(settings, found, source, output)
    except (ConfigurationError, DetectorError) as error:
        if as_json:
            print_json(_as_json(found) | {"picture": None, "error": str(error)})
        click.echo(f"no picture: {escaped_lines(str(error))}", err=True)
        if source is None and found.is_looked_at:
            click.echo("If you have the file, name it with --from.", err=True)
        sys.exit(EXIT_NO_PICTURE)
    if as_json:
        print_json(_as_json(found) | {"picture": str(picture), "error": None})
    else:
        click.echo(f"picture: {escaped(str(picture))}")
    if opened:
        click.launch(str(picture))


def _draw(settings: Settings, found: "ImageView", source: Path | None, output: Path | None) -> Path:
    """Draw the detections and return the picture's path.

    Raises:
        ConfigurationError: There is nothing to draw, or the file is another picture.
        DetectorError: The image can't be read.
    """
    if not found.is_looked_at:
        raise ConfigurationError("no detector has processed it successfully")
    facts = ImageFacts(found.reference, found.etag, found.size_bytes, found.size_px)
    with closing(Originals(settings)) as originals:
        data = originals.read(facts) if source is None else originals.read_from(source, facts)
    picture = found.painted(data, originals.limits)
    target = output or Path(f"{Path(found.reference.key).stem[:100]}.boxes.png")
    if target.suffix.lower() not in PICTURES:
        raise click.UsageError("only a video's timeline can be a page: write the image as .png")
    try:
        picture.save(target)
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"cannot write {target}: {reason}") from error
    return target


def _draw_timeline(found: "ImageView", output: Path | None) -> Path:
    """Draw when something appears in a video, and return the path of the page or picture.

    Raises:
        ConfigurationError: There is nothing to draw.
    """
    from retinue_cli.output.timeline import timeline

    if not found.is_looked_at:
        raise ConfigurationError("no detector has processed it successfully")
    drawn = timeline(found)
    name = Path(f"{Path(found.reference.key).stem[:100]}.timeline.html")
    targets = [output] if output is not None else [name.with_suffix(".png"), name]
    for target in targets:
        try:
            drawn.save(target)
        except OSError as error:
            raise click.ClickException(
                f"cannot write {target}: {error.strerror or error}"
            ) from error
    return targets[-1]


def _print(found: "ImageView") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    console.print(Text(escaped(found.reference.uri), style="bold"), soft_wrap=True)
    size = "" if found.size_px is None else f"{found.size_px[0]} × {found.size_px[1]} px, "
    console.print(f"[dim]image {found.image_id}")
    console.print(f"[dim]{size}uploaded {found.uploaded_at:%Y-%m-%d %H:%M %Z}")
    if found.deleted_at is not None:
        console.print(f"[yellow]removed from the bucket on {found.deleted_at:%Y-%m-%d %H:%M}[/]")
    if found.others:
        console.print(f"[dim]{found.others:,} more images go by this name; the newest is shown[/]")
    has_attributes = any(brief(one.attributes) for one in found.detections)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("detector", min_width=least_cells(run.detector for run in found.runs))
    labels = least_cells(escaped(one.label) for one in found.detections)
    table.add_column("label", overflow="fold", min_width=labels)
    table.add_column("confidence", justify="right", no_wrap=True)
    has_times = any(one.start_ms is not None for one in found.detections)
    table.add_column("left, top, width, height", no_wrap=True)
    if has_times:
        table.add_column("time", no_wrap=True)
    if has_attributes:
        table.add_column("attributes", overflow="fold")
    for run in found.runs:
        name = Name(run.detector)
        if run.outcome != "succeeded":
            style = "red" if run.outcome == "failed" else "dim"
            table.add_row(name, Text(run.outcome, style))
        elif not run.detections:
            gone = f"{run.detection_count:,} found, dropped or archived since"
            what = gone if run.detection_count else "nothing found"
            table.add_row(name, Text(what, style="dim"))
        for one in run.detections:
            table.add_row(
                name,
                Text(escaped(one.label) + ("" if one.track is None else f" #{one.track}")),
                f"{one.confidence:.2f}",
                ""
                if one.box is None
                else ", ".join(f"{getattr(one.box, edge):.3f}" for edge in EDGES),
                *([span(one.start_ms, one.end_ms)] if has_times else []),
                *([Text(brief(one.attributes))] if has_attributes else []),
            )
    console.print(table)
    reasons: dict[tuple[str, str], list[str]] = {}
    for run in found.runs:
        if run.outcome == "succeeded":
            model = f", model {escaped(run.model_version)}" if run.model_version else ""
            line = Text(f"{run.detector} version {run.detector_version}{model}", style="dim")
            if run.truncated:
                line.append("; the file ends early or is damaged", "yellow")
            console.print(line, soft_wrap=True)
        else:
            # A code is wider than its column in a narrow terminal.
            outcome = f"{run.outcome} ({run.error_code})"
            reasons.setdefault((outcome, run.error_message or ""), []).append(run.detector)
    for (outcome, message), detectors in reasons.items():
        line = Text(f"{', '.join(detectors)} {outcome}: {escaped(message)}")
        console.print(line, soft_wrap=True)


def _as_json(found: "ImageView") -> dict[str, Any]:
    return {
        "image_id": found.image_id,
        "s3_uri": found.reference.uri,
        "width_px": found.size_px and found.size_px[0],
        "height_px": found.size_px and found.size_px[1],
        "uploaded_at": found.uploaded_at,
        "deleted_at": found.deleted_at,
        "runs": [
            {
                **{name: getattr(run, name) for name in _RUN_COLUMNS},
                "detections": [detection_columns(one) for one in run.detections],
            }
            for run in found.runs
        ],
    }


_RUN_COLUMNS = (
    *("detector", "detector_version", "model_version"),
    *("outcome", "error_code", "error_message", "truncated", "detection_count"),
)
