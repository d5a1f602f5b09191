"""The gallery: images, detections cut out of them, or a table."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.filters import Filters
from retinue_console.queries.gallery import (
    GalleryImage,
    Month,
    Patch,
    detectors,
    images,
    months,
    patches,
    same_in_sql,
)
from retinue_console.queries.walk import Page as FoundPage


class GalleryParameters(Filters, Parameters):
    """The parameters of the gallery."""

    shape: Literal["grid", "patches", "table"] = "grid"
    """The form: a grid of images, detections cut out of their images, or a table of images."""


EMPTY: FoundPage[Any] = FoundPage((), None, None, None, False)


@dataclass(frozen=True, slots=True)
class Gallery:
    """The data of the page.

    Attributes:
        shape: grid, patches or table.
        images: The images, newest first; empty for patches.
        patches: The detections, newest first; empty for other shapes.
        next: ``after`` of the next page; none at the end.
        previous: ``after`` of the previous page; none at the beginning.
        stopped_early: Whether the search stopped before the page was full, because it took long.
        looked_until: How far back it has looked, where images have times.
        months: Months to jump to, newest first; none if that takes too long.
        detectors: Names of detectors to choose from.
        sql: The same as a query.
    """

    shape: str
    images: tuple[GalleryImage, ...]
    patches: tuple[Patch, ...]
    next: str | None
    previous: str | None
    stopped_early: bool
    looked_until: datetime | None
    months: tuple[Month, ...] | None
    detectors: tuple[str, ...]
    sql: str


def gallery(call: Call[GalleryParameters]) -> Page[Gallery]:
    """Show images and detections that match."""
    given = call.parameters
    is_cut = given.shape == "patches"
    with call.database.read() as connection:
        try:
            cut_out = patches(connection, given) if is_cut else EMPTY
            whole = EMPTY if is_cut else images(connection, given)
        except ValueError as error:
            raise ParameterError(f"The parameter {error}.") from error
        jumps = months(connection, given, of_detections=is_cut)
        names = detectors(connection)
    found = cut_out if is_cut else whole
    data = Gallery(
        given.shape,
        whole.rows,
        cut_out.rows,
        found.next,
        found.previous,
        found.stopped_early,
        found.looked_until,
        None if jumps is None else tuple(jumps),
        tuple(names),
        same_in_sql(given, of_detections=is_cut),
    )
    return Page("gallery.html", "Images", data, rows=found.rows)
