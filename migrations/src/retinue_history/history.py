"""Reads and writes of the worker: what is settled, and recording what happened."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from retinue_history import statements
from retinue_history.columns import (
    Columns,
    attempt_columns,
    configuration_columns,
    detection_columns,
    image_columns,
    key_columns,
    lock_columns,
    removal_columns,
    run_columns,
    unversioned_keys,
)
from retinue_history.errors import HistoryUnavailableError
from retinue_history.faults import clashed, translated
from retinue_history.pacing import Renewal, renew_leases
from retinue_history.records import (
    ConfigurationRecord,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    Seen,
)
from retinue_history.spending import MonthTotals, add_charges, read_totals

_ATTEMPTS = 5
_FORGOTTEN = text("""
    SELECT forgotten_images(
        CAST(:image_id AS uuid[]), CAST(:bucket AS text[]), CAST(:key AS text[]),
        CAST(:uploaded_at AS timestamptz[])
    )
""")
_LOCK_SPACE = 0x5245_5449  # "RETI": our own among the advisory locks of the database


class History:
    """The detection history of one database. Threads may share it; it holds no state but the pool.

    Args:
        engine: From ``create_history_engine``. The login should be a member of ``retinue_writer``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def settled(self, attempts: Collection[tuple[RunKey, str]]) -> set[RunKey]:
        """Tell which run keys need no work. One round trip, however many are asked for.

        Args:
            attempts: Run keys, each with the id of the event that asks for it.

        Returns:
            The keys that have a final run (a success, or the image itself is bad), or a run of any
            outcome for the same event (a redelivery). For a replay (its id begins with ``REPLAY``)
            a bad image settles nothing. A key asked for with several events is settled only if it
            is for each of them.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
            HistoryDataError: A text holds what Postgres cannot.
        """
        if not attempts:
            return set()
        columns = attempt_columns(attempts)
        with translated(), self._engine.connect() as connection:
            rows = connection.execute(statements.SETTLED, columns).all()
        return {RunKey(*row) for row in rows}

    def seen(self, keys: Collection[RunKey]) -> dict[RunKey, list[Seen]]:
        """Tell what the successful runs of these keys found; keys without one are left out.

        Args:
            keys: Run keys; one round trip, however many.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
        """
        if not keys:
            return {}
        columns = key_columns(set(keys))
        found: dict[RunKey, list[Seen]] = {}
        with translated(), self._engine.connect() as connection:
            for row in connection.execute(statements.SEEN, columns):
                seen = found.setdefault(RunKey(*row[:4]), [])
                if row.kind is not None:
                    seen.append(Seen(row.kind, row.label, row.confidence))
        return found

    def forgotten(self, images: Collection[ImageRecord]) -> set[UUID]:
        """Tell which images were forgotten on request after they were uploaded so.

        Nothing about them is recorded in any case. Who asks first spares the detectors their work.

        Args:
            images: Sightings; one round trip, however many.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
        """
        if not images:
            return set()
        columns = {
            name: [getattr(image, name) for image in images]
            for name in ("image_id", "bucket", "key", "uploaded_at")
        }
        with translated(), self._engine.connect() as connection:
            return set(connection.scalars(_FORGOTTEN, columns))

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
    ) -> set[RunKey]:
        """Record sightings, runs and removals in one transaction: all of it or nothing.

        Doing it again changes nothing, so after an error recording the same again is always safe.
        The order of the arguments' rows, and of the calls, does not matter: S3's sequencers decide
        what came last, and event times where one is missing.

        Args:
            images: Sightings; one image may occur several times.
            runs: Attempts, with their detections. Each needs its image, here or recorded before.
            removed: What S3 says was removed, whether its creation was recorded yet or not.

        Returns:
            The keys of the runs that were inserted; not of those recorded before (a redelivery),
            or whose key has succeeded already (another worker was faster).

        Raises:
            HistoryUnavailableError: The database cannot take rows now: hold the messages.
            HistoryDataError: It never can take these.
        """
        images_in = image_columns(images)
        removals_in = removal_columns(images, removed)
        attempts = {(run.key, run.event_id): run for run in runs}
        runs_in = run_columns(attempts.values())
        for attempt in range(1, _ATTEMPTS + 1):
            with translated():
                try:
                    with self._engine.begin() as connection:
                        _save_images(connection, images_in, removals_in)
                        return _save_run_records(connection, attempts, runs_in)
                except DBAPIError as error:
                    if not clashed(error):
                        raise
            time.sleep(0.02 * attempt)
        raise HistoryUnavailableError(
            f"the transaction clashed with others {_ATTEMPTS} times in a row"
        )

    def record_configurations(self, configurations: Collection[ConfigurationRecord]) -> None:
        """Remember which options fingerprints stand for. What is known already stays as it is.

        Raises:
            HistoryUnavailableError: The database cannot take rows now.
            HistoryDataError: It never can take these.
        """
        columns = configuration_columns(configurations)
        with translated(), self._engine.begin() as connection:
            connection.execute(statements.SAVE_CONFIGURATIONS, columns)

    def renew_leases(
        self,
        worker: str,
        lease_seconds: float,
        renewals: Mapping[str, Renewal],
        released: Collection[str] = (),
    ) -> None:
        """Renew a worker's leases of quotas, all or none, in a short transaction.

        Args:
            worker: What tells the worker from all others.
            lease_seconds: How long the leases hold from now on, by the database's clock.
            renewals: What to do about each quota.
            released: Quotas that the worker gives back.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
        """
        with translated(), self._engine.begin() as connection:
            renew_leases(connection, worker, lease_seconds, renewals, released)

    def month_totals(
        self, month: date, detectors: Collection[str], groups: Collection[str]
    ) -> MonthTotals:
        """What a month has cost until now, by what is committed. One round trip.

        Args:
            month: Its first day.
            detectors: Detectors whose dollars are asked for.
            groups: Price groups whose units are asked for.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
        """
        with translated(), self._engine.connect() as connection:
            return read_totals(connection, month, detectors, groups)


def save_run_records(connection: Connection, runs: Sequence[RunRecord]) -> set[RunKey]:
    """Insert runs with their detections as part of a transaction; their images must be there.

    Returns:
        The keys of the runs that are new.
    """
    attempts = {(run.key, run.event_id): run for run in runs}
    return _save_run_records(connection, attempts, run_columns(attempts.values()))


def _save_run_records(
    connection: Connection, attempts: Mapping[tuple[RunKey, str], RunRecord], runs: Columns
) -> set[RunKey]:
    inserted = [
        (run_id, attempts[key, event_id]) for run_id, key, event_id in _save_runs(connection, runs)
    ]
    _save_detections(connection, inserted)
    add_charges(connection, [run for _, run in inserted])
    return {run.key for _, run in inserted}


def _save_images(connection: Connection, images: Columns, removals: Columns) -> None:
    locks = lock_columns(images, removals)
    if not locks["stripe"]:
        return
    connection.execute(statements.LOCK_KEYS, {**locks, "space": _LOCK_SPACE})
    if images["image_id"]:
        connection.execute(statements.SAVE_IMAGES, images)
    if removals["key"]:
        connection.execute(statements.SAVE_REMOVALS, removals)
    buckets, keys = unversioned_keys(images)
    connection.execute(
        statements.JUDGE_IMAGES,
        {
            "image_id": images["image_id"],
            "bucket": removals["bucket"] + buckets,
            "key": removals["key"] + keys,
        },
    )


def _save_runs(connection: Connection, runs: Columns) -> list[tuple[int, RunKey, str]]:
    """Insert the runs that are new; returns their ids, keys and events."""
    if not runs["image_id"]:
        return []
    rows = connection.execute(statements.SAVE_RUNS, runs)
    return [
        (
            row.run_id,
            RunKey(row.image_id, row.detector, row.detector_version, row.fingerprint),
            row.event_id,
        )
        for row in rows
    ]


def _save_detections(connection: Connection, runs: Sequence[tuple[int, RunRecord]]) -> None:
    detections = detection_columns(runs)
    if detections["run_id"]:
        connection.execute(statements.SAVE_DETECTIONS, detections)
