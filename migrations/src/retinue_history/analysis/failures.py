"""Find images to process again: those with failed or missing runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar
from uuid import UUID

from psycopg import sql

from retinue_history.db.errors import HistorySchemaError, QueryError
from retinue_history.db.snapshot import snapshot
from retinue_history.recording.records import DetectorConfiguration

RowT = TypeVar("RowT")

# A failure is resolved if the same detector succeeded later, in another version or with other
# options. Deleted images can't be processed.
_FAILED: LiteralString = """
    SELECT failed.*
    FROM failed_runs AS failed
    WHERE failed.deleted_at IS NULL
        AND NOT EXISTS (
            SELECT FROM runs AS success
            WHERE success.image_id = failed.image_id
                AND success.detector = failed.detector
                AND success.outcome = 'succeeded'
                AND success.started_at > failed.started_at
        )
        AND (%(detector)s::text IS NULL OR failed.detector = %(detector)s)
        AND (%(error_code)s::text IS NULL OR failed.error_code = %(error_code)s)
        AND (%(since)s::timestamptz IS NULL OR failed.started_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR failed.started_at < %(until)s)
        AND (%(bucket)s::text IS NULL OR failed.bucket = %(bucket)s)
        AND starts_with(failed.key, %(prefix)s)
"""

_IMAGE: LiteralString = """
    images.image_id, images.bucket, images.key, images.version, images.versioned, images.etag,
    images.size_bytes, images.sequencer, images.last_uploaded_at AS uploaded_at
"""

_OF_FAILED: LiteralString = """
    SELECT
        {image},
        array_agg(DISTINCT failed.detector) AS detectors,
        max(failed.run_id) AS last_run_id
    FROM (SELECT * FROM ({failed}) AS failed WHERE ({condition})) AS failed
    JOIN images USING (image_id)
    GROUP BY images.image_id
    ORDER BY images.image_id
"""

_OF_MISSING: LiteralString = """
    SELECT
        {image},
        array_agg(wanted.detector ORDER BY wanted.detector) AS detectors,
        coalesce(max(tried.run_id), 0) AS last_run_id
    FROM images
    CROSS JOIN unnest(%(detectors)s::text[], %(versions)s::text[], %(fingerprints)s::text[])
        AS wanted (detector, detector_version, fingerprint)
    LEFT JOIN LATERAL (
        SELECT max(runs.run_id) AS run_id, bool_and(runs.retryable) AS retryable
        FROM runs
        WHERE runs.image_id = images.image_id
            AND runs.detector = wanted.detector
            AND runs.detector_version = wanted.detector_version
            AND runs.fingerprint = wanted.fingerprint
    ) AS tried ON true
    WHERE tried.retryable IS NOT FALSE
        AND images.deleted_at IS NULL
        AND (%(since)s::timestamptz IS NULL OR images.uploaded_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR images.uploaded_at < %(until)s)
        AND (%(bucket)s::text IS NULL OR images.bucket = %(bucket)s)
        AND starts_with(images.key, %(prefix)s)
    GROUP BY images.image_id
    ORDER BY images.image_id
"""

_CAUSES: LiteralString = """
    SELECT
        detector,
        error_code,
        count(DISTINCT image_id) AS images,
        count(*) AS attempts,
        max(started_at) AS last_at,
        (array_agg(s3_uri ORDER BY started_at DESC))[1] AS example,
        (array_agg(error_message ORDER BY started_at DESC))[1] AS message
    FROM ({failed}) AS failed
    WHERE ({condition})
    GROUP BY detector, error_code
    ORDER BY images DESC, detector, error_code
"""


_COUNT: LiteralString = """
    SELECT count(DISTINCT image_id) FROM ({failed}) AS failed WHERE ({condition})
"""

_RUNS: LiteralString = """
    SELECT *
    FROM ({failed}) AS failed
    WHERE ({condition}) AND (%(before)s::bigint IS NULL OR failed.run_id < %(before)s)
        AND (%(after)s::bigint IS NULL OR failed.run_id > %(after)s)
    ORDER BY CASE WHEN %(after)s::bigint IS NULL THEN -run_id ELSE run_id END
    LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Failures:
    """A selection of failed runs. ``None`` means no restriction.

    Attributes:
        detector: The detector's name.
        error_code: The error code.
        since: Not before this time (aware).
        until: Before this time (aware).
        bucket: The image's bucket.
        prefix: The prefix of the image's key.
        condition: A condition in SQL over the columns of the view ``failed_runs``. It is evaluated
            in a read-only transaction, with the rights of the login.
    """

    detector: str | None = None
    error_code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    bucket: str | None = None
    prefix: str = ""
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayImage:
    """An image to process again.

    Attributes:
        image_id: Its id.
        bucket: The S3 bucket's name.
        key: The S3 object's key.
        version: The S3 version id, or the ETag in an unversioned bucket.
        versioned: Whether ``version`` is an S3 version id.
        etag: The object's ETag, if known.
        size_bytes: Its size in bytes, if known.
        sequencer: Of the event that created it, if known.
        uploaded_at: When S3 last created it.
        detectors: Names of the requested detectors.
        last_run_id: The newest failed run; 0 if there is none.
    """

    image_id: UUID
    bucket: str
    key: str
    version: str
    versioned: bool
    etag: str | None
    size_bytes: int | None
    sequencer: str | None
    uploaded_at: datetime
    detectors: list[str]
    last_run_id: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The failures of a detector with one error code.

    Attributes:
        detector: Its name.
        error_code: The error code.
        images: Number of images.
        attempts: Number of runs.
        last_at: When the last one started.
        example: The last one's image, as an ``s3://`` URI.
        message: The error message.
    """

    detector: str
    error_code: str
    images: int
    attempts: int
    last_at: datetime
    example: str
    message: str


def failure_causes(url: str, failures: Failures) -> list[Cause]:
    """Count unresolved failed runs, by detector and cause.

    Raises:
        QueryError: The condition is refused.
        HistoryUnavailableError: The database doesn't answer now.
    """
    question, parameters = causes_query(failures)
    conditional = failures.condition is not None
    return list(_ask(url, Cause, question, parameters, conditional=conditional))


def causes_query(failures: Failures) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the query of ``failure_causes``, whose columns are those of ``Cause``."""
    return _with_condition(_CAUSES, failures), _parameters(failures)


def failed_images_count(failures: Failures) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the query of the number of images that ``failed_images`` yields."""
    return _with_condition(_COUNT, failures), _parameters(failures)


def failed_runs_query(
    failures: Failures, *, before: int | None = None, after: int | None = None, limit: int
) -> tuple[sql.Composed, dict[str, Any]]:
    """Return a query of the failed runs that nothing has made up for, the newest first.

    Args:
        failures: The failures.
        before: Only those recorded before the run with this number.
        after: Only those recorded after it, those next to it first.
        limit: Maximum number of runs to return.
    """
    place = {"before": before, "after": after, "limit": limit}
    return _with_condition(_RUNS, failures), _parameters(failures) | place


def failed_images(url: str, failures: Failures) -> Iterator[ReplayImage]:
    """Yield the images of unresolved failed runs, each once, ordered by id.

    Raises:
        QueryError: The condition is refused.
        HistoryUnavailableError: The database doesn't answer now.
    """
    question = _with_condition(_OF_FAILED, failures)
    conditional = failures.condition is not None
    return _ask(url, ReplayImage, question, _parameters(failures), conditional=conditional)


def missing_images(
    url: str, detectors: Sequence[DetectorConfiguration], failures: Failures
) -> Iterator[ReplayImage]:
    """Yield the images that some run key isn't done with, ordered by id.

    A key is done with an image once it succeeded, or failed in a way that isn't retryable.

    Args:
        url: The database.
        detectors: The configurations of the detectors.
        failures: ``since`` and ``until`` apply to the upload. ``detector``, ``error_code`` and
            ``condition`` are ignored.

    Raises:
        HistoryUnavailableError: The database doesn't answer now.
    """
    asked = {
        "detectors": [one.detector for one in detectors],
        "versions": [one.detector_version for one in detectors],
        "fingerprints": [one.fingerprint for one in detectors],
    }
    question = sql.SQL(_OF_MISSING).format(image=sql.SQL(_IMAGE))
    return _ask(url, ReplayImage, question, _parameters(failures) | asked)


def _parameters(failures: Failures) -> dict[str, Any]:
    return {
        "detector": failures.detector,
        "error_code": failures.error_code,
        "since": failures.since,
        "until": failures.until,
        "bucket": failures.bucket,
        "prefix": failures.prefix,
    }


def _with_condition(question: LiteralString, failures: Failures) -> sql.Composed:
    """Add the user's own condition, which is SQL and isn't quoted. Escape its percent signs."""
    condition = (failures.condition or "true").replace("%", "%%")
    return sql.SQL(question).format(
        image=sql.SQL(_IMAGE), failed=sql.SQL(_FAILED), condition=sql.SQL(condition)
    )


def _ask(
    url: str,
    row: Callable[..., RowT],
    question: sql.Composed,
    parameters: dict[str, Any],
    *,
    conditional: bool = False,
) -> Iterator[RowT]:
    """Yield rows of one snapshot without holding all of them."""
    with snapshot(url, "retinue replay") as history:
        try:
            for values in history.rows(question, parameters):
                yield row(*values)
        except HistorySchemaError as error:
            if not conditional:
                raise
            # The condition probably names a column that doesn't exist.
            raise QueryError(str(error.__cause__).strip()) from error
