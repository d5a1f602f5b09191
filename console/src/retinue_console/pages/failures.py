"""Failures by cause, with the remedy and the command that tries again."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.failures import (
    FailedRun,
    FailureCause,
    as_failures,
    failed_runs,
    list_causes,
)
from retinue_console.queries.filters import AfterCursor, Filters, Moment, Word


class FailureParameters(Parameters):
    """The parameters of the page of failures."""

    detector: Word | None = None
    """Only failures of this detector."""

    error_code: Word | None = None
    """Only failures with this code. The page then lists the images."""

    since: Moment | None = None
    """Not before this time: 2026-01-31, or 7d for seven days ago."""

    until: Moment | None = None
    """Before this time."""

    prefix: Word | None = None
    """The beginning of the key, or s3://bucket/prefix."""

    after: AfterCursor | None = None
    """The place where the list of images continues: ``next`` or ``previous`` of another page."""


@dataclass(frozen=True, slots=True)
class FailuresPage:
    """The data of the page.

    Attributes:
        causes: Failures by detector and cause, those of most images first.
        counted_since: Failures before this time aren't counted, because that takes too long; none
            if all are.
        runs: Failed runs, the newest first, if an error code is given.
        next: ``after`` of the next page of runs; none at the end.
        previous: ``after`` of the previous page of runs; none at the beginning.
        stopped_early: Whether the list of runs stopped before it was full, because it took long.
    """

    causes: tuple[FailureCause, ...]
    counted_since: datetime | None
    runs: tuple[FailedRun, ...]
    next: str | None
    previous: str | None
    stopped_early: bool


def failures(call: Call[FailureParameters]) -> Page[FailuresPage]:
    """Show failures that no later success has made up for."""
    given = call.parameters
    try:
        filters = Filters(
            detector=given.detector, since=given.since, until=given.until, prefix=given.prefix
        )
        wanted = as_failures(filters, given.error_code)
        with call.database.read() as connection:
            counted = list_causes(connection, wanted)
            found = None
            if given.error_code is not None:
                found = failed_runs(connection, wanted, given.after)
    except ValueError as error:
        raise ParameterError(str(error)) from error
    data = FailuresPage(
        counted.causes,
        counted.counted_since,
        () if found is None else found.rows,
        None if found is None else found.next,
        None if found is None else found.previous,
        found is not None and found.stopped_early,
    )
    rows: tuple[Any, ...] = data.causes if given.error_code is None else data.runs
    return Page("failures.html", "Failures", data, rows=rows)
