"""Failed runs without a later success, by cause, with the remedy of each."""

import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from psycopg import sql
from psycopg.rows import class_row, dict_row
from retinue_cli.data.error_codes import ERROR_CODES, ErrorCode
from retinue_history.analysis.failures import Cause, Failures, causes_query, failed_runs_query
from retinue_history.analysis.selection import split_place
from retinue_history.db.connections import Connection

from retinue_console.queries.cursor import Cursor, continued
from retinue_console.queries.filters import Filters
from retinue_console.queries.reading import within
from retinue_console.queries.walk import PAGE, Looked, Page, walk

COUNT_MS = 1_200
"""Time limit of counting failures in one period."""

SHORTER = (timedelta(days=7), timedelta(days=1), timedelta(hours=1))
"""The periods that are counted, one after the other, if all failures take too long."""


@dataclass(frozen=True, slots=True)
class FailureCause:
    """Runs of a detector that failed for the same reason.

    Attributes:
        detector: The detector's name.
        error_code: The reason, for programs.
        images: Number of images.
        attempts: Number of runs.
        last_at: When the last one started.
        example: The last one's image, as an ``s3://`` URI.
        message: The last one's message.
        known: The cause and the remedy, if it is a code of Retinue's own.
        replay: The command that tries these images again.
    """

    detector: str
    error_code: str
    images: int
    attempts: int
    last_at: datetime
    example: str
    message: str
    known: ErrorCode | None
    replay: str


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A failed run that nothing has made up for.

    Attributes:
        run_id: Its row number.
        image_id: The image.
        bucket: The bucket's name.
        key: The object's key.
        detector: The detector's name.
        detector_version: The detector's version.
        error_code: The reason, for programs.
        error_message: The reason, for people.
        retryable: Whether another attempt can end differently.
        started_at: When the detector was called.
    """

    run_id: int
    image_id: UUID
    bucket: str
    key: str
    detector: str
    detector_version: str
    error_code: str
    error_message: str
    retryable: bool
    started_at: datetime


def as_failures(filters: Filters, error_code: str | None) -> Failures:
    """Return the failures that match filters, as ``retinue failures`` does."""
    bucket, prefix = (None, "") if filters.prefix is None else split_place(filters.prefix)
    return Failures(
        detector=filters.detector,
        error_code=error_code,
        since=filters.since,
        until=filters.until,
        bucket=bucket,
        prefix=prefix,
    )


@dataclass(frozen=True, slots=True)
class Causes:
    """Failures by cause.

    Attributes:
        causes: Those of most images first.
        counted_since: Failures before this time aren't counted, because that takes too long; none
            if all are.
    """

    causes: tuple[FailureCause, ...]
    counted_since: datetime | None


def list_causes(
    connection: Connection, failures: Failures, *, milliseconds: int = COUNT_MS
) -> Causes:
    """Count failed runs by detector and cause; if that takes too long, those of a shorter period.

    Args:
        connection: A reader's connection.
        failures: The failures.
        milliseconds: Time limit of each period.
    """
    causes = within(connection, milliseconds, lambda: _causes(connection, failures))
    if causes is not None:
        return Causes(causes, None)
    until = failures.until or datetime.now(UTC)
    for period in SHORTER:
        since = until - period
        if failures.since is not None and since <= failures.since:
            continue
        recent = replace(failures, since=since)
        causes = within(connection, milliseconds, partial(_causes, connection, recent))
        if causes is not None:
            return Causes(causes, since)
    return Causes((), until)


def _causes(connection: Connection, failures: Failures) -> tuple[FailureCause, ...]:
    query, parameters = causes_query(failures)
    with connection.cursor(row_factory=class_row(Cause)) as cursor:
        causes = cursor.execute(query, parameters).fetchall()
    return tuple(
        FailureCause(
            cause.detector,
            cause.error_code,
            cause.images,
            cause.attempts,
            cause.last_at,
            cause.example,
            cause.message,
            ERROR_CODES.get(cause.error_code),
            replay_command(failures, cause.detector, cause.error_code),
        )
        for cause in causes
    )


def failed_runs(
    connection: Connection, failures: Failures, after: Cursor | None, *, wanted: int = PAGE
) -> Page[FailedRun]:
    """Return the next failed runs, the newest first.

    Raises:
        ValueError: The cursor belongs to another list.
    """
    after = continued(after, "recorded")
    names = FailedRun.__slots__

    def look(after: Cursor | None, size: int, wanted: int) -> Looked[FailedRun]:
        del size  # all that are looked at match
        number = None if after is None else after.number
        back = after is not None and after.backward
        query, parameters = failed_runs_query(
            failures,
            before=None if back else number,
            after=number if back else None,
            limit=wanted,
        )
        with connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, parameters).fetchall()
        found = [FailedRun(**{name: row[name] for name in names}) for row in rows]
        return Looked([(Cursor("recorded", number=one.run_id), one) for one in found], None)

    return walk(connection, look, after, wanted=wanted)


def replay_command(failures: Failures, detector: str, error_code: str) -> str:
    """Return the command that plans to try the images of a cause again."""
    words = ["retinue", "replay", "--detector", detector, "--error-code", error_code]
    if failures.since is not None:
        words += ["--since", failures.since.isoformat()]
    if failures.until is not None:
        words += ["--until", failures.until.isoformat()]
    if failures.bucket is not None:
        words += ["--prefix", f"s3://{failures.bucket}/{failures.prefix}"]
    elif failures.prefix:
        condition = sql.SQL("starts_with(key, {})").format(sql.Literal(failures.prefix))
        words += ["--where", condition.as_string(None)]
    return shlex.join(words)
