"""``retinue export``."""

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import click
from retinue_history.analysis.selection import Selection
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.misspelt import misspelt
from retinue_cli.options.selection import selection_options
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json
from retinue_cli.output.terminal import binary_data_output
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_history.analysis.comparison import Side
    from retinue_history.db.snapshot import Snapshot

    from retinue_cli.data.export import Advance, Written

    Write: TypeAlias = Callable[["Snapshot", Selection, BinaryIO, "Advance"], "Written"]

FORMATS = {
    "parquet": (".parquet",),
    "csv": (".csv",),
    "jsonl": (".jsonl", ".ndjson"),
    "coco": (".json",),
    "label-studio": (".tasks",),
    "custom-labels-manifest": (".manifest",),
    "webvtt": (".vtt",),
    "coco-video": (),
    "cvat": (".xml",),
}
"""Formats, each with the extensions of its files."""


@click.command(short_help="Write detections to a file.")
@click.argument("out", metavar="OUT")
@click.option(
    "--format",
    "format_",
    type=click.Choice([*FORMATS]),
    metavar="FORMAT",  # the choices take more than a line
    help=f"One of {', '.join(FORMATS)}.  [default: by the ending of OUT: "
    + ", ".join(f"{endings[0]} is {name}" for name, endings in FORMATS.items() if endings)
    + "]",
)
@selection_options
@click.option(
    "--truth",
    metavar="NAME",
    help="Export this settled truth instead of detections: ground-truth, or a queue's name. "
    "Only --prefix and --image apply.",
)
@click.option(
    "--annotation-type",
    type=click.Choice(["boxes", "labels"]),
    default="boxes",
    show_default=True,
    help="For a manifest: boxes, or labels of whole images.",
)
@click.option(
    "--categories",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For COCO and manifests: keep the category ids of this COCO file.",
)
@click.option(
    "--read-sizes",
    is_flag=True,
    help="For COCO and boxes: read missing image sizes from S3.",
)
@json_flag
def export(
    *,
    out: str,
    format_: str | None,
    annotation_type: str,
    categories: Path | None,
    read_sizes: bool,
    truth: str | None,
    as_json: bool,
    **selected: Any,
) -> None:
    """Write detections to OUT, or to standard output if OUT is -.

    Streams in constant memory. The file gets its name when it is complete. CSV, JSON lines and
    Parquet have one row per detection. COCO, Label Studio's tasks and the manifest for Rekognition
    Custom Labels have images, including those without detections. WebVTT (captions), CVAT (tracks)
    and coco-video have appearances in videos, the first two of one video. For example:

    \b
    retinue export detections.json --detector onnx-objects --min-confidence 0.5
    retinue export truth.json --truth ground-truth
    """  # noqa: D301 - click reads a backspace, not a backslash
    from retinue_history.analysis.comparison import Side
    from retinue_history.analysis.exported_rows import detection_rows
    from retinue_history.db.snapshot import snapshot
    from retinue_history.review.truth import truth_rows

    from retinue_cli.data.export import destination

    format_ = format_ or _format_of(out)
    if as_json and out == "-":
        raise click.UsageError("--json needs a file for the rows: name one, or omit --json")
    if format_ == "parquet" and out == "-" and sys.stdout.isatty():
        raise click.UsageError("Parquet is binary and would garble the terminal: name a file")
    if truth is not None and format_ in ("csv", "jsonl", "parquet", "webvtt", "coco-video", "cvat"):
        raise click.UsageError(
            "a truth is exported as COCO, Label Studio or a manifest; for rows, query the view "
            "ground_truth"
        )
    what = Selection(**selected)
    began = time.monotonic()
    settings = Settings.load()
    try:
        with reader_url(settings) as url, snapshot(url) as history:
            if truth is not None:
                _require_truth(history, truth)
            write = _writer(
                history,
                settings,
                format_,
                annotation_type,
                categories,
                None if truth is None else Side(detector=truth),
                read_sizes=read_sizes,
            )
            rows = detection_rows(what) if truth is None else truth_rows(truth, what)
            about = history.estimate(rows)
            opened = binary_data_output() if out == "-" else destination(out)
            with opened as file, progress("detections", about) as advance:
                written = write(history, what, file, advance)
            complaints: list[str] = []
            if not written.detections:
                complaints = misspelt(history, detectors=what.detectors, labels=what.labels)
    except BrokenPipeError:  # the reader of standard output has closed it
        raise
    except OSError as error:
        raise click.ClickException(f"cannot write {out}: {error.strerror or error}") from error
    for complaint in complaints:
        click.echo(complaint, err=True)
    for warning in written.warnings:
        click.echo(f"warning: {warning}", err=True)
    if as_json:
        left_out = {reason: number for reason, number in written.left_out.items() if number}
        print_json(asdict(written) | {"file": out, "format": format_, "left_out": left_out})
        return
    _tell(written, out, time.monotonic() - began, read_sizes=read_sizes)


def _require_truth(history: "Snapshot", name: str) -> None:
    """Refuse the name of a truth that the history doesn't have.

    Raises:
        ConfigurationError: It doesn't; the message has those that it has.
    """
    if complaints := misspelt(history, truths=[name]):
        raise ConfigurationError(f"--truth: {complaints[0]}")


def _format_of(out: str) -> str:
    """Return the format of a file's extension.

    Raises:
        UsageError: The extension is unknown.
    """
    ending = Path(out).suffix.lower()
    for name, endings in FORMATS.items():
        if ending in endings:
            return name
    raise click.UsageError(
        f"the name {out!r} has no known suffix: set --format ({', '.join(FORMATS)})"
    )


def _writer(
    history: "Snapshot",
    settings: Settings,
    format_: str,
    annotation_type: str,
    earlier: Path | None,
    side: "Side | None",
    *,
    read_sizes: bool,
) -> "Write":
    """Return the function that writes a format, with its extra arguments."""
    from retinue_cli.data import export as formats
    from retinue_cli.data.export.categories import Categories
    from retinue_cli.data.export.sizes import Sizes, read_from_s3
    from retinue_cli.options.frame_times import frame_times_ms

    match format_:
        case "csv":
            return formats.write_csv
        case "jsonl":
            return formats.write_jsonl
        case "parquet":
            return formats.write_parquet
        case "webvtt":
            return formats.write_webvtt
        case "cvat":
            read_times_ms = functools.partial(frame_times_ms, settings)
            return functools.partial(formats.write_cvat, read_times_ms=read_times_ms)
    categories = Categories.of(history, earlier)
    if format_ == "coco-video":
        return functools.partial(formats.write_coco_video, categories=categories)
    sizes = Sizes()
    if read_sizes:
        from retinue_cli.options.s3_client import s3_client

        sizes = Sizes(functools.partial(read_from_s3, s3_client(settings)))
    if format_ == "coco":
        return functools.partial(formats.write_coco, side=side, categories=categories, sizes=sizes)
    if format_ == "label-studio":
        return functools.partial(formats.write_label_studio, side=side, sizes=sizes)
    return functools.partial(
        formats.write_manifest,
        side=side,
        categories=categories,
        sizes=sizes,
        annotation_type=formats.AnnotationType(annotation_type),
    )


def _tell(written: "Written", out: str, seconds: float, *, read_sizes: bool) -> None:
    """Print the summary of the export to standard error."""
    images = "" if written.images is None else f" in {count(written.images, 'image')}"
    if written.empty:
        images += f" ({written.empty:,} without any)"
    where = "" if out == "-" else f" to {out}"
    click.echo(
        f"wrote {count(written.detections, 'detection')}{images}{where} in {seconds:.1f} s",
        err=True,
    )
    for reason, number in written.left_out.items():
        if number:
            noun, _, rest = reason.partition(" ")
            click.echo(f"left out: {count(number, noun)} {rest}", err=True)
    if written.left_out["image of unknown size"] and not read_sizes:
        click.echo(
            "Detectors that download nothing leave the size unknown; --read-sizes asks S3 for it.",
            err=True,
        )
