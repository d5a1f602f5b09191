"""Who drains the queue: Retinue's worker, and what one would write without it."""

import json
import os
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.backlog import Site, event_bodies
from benchmarks.environments import celery_python, image_python


@dataclass(frozen=True)
class Retinue:
    """The worker, as ECS runs it, with Rekognition's labels.

    Attributes:
        calls: How many calls of the detector may be in flight.
        settings: Settings other than the defaults.
    """

    calls: int = 16
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str = "Retinue"

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "retinue_workers"]

    def environment(self, site: Site) -> Mapping[str, str]:
        options = {"max_concurrency": self.calls, "requests_per_second": 100_000}
        return {
            "RETINUE_QUEUE_URL": site.queue_url,
            "RETINUE_DATABASE_URL": site.database_url,
            "RETINUE_DETECTORS": json.dumps({"rekognition-labels": options}),
            "RETINUE_MAX_IN_FLIGHT": str(max(40, 3 * self.calls)),
            **self.settings,
        }

    def bodies(self, number: int) -> Sequence[str]:
        return event_bodies(number)


@dataclass(frozen=True)
class Boto3Threads:
    """boto3, 64 threads and row-by-row inserts."""

    name: str = "boto3, 64 threads"

    def command(self) -> Sequence[str]:
        return [str(image_python()), "-m", "benchmarks.boto3_threads"]

    def environment(self, site: Site) -> Mapping[str, str]:
        del site
        return {"PYTHONPATH": "."}

    def bodies(self, number: int) -> Sequence[str]:
        return event_bodies(number)


@dataclass(frozen=True)
class Celery:
    """Celery with its SQS transport, a process for each core."""

    name: str = "Celery on SQS"

    def command(self) -> Sequence[str]:
        options = ["--loglevel", "ERROR", "--concurrency", str(os.cpu_count() or 1)]
        lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return [
            str(celery_python()),
            *["-m", "celery", "-A", "celery_tasks", "worker", *options, *lean],
        ]

    def environment(self, site: Site) -> Mapping[str, str]:
        return {"PYTHONPATH": "benchmarks", "AWS_ENDPOINT_URL_SQS": site.sqs}

    def bodies(self, number: int) -> Sequence[str]:
        """As Celery writes them: a message in kombu's envelope, in base64."""
        bodies = []
        for body in event_bodies(number):
            (record,) = json.loads(body)["Records"]
            task_id = str(uuid.uuid4())
            call = [[record], {}, {"callbacks": None, "errbacks": None, "chain": None}]
            envelope = {
                "body": b64encode(json.dumps(call).encode()).decode(),
                "content-encoding": "utf-8",
                "content-type": "application/json",
                "headers": {"lang": "py", "task": "look", "id": task_id, "root_id": task_id},
                "properties": {
                    "correlation_id": task_id,
                    "delivery_mode": 2,
                    "delivery_info": {"exchange": "", "routing_key": "images"},
                    "priority": 0,
                    "body_encoding": "base64",
                    "delivery_tag": str(uuid.uuid4()),
                },
            }
            bodies.append(b64encode(json.dumps(envelope).encode()).decode())
        return bodies
