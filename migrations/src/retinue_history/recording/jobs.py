"""Open jobs of services that process videos: claims, slots, looks, and the run that ends each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, LiteralString

from retinue_history.db.conflicts import retry_conflicts
from retinue_history.db.connections import ConnectionPool
from retinue_history.db.error_mapping import map_errors
from retinue_history.db.errors import HistoryError
from retinue_history.recording import statements
from retinue_history.recording.columns import (
    image_columns,
    run_columns,
    used_columns,
    video_columns,
)
from retinue_history.recording.records import (
    Charge,
    DetectorConfiguration,
    ImageRecord,
    RunKey,
    RunRecord,
    VideoRecord,
)


class StaleJobError(HistoryError):
    """Another worker has claimed the job, or it no longer exists. Nothing was changed."""


class Slot(StrEnum):
    """The answer to the question for a slot."""

    GRANTED = "granted"
    """The job has a slot. Start it."""
    NO_SLOT = "no_slot"
    """As many jobs of its group are under way as may be."""
    NO_BUDGET = "no_budget"
    """With the jobs under way, it would exceed the month's budget."""


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that a worker has claimed.

    Attributes:
        job_id: Its number.
        fence: The number of the claim. Later claims have greater ones.
        holder: The worker that has claimed it.
        key: The detector and the video.
        event_id: Event that requested it; its run has the same.
        job_group: Jobs of one group are counted together.
        attempt: Number of the attempt, from 1.
        token: Identifies the attempt; 43 characters of ``[a-zA-Z0-9-_]``.
        has_slot: Whether this attempt has a slot. If it has no ``provider_job_id``, the service may
            have it or not: start it again with the same token.
        provider_job_id: The service's id of it; ``None`` until it is started.
        expected: Its expected cost; ``None`` before it is estimated.
        billed_units: Units billed for failed attempts and calls so far, for the run to include.
        wanted_at: When it was requested.
        started_at: When the service first reported it; ``None`` before.
        hinted_at: When the service last sent a message about this attempt; ``None`` if it didn't.
        image: The video's object. With more facts, it can be passed to ``finish``.
        video: Facts about the video.
    """

    job_id: int
    fence: int
    holder: str
    key: RunKey
    event_id: str
    job_group: str
    attempt: int
    token: str
    has_slot: bool
    provider_job_id: str | None
    expected: Charge | None
    billed_units: Decimal
    wanted_at: datetime
    started_at: datetime | None
    hinted_at: datetime | None
    image: ImageRecord
    video: VideoRecord | None


_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT found.*
        FROM unnest(%(detector)s::text[], %(detector_version)s::text[], %(fingerprint)s::text[])
            AS asked (detector, detector_version, fingerprint)
        CROSS JOIN LATERAL (
            SELECT job_id, job_group, reserved_at IS NULL AS is_wanted, look_at
            FROM jobs
            WHERE jobs.detector = asked.detector
                AND jobs.detector_version = asked.detector_version
                AND jobs.fingerprint = asked.fingerprint
                AND look_at <= now()
                AND (lease_until IS NULL OR lease_until <= now())
            ORDER BY (reserved_at IS NULL), look_at
            LIMIT %(limit)s
            FOR UPDATE SKIP LOCKED
        ) AS found
    ), placed AS (
        SELECT due.*, limits.slots, row_number() OVER (
            PARTITION BY job_group, is_wanted ORDER BY look_at, job_id
        ) AS place
        FROM due
        LEFT JOIN unnest(%(group)s::text[], %(slots)s::int[]) AS limits (job_group, slots)
            USING (job_group)
    ), mine AS (
        SELECT job_id FROM placed
        WHERE NOT is_wanted OR slots IS NULL OR place <= slots - (
            SELECT count(*) FROM jobs
            WHERE jobs.job_group = placed.job_group AND jobs.reserved_at IS NOT NULL
        )
        ORDER BY is_wanted, look_at, job_id
        LIMIT %(limit)s
    )
    UPDATE jobs SET
        fence = fence + 1,
        holder = %(holder)s,
        claimed_at = clock_timestamp(),
        lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
    FROM mine
    WHERE jobs.job_id = mine.job_id
    RETURNING jobs.job_id
"""

_OPEN_JOBS = """
    SELECT
        images.deleted_at IS NOT NULL OR find_erased_images(
            ARRAY[images.image_id], ARRAY[images.bucket], ARRAY[images.key],
            ARRAY[images.last_uploaded_at]
        ) <> '{}',
        jobs.job_id, jobs.fence, jobs.holder, jobs.detector, jobs.detector_version,
        jobs.fingerprint, jobs.event_id, jobs.job_group, jobs.attempt, jobs.token,
        jobs.reserved_at IS NOT NULL, jobs.provider_job_id, jobs.billing_group,
        jobs.expected_units, jobs.expected_usd, jobs.billed_units,
        jobs.wanted_at, jobs.started_at, jobs.hinted_at,
        images.image_id, images.bucket, images.key, images.version, images.versioned,
        images.last_uploaded_at, images.sequencer, images.etag, images.size_bytes,
        images.width_px, images.height_px,
        videos.image_id IS NOT NULL, videos.duration_ms, videos.frame_rate, videos.codec,
        videos.container, videos.rotation_degrees
    FROM jobs
    JOIN images USING (image_id)
    LEFT JOIN videos USING (image_id)
    WHERE jobs.job_id = ANY (%(job_ids)s)
    ORDER BY (jobs.reserved_at IS NULL), jobs.look_at, jobs.job_id
"""

_DROP = "SELECT drop_jobs(%(job_ids)s)"

_RESERVE = """
    SELECT reserve_job_slot(
        %(job_id)s, %(holder)s, %(fence)s, %(slots)s, %(budget_usd)s, %(billing_group)s,
        %(units)s, %(usd)s
    )
"""

_MINE = "job_id = %(job_id)s AND holder = %(holder)s AND fence = %(fence)s"

# A message that came during the claim can be about a change that the worker didn't see.
_LATER = """
    billed_units = billed_units + %(billed_units)s,
    holder = NULL,
    lease_until = NULL,
    look_at = clock_timestamp() + CASE
        WHEN hinted_at >= claimed_at THEN interval '0' ELSE make_interval(secs => %(after_seconds)s)
    END
"""

_STARTED = f"""
    UPDATE jobs SET
        provider_job_id = %(provider_job_id)s,
        started_at = clock_timestamp(),
        problem = NULL,
        {_LATER}
    WHERE {_MINE} AND reserved_at IS NOT NULL
"""  # noqa: S608 - the parts are the constants above

_RELEASE = f"""
    UPDATE jobs SET reserved_at = NULL, problem = %(problem)s, {_LATER}
    WHERE {_MINE} AND provider_job_id IS NULL
"""  # noqa: S608 - the parts are the constants above

_LOOK_AGAIN = f"UPDATE jobs SET problem = %(problem)s, {_LATER} WHERE {_MINE}"  # noqa: S608 - the parts are the constants above

_RESTART = f"""
    UPDATE jobs SET
        attempt = attempt + 1,
        token = job_token(
            image_id, detector, detector_version, fingerprint, earlier_failures, attempt + 1
        ),
        provider_job_id = NULL,
        reserved_at = NULL,
        started_at = NULL,
        hinted_at = NULL,
        problem = %(problem)s,
        billed_units = billed_units + %(billed_units)s,
        holder = NULL,
        lease_until = NULL,
        look_at = clock_timestamp() + make_interval(secs => %(after_seconds)s)
    WHERE {_MINE}
"""  # noqa: S608 - the parts are the constants above

_RENEW = f"""
    UPDATE jobs
    SET lease_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
    WHERE {_MINE}
"""  # noqa: S608 - the parts are the constants above

_FINISH = f"DELETE FROM jobs WHERE {_MINE}"  # noqa: S608 - the part is the constant above

_HINT = """
    UPDATE jobs SET hinted_at = clock_timestamp(), look_at = least(look_at, clock_timestamp())
    WHERE token = ANY (%(references)s) OR provider_job_id = ANY (%(references)s)
"""


class Jobs:
    """The open jobs of one database. Threads can share it.

    A worker claims a job for a time, makes one step, and hands it on: ``started``, ``release``,
    ``look_again`` and ``restart`` end the claim, ``finish`` ends the job. Units that are billed for
    a failed call are added to the job. Each of these raises
    ``StaleJobError`` if another worker has claimed the job since, or if it is gone. Every method
    raises ``HistoryError`` as ``History`` does.

    Args:
        pool: Connections. The login should be a member of ``retinue_writer``.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def claim(
        self,
        detectors: Collection[DetectorConfiguration],
        *,
        holder: str,
        lease_seconds: float,
        limit: int,
        slots: Mapping[str, int] | None = None,
    ) -> Sequence[OpenJob]:
        """Claim jobs that are due, those with a slot first, and the longest due first.

        A job whose image was removed or erased is dropped instead. If it was under way, its
        expected cost counts as spent.

        Args:
            detectors: The configurations whose jobs the worker can process.
            holder: The worker's unique id.
            lease_seconds: How long the claims last unless renewed, by the database's clock.
            limit: Maximum number of jobs.
            slots: Maximum number of jobs under way, by group. Of other jobs in such a
                group, no more are claimed than slots are free.
        """
        if not detectors:
            return []
        given = {
            **used_columns(detectors),
            "holder": holder,
            "lease_seconds": lease_seconds,
            "limit": limit,
            "group": list(slots or ()),
            "slots": list((slots or {}).values()),
        }
        claimed: list[OpenJob] = []
        dropped: list[int] = []
        with map_errors(), self._pool.transaction() as connection:
            job_ids = [job_id for (job_id,) in connection.execute(_CLAIM, given)]
            if not job_ids:
                return []
            for is_gone, *row in connection.execute(_OPEN_JOBS, {"job_ids": job_ids}):
                job = _open_job(row)
                if is_gone:
                    dropped.append(job.job_id)
                else:
                    claimed.append(job)
            if dropped:
                connection.execute(_DROP, {"job_ids": dropped})
        return claimed

    def reserve_slot(
        self, job: OpenJob, *, slots: int, budget_usd: Decimal | None, expected: Charge
    ) -> Slot:
        """Take a slot of the job's group for it, and its cost of the budget.

        A job that has a slot keeps it. The cost is recorded in any case.

        Args:
            job: The job.
            slots: Maximum number of jobs of its group under way, in all workers.
            budget_usd: Maximum cost of the detector this month, in US dollars, with everything that
                is under way; ``None`` for no limit.
            expected: The job's expected cost.

        Raises:
            StaleJobError: The job is no longer the worker's.
        """
        given = {
            **_claim_of(job),
            "slots": slots,
            "budget_usd": budget_usd,
            "billing_group": expected.billing_group,
            "units": expected.billed_units,
            "usd": expected.price_usd,
        }
        with map_errors(), self._pool.connection() as connection:
            ((answer,),) = connection.execute(_RESERVE, given)
        if answer is None:
            raise _stale(job)
        return Slot(answer)

    def started(self, job: OpenJob, provider_job_id: str, *, after_seconds: float) -> None:
        """Record the service's id of a job that has a slot, and end the claim.

        Raises:
            StaleJobError: The job is no longer the worker's, or has no slot.
        """
        given = {"provider_job_id": provider_job_id, "after_seconds": after_seconds}
        self._change(job, _STARTED, {**given, "billed_units": 0})

    def release(
        self,
        job: OpenJob,
        *,
        after_seconds: float,
        problem: str,
        billed_units: Decimal = Decimal(0),
    ) -> None:
        """Release the slot of a job that the service doesn't have, and end the claim.

        If the service may have it, call ``look_again``: the job keeps its slot, and the next worker
        starts it again with the same token.

        Raises:
            StaleJobError: The job is no longer the worker's, or is started.
        """
        self._change(job, _RELEASE, _again(after_seconds, problem, billed_units))

    def look_again(
        self,
        job: OpenJob,
        *,
        after_seconds: float,
        problem: str | None = None,
        billed_units: Decimal = Decimal(0),
    ) -> None:
        """End the claim. A worker looks again later, or now if a message came during the claim.

        Raises:
            StaleJobError: The job is no longer the worker's.
        """
        self._change(job, _LOOK_AGAIN, _again(after_seconds, problem, billed_units))

    def restart(
        self,
        job: OpenJob,
        *,
        after_seconds: float,
        problem: str,
        billed_units: Decimal = Decimal(0),
    ) -> None:
        """Begin the next attempt, with a new token and without a slot, and end the claim.

        Raises:
            StaleJobError: The job is no longer the worker's.
        """
        self._change(job, _RESTART, _again(after_seconds, problem, billed_units))

    def renew(self, job: OpenJob, lease_seconds: float) -> None:
        """Extend the claim.

        Raises:
            StaleJobError: The job is no longer the worker's.
        """
        self._change(job, _RENEW, {"lease_seconds": lease_seconds})

    def finish(
        self, job: OpenJob, run: RunRecord, *, image: ImageRecord, video: VideoRecord | None = None
    ) -> int | None:
        """Replace the job by its run, with detections and charges, in one transaction.

        Args:
            job: The job.
            run: The run, with the job's key and event.
            image: Facts about the image, as for ``History.record``.
            video: Facts about the video.

        Returns:
            The run's id; ``None`` if it wasn't inserted, as by ``History.record``.

        Raises:
            StaleJobError: The job is no longer the worker's. Nothing was recorded.
            HistoryUnavailableError: The database can't take rows now.
            HistoryDataError: It can never take these rows.
        """
        images = image_columns([image], [])
        runs = run_columns([run])
        videos = video_columns([] if video is None else [video], [])

        def commit() -> int | None:
            with self._pool.transaction() as connection:
                connection.execute(statements.RECORD_IMAGES, images)
                if not connection.execute(_FINISH, _claim_of(job)).rowcount:
                    raise _stale(job)
                if video is not None:
                    connection.execute(statements.RECORD_VIDEOS, videos)
                (((run_id,),),) = connection.execute(statements.RECORD_RUNS, runs)
                return None if run_id is None else int(run_id)

        return retry_conflicts(commit)

    def hint(self, *references: str) -> bool:
        """Let a worker look at a job now, because the service sent a message about it.

        Args:
            references: The service's id of the job, its token, or both.

        Returns:
            Whether a job with one of them is open.
        """
        with map_errors(), self._pool.connection() as connection:
            return bool(connection.execute(_HINT, {"references": list(references)}).rowcount)

    def _change(self, job: OpenJob, statement: LiteralString, given: Mapping[str, Any]) -> None:
        with map_errors(), self._pool.connection() as connection:
            if not connection.execute(statement, {**_claim_of(job), **given}).rowcount:
                raise _stale(job)


def _again(after_seconds: float, problem: str | None, billed_units: Decimal) -> dict[str, Any]:
    return {"after_seconds": after_seconds, "problem": problem, "billed_units": billed_units}


def _claim_of(job: OpenJob) -> dict[str, Any]:
    return {"job_id": job.job_id, "holder": job.holder, "fence": job.fence}


def _stale(job: OpenJob) -> StaleJobError:
    return StaleJobError(f"job {job.job_id} is gone, or another worker has claimed it")


def _open_job(row: Sequence[Any]) -> OpenJob:
    job_id, fence, holder, *configuration = row[:6]
    event_id, job_group, attempt, token, has_slot, provider_job_id = row[6:12]
    billing_group, units, usd, billed_units, wanted_at, started_at, hinted_at = row[12:19]
    image_id, bucket, key, version, versioned, uploaded_at, sequencer = row[19:26]
    etag, size_bytes, width_px, height_px, is_known, *facts = row[26:]
    return OpenJob(
        job_id=job_id,
        fence=fence,
        holder=holder,
        key=RunKey(image_id, *configuration),
        event_id=event_id,
        job_group=job_group,
        attempt=attempt,
        token=token,
        has_slot=has_slot,
        provider_job_id=provider_job_id,
        expected=None if billing_group is None else Charge(billing_group, units, usd),
        billed_units=billed_units,
        wanted_at=wanted_at,
        started_at=started_at,
        hinted_at=hinted_at,
        image=ImageRecord(
            image_id,
            bucket,
            key,
            version,
            versioned,
            uploaded_at,
            sequencer,
            etag,
            size_bytes,
            width_px,
            height_px,
        ),
        video=VideoRecord(image_id, *facts) if is_known else None,
    )
