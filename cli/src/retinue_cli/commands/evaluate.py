"""``retinue evaluate``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from retinue_history.analysis.selection import Selection
from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

from retinue_cli.commands.diff import RunsSelector
from retinue_cli.options.database import reader_url
from retinue_cli.options.json_flag import json_flag
from retinue_cli.options.misspelt import misspelt
from retinue_cli.options.selection import image_options
from retinue_cli.output.progress import progress
from retinue_cli.output.table import print_json

if TYPE_CHECKING:
    from retinue_history.analysis.comparison import Side
    from retinue_history.db.snapshot import Snapshot

    from retinue_cli.data.evaluation.collect import Collected
    from retinue_cli.data.evaluation.sample import Truth


@click.command(short_help="Score a detector against ground truth.")
@click.argument("detector", type=RunsSelector())
@click.option(
    "--ground-truth",
    default="ground-truth",
    show_default=True,
    metavar="FILE|RUNS",
    help="A COCO file, a manifest, the name of a ground truth, or runs in the form of DETECTOR.",
)
@click.option(
    "--audit",
    is_flag=True,
    help="Only images that were drawn at random, for unbiased metrics.",
)
@click.option("--bucket", help="Look for a file's images only in this bucket.")
@click.option(
    "--task",
    type=click.Choice(["detection", "classification"]),
    help="Score boxes, or labels of whole images.  [default: detection if both sides have boxes]",
)
@click.option("--kind", help="Only detections of this kind: label, face, text, …")
@click.option("--label", "labels", multiple=True, help="Only this true label; repeatable.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="TRUTH=DETECTOR",
    help="Equate a label of the ground truth with one of the detector; repeatable. Case is "
    "ignored.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Minimum confidence for precision, recall and F1.",
)
@click.option(
    "--iou",
    type=click.Choice([f"{percent / 100:g}" for percent in range(50, 100, 5)]),
    default="0.5",
    show_default=True,
    help="Minimum overlap of boxes for precision, recall and F1.",
)
@click.option(
    "--curves",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the precision–recall curves into this PNG.",
)
@json_flag
@image_options
def evaluate(
    *,
    detector: "Side",
    ground_truth: str,
    audit: bool,
    bucket: str | None,
    task: str | None,
    kind: str | None,
    labels: tuple[str, ...],
    mapped: tuple[str, ...],
    threshold: float,
    iou: str,
    curves: Path | None,
    as_json: bool,
    **selected: Any,
) -> None:
    """Score a detector's detections against ground truth.

    DETECTOR names runs as in `retinue diff`: a name or name@VERSION, optionally followed by
    ,model=VERSION. The latest run on each image counts. For example:

    \b
    retinue evaluate onnx-objects
    retinue evaluate onnx-objects --ground-truth truth.json --curves pr.png
    retinue evaluate rekognition-labels --map car=Vehicle
    """  # noqa: D301 - click reads a backspace, not a backslash
    try:
        from retinue_cli.data.evaluation.score import evaluate as measure
    except ImportError as error:
        raise ConfigurationError(
            "evaluating needs pycocotools: pip install 'retinue-cli[evaluate]'"
        ) from error
    from retinue_history.db.snapshot import snapshot

    from retinue_cli.data.evaluation.collect import collect
    from retinue_cli.data.evaluation.label_map import LabelMap
    from retinue_cli.data.evaluation.sample import EvaluationTask
    from retinue_cli.output import evaluation_table as told

    what = replace(Selection(**selected), latest=False)
    title = f"{_name(detector)} against {ground_truth}"
    with reader_url(Settings.load()) as url, snapshot(url) as history:
        truth = _truth(url, history, ground_truth, bucket, what)
        if audit:
            truth = truth.drawn
            if not truth.images:
                raise ConfigurationError(
                    f"--audit: no image of {ground_truth} was drawn at random; a queue's "
                    "audit_share draws some"
                )
        names = LabelMap(truth.labels, meanings(mapped))
        try:
            with progress("images", len(truth.images)) as advance:
                collected = collect(
                    history,
                    truth,
                    detector,
                    what,
                    names=names,
                    task=None if task is None else EvaluationTask(task),
                    kind=kind,
                    only=labels,
                    advance=advance,
                )
        except ConfigurationError as error:
            names_asked = [detector.detector] if detector.detector is not None else []
            if complaints := misspelt(history, detectors=names_asked):
                raise ConfigurationError("; ".join(complaints)) from error
            raise
    _refuse_nothing(collected, ground_truth)
    result = measure(
        collected.samples,
        collected.labels,
        task=collected.task,
        iou=float(iou),
        threshold=threshold,
    )
    if curves is not None:
        from retinue_cli.data.evaluation.curves import draw_curves

        try:
            draw_curves(result, title, curves)
        except OSError as error:
            raise click.ClickException(
                f"cannot write {curves}: {error.strerror or error}"
            ) from error
    if as_json:
        print_json(told.as_json(result, collected, truth))
        return
    told.print_table(title, result, collected, truth)
    if curves is not None:
        click.echo(f"precision–recall curves: {curves}")


def _truth(
    url: str, history: "Snapshot", ground_truth: str, bucket: str | None, what: Selection
) -> "Truth":
    """Return the ground truth from a file if it exists, otherwise from runs."""
    from retinue_history.analysis.comparison import Side

    from retinue_cli.data.evaluation.truth import truth_of_file, truth_of_history
    from retinue_cli.data.ground_truth import Annotations, Problems

    path = Path(ground_truth)
    if not path.is_file():
        try:
            side = Side.parse(ground_truth)
        except ValueError as error:
            raise ConfigurationError(f"--ground-truth: no such file, and {error}") from error
        # Ground truth may have been imported at any time, so only images are selected.
        truth = truth_of_history(history, side, replace(what, since=None, until=None))
        if not truth.images:
            raise ConfigurationError(
                f"--ground-truth {ground_truth}: no such file, and the history has no truth or "
                "successful run of that name. Import annotations with `retinue import`"
            )
        return truth
    problems = Problems()
    try:
        annotations = Annotations.read(path, problems)
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    with _engine(url) as engine:
        truth = truth_of_file(engine, annotations, problems, bucket=bucket)
    if problems:
        raise ConfigurationError(f"{path} cannot be used as ground truth\n{problems}")
    return truth


@contextmanager
def _engine(url: str) -> Iterator[Any]:
    from retinue_history.db.engine import create_history_engine

    engine = create_history_engine(url, application_name="retinue evaluate")
    try:
        yield engine
    finally:
        engine.dispose()


def meanings(mapped: tuple[str, ...]) -> dict[str, str]:
    """Return the detector's labels with those of the ground truth."""
    meanings: dict[str, str] = {}
    for one in mapped:
        truth, _, found = one.partition("=")
        if not truth or not found:
            raise click.BadParameter(f"{one!r} is not TRUTH=DETECTOR", param_hint="--map")
        if meanings.setdefault(found, truth) != truth:
            raise click.BadParameter(f"{found!r} is mapped to two labels", param_hint="--map")
    return meanings


def _name(side: "Side") -> str:
    parts = [
        str(side.run_id) if side.run_id is not None else side.detector or "",
        f"@{side.detector_version}" if side.detector_version else "",
        f",model={side.model_version}" if side.model_version else "",
        f",fingerprint={side.fingerprint}" if side.fingerprint else "",
    ]
    return "".join(parts)


def _refuse_nothing(collected: "Collected", ground_truth: str) -> None:
    if not any(sample.ground_truth for sample in collected.samples):
        raise ConfigurationError(
            f"{ground_truth} marks nothing in the {len(collected.samples):,} images that both "
            "sides have, so there is nothing to score"
        )
