"""Test a deployment with one image, from the bucket to its rows."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retinue_sdk import ImageReference

from retinue_deploy.errors import DeployError
from retinue_deploy.ports import Tasks

TIMEOUT_SECONDS = 1_200.0
"""Maximum wait for a worker. A pool at zero starts within minutes, but CloudWatch may report a
queue that was unused for hours up to 15 minutes late.
"""

_AS_ANALYST = {"RETINUE_DATABASE_AUTH": "iam"}
"""The migrations' task authenticates as the owner with a password.

It may query as the analyst with IAM.
"""

_POLL_SECONDS = 10.0
_TELL_SECONDS = 60.0


class ImageSmoke:
    """Uploads an image, waits for a worker's log line, and queries the database.

    The worker's log alone doesn't prove that the rows exist, and the database isn't reachable from
    outside the network. So a task runs ``retinue query``.

    Args:
        s3: A client.
        logs: A client.
        sqs: A client.
        tasks: Runs the query.
        image: A JPEG.
        key: Returns the object's key for a unique name; ``None`` if no pool processes images.
        say: Receives progress.
        sleep: Waits.
    """

    def __init__(
        self,
        s3: Any,
        logs: Any,
        sqs: Any,
        tasks: Tasks,
        *,
        image: Path,
        key: Callable[[str], str | None],
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._logs = logs
        self._sqs = sqs
        self._tasks = tasks
        self._image = image
        self._key = key
        self._say = say
        self._sleep = sleep

    def check(self, outputs: Mapping[str, Any], migrate: Mapping[str, Any]) -> str:
        """Upload an image and wait for its rows. Delete the image; its rows stay.

        Args:
            outputs: Terraform's outputs.
            migrate: Parameters of RunTask, for a task that reaches the database.

        Returns:
            A line about the findings.

        Raises:
            DeployError: No worker processed it in time, a run failed, or the rows are missing.
        """
        if outputs["bucket_name"] is None:
            return "no image uploaded: the environment has no bucket of its own"
        bucket = str(outputs["bucket_name"])
        key = self._key(f"{datetime.now(UTC):%Y%m%d}-{uuid.uuid4().hex}")
        if key is None:
            return "no image uploaded: the pools process only videos"
        began = time.time()
        answer = self._s3.put_object(
            Bucket=bucket, Key=key, Body=self._image.read_bytes(), ContentType="image/jpeg"
        )
        reference = ImageReference(bucket, key, answer.get("VersionId"), answer["ETag"].strip('"'))
        try:
            self._await_worker(outputs, str(reference.image_id), int(began * 1_000))
            runs = self._ask(migrate, str(reference.image_id))
        finally:
            self._s3.delete_object(Bucket=bucket, Key=key)
        failed = [run for run in runs if run["outcome"] == "failed"]
        if failed:
            about = "\n".join(
                f"    {run['detector']}: {run['error_code']}: {run['error_message']}"
                for run in failed
            )
            raise DeployError(
                f"a worker processed the test image {reference.uri}, and its run failed:\n{about}"
            )
        done = sorted(str(run["detector"]) for run in runs if run["outcome"] == "succeeded")
        skipped = sorted(str(run["detector"]) for run in runs if run["outcome"] == "skipped")
        return "; ".join(
            (
                *([f"{len(done)} runs by {', '.join(done)}"] if done else []),
                *([f"routes exclude the image from {', '.join(skipped)}"] if skipped else []),
                f"after {time.time() - began:.0f} s",
            )
        )

    def _await_worker(self, outputs: Mapping[str, Any], image_id: str, since_ms: int) -> None:
        """Wait until a worker's log has the image."""
        deadline, next_word = time.monotonic() + TIMEOUT_SECONDS, 0.0
        events = '$.event = "run_recorded" || $.event = "run_skipped"'
        while True:
            for pool in outputs["pools"].values():
                pages = self._logs.get_paginator("filter_log_events").paginate(
                    logGroupName=pool["log_group_name"],
                    startTime=since_ms,
                    filterPattern=f'{{ ({events}) && $.image_id = "{image_id}" }}',
                )
                if any(page["events"] for page in pages):  # pages before may be empty
                    return
            if time.monotonic() > deadline:
                raise DeployError(
                    f"no worker has processed the test image after {TIMEOUT_SECONDS / 60:.0f} "
                    f"min ({self._backlog(outputs)}). `make status` shows the pools, `make "
                    "logs` the workers' logs, and `make smoke` tries again."
                )
            if time.monotonic() >= next_word:
                next_word = time.monotonic() + _TELL_SECONDS
                self._say(f"  waiting for a worker: {self._backlog(outputs)}")
            self._sleep(_POLL_SECONDS)

    def _backlog(self, outputs: Mapping[str, Any]) -> str:
        parts = []
        for name, pool in outputs["pools"].items():
            waiting, in_flight = backlog(self._sqs, pool["queue_url"])
            parts.append(f"{name} {waiting} waiting, {in_flight} in flight")
        return "; ".join(parts)

    def _ask(self, migrate: Mapping[str, Any], image_id: str) -> list[dict[str, Any]]:
        question = (
            "select detector, outcome, error_code, error_message from runs "  # noqa: S608 - a UUID
            f"where image_id = '{uuid.UUID(image_id)}'"
        )
        said = self._tasks.run(migrate, ["query", question, "--format", "json"], _AS_ANALYST)
        runs: list[dict[str, Any]] = json.loads(said[said.index("[") :]) if "[" in said else []
        if not runs:
            raise DeployError(
                "a worker logged the test image, but the history has no run of it (image id "
                f"{image_id}). The query printed: {said.strip()[-300:]}"
            )
        return runs


def backlog(sqs: Any, queue_url: str) -> tuple[int, int]:
    """Return the numbers of a queue's waiting and in-flight messages."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return (
        int(attributes["ApproximateNumberOfMessages"]),
        int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    )
