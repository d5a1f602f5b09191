"""Read and write the workers' results: finished run keys, and the changes of each image."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

from retinue_history.db.conflicts import retry_conflicts
from retinue_history.db.connections import ConnectionPool
from retinue_history.db.error_mapping import map_errors
from retinue_history.recording import statements
from retinue_history.recording.columns import (
    configuration_columns,
    image_columns,
    key_columns,
    run_columns,
    task_columns,
    upload_columns,
    used_columns,
    video_columns,
)
from retinue_history.recording.quotas import Renewal, renew_leases
from retinue_history.recording.records import (
    ConfigurationRecord,
    DetectionSummary,
    DetectorConfiguration,
    ImageRecord,
    JobRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    TaskKey,
    VideoRecord,
)
from retinue_history.recording.spending import MonthTotals, read_totals


class History:
    """The detection history of one database. Threads can share it. Its only state is the pool.

    Args:
        pool: Connections. The login should be a member of ``retinue_writer``.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def done_and_erased(
        self, tasks: Collection[TaskKey], images: Collection[ImageRecord]
    ) -> tuple[set[RunKey], set[UUID]]:
        """Return which run keys and images need no work, in one round trip.

        A key is done if it has a run that isn't retryable (a success, or the image itself is bad),
        or a run of any outcome for the same event (a redelivery). A replay, whose event id begins
        with ``REPLAY``, also retries a bad image. A key that comes with several events is done only
        if it is for each of them.

        An image is erased if that was requested after this upload. The database refuses to record
        it in any case. Asking first saves the detectors' work.

        Args:
            tasks: Run keys, each with the id of the event that asks for it.
            images: The images of these keys.

        Returns:
            The keys that are done, and the ids of the images that are erased.

        Raises:
            HistoryUnavailableError: The database can't answer now.
            HistoryDataError: Postgres can't hold one of the texts.
        """
        if not (tasks or images):
            return set(), set()
        columns = task_columns(tasks) + upload_columns(images)
        with map_errors(), self._pool.connection() as connection:
            ((numbers, erased),) = connection.execute(statements.DONE_AND_ERASED, columns)
        done = set(numbers)
        keys = {key for number, (key, _) in enumerate(tasks, start=1) if number in done}
        if keys and len(done) < len(tasks):
            keys -= {key for number, (key, _) in enumerate(tasks, start=1) if number not in done}
        return keys, set(erased)

    def summaries(self, keys: Collection[RunKey]) -> dict[RunKey, list[DetectionSummary]]:
        """Return the detections of the successful runs of these keys, in one round trip.

        Keys without a successful run are left out.

        Raises:
            HistoryUnavailableError: The database can't answer now.
        """
        if not keys:
            return {}
        columns = key_columns(set(keys))
        found: dict[RunKey, list[DetectionSummary]] = {}
        with map_errors(), self._pool.connection() as connection:
            for *key, kind, label, confidence in connection.execute(statements.SUMMARIES, columns):
                summaries = found.setdefault(RunKey(*key), [])
                if kind is not None:
                    summaries.append(DetectionSummary(kind, label, confidence))
        return found

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
        videos: Sequence[VideoRecord] = (),
        jobs: Sequence[JobRecord] = (),
    ) -> dict[TaskKey, int]:
        """Record images, runs, removals, videos and wanted jobs in one transaction.

        Idempotent: after an error, recording the same again is always safe. Neither the order of
        rows nor the order of calls matters. S3's sequencers decide which event is later, or event
        times without a sequencer.

        Args:
            images: Images of events; one image can occur several times.
            runs: Runs with their detections. Each needs its image, here or recorded before. Of
                several with the same run key and event, the first counts.
            removed: Objects that S3 reports as removed, whether or not they are recorded.
            videos: Facts of images that are videos. Of several for one image, the most
                complete one counts.
            jobs: Jobs that are wanted. One that is open already, whose run key needs no work, or
                whose image isn't recorded, is left out.

        Returns:
            The ids of the runs that were inserted. Runs that were recorded before (a redelivery),
            and runs whose key has succeeded already (another worker was faster), are left out.

        Raises:
            HistoryUnavailableError: The database can't take rows now: keep the messages.
            HistoryDataError: It can never take these rows.
        """
        by_task = _by_task(runs)
        statement, arguments = _recording(images, removed, videos, jobs, list(by_task.values()))
        if not statement:
            return {}

        def commit() -> dict[TaskKey, int]:
            with self._pool.connection() as connection:
                row = connection.execute(statement, arguments).fetchone()
                return _inserted(by_task, row)

        return retry_conflicts(commit)

    def record_configurations(self, configurations: Collection[ConfigurationRecord]) -> None:
        """Record the options of fingerprints. Known fingerprints stay as they are.

        Raises:
            HistoryUnavailableError: The database can't take rows now.
            HistoryDataError: It can never take these rows.
        """
        columns = configuration_columns(configurations)
        with map_errors(), self._pool.connection() as connection:
            connection.execute(statements.SAVE_CONFIGURATIONS, columns)

    def use_configurations(
        self,
        pool: str,
        configurations: Collection[DetectorConfiguration],
        videos: Collection[DetectorConfiguration] = (),
    ) -> None:
        """Record with which version and options a pool uses its detectors from now on.

        Args:
            pool: The ARN of the pool's queue.
            configurations: One for each detector.
            videos: Another for each detector of images that also processes videos.

        Raises:
            HistoryUnavailableError: The database can't take rows now.
        """
        columns = {"pool": pool, **used_columns(configurations, videos)}
        with map_errors(), self._pool.connection() as connection:
            connection.execute(statements.USE_CONFIGURATIONS, columns)

    def renew_leases(
        self,
        worker: str,
        lease_seconds: float,
        renewals: Mapping[str, Renewal],
        released: Collection[str] = (),
    ) -> None:
        """Renew a worker's leases of quotas, all or none, in a short transaction.

        Args:
            worker: The worker's unique id.
            lease_seconds: How long the leases last from now on, by the database's clock.
            renewals: The renewal of each quota.
            released: Quotas whose leases the worker releases.

        Raises:
            HistoryUnavailableError: The database can't answer now.
        """
        with map_errors(), self._pool.transaction() as connection:
            renew_leases(connection, worker, lease_seconds, renewals, released)

    def month_totals(
        self, month: date, detectors: Collection[str], groups: Collection[str]
    ) -> MonthTotals:
        """Return the cost of a month's committed runs so far, in one round trip.

        Args:
            month: Its first day.
            detectors: Detectors whose dollars to return.
            groups: Price groups whose units to return.

        Raises:
            HistoryUnavailableError: The database can't answer now.
        """
        with map_errors(), self._pool.connection() as connection:
            return read_totals(connection, month, detectors, groups)


def _by_task(runs: Sequence[RunRecord]) -> dict[TaskKey, RunRecord]:
    """Return the runs by task; the first one if a task has several."""
    by_task: dict[TaskKey, RunRecord] = {}
    for run in runs:
        by_task.setdefault((run.key, run.event_id), run)
    return by_task


def _recording(
    images: Sequence[ImageRecord],
    removed: Sequence[RemovedObject],
    videos: Sequence[VideoRecord],
    jobs: Sequence[JobRecord],
    runs: Sequence[RunRecord],
) -> tuple[str, tuple[str, ...]]:
    """Return the statement that records these, and its arguments; empty if there is nothing."""
    if videos or jobs:
        return statements.RECORD_IMAGES_VIDEOS_AND_RUNS, (
            *image_columns(images, removed),
            *video_columns(videos, jobs),
            *run_columns(runs),
        )
    if not (images or removed):
        return (statements.RECORD_RUNS, run_columns(runs)) if runs else ("", ())
    columns = image_columns(images, removed)
    if not runs:
        return statements.RECORD_IMAGES, columns
    return statements.RECORD_IMAGES_AND_RUNS, run_columns(runs) + columns


def _inserted(
    by_task: Mapping[TaskKey, RunRecord], row: Sequence[Sequence[int | None]] | None
) -> dict[TaskKey, int]:
    run_ids = row[0] if row and by_task else ()
    return {
        task: run_id for task, run_id in zip(by_task, run_ids, strict=True) if run_id is not None
    }
