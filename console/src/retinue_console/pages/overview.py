"""The first page: the newest images, and how processing goes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retinue_console.page import Call, Page, Parameters


@dataclass(frozen=True, slots=True)
class RecentImage:
    """An image.

    Attributes:
        image_id: Its id.
        bucket: Its bucket.
        key: Its key.
        uploaded_at: When S3 created it.
    """

    image_id: UUID
    bucket: str
    key: str
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """The data of the page.

    Attributes:
        images: The newest images, newest first.
    """

    images: list[RecentImage]


def overview(call: Call[Parameters]) -> Page[Overview]:
    """Show the newest images."""
    with call.database.read() as connection:
        rows = connection.execute(_NEWEST).fetchall()
    images = [RecentImage(*row) for row in rows]
    return Page("overview.html", "Overview", Overview(images), rows=images)


_NEWEST = """SELECT image_id, bucket, key, uploaded_at
FROM images
WHERE deleted_at IS NULL
ORDER BY last_uploaded_at DESC, image_id DESC
LIMIT 24"""
