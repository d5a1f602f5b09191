"""Which images to ask for again: those whose runs failed, or were never made."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, TypeVar
from uuid import UUID

from psycopg import sql

from retinue_history.db.errors import HistorySchemaError, QueryError
from retinue_history.db.snapshot import snapshot

RowT = TypeVar("RowT")

# A failure that a later success of the same detector made up for, in another version or with other
# options, needs no more. What is deleted cannot be looked at.
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
    FROM ({failed}) AS failed
    JOIN images USING (image_id)
    WHERE ({condition})
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


@dataclass(frozen=True, slots=True)
class Failures:
    """Which failed runs are meant; what is ``None`` restricts nothing.

    Attributes:
        detector: The detector's name.
        error_code: Why they failed.
        since: Not before this time (aware).
        until: Before this time (aware).
        bucket: The image's bucket.
        prefix: What the image's key begins with.
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
    """An image to ask for again.

    Attributes:
        image_id: Its id.
        bucket: The S3 bucket's name.
        key: The S3 object's key.
        version: The S3 version id, or the ETag where the bucket is unversioned.
        versioned: Whether ``version`` is an S3 version id.
        etag: The object's ETag, if known.
        size_bytes: Its size in bytes, if known.
        sequencer: Of the event that created it, if known.
        uploaded_at: When S3 last created it.
        detectors: Names of the detectors that are wanted.
        last_run_id: The newest of the runs that failed; 0 if there was none.
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
    """Why runs of a detector failed.

    Attributes:
        detector: Its name.
        error_code: Why.
        images: How many images.
        attempts: How many runs.
        last_at: When the last one started.
        example: The last one's image, as an ``s3://`` URI.
        message: What was said of it.
    """

    detector: str
    error_code: str
    images: int
    attempts: int
    last_at: datetime
    example: str
    message: str


def failure_causes(url: str, failures: Failures) -> list[Cause]:
    """Count failed runs that nothing has made up for, by detector and cause.

    Raises:
        QueryError: The condition is refused.
        HistoryUnavailableError: The database cannot answer now.
    """
    question = _with_condition(_CAUSES, failures)
    conditional = failures.condition is not None
    return list(_ask(url, Cause, question, _parameters(failures), conditional=conditional))


def failed_images(url: str, failures: Failures) -> Iterator[ReplayImage]:
    """The images of failed runs that nothing has made up for, each once, in order of their ids.

    Raises:
        QueryError: The condition is refused.
        HistoryUnavailableError: The database cannot answer now.
    """
    question = _with_condition(_OF_FAILED, failures)
    conditional = failures.condition is not None
    return _ask(url, ReplayImage, question, _parameters(failures), conditional=conditional)


def missing_images(
    url: str, keys: Sequence[tuple[str, str, str]], failures: Failures
) -> Iterator[ReplayImage]:
    """Yield the images to which some run key has not been applied for good, in order of their ids.

    A key is done with an image once it succeeded, or failed in a way that isn't retryable.

    Args:
        url: The database.
        keys: Detector, detector version and fingerprint.
        failures: ``since`` and ``until`` are about the upload; ``detector``, ``error_code`` and
            ``condition`` are about failed runs, and mean nothing here.

    Raises:
        HistoryUnavailableError: The database cannot answer now.
    """
    detectors, versions, fingerprints = ([*column] for column in zip(*keys, strict=True))
    asked = {"detectors": detectors, "versions": versions, "fingerprints": fingerprints}
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
    """The user's own condition is SQL, so it is not quoted; percent signs in it are their own."""
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
    """Rows as they come, of one moment, without holding them all."""
    with snapshot(url, "retinue replay") as history:
        try:
            for values in history.rows(question, parameters):
                yield row(*values)
        except HistorySchemaError as error:
            if not conditional:
                raise
            # Most likely it is the condition that names what there is not.
            raise QueryError(str(error.__cause__).strip()) from error
