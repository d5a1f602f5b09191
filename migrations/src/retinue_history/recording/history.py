"""Reads and writes of the worker: what is settled, and recording what happened."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine

from retinue_history.db.autocommit import single_statements
from retinue_history.db.error_mapping import clashed, translated
from retinue_history.db.errors import HistoryUnavailableError
from retinue_history.recording import statements
from retinue_history.recording.columns import (
    attempt_columns,
    configuration_columns,
    key_columns,
    run_columns,
    sighting_columns,
    upload_columns,
)
from retinue_history.recording.quotas import Renewal, renew_leases
from retinue_history.recording.records import (
    AttemptKey,
    ConfigurationRecord,
    ImageRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    Seen,
)
from retinue_history.recording.spending import MonthTotals, read_totals

_ATTEMPTS = 5


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
        with translated(), single_statements(self._engine) as connection:
            return {RunKey(*row) for row in connection.execute(statements.SETTLED, columns)}

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
        with translated(), single_statements(self._engine) as connection:
            for *key, kind, label, confidence in connection.execute(statements.SEEN, columns):
                seen = found.setdefault(RunKey(*key), [])
                if kind is not None:
                    seen.append(Seen(kind, label, confidence))
        return found

    def forgotten(self, images: Collection[ImageRecord]) -> set[UUID]:
        """Tell which images were forgotten on request after they were uploaded so.

        Nothing about them is recorded in any case. Who asks first spares the detectors their work.

        Args:
            images: Sightings; one round trip, however many.

        Raises:
            HistoryUnavailableError: The database cannot answer now.
            HistoryDataError: A text holds what Postgres cannot.
        """
        if not images:
            return set()
        columns = upload_columns(images)
        with translated(), single_statements(self._engine) as connection:
            return {image_id for (image_id,) in connection.execute(statements.FORGOTTEN, columns)}

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
    ) -> dict[AttemptKey, int]:
        """Record sightings, runs and removals in one transaction: all of it or nothing.

        Doing it again changes nothing, so after an error recording the same again is always safe.
        The order of the arguments' rows, and of the calls, does not matter: S3's sequencers decide
        what came last, and event times where one is missing.

        Args:
            images: Sightings; one image may occur several times.
            runs: Attempts, with their detections. Each needs its image, here or recorded before. Of
                several with the same run key and event the first counts.
            removed: What S3 says was removed, whether its creation was recorded yet or not.

        Returns:
            The run ids of the runs that were inserted; not of those recorded before (a redelivery),
            or whose key has succeeded already (another worker was faster).

        Raises:
            HistoryUnavailableError: The database cannot take rows now: hold the messages.
            HistoryDataError: It never can take these.
        """
        attempts = _attempts(runs)
        statement, arguments = _recording(images, removed, attempts)
        if not statement:
            return {}
        for attempt in range(1, _ATTEMPTS + 1):
            with translated():
                try:
                    with single_statements(self._engine) as connection:
                        row = connection.execute(statement, arguments).fetchone()
                        return _new(attempts, row)
                except psycopg.Error as error:
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


def save_run_records(connection: Connection, runs: Sequence[RunRecord]) -> dict[AttemptKey, int]:
    """Insert runs with their detections as part of a transaction; their images must be there.

    Returns:
        The run ids of the runs that are new.
    """
    attempts = _attempts(runs)
    if not attempts:
        return {}
    arguments = run_columns(list(attempts.values()))
    return _new(attempts, connection.exec_driver_sql(statements.RECORD_RUNS, arguments).fetchone())


def _attempts(runs: Sequence[RunRecord]) -> dict[AttemptKey, RunRecord]:
    """The runs by what tells them apart; of several, the first."""
    attempts: dict[AttemptKey, RunRecord] = {}
    for run in runs:
        attempts.setdefault((run.key, run.event_id), run)
    return attempts


def _recording(
    images: Sequence[ImageRecord],
    removed: Sequence[RemovedObject],
    attempts: Mapping[AttemptKey, RunRecord],
) -> tuple[str, tuple[str, ...]]:
    """The statement that records these, with its arguments; an empty one if there is nothing."""
    runs = list(attempts.values())
    if not (images or removed):
        return (statements.RECORD_RUNS, run_columns(runs)) if runs else ("", ())
    seen = sighting_columns(images, removed)
    if not runs:
        return statements.RECORD_IMAGES, seen
    return statements.RECORD_IMAGES_AND_RUNS, seen + run_columns(runs)


def _new(
    attempts: Mapping[AttemptKey, RunRecord], row: Sequence[Sequence[int | None]] | None
) -> dict[AttemptKey, int]:
    run_ids = row[0] if row and attempts else ()
    return {
        attempt: run_id
        for attempt, run_id in zip(attempts, run_ids, strict=True)
        if run_id is not None
    }
