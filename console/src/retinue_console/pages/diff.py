"""Differences: where two detectors, versions or truths differ, and in which images."""

import shlex
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import Field
from retinue_cli.data.comparison import Labels, by_image, summary
from retinue_history.analysis.comparison import (
    Change,
    Difference,
    Side,
    compare,
    overlap,
)
from retinue_history.db.connections import Connection
from retinue_history.db.snapshot import Snapshot
from retinue_history.review.truth import truth_names
from retinue_sdk import BoundingBox

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.detectors import list_sides
from retinue_console.queries.filters import Word
from retinue_console.queries.image import sizes_of
from retinue_console.queries.reading import largest_part, within

NEWEST = (1_000, 100, 10)
"""The numbers of newest images in which detectors are compared: the next one if one takes long.
`retinue diff` has no limit."""

COMPARE_MS = 3_000
"""Time limit of each of a comparison's statements."""

MAX_TRUTH_IMAGES = 5_000
"""Maximum number of images of a truth that can be compared. All of them are compared."""

SHOWN = 24
"""Images of a page."""


COLUMNS = (
    *("kind", "label", "kept", "gained", "lost", "unknown"),
    *("mean_confidence_shift", "mean_iou"),
)
"""The columns of ``.csv`` for each label."""


class DiffParameters(Parameters):
    """The two sides, and which images to show."""

    before: Word | None = None
    """One side: a detector, ``NAME@VERSION``, optionally followed by ``,model=VERSION``, a run's
    number, or the name of a truth."""

    after: Word | None = None
    """The other side."""

    min_iou: float = Field(default=0.5, gt=0, le=1)
    """Minimum overlap of two boxes that show the same thing."""

    label: Word | None = None
    """Only images in which this label changed."""

    kind: Word | None = None
    """The label's kind."""

    change: Change | None = None
    """Only images with this change: kept, gained, lost or unknown."""

    page: int = Field(default=1, ge=1, le=MAX_TRUTH_IMAGES)
    """The page of the images."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A change of one detection.

    Attributes:
        change: kept, gained, lost or unknown.
        kind: The detection's kind.
        label: Its label.
        confidence_before: Its confidence before; none if gained.
        confidence_after: Its confidence after; none if lost.
        iou: Overlap of the boxes; none unless both sides have one.
        box_before: Its former place; none if gained, or without a box.
        box_after: The box in the second run; none if lost, or without a box.
        matches: Whether it matches the filter.
    """

    change: Change
    kind: str
    label: str
    confidence_before: float | None
    confidence_after: float | None
    iou: float | None
    box_before: BoundingBox | None
    box_after: BoundingBox | None
    matches: bool


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image with its changes.

    Attributes:
        image_id: Its id.
        s3_uri: Its address.
        width_px: Its width as displayed, if known.
        height_px: Its height as displayed, if known.
        changes: Changed and kept detections.
    """

    image_id: UUID
    s3_uri: str
    width_px: int | None
    height_px: int | None
    changes: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison.

    Attributes:
        summary: The ``summary`` that ``retinue diff --json`` prints.
        labels: The labels of the summary, those that changed most first.
        newest: In how many images the sides were compared, the newest; none for all.
        is_part: Whether they are fewer than usual, because more take too long.
        command: The command that prints the same figures.
        images: The images of the page: those that match the filter, by default with gained
            or lost; those with most of it first.
        all_images: Number of images on all pages.
        pages: Number of pages.
    """

    summary: dict[str, Any]
    labels: list[dict[str, Any]]
    newest: int | None
    is_part: bool
    command: str
    images: tuple[ChangedImage, ...]
    all_images: int
    pages: int


@dataclass(frozen=True, slots=True)
class Diff:
    """The data of the page.

    Attributes:
        sides: Sides to choose from: detectors, their versions, models and sets of options, and
            truths.
        compared: The comparison that was asked for.
        problem: Why there is none.
    """

    sides: tuple[str, ...]
    compared: Compared | None
    problem: str | None


def diff(call: Call[DiffParameters]) -> Page[Diff]:
    """Compare two sides, as ``retinue diff`` does, and show the images."""
    asked = call.parameters
    compared, problem = None, None
    with call.database.read() as reader:
        truths = {one.name: one.images for one in truth_names(reader)}
        sides = (*list_sides(reader), *truths)
        if asked.before and asked.after:
            before, after = _side("before", asked.before), _side("after", asked.after)
            of_truths = [truths[name] for name in (before.truth, after.truth) if name in truths]
            if of_truths and min(of_truths) > MAX_TRUTH_IMAGES:
                problem = (
                    f"The truth has {min(of_truths):,} images, and this page compares up to "
                    f"{MAX_TRUTH_IMAGES:,}. Run {_command(asked, None)}"
                )
            else:
                compared = _largest(reader, asked, before, after, all_images=bool(of_truths))
                if compared is None:
                    problem = (
                        "The comparison takes too long, because the database is slow now. Try "
                        f"again, or run {_command(asked, None if of_truths else NEWEST[0])}"
                    )
    labels = [] if compared is None else compared.labels
    return Page(
        "diff.html",
        "Differences",
        Diff(sides, compared, problem),
        rows=[tuple(one.values()) for one in labels],
        columns=COLUMNS,
    )


def _side(name: str, text: str) -> Side:
    try:
        return Side.parse(text)
    except ValueError as error:
        raise ParameterError(f"The parameter {name} is wrong: {error}.") from error


def _command(asked: DiffParameters, newest: int | None) -> str:
    options = [] if newest is None else ["--newest", str(newest)]
    if asked.min_iou != DiffParameters().min_iou:
        options += ["--min-iou", f"{asked.min_iou:g}"]
    return shlex.join(["retinue", "diff", str(asked.before), str(asked.after), *options])


def _largest(
    reader: Connection, asked: DiffParameters, before: Side, after: Side, *, all_images: bool
) -> Compared | None:
    """Compare the sides in all images, or in as many as the time allows."""
    if all_images:
        return within(
            reader, COMPARE_MS, lambda: _compared(reader, asked, before, after, newest=None)
        )
    found = largest_part(
        reader,
        NEWEST,
        COMPARE_MS,
        lambda newest: _compared(reader, asked, before, after, newest=newest),
    )
    return None if found is None else found[1]


def _compared(
    reader: Connection, asked: DiffParameters, before: Side, after: Side, *, newest: int | None
) -> Compared:
    history = Snapshot(reader)
    seen = overlap(history, before, after, newest=newest)
    labels: Labels = {}
    changes = compare(history, before, after, min_iou=asked.min_iou, newest=newest)
    found = [
        (-matching, image[0].image_id, image)
        for image in by_image(changes, labels)
        if (matching := sum(_matches(asked, one) for one in image))
    ]
    found.sort(key=lambda each: each[:2])
    pages = max(1, -(-len(found) // SHOWN))
    first = (asked.page - 1) * SHOWN
    shown = [image for _, _, image in found[first : first + SHOWN]]
    sizes = sizes_of(reader, [image[0].image_id for image in shown])
    images = tuple(
        ChangedImage(
            image[0].image_id,
            image[0].s3_uri,
            *sizes.get(image[0].image_id, (None, None)),
            tuple(_changed(asked, one) for one in image),
        )
        for image in shown
    )
    figures = summary(seen, labels)
    ordered = sorted(figures["labels"], key=lambda one: -one["gained"] - one["lost"])
    is_part = newest is not None and newest < NEWEST[0]
    command = _command(asked, newest)
    return Compared(figures, ordered, newest, is_part, command, images, len(found), pages)


def _matches(asked: DiffParameters, one: Difference) -> bool:
    return (
        one.change in (("gained", "lost") if asked.change is None else (asked.change,))
        and asked.label in (None, one.label)
        and asked.kind in (None, one.kind)
    )


def _changed(asked: DiffParameters, one: Difference) -> Changed:
    return Changed(
        one.change,
        one.kind,
        one.label,
        one.confidence_before,
        one.confidence_after,
        one.iou,
        None if one.box_before is None else BoundingBox(*one.box_before),
        None if one.box_after is None else BoundingBox(*one.box_after),
        _matches(asked, one),
    )
