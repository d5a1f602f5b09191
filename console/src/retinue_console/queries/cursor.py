"""A place in a list that is read page by page: opaque in the address, and checked when it returns.

A page continues after the last row of the one before, so that a late page costs as much as the
first one, and rows that are inserted meanwhile move nothing.
"""

import base64
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, get_args
from uuid import UUID

from psycopg import sql

Order = Literal["uploaded", "found", "patches-found", "started", "recorded"]
"""The order of a list, newest first.

``uploaded``: images by their upload. ``found``: images by the newest detection that matches.
``patches-found``: detections by their time. ``started``: runs by their start. ``recorded``: rows by
their number.
"""

_MAX_LENGTH = 200
_MAX_NUMBER = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The row after which a list continues, or before which it does.

    Attributes:
        order: The order of the list.
        at: The row's time; none if rows are sorted by their number.
        image_id: The row's image, where the rows are images.
        number: The row's number, where the rows have one; for ``found``, the newest run when the
            list was begun, so that later runs don't move an image between its pages.
        backward: Whether the rows before this one follow, up to the page before.
    """

    order: Order
    at: datetime | None = None
    image_id: UUID | None = None
    number: int | None = None
    backward: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of ``str()``.

        Raises:
            ValueError: It was changed, or never was a cursor.
        """
        cursor = None
        if len(text) <= _MAX_LENGTH and text.isascii():
            with suppress(ValueError, TypeError, OverflowError, RecursionError):
                padded = text + "=" * (-len(text) % 4)
                cursor = cls._read(json.loads(base64.urlsafe_b64decode(padded)))
        # Equal in writing, so that each place has one address.
        if cursor is None or str(cursor) != text:
            raise ValueError(f"{text[:40]!r} isn't a position in a list. Start at the first page")
        return cursor

    @classmethod
    def _read(cls, values: Any) -> Self:
        order, micros, image_id, number, *backward = values
        if order not in get_args(Order) or [micros is None, image_id is None, number is None] != [
            *_ABSENT[order]
        ]:
            raise ValueError(order)
        if number is not None and not (type(number) is int and 0 <= number <= _MAX_NUMBER):
            raise ValueError(number)
        if backward not in ([], [True]):
            raise ValueError(backward)
        return cls(
            order,
            None if micros is None else _EPOCH + micros * _MICROSECOND,
            None if image_id is None else UUID(image_id),
            number,
            bool(backward),
        )

    @property
    def position(self) -> tuple[datetime | None, UUID | int | None]:
        """Return the columns by which the list is sorted."""
        return self.at, self.number if self.image_id is None else self.image_id

    def __str__(self) -> str:
        """Return the cursor for an address."""
        values = [
            self.order,
            None if self.at is None else (self.at - _EPOCH) // _MICROSECOND,
            None if self.image_id is None else self.image_id.hex,
            self.number,
            *([True] if self.backward else []),
        ]
        text = json.dumps(values, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")


def continued(after: Cursor | None, order: Order) -> Cursor | None:
    """Return the place after which a list continues.

    Raises:
        ValueError: It belongs to a list that is sorted otherwise.
    """
    if after is not None and after.order != order:
        raise ValueError("after is a position in another list. Start at the first page")
    return after


def directions(after: Cursor | None) -> dict[str, sql.SQL]:
    """Return the sort orders of a list's columns: forwards (``down``) and backwards (``up``)."""
    down, up = (sql.SQL("DESC"), sql.SQL("ASC"))
    return {"down": up, "up": down} if after and after.backward else {"down": down, "up": up}


def beyond_time(time: str, second: str, after: Cursor | None) -> list[sql.Composable]:
    """Return the conditions on the rows beyond a place in a list by a time and another column.

    The first condition is for the index.
    """
    if after is None:
        return []
    at, other = after.position
    columns = {"time": sql.Identifier(time), "second": sql.Identifier(second)}
    values = {"at": sql.Literal(at), "other": sql.Literal(other)}
    condition = sql.SQL(
        "{time} >= {at} AND ({time}, {second}) > ({at}, {other})"
        if after.backward
        else "{time} <= {at} AND ({time}, {second}) < ({at}, {other})"
    )
    return [condition.format(**columns, **values)]


def beyond(column: str, after: Cursor | None) -> list[sql.Composable]:
    """Return the condition on the rows beyond a place in a list that is sorted by their number."""
    if after is None:
        return []
    sign = sql.SQL(">" if after.backward else "<")
    return [sql.Identifier(column) + sign + sql.Literal(after.number)]


_ABSENT: dict[Order, tuple[bool, bool, bool]] = {
    "uploaded": (False, False, True),
    "found": (False, False, False),
    "patches-found": (False, True, False),
    "started": (False, True, False),
    "recorded": (True, True, False),
}
"""Which of time, image and number a cursor of each order lacks."""
