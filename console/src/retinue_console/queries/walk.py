"""A page of a list whose rows are rare: look at more and more candidates, for two seconds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from retinue_history.db.connections import Connection

from retinue_console.queries.cursor import Cursor
from retinue_console.queries.reading import within

RowT = TypeVar("RowT")
ShownT = TypeVar("ShownT")
OtherT = TypeVar("OtherT")

PAGE = 60
"""Rows of a page."""

PATIENCE_SECONDS = 2.0
"""The time after which a page stops looking for more rows."""

GRACE_SECONDS = 1.0
"""How much longer the last look may take, such as one that reads from a slow disk. It is given up
then, and the page stops where that look began."""

_FIRST_LOOK = 64
_MAX_GROWTH = 8


@dataclass(frozen=True, slots=True)
class Looked(Generic[RowT]):
    """The rows among some candidates.

    Attributes:
        rows: Those that match, with the place of each, in the order in which they are looked at; at
            most as many as wanted.
        last: The place of the last candidate; none if there are no more.
    """

    rows: Sequence[tuple[Cursor, RowT]]
    last: Cursor | None


@dataclass(frozen=True, slots=True)
class Page(Generic[ShownT]):
    """A page of a list.

    Attributes:
        rows: The rows, at most ``PAGE``.
        next: The place after which the list continues; none at its end.
        previous: The place before which it does; none at its beginning.
        looked_until: If the search stopped early on the way back in time, how far it has looked;
            ``next`` continues there.
        stopped_early: Whether it did: it took ``PATIENCE_SECONDS``.
    """

    rows: tuple[ShownT, ...]
    next: str | None
    previous: str | None
    looked_until: datetime | None
    stopped_early: bool

    def with_rows(self, rows: tuple[OtherT, ...]) -> "Page[OtherT]":
        """Return the page with its rows in another form."""
        return Page(rows, self.next, self.previous, self.looked_until, self.stopped_early)


def walk(
    connection: Connection,
    look: Callable[[Cursor | None, int, int], Looked[RowT]],
    after: Cursor | None,
    *,
    wanted: int = PAGE,
    seconds: float = PATIENCE_SECONDS,
    first: int | None = None,
) -> Page[RowT]:
    """Find the next rows of a list, or those before.

    On the way to the beginning of a list, the first page follows when fewer rows than wanted are
    left.

    Args:
        connection: The connection that ``look`` reads from.
        look: Looks at candidates: those after a place, or before it if the place is ``backward``,
            how many, and how many rows to return.
        after: The place at which to begin; none for the beginning of the list.
        wanted: Number of rows to find.
        seconds: How long to look.
        first: Number of candidates in the first step, if many won't match; by default, about
            as many as are wanted.
    """
    rows: list[tuple[Cursor, RowT]] = []
    place = after
    began = time.monotonic()
    size, candidates, spent = first or min(_FIRST_LOOK, wanted + 4), 0, 0.0
    while True:
        limit = max(seconds - spent, 0.0) + GRACE_SECONDS
        looking = partial(look, place, size, wanted + 1 - len(rows))
        found = within(connection, round(limit * 1_000), looking)
        if found is None:
            break
        rows += found.rows
        if len(rows) > wanted:
            return _page(after, rows[:wanted], rows[wanted - 1][0])
        if found.last is None and after is not None and after.backward:
            return walk(connection, look, None, wanted=wanted, seconds=seconds, first=first)
        if found.last is None:
            return _page(after, rows, None)
        place = replace(found.last, backward=after is not None and after.backward)
        candidates += size
        spent = time.monotonic() - began
        if spent >= seconds:
            break
        found_so_far = len(rows) if found.rows else 0  # the others may be far away
        time_left = (seconds - spent) / max(spent, 1e-6)
        size = _next_size(size, candidates, found_so_far, wanted, time_left)
    return replace(
        _page(after, rows, place),
        stopped_early=True,
        looked_until=None if place is None or place.backward else place.at,
    )


def _page(after: Cursor | None, rows: list[tuple[Cursor, RowT]], last: Cursor | None) -> Page[RowT]:
    """Return a page with the places at both of its ends.

    Args:
        after: Its starting position.
        rows: Its rows, in the order in which they were looked at.
        last: Position at which the search continues; none at the end of the list.
    """
    shown = [row for _, row in rows]
    first = rows[0][0] if rows else after
    if after is not None and after.backward:
        return Page(
            tuple(reversed(shown)), _written(first, False), _written(last, True), None, False
        )
    before = None if after is None else _written(first, True)
    return Page(tuple(shown), _written(last, False), before, None, False)


def _written(place: Cursor | None, backward: bool) -> str | None:
    return None if place is None else str(replace(place, backward=backward))


def _next_size(size: int, candidates: int, found: int, wanted: int, time_left: float) -> int:
    """Estimate the number of candidates for the missing rows, within the remaining time.

    Args:
        size: Number of candidates in the last step.
        candidates: Number of candidates in all steps.
        found: Number of matches among them; 0 if the last step had none.
        wanted: Number of wanted matches.
        time_left: Remaining time, as a multiple of the time spent.
    """
    enough = candidates * (wanted + 1 - found) * 3 // (2 * found) if found else size * _MAX_GROWTH
    return max(_FIRST_LOOK, min(enough, size * _MAX_GROWTH, int(candidates * time_left)))
