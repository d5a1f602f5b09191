"""Evaluations: how a detector scores against a truth, and in which images it is wrong."""

from dataclasses import dataclass
from typing import Any

from pydantic import Field
from retinue_cli.data.evaluation.collect import collect
from retinue_cli.data.evaluation.label_map import LabelMap
from retinue_cli.data.evaluation.truth import truth_of_history
from retinue_cli.output.evaluation_table import as_json
from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.db.snapshot import Snapshot
from retinue_history.review.truth import TruthName, truth_names
from retinue_sdk import ConfigurationError

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.gallery import detectors

MAX_IMAGES = 5_000
"""Maximum number of images of a truth that a page scores; `retinue evaluate` has no limit."""

MATRIX_LABELS = 30
"""Maximum number of labels in the table of confusions."""


class EvaluationParameters(Parameters):
    """The compared runs and truths."""

    truth: str | None = None
    """The name of a truth: an import or a review queue."""

    detector: str | None = None
    """The detector, or ``NAME@VERSION``, optionally followed by ``,model=VERSION``."""

    threshold: float = Field(default=0.5, ge=0, le=1)
    """Minimum confidence of a finding that counts for precision, recall and F1."""

    audit: bool = False
    """Only images that were drawn at random."""

    there: str | None = None
    """With ``found``: list the images of one cell of the table of confusions. The true label; empty
    for nothing."""

    found: str | None = None
    """The label that was found; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A score.

    Attributes:
        scores: What ``retinue evaluate --json`` prints.
        rows: The table of confusions: a true label and its counts by found label, nothing last.
        columns: The found labels, ``None`` for nothing.
        is_biased: Whether images were chosen for what they show.
        images: The images of the cell that was asked for.
    """

    scores: dict[str, Any]
    rows: list[tuple[str | None, list[int]]]
    columns: list[str | None]
    is_biased: bool
    images: list[str] | None


@dataclass(frozen=True, slots=True)
class Evaluations:
    """The data of the page.

    Attributes:
        truths: The truths of the history.
        detectors: Detectors that workers started with.
        evaluated: The score that was asked for.
        problem: Why there is none.
    """

    truths: list[TruthName]
    detectors: list[str]
    evaluated: Evaluated | None
    problem: str | None


def evaluations(call: Call[EvaluationParameters]) -> Page[Evaluations]:
    """Score a detector against a truth, as ``retinue evaluate`` does."""
    asked = call.parameters
    evaluated, problem = None, None
    with call.database.read() as reader:
        truths = truth_names(reader)
        names = detectors(reader)
        if asked.truth and asked.detector:
            try:
                evaluated = _evaluated(reader, truths, asked, asked.truth, asked.detector)
            except ConfigurationError as error:
                problem = str(error)
    return Page("evaluations.html", "Evaluations", Evaluations(truths, names, evaluated, problem))


def _evaluated(
    reader: Connection,
    truths: list[TruthName],
    asked: EvaluationParameters,
    name: str,
    detector: str,
) -> Evaluated:
    """Return the score.

    Raises:
        ConfigurationError: There is nothing to score.
        ParameterError: A name can't be read.
    """
    known = {one.name: one.images for one in truths}
    if name not in known:
        raise ConfigurationError(f"There is no truth named {name}.")
    if known[name] > MAX_IMAGES:
        raise ConfigurationError(
            f"{name} has {known[name]:,} images, and this page scores up to {MAX_IMAGES:,}. Run "
            f"retinue evaluate {detector} --ground-truth {name}"
        )
    try:
        side, of_truth = Side.parse(detector), Side.parse(name)
    except ValueError as error:
        raise ParameterError(f"The parameter detector is wrong: {error}.") from error
    # Not at the top: pycocotools and NumPy take 30 MB, and few people come here.
    from retinue_cli.data.evaluation.score import evaluate

    selection = Selection(latest=False)
    history = Snapshot(reader)
    truth = truth_of_history(history, of_truth, selection)
    is_biased = truth.reviewed and len(truth.drawn.images) < len(truth.images)
    if asked.audit:
        truth = truth.drawn
    collected = collect(history, truth, side, selection, names=LabelMap(truth.labels, {}))
    if not any(sample.ground_truth for sample in collected.samples):
        raise ConfigurationError(
            f"{name} says of none of the {len(collected.samples):,} images that both have what is "
            "in it."
        )
    result = evaluate(
        collected.samples, collected.labels, task=collected.task, threshold=asked.threshold
    )
    confusion = result.confusion
    columns: list[str | None] = [*confusion.labels[:MATRIX_LABELS], None]
    rows = [(there, [confusion.counts[there, found] for found in columns]) for there in columns]
    images = None
    if asked.there is not None or asked.found is not None:
        images = confusion.images[asked.there or None, asked.found or None]
    return Evaluated(
        as_json(result, collected, truth), rows, columns, is_biased and not asked.audit, images
    )
