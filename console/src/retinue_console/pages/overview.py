"""The first page: the newest images, and how processing goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from retinue_console.page import Call, Page, Parameters
from retinue_console.queries.costs import MonthCost, month_costs
from retinue_console.queries.detectors import Drifts, list_drift
from retinue_console.queries.filters import Filters
from retinue_console.queries.gallery import GalleryImage, detectors, images
from retinue_console.queries.overview import Rate, failed_today, newest_image, rate
from retinue_console.queries.review import OpenQueue, open_queues

IMAGES = 24
"""Images on the page."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the page.

    Attributes:
        images: The newest images, newest first.
        detectors: Names of detectors, in the order of their colours.
        rate: How fast images are processed now.
        failed_today: Images that failed since midnight in UTC; none if it takes too long to count.
        months: Costs by month and detector; the newest month first.
        budgets: The monthly budget of each detector that has one, in US dollars.
        drift: The labels whose share of the detections changed most.
        queues: The newest queues with images to review; none if it takes too long to count.
    """

    images: tuple[GalleryImage, ...]
    detectors: tuple[str, ...]
    rate: Rate
    failed_today: int | None
    months: tuple[MonthCost, ...]
    budgets: Mapping[str, Decimal]
    drift: Drifts
    queues: tuple[OpenQueue, ...] | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest image.

    Attributes:
        image_id: Its id; none if there are no images.
    """

    image_id: UUID | None


def overview(call: Call[Parameters]) -> Page[Overview]:
    """Show the newest images, and how processing goes."""
    with call.database.read() as connection:
        found = images(connection, Filters(), wanted=IMAGES)
        queues = open_queues(connection, call.identity.login)
        data = Overview(
            found.rows,
            tuple(detectors(connection)),
            rate(connection),
            failed_today(connection),
            tuple(month_costs(connection)),
            call.services.budgets,
            list_drift(connection),
            None if queues is None else tuple(queues),
        )
    return Page("overview.html", "Overview", data, rows=data.images)


def newest(call: Call[Parameters]) -> Page[Newest]:
    """Return the newest image, so that an open page can offer to show it."""
    with call.database.read() as connection:
        data = Newest(newest_image(connection))
    return Page("newest.html", "Newest image", data)
