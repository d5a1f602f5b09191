"""Runs, the newest first."""

from dataclasses import dataclass

from retinue_console.page import Call, Page, ParameterError, Parameters
from retinue_console.queries.filters import AfterCursor, Filters, Moment, Word
from retinue_console.queries.runs import ListedRun, Outcome, list_runs


class RunParameters(Parameters):
    """The parameters of the page of runs."""

    detector: Word | None = None
    """Only runs of this detector."""

    version: Word | None = None
    """Only runs of this version of the detector."""

    outcome: Outcome | None = None
    """Only runs that ended so: succeeded, failed or skipped."""

    since: Moment | None = None
    """Not before this time: 2026-01-31, or 7d for seven days ago."""

    until: Moment | None = None
    """Before this time."""

    prefix: Word | None = None
    """The beginning of the key, or s3://bucket/prefix."""

    after: AfterCursor | None = None
    """The place where the list continues: ``next`` or ``previous`` of another page."""


@dataclass(frozen=True, slots=True)
class RunsPage:
    """The data of the page.

    Attributes:
        runs: The runs, the newest first.
        next: ``after`` of the next page; none at the end.
        previous: ``after`` of the previous page; none at the beginning.
        stopped_early: Whether the search stopped before the page was full, because it took long.
    """

    runs: tuple[ListedRun, ...]
    next: str | None
    previous: str | None
    stopped_early: bool


def runs(call: Call[RunParameters]) -> Page[RunsPage]:
    """Show the latest runs."""
    given = call.parameters
    try:
        filters = Filters.model_validate(
            {name: value for name, value in given if name != "outcome" and value is not None}
        )
        with call.database.read() as connection:
            found = list_runs(connection, filters, given.outcome)
    except ValueError as error:
        raise ParameterError(str(error)) from error
    data = RunsPage(found.rows, found.next, found.previous, found.stopped_early)
    return Page("runs.html", "Runs", data, rows=found.rows)
