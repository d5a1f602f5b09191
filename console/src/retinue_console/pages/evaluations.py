"""Evaluations: how a detector scores against a truth, and in which images it is wrong."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import Field
from retinue_history.analysis.comparison import Side
from retinue_history.analysis.selection import Selection
from retinue_history.db.connections import Connection
from retinue_history.db.snapshot import Snapshot
from retinue_history.review.truth import TruthName, truth_names
from retinue_sdk import BoundingBox, ConfigurationError

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.gallery import detectors

if TYPE_CHECKING:
    from retinue_cli.data.evaluation.collect import Collected
    from retinue_cli.data.evaluation.sample import CocoAnnotation, Truth

MAX_IMAGES = 5_000
"""Maximum number of images of a truth that a page scores; `retinue evaluate` has no limit."""

SHOWN = 24
"""Images of a page of a cell."""

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

    page: int = Field(default=1, ge=1, le=100)
    """The page of the images."""


@dataclass(frozen=True, slots=True)
class Thing:
    """A true item, or a finding.

    Attributes:
        label: The label.
        confidence: The finding's confidence; none for a true item.
        box: Its box; none for the whole image.
        matches: Whether its label is the cell's.
    """

    label: str
    confidence: float | None
    box: BoundingBox | None
    matches: bool


@dataclass(frozen=True, slots=True)
class EvaluatedImage:
    """An image of a cell.

    Attributes:
        image_id: Its id.
        s3_uri: Its address.
        width_px: Its width as displayed, if known.
        height_px: Its height as displayed, if known.
        there: The true items.
        found: The findings from the threshold on.
    """

    image_id: UUID
    s3_uri: str
    width_px: int | None
    height_px: int | None
    there: tuple[Thing, ...]
    found: tuple[Thing, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """The images of a cell of the table of confusions.

    Attributes:
        images: Those of the page.
        all_images: Number of images on all pages: the first 100.
        pages: Number of pages.
    """

    images: tuple[EvaluatedImage, ...]
    all_images: int
    pages: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A score.

    Attributes:
        scores: Output of ``retinue evaluate --json``.
        rows: The table of confusions: a true label and its counts by found label, nothing last.
        columns: The found labels, ``None`` for nothing.
        is_biased: Whether images were not chosen at random.
        cell: The images of the cell that was asked for.
    """

    scores: dict[str, Any]
    rows: list[tuple[str | None, list[int]]]
    columns: list[str | None]
    is_biased: bool
    cell: Cell | None


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
    # Not at the top: NumPy, pycocotools and SQLAlchemy take 40 MB, and few people come here.
    from retinue_cli.data.evaluation.collect import collect
    from retinue_cli.data.evaluation.label_map import LabelMap
    from retinue_cli.data.evaluation.score import evaluate
    from retinue_cli.data.evaluation.truth import truth_of_history
    from retinue_cli.output.evaluation_table import as_json

    selection = Selection(latest=False)
    history = Snapshot(reader)
    truth = truth_of_history(history, of_truth, selection)
    is_biased = truth.reviewed and len(truth.drawn.images) < len(truth.images)
    if asked.audit:
        truth = truth.drawn
    collected = collect(history, truth, side, selection, names=LabelMap(truth.labels, {}))
    if not any(sample.ground_truth for sample in collected.samples):
        raise ConfigurationError(
            f"{name} marks nothing in the {len(collected.samples):,} images that both sides have."
        )
    result = evaluate(
        collected.samples, collected.labels, task=collected.task, threshold=asked.threshold
    )
    confusion = result.confusion
    columns: list[str | None] = [*confusion.labels[:MATRIX_LABELS], None]
    rows = [(there, [confusion.counts[there, found] for found in columns]) for there in columns]
    cell = None
    if asked.there is not None or asked.found is not None:
        names = confusion.images[asked.there or None, asked.found or None]
        cell = _cell(names, asked, truth, collected)
    return Evaluated(
        as_json(result, collected, truth), rows, columns, is_biased and not asked.audit, cell
    )


def _cell(
    names: list[str], asked: EvaluationParameters, truth: "Truth", collected: "Collected"
) -> Cell:
    """Return the images of these names, with their truths and findings."""
    first = (asked.page - 1) * SHOWN
    samples = {sample.name: sample for sample in collected.samples}
    known = {image.name: (image_id, image) for image_id, image in truth.images.items()}
    images = []
    for name in names[first : first + SHOWN]:
        image_id, image = known[name]
        sample = samples[name]
        there = [_thing(one, None, image.size_px, asked.there) for one in sample.ground_truth]
        found = [
            _thing(one, one.confidence, image.size_px, asked.found)
            for one in sample.predictions
            if one.confidence >= asked.threshold
        ]
        width_px, height_px = image.size_px or (None, None)
        images.append(
            EvaluatedImage(image_id, name, width_px, height_px, tuple(there), tuple(found))
        )
    return Cell(tuple(images), len(names), max(1, -(-len(names) // SHOWN)))


def _thing(
    one: "CocoAnnotation",
    confidence: float | None,
    size_px: tuple[int, int] | None,
    asked: str | None,
) -> Thing:
    box = None
    if one.bbox_px is not None and size_px is not None:
        left, top, width, height = one.bbox_px
        box = BoundingBox(
            left / size_px[0], top / size_px[1], width / size_px[0], height / size_px[1]
        )
    return Thing(one.label, confidence, box, one.label == asked)
