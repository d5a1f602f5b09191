"""Read the progress of a run from the history."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retinue_history import DetectorConfiguration
from sqlalchemy import Engine, text

from retinue_cli.local.configurations import detector_columns


@dataclass(frozen=True, slots=True)
class Done:
    """The number of runs with an outcome.

    Attributes:
        new: Runs recorded since the start.
        known: Runs that were in the history before and need no new attempt.
    """

    new: int
    known: int

    @property
    def total(self) -> int:
        """Return the sum of both."""
        return self.new + self.known


class Progress:
    """Counts outcomes of some images and detectors.

    Args:
        engine: The history.
        detectors: The detectors.
        pool: The ARN of the worker's queue.
        since: The start of the run, by the database's clock.
    """

    def __init__(
        self, engine: Engine, detectors: Sequence[DetectorConfiguration], pool: str, since: datetime
    ) -> None:
        self._engine = engine
        self._keys = detector_columns(detectors)
        self._pool = pool
        self._since = since

    def done(self, image_ids: Collection[UUID]) -> Done:
        """Count the run keys of these images that have an outcome.

        A failure from before the start counts only if the image is the cause; others are tried
        again. A known run counts after the worker has recorded that the image exists and that these
        options are in use. Then the views agree.
        """
        with self._engine.connect() as connection:
            row = connection.execute(
                _DONE,
                {
                    **self._keys,
                    "image_id": list(image_ids),
                    "pool": self._pool,
                    "since": self._since,
                },
            ).one()
        return Done(new=row.new, known=row.known)

    def open_jobs(self, image_ids: Collection[UUID]) -> int:
        """Count the jobs for these videos that services haven't ended."""
        with self._engine.connect() as connection:
            return int(connection.execute(_OPEN_JOBS, {"image_id": list(image_ids)}).scalar_one())


_OPEN_JOBS = text("SELECT count(*) FROM open_jobs WHERE image_id = ANY(CAST(:image_id AS uuid[]))")

_DONE = text(
    """
    SELECT count(*) FILTER (WHERE outcome.known) AS known,
           count(*) FILTER (WHERE NOT outcome.known) AS new
    FROM (
        SELECT bool_or(NOT runs.retryable AND runs.recorded_at < :since) AS known
        FROM runs
        JOIN unnest(CAST(:detector AS text[]), CAST(:version AS text[]),
                    CAST(:fingerprint AS text[])) AS wanted (detector, version, fingerprint)
            ON (runs.detector, runs.detector_version, runs.fingerprint)
               = (wanted.detector, wanted.version, wanted.fingerprint)
        JOIN images ON images.image_id = runs.image_id
        WHERE runs.image_id = ANY(CAST(:image_id AS uuid[]))
            AND (
                runs.recorded_at >= :since
                OR NOT runs.retryable
                    AND images.deleted_at IS NULL
                    AND EXISTS (
                        SELECT FROM configurations_in_use AS used
                        WHERE used.pool = :pool
                            AND (used.detector, used.detector_version, used.fingerprint)
                                = (wanted.detector, wanted.version, wanted.fingerprint)
                    )
            )
        GROUP BY runs.image_id, runs.detector, runs.detector_version, runs.fingerprint
    ) AS outcome
    """
)
