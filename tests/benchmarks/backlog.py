"""A queue full of images, and who drains it."""

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from fakes.events import created
from retinue_cli.local import AwsEndpoint

from benchmarks.database import database
from benchmarks.process import MeasuredProcess, service

QUEUE = "images"
BATCH = 10
WARM = 0.15
"""Part of the images that is left out at the beginning: connections, caches, the first plans."""
END = 0.95
"""At which part the measurement ends: towards the end there is nothing left to keep busy with."""
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.1
"""How often it is looked how far the contender is; each look takes a millisecond from it."""

BASELINE_TABLES = """
    CREATE TABLE plain_images (
        key text PRIMARY KEY, uploaded_at timestamptz, raw_response jsonb
    );
    CREATE TABLE plain_labels (
        key text, number integer, label text, confidence double precision, box jsonb,
        PRIMARY KEY (key, number)
    );
"""
"""Tables of the baselines, beside the history's own."""


@dataclass(frozen=True)
class Site:
    """Where a contender works.

    Attributes:
        sqs: Address of SQS.
        labels: Address of Rekognition.
        queue_url: Where the images are.
        database_url: Where rows go; the history's schema is in it.
    """

    sqs: str
    labels: str
    queue_url: str
    database_url: str

    def environment(self) -> dict[str, str]:
        """What a program needs to find it all."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("RETINUE_")
        }
        return AwsEndpoint(self.sqs).environment(inherited) | {
            "AWS_ENDPOINT_URL_REKOGNITION": self.labels,
            "BENCH_QUEUE_URL": self.queue_url,
            "BENCH_DATABASE_URL": self.database_url,
        }


class Contender(Protocol):
    """Somebody who drains a queue."""

    @property
    def name(self) -> str:
        """What it is called in the table."""

    def command(self) -> Sequence[str]:
        """How its program is run."""

    def environment(self, site: Site) -> Mapping[str, str]:
        """The program's own environment variables."""

    def bodies(self, number: int) -> Sequence[str]:
        """So many messages, each about another image, in the form that the program reads."""


@dataclass(frozen=True)
class Drained:
    """How a backlog was drained.

    Attributes:
        images: Images of the measured part.
        cpu_seconds: Processor time of the contender alone, of that part.
        seconds: How long that part took.
        sqs_calls: Calls of SQS by image, from the first receive to the last delete.
        detector_calls: Calls of the detector by image, likewise.
        resident_bytes: Memory of the contender at the end.
        start_seconds: From the start of the program to its first receive.
    """

    images: int
    cpu_seconds: float
    seconds: float
    sqs_calls: float
    detector_calls: float
    resident_bytes: int
    start_seconds: float

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds an image."""
        return 1_000 * self.cpu_seconds / self.images

    @property
    def images_per_second(self) -> float:
        """Images a second of the measured part."""
        return self.images / self.seconds


@contextmanager
def site(server_url: str, latency_ms: float) -> Iterator[Site]:
    """Queue, detector service and database, fresh."""
    with (
        service("queue_service") as sqs,
        service("label_service", str(latency_ms)) as labels,
        database(server_url) as url,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(BASELINE_TABLES)
        queue_url = call_sqs(sqs, "CreateQueue", QueueName=QUEUE)["QueueUrl"]
        yield Site(sqs, labels, queue_url, url)


def drain(contender: Contender, images: int, latency_ms: float, server_url: str) -> Drained:
    """Have a contender drain a backlog of so many images."""
    with site(server_url, latency_ms) as place, tempfile.TemporaryDirectory() as folder:
        fill(place, contender.bodies(images))
        environment = place.environment() | contender.environment(place)
        process = MeasuredProcess(contender.command(), environment, Path(folder, "log"))
        try:
            return _watch(process, place, images)
        finally:
            process.stop()


def fill(place: Site, bodies: Sequence[str]) -> None:
    """Send messages."""
    for start in range(0, len(bodies), BATCH):
        entries = [
            {"Id": str(number), "MessageBody": body}
            for number, body in enumerate(bodies[start : start + BATCH])
        ]
        call_sqs(place.sqs, "SendMessageBatch", QueueUrl=place.queue_url, Entries=entries)


def call_sqs(address: str, operation: str, **parameters: Any) -> Any:
    """Call the queue service."""
    request = urllib.request.Request(
        address,
        json.dumps(parameters).encode(),
        {
            "X-Amz-Target": f"AmazonSQS.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
        },
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def ask(address: str) -> Any:
    """What a service tells of itself."""
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


def event_bodies(number: int) -> list[str]:
    """S3's notifications of so many new photographs."""
    return [
        created(f"photos/2025/{image:07}.jpg", bucket="photos", size=250_000)
        for image in range(number)
    ]


def _watch(process: MeasuredProcess, place: Site, images: int) -> Drained:
    first = until_deleted(process, place, images * WARM)
    cpu, began, deleted = process.cpu_seconds(), time.monotonic(), first["deleted"]
    last = until_deleted(process, place, images * END)
    cpu_seconds, seconds = process.cpu_seconds() - cpu, time.monotonic() - began
    resident_bytes = process.resident_bytes()
    end = until_deleted(process, place, images)
    calls = {
        operation: number
        for operation, number in end["calls"].items()
        if operation
        in {
            "ReceiveMessage",
            "DeleteMessage",
            "DeleteMessageBatch",
            "ChangeMessageVisibility",
            "ChangeMessageVisibilityBatch",
        }
    }
    return Drained(
        images=last["deleted"] - deleted,
        cpu_seconds=cpu_seconds,
        seconds=seconds,
        sqs_calls=sum(calls.values()) / images,
        detector_calls=ask(f"{place.labels}/calls") / images,
        resident_bytes=resident_bytes,
        start_seconds=end["first_receive"] - process.started_at,
    )


def until_deleted(process: MeasuredProcess, place: Site, deleted: float) -> Any:
    """Wait until so many messages are deleted; what the queue has seen by then."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        seen = ask(f"{place.sqs}/seen")
        if seen["deleted"] >= deleted:
            return seen
        process.check()
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{seen['deleted']} of {deleted:.0f} images after {PATIENCE_SECONDS:.0f} s")
