"""Print an evaluation as a table or as JSON."""

from typing import TYPE_CHECKING, Any

import click

from retinue_cli.output.table import output_console
from retinue_cli.output.words import count

if TYPE_CHECKING:
    from rich.table import Table

    from retinue_cli.data.evaluation.collect import Collected
    from retinue_cli.data.evaluation.sample import Truth
    from retinue_cli.data.evaluation.score import Evaluation, LabelScore

MATRIX_LABELS = 8
"""Maximum number of labels in a confusion matrix, if it fits. Otherwise mistakes are listed."""

SHOWN_LABELS = 40
"""Maximum number of labels in the table, the most frequent first. --json has all."""

SHOWN_MISTAKES = 10


def as_json(result: "Evaluation", collected: "Collected", truth: "Truth") -> dict[str, Any]:
    """Return the complete evaluation."""
    small, medium, large = result.ap_by_size
    confusion = result.confusion
    return {
        "task": str(result.task),
        "images": {
            "compared": result.images,
            "not_seen_by_the_detector": collected.not_seen,
            "not_in_the_history": truth.unknown,
            "not_marked_completely": _partial(collected),
            "drawn_at_random": len(truth.drawn.images),
        },
        "iou": result.iou,
        "threshold": result.threshold,
        "overall": _score(result.total)
        | {
            "macro_f1": result.macro_f1,
            "ap_small": small,
            "ap_medium": medium,
            "ap_large": large,
        },
        "labels": {
            one.label: _score(one)
            | {
                "best_f1": one.best_f1,
                "best_threshold": one.best_threshold,
                "precision_at_101_recalls": list(one.curve),
            }
            for one in result.labels
        },
        "confusion": {
            "ground_truth": [*confusion.labels, None],
            "predicted": [*confusion.labels, None],
            "counts": confusion.matrix(),
        },
        "left_out": dict(collected.left_out),
        "labels_unknown_to_the_ground_truth": dict(collected.foreign.most_common()),
    }


def _score(one: "LabelScore") -> dict[str, Any]:
    return {
        "ground_truths": one.ground_truths,
        "predictions": one.predictions,
        "true_positives": one.true_positives,
        "precision": one.precision,
        "recall": one.recall,
        "f1": one.f1,
        "ap50": one.ap50,
        "ap": one.ap,
    }


def print_table(title: str, result: "Evaluation", collected: "Collected", truth: "Truth") -> None:
    """Print labels, confusion, and omitted items."""
    console = output_console()
    click.echo(f"{title}: {count(result.images, 'image')} by {result.task}")
    for line in _apart(collected, truth):
        click.echo(line)
    console.print(_table(result))
    overlap = f" and an overlap of {result.iou:g}" if result.task == "detection" else ""
    click.echo(
        f"Precision, recall and F1 count detections with a confidence of {result.threshold:g}"
        f"{overlap}\nor more. AP counts all, by pycocotools."
    )
    matrix = _matrix(result)
    unlimited = console.options.update(max_width=10_000)
    if (
        len(result.confusion.labels) <= MATRIX_LABELS
        and console.measure(matrix, options=unlimited).maximum <= console.width
    ):
        console.print(matrix)
        return
    mistakes = result.confusion.mistakes()
    for there, found, number in mistakes[:SHOWN_MISTAKES]:
        click.echo(f"{number:,} × {there} mistaken for {found}")
    if len(mistakes) > SHOWN_MISTAKES:
        click.echo(f"and {len(mistakes) - SHOWN_MISTAKES:,} more pairs (--json has all)")


def _partial(collected: "Collected") -> int:
    """Return in how many images not everything is marked."""
    return sum(not one.exhaustive for one in collected.samples)


def _apart(collected: "Collected", truth: "Truth") -> list[str]:
    """Return lines about items that weren't compared."""
    lines = []
    if collected.not_seen:
        lines.append(
            f"not compared: {count(collected.not_seen, 'image')} of the ground truth without a "
            "successful run of the detector"
        )
    if truth.unknown:
        lines.append(
            f"not compared: {count(truth.unknown, 'image')} of the ground truth that the history "
            "does not know"
        )
    if partial := _partial(collected):
        lines.append(
            f"not everything is marked in {count(partial, 'image')}: a finding there that matches "
            "nothing is unknown, not wrong, unless people rejected it"
        )
    if truth.reviewed:
        drawn = len(truth.drawn.images)
        lines.append(
            "all images were drawn at random: the measures are unbiased"
            if drawn == len(truth.images)
            else f"biased: {len(truth.images) - drawn:,} of {len(truth.images):,} images "
            "were not chosen at random; --audit leaves them out"
        )
    for what, number in collected.left_out.items():
        noun, _, rest = what.partition(" ")
        lines.append(f"not compared: {count(number, noun)} {rest}")
    if collected.foreign:
        names = ", ".join(
            f"{label} ({number:,})" for label, number in collected.foreign.most_common(5)
        )
        more = ", …" if len(collected.foreign) > 5 else ""
        lines.append(
            f"not compared: {count(collected.foreign.total(), 'detection')} with labels that the "
            f"ground truth does not have: {names}{more}; use --map to translate them"
        )
    return lines


def _table(result: "Evaluation") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(  # narrow, for 80 columns
        box=box.SIMPLE_HEAD, show_footer=True, padding=0, pad_edge=False, show_edge=False
    )
    total, boxes = result.total, result.task == "detection"
    table.add_column("label", footer="all", overflow="fold")
    for name, value in (
        ("there", f"{total.ground_truths:,}"),
        ("found", f"{total.predictions:,}"),
        ("precision", _ratio(total.precision)),
        ("recall", _ratio(total.recall)),
        ("F1", _ratio(total.f1)),
        *([("AP50", _ratio(total.ap50)), ("AP50:95", _ratio(total.ap))] if boxes else
          [("AP", _ratio(total.ap))]),
        ("best F1", ""),
        ("at", ""),
    ):  # fmt: skip
        table.add_column(name, footer=value, justify="right", no_wrap=True)
    shown = sorted(
        (one for one in result.labels if one.ground_truths or one.predictions),
        key=lambda one: (-one.ground_truths, one.label),
    )
    for one in shown[:SHOWN_LABELS]:
        table.add_row(
            one.label,
            f"{one.ground_truths:,}",
            f"{one.predictions:,}",
            *(_ratio(value) for value in (one.precision, one.recall, one.f1)),
            *((_ratio(one.ap50), _ratio(one.ap)) if boxes else (_ratio(one.ap),)),
            _ratio(one.best_f1),
            "–" if one.best_threshold is None else f"{one.best_threshold:.2f}",
        )
    if len(shown) > SHOWN_LABELS:
        table.caption = f"{len(shown) - SHOWN_LABELS:,} more labels; --json has all"
    return table


def _matrix(result: "Evaluation") -> "Table":
    from rich import box
    from rich.table import Table

    confusion = result.confusion
    table = Table(box=box.SIMPLE_HEAD, title="taken for", title_justify="left")
    table.add_column("there")
    names = [*confusion.labels, "nothing"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in zip(names, confusion.matrix(), strict=True):
        table.add_row(name, *(f"{number:,}" if number else "·" for number in row))
    return table


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
