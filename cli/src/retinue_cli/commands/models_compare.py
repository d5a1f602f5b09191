"""``retinue models compare``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_sdk import ConfigurationError, RetinueError

from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.plugins_dir import installed_plugins, plugins_dir_option
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json, print_table
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from retinue_cli.data.evaluation.bootstrap import Estimate
    from retinue_cli.output.comparison_page import Difference
    from retinue_cli.training.compare import Measured, Score
    from retinue_cli.training.data import TrainingImage

MAX_PICTURES = 30
"""Maximum number of images on the page, those with the largest differences first."""


@click.command(short_help="Compare the accuracy, price and speed of models.")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option(
    "--ground-truth",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A COCO file or manifest. Its images should be unknown to all models.",
)
@click.option(
    "--images",
    "home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the images.  [default: the file's folder]",
)
@click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder of local models.",
)
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="TRUTH=DETECTOR",
    help="Equate a label of the ground truth with one of a detector; repeatable.",
)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page with the pictures on which the models differ.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the confidence intervals.")
@plugins_dir_option
@json_flag
def compare(
    *,
    names: tuple[str, ...],
    ground_truth: Path,
    home: Path | None,
    models: Path,
    mapped: tuple[str, ...],
    page: Path | None,
    seed: int,
    plugins_dir: Path | None,
    as_json: bool,
) -> None:
    """Run models on the same images, and compare them with the ground truth.

    NAME is a model in --models, such as logos or logos/2, the ARN of a running version of Custom
    Labels, or a detector, such as rekognition-labels. Services bill the images. Nothing is
    recorded. For example:

    \b
    retinue models compare logos/1 logos/2 --ground-truth test.json \\
        --page compare.html
    retinue models compare logos rekognition-labels --ground-truth test.json
    """  # noqa: D301 - click reads a backspace, not a backslash
    try:
        from retinue_cli.training import compare as comparing
    except ImportError as error:
        raise ConfigurationError(
            "comparing needs pycocotools: pip install 'retinue-cli[evaluate]'"
        ) from error
    from retinue_cli.commands.evaluate import meanings
    from retinue_cli.data.evaluation.label_map import LabelMap

    images = _images(ground_truth, home or ground_truth.parent)
    labels = sorted({one.label for image in images for one in image.items})
    translated = LabelMap(labels, meanings(mapped))
    chosen = [comparing.contestant(name, models) for name in dict.fromkeys(names)]
    plugins = installed_plugins(plugins_dir)
    measured = []
    with progress("images", len(images) * len(chosen)) as advance:
        for one in chosen:
            try:
                measured.append(
                    comparing.measure(one, plugins, images, _read, translated, advance=advance)
                )
            except RetinueError as error:
                raise click.ClickException(f"{one.name}: {error}") from error
    true_boxes = any(one.box is not None for image in images for one in image.items)
    boxes = true_boxes and all(comparing.has_boxes(one) for one in measured)
    scores = [comparing.score(one, labels, boxes=boxes, seed=seed) for one in measured]
    notes = _notes(images, measured, boxes=boxes, true_boxes=true_boxes, seed=seed)
    if page is not None:
        _write_page(page, ground_truth, images, measured, scores, notes)
    if as_json:
        print_json(_as_json(measured, scores, notes))
        return
    columns, rows = _rows(measured, scores)
    print_table(columns, rows)
    for note in notes:
        click.echo(note)
    if page is not None:
        click.echo(f"pictures: {page}")


def _images(ground_truth: Path, home: Path) -> "list[TrainingImage]":
    from retinue_cli.data.ground_truth import Annotations, Problems
    from retinue_cli.training.data import from_annotations

    problems = Problems()
    try:
        found = from_annotations(Annotations.read(ground_truth, problems), home)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--ground-truth: {error}") from error
    if problems:
        raise ConfigurationError(f"{ground_truth} cannot be used as ground truth\n{problems}")
    missing = [image for image in found if image.path is None or not image.path.is_file()]
    if missing:
        raise ConfigurationError(
            f"{count(len(missing), 'image')} of {ground_truth} can't be found in {home}, such as "
            f"{missing[0].key}; name their folder with --images"
        )
    if not any(image.items for image in found):
        raise ConfigurationError(f"{ground_truth} marks nothing, so there is nothing to compare")
    return found


def _read(image: "TrainingImage") -> bytes:
    if image.path is None:
        raise ConfigurationError(f"{image.uri} is not on this machine")
    return image.path.read_bytes()


def _rows(
    measured: "Sequence[Measured]", scores: "Sequence[Score]"
) -> tuple[list[str], list[list[str]]]:
    columns = ["model", "label", "AP", "F1", "things", "$ per 1,000", "images/s"]
    rows = [
        [
            one.contestant.name if label.label == "mean" else "",
            label.label,
            _interval(label.ap50),
            _interval(label.f1),
            f"{label.truths:,}",
            f"{one.usd_per_1000:.2f}" if label.label == "mean" else "",
            f"{one.images_per_second:.1f}" if label.label == "mean" else "",
        ]
        for one, score in zip(measured, scores, strict=True)
        for label in [score.labels[-1], *score.labels[:-1]]
    ]
    return columns, rows


def _interval(estimate: "Estimate") -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _notes(
    images: "Sequence[TrainingImage]",
    measured: "Sequence[Measured]",
    *,
    boxes: bool,
    true_boxes: bool,
    seed: int,
) -> list[str]:
    from retinue_cli.data.evaluation.bootstrap import RESAMPLES
    from retinue_cli.training.compare import CUSTOM_LABELS, has_boxes

    what = "boxes with an overlap of at least 0.5" if boxes else "labels of whole images"
    intervals = f"95 % confidence intervals from {RESAMPLES:,} resamples of the images, seed {seed}"
    notes = [
        f"{count(len(images), 'image')}; {what}. In parentheses: {intervals}.",
        "AP counts every finding that a model reports, local versions from a confidence of 0.05.",
        "F1 counts the findings at the model's thresholds.",
        "Images a second: one after the other, on this machine.",
    ]
    if any(one.contestant.detector == CUSTOM_LABELS for one in measured):
        notes.append("The price of Custom Labels is that of hosting at this speed.")
    if true_boxes and not boxes:
        bare = [one.contestant.name for one in measured if not has_boxes(one)]
        notes.append(f"No boxes are compared, because {', '.join(bare)} reports none.")
    notes += [
        f"{one.contestant.name} failed on {count(len(one.failed), 'image')}, such as "
        f"{one.failed[0]}"
        for one in measured
        if one.failed
    ]
    return notes


def _as_json(
    measured: "Sequence[Measured]", scores: "Sequence[Score]", notes: Sequence[str]
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "models": [
            {
                "name": one.contestant.name,
                "detector": one.contestant.detector,
                "usd_per_1000": one.usd_per_1000,
                "images_per_second": round(one.images_per_second, 2),
                "failed": len(one.failed),
                "labels": [asdict(label) for label in score.labels],
            }
            for one, score in zip(measured, scores, strict=True)
        ],
        "notes": list(notes),
    }


def _write_page(
    page: Path,
    ground_truth: Path,
    images: "Sequence[TrainingImage]",
    measured: "Sequence[Measured]",
    scores: "Sequence[Score]",
    notes: Sequence[str],
) -> None:
    from retinue_cli.output.comparison_page import comparison_page

    each = [[score.mistakes[index] for score in scores] for index in range(len(images))]
    order = sorted(range(len(images)), key=lambda index: min(each[index]) - max(each[index]))
    shown = [index for index in order if len(set(each[index])) > 1][:MAX_PICTURES]
    differences = [_difference(images[i], measured, each[i], i) for i in shown]
    columns, rows = _rows(measured, scores)
    names = [one.contestant.name for one in measured]
    title = f"Models on {ground_truth.name}"
    try:
        page.write_text(comparison_page(title, columns, rows, names, differences, notes), "utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {page}: {error.strerror or error}") from error


def _difference(
    image: "TrainingImage", measured: "Sequence[Measured]", mistakes: Sequence[int], index: int
) -> "Difference":
    """Return an image as each model sees it, with the findings at its thresholds."""
    from retinue_sdk import BoundingBox, Detection, ImageLimits
    from retinue_sdk.decode import decode

    from retinue_cli.output.comparison_page import Difference
    from retinue_cli.output.draw import paint_pixels

    pixels = decode(_read(image), ImageLimits())
    height, width = pixels.shape[:2]
    pictures = []
    for one in measured:
        thresholds = one.contestant.thresholds
        found = []
        for item in one.samples[index].predictions:
            if item.confidence < thresholds.get(item.label, 0.0):
                continue
            box = None
            if item.bbox_px is not None:
                left, top, across, down = item.bbox_px
                box = BoundingBox(left / width, top / height, across / width, down / height)
            found.append(Detection("label", item.label, item.confidence, box))
        pictures.append(paint_pixels(pixels, found))
    return Difference(Path(image.key).name, pictures, mistakes)
