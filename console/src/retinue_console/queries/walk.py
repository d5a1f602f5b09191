"""A page of a list whose rows are rare: look at more and more candidates, for two seconds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from retinue_console.queries.cursor import Cursor

RowT = TypeVar("RowT")
ShownT = TypeVar("ShownT")

PAGE = 60
"""Rows of a page."""

PATIENCE_SECONDS = 2.0
"""The time after which a page stops looking for more rows."""

_FIRST_LOOK = 64
_MAX_GROWTH = 8
_MAX_LOOKS = 7


@dataclass(frozen=True, slots=True)
class Looked(Generic[RowT]):
    """The rows among some candidates.

    Attributes:
        rows: Those that match, with the place of each, in order; at most as many as wanted.
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
        looked_until: If the search stopped early, how far back it has looked; ``next`` continues
            there.
        stopped_early: Whether it did: it took ``PATIENCE_SECONDS``.
    """

    rows: tuple[ShownT, ...]
    next: str | None
    looked_until: datetime | None
    stopped_early: bool


def walk(
    look: Callable[[Cursor | None, int, int], Looked[RowT]],
    after: Cursor | None,
    *,
    wanted: int = PAGE,
    seconds: float = PATIENCE_SECONDS,
) -> Page[RowT]:
    """Find the next rows of a list.

    Args:
        look: Looks at candidates: those after a place, how many, and how many rows to return.
        after: The place after which to begin; none for the beginning.
        wanted: How many rows to find.
        seconds: How long to look.
    """
    rows: list[tuple[Cursor, RowT]] = []
    began = time.monotonic()
    size, candidates = min(_FIRST_LOOK, wanted + 4), 0
    for _ in range(_MAX_LOOKS):
        found = look(after, size, wanted + 1 - len(rows))
        rows += found.rows
        if len(rows) > wanted:
            return Page(
                tuple(row for _, row in rows[:wanted]), str(rows[wanted - 1][0]), None, False
            )
        if found.last is None:
            return Page(tuple(row for _, row in rows), None, None, False)
        after = found.last
        candidates += size
        spent = time.monotonic() - began
        if spent >= seconds:
            break
        size = _next_size(size, candidates, len(rows), wanted, (seconds - spent) / max(spent, 1e-6))
    return Page(
        tuple(row for _, row in rows), str(after), None if after is None else after.at, True
    )


def _next_size(size: int, candidates: int, found: int, wanted: int, time_left: float) -> int:
    """Estimate how many candidates have the missing rows, as far as the time allows.

    Args:
        size: How many the last look was about.
        candidates: How many all looks were about.
        found: How many of them match.
        wanted: How many are wanted.
        time_left: What is left of the time, as a multiple of what was spent.
    """
    enough = candidates * (wanted + 1 - found) * 3 // (2 * found) if found else size * _MAX_GROWTH
    return max(_FIRST_LOOK, min(enough, size * _MAX_GROWTH, int(candidates * time_left)))
