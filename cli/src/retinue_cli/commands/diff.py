"""``retinue diff``."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.data.comparison import Labels, by_image, most_changed, summary
from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.misspelt import misspelt
from retinue_cli.output.progress import progress
from retinue_cli.output.table import least_cells, output_console
from retinue_cli.output.words import escaped

if TYPE_CHECKING:
    from retinue_history.analysis.comparison import Difference, Overlap, Side

SHOWN_LABELS = 40
"""Maximum number of labels in the summary. --json and --sql have all."""


class RunsSelector(click.ParamType["Side"]):
    """One side of the comparison."""

    name = "runs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Side":
        """Parse a run id, or detector, version, model and fingerprint."""
        from retinue_history.analysis.comparison import Side

        try:
            return value if isinstance(value, Side) else Side.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Compare two runs, versions, models or detectors.")
@click.argument("before", type=RunsSelector())
@click.argument("after", type=RunsSelector())
@click.option(
    "--min-iou",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Minimum overlap of two boxes that show the same object.",
)
@click.option(
    "--images",
    "shown",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Number of images to list, those with most changes first.",
)
@click.option(
    "--newest",
    type=click.IntRange(min=1),
    help="Compare only this many of the newest images.  [default: all]",
)
@json_flag
@click.option("--sql", "as_sql", is_flag=True, help="Print the query instead of running it.")
def diff(
    *,
    before: "Side",
    after: "Side",
    min_iou: float,
    shown: int,
    newest: int | None,
    as_json: bool,
    as_sql: bool,
) -> None:
    """Compare the detections of two sides in the images that both have processed.

    A side is a run id, or DETECTOR or DETECTOR@VERSION, optionally followed by ,model=VERSION or
    ,fingerprint=BEGINNING. Its latest run on each image counts. The name of a settled truth is a
    side, too. For example:

    \b
    retinue diff 17 42
    retinue diff onnx-objects@1 onnx-objects@2
    retinue diff rekognition-labels,model=2.0 rekognition-labels,model=3.0
    retinue diff ground-truth onnx-objects
    """  # noqa: D301 - click reads a backspace, not a backslash
    from retinue_history.analysis.comparison import compare, comparison_sql, overlap
    from retinue_history.db.snapshot import snapshot

    if as_sql:
        click.echo(comparison_sql(before, after, min_iou=min_iou, newest=newest).as_string())
        return
    with reader_url(Settings.load()) as url, snapshot(url) as history:
        seen = overlap(history, before, after, newest=newest)
        if not seen.both:
            names = [side.detector for side in (before, after) if side.detector is not None]
            if complaints := misspelt(history, detectors=names):
                raise ConfigurationError("; ".join(complaints))
            without = [
                f"; the {side} side selects no run whose detections still exist"
                for side, images in (("first", seen.only_before), ("second", seen.only_after))
                if not images
            ]
            raise click.ClickException(
                f"no image has been processed by both sides: {seen.only_before:,} only by the "
                f"first, {seen.only_after:,} only by the second{''.join(without)}"
            )
        labels: Labels = {}
        with progress("images", seen.both) as advance:
            changes = compare(history, before, after, min_iou=min_iou, newest=newest)
            images = by_image(changes, labels)
            if as_json:
                _print_json(seen, labels, _counted(images, advance))
                return
            changed, most = most_changed(_counted(images, advance), shown)
    _print(seen, labels, changed, most)


def _counted(images: Iterable[list["Difference"]], advance: Any) -> Iterable[list["Difference"]]:
    for image in images:
        advance(1)
        yield image


def _print(seen: "Overlap", labels: Labels, changed: int, most: list[list["Difference"]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    total = sum((tally.changes for tally in labels.values()), Counter[str]())
    console.print(
        f"[bold]{seen.both:,}[/] images seen by both sides; {seen.only_before:,} only by the "
        f"first, {seen.only_after:,} only by the second"
    )
    console.print(
        f"[bold]{total['kept']:,}[/] detections kept, [green]{total['gained']:,} gained[/], "
        f"[red]{total['lost']:,} lost[/]; images that gained or lost: {changed:,}"
    )
    if total["unknown"]:
        console.print(
            f"{total['unknown']:,} unknown: the other side did not look for them, or does not mark "
            "everything"
        )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("label", overflow="fold", min_width=least_cells(one for _, one in labels))
    for name in ("kept", "gained", "lost", "confidence shift", "IoU"):
        table.add_column(name, justify="right", no_wrap=True)
    ordered = sorted(labels.items(), key=lambda item: (-item[1].moved, item[0][1], item[0][0]))
    for (_, label), tally in ordered[:SHOWN_LABELS]:
        said = tally.as_json()
        shift, iou = said["mean_confidence_shift"], said["mean_iou"]
        table.add_row(
            Text(escaped(label)),
            f"{said['kept']:,}",
            Text(f"{said['gained']:,}", style="green" if said["gained"] else ""),
            Text(f"{said['lost']:,}", style="red" if said["lost"] else ""),
            "" if shift is None else f"{shift:+.3f}",
            "" if iou is None else f"{iou:.2f}",
        )
    if labels:
        console.print(table)
    if len(ordered) > SHOWN_LABELS:
        console.print(f"… and {len(ordered) - SHOWN_LABELS:,} more labels: --json has them all\n")
    if most:
        console.print("[bold]Changed most[/]")
    for image in most:
        console.print(Text(f"\n{escaped(image[0].s3_uri)}", style="bold"), soft_wrap=True)
        for one in image:
            console.print(_line(one), soft_wrap=True)


def _line(one: "Difference") -> Any:
    from rich.text import Text

    signs = {
        "gained": ("+", "green"),
        "lost": ("−", "red"),
        "kept": (" ", "dim"),
        "unknown": ("?", "dim"),
    }
    sign, style = signs[one.change]
    before, after = one.confidence_before, one.confidence_after
    confidence = " → ".join(f"{value:.2f}" for value in (before, after) if value is not None)
    overlap = "" if one.iou is None else f"  IoU {one.iou:.2f}"
    return Text(f"  {sign} {escaped(one.label)}  {confidence}{overlap}", style=style)


def _print_json(seen: "Overlap", labels: Labels, images: Iterable[list["Difference"]]) -> None:
    """Write one JSON object as a stream: first the changed images, at the end the summary."""
    out = sys.stdout
    out.write('{"images": [')
    for number, image in enumerate(images):
        entry = {
            "image_id": str(image[0].image_id),
            "s3_uri": image[0].s3_uri,
            "detections": [
                {
                    "change": one.change,
                    "kind": one.kind,
                    "label": one.label,
                    "confidence_before": one.confidence_before,
                    "confidence_after": one.confidence_after,
                    "iou": one.iou,
                }
                for one in image
            ],
        }
        out.write(("," if number else "") + "\n" + json.dumps(entry, ensure_ascii=False))
    out.write(
        f'\n], "summary": {json.dumps(summary(seen, labels), ensure_ascii=False, indent=1)}}}\n'
    )
