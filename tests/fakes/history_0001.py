"""The history as a worker of the release at revision 0001 writes it: never change it."""

from collections.abc import Sequence

from retinue_history import AttemptKey, History, ImageRecord, RemovedObject, RunKey, RunRecord

from fakes import columns_0001 as columns
from fakes import statements_0001 as statements

_LOCK_SPACE = 0x5245_5449


class History0001(History):
    """Sends a statement for each table, and plans them all each time."""

    def record(
        self,
        images: Sequence[ImageRecord],
        runs: Sequence[RunRecord] = (),
        removed: Sequence[RemovedObject] = (),
    ) -> dict[AttemptKey, int]:
        """Record in one transaction."""
        seen = columns.image_columns(images)
        gone = columns.removal_columns(images, removed)
        attempts = {(run.key, run.event_id): run for run in runs}
        new: dict[AttemptKey, int] = {}
        with self._engine.begin() as connection:
            locks = columns.lock_columns(seen, gone)
            connection.execute(statements.LOCK_KEYS, {**locks, "space": _LOCK_SPACE})
            if seen["image_id"]:
                connection.execute(statements.SAVE_IMAGES, seen)
            if gone["key"]:
                connection.execute(statements.SAVE_REMOVALS, gone)
            buckets, keys = columns.unversioned_keys(seen)
            judged = {
                "image_id": seen["image_id"],
                "bucket": gone["bucket"] + buckets,
                "key": gone["key"] + keys,
            }
            connection.execute(statements.JUDGE_IMAGES, judged)
            if attempts:
                made = columns.run_columns(attempts.values())
                for row in connection.execute(statements.SAVE_RUNS, made):
                    key = RunKey(row.image_id, row.detector, row.detector_version, row.fingerprint)
                    new[key, row.event_id] = row.run_id
            found = columns.detection_columns([(new[key], attempts[key]) for key in new])
            if found["run_id"]:
                connection.execute(statements.SAVE_DETECTIONS, found)
        return new
