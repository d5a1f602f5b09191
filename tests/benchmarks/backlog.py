"""A queue full of images, and who drains it."""

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from fakes.events import created
from retinue_cli.local import AwsEndpoint

from benchmarks.database import database, server_cpu_seconds
from benchmarks.peers.rows import TABLES
from benchmarks.process import MeasuredProcess, service

QUEUE = "images"
BATCH = 10
WARM = 0.15
"""Part of the images that is left out at the beginning: connections, caches, the first plans."""
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.1
"""How often it is looked how far the contender is; each look takes a millisecond from it."""

WORKERS_CALLS = {
    "ReceiveMessage",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
}
"""Calls of SQS that are counted."""


@dataclass(frozen=True)
class Site:
    """The surroundings of a contender.

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
        """Return the environment variables of a program."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("RETINUE_")
        }
        return AwsEndpoint(self.sqs).environment(inherited) | {
            "AWS_ENDPOINT_URL_REKOGNITION": self.labels,
            "BENCH_QUEUE_URL": self.queue_url,
            "BENCH_DATABASE_URL": self.database_url,
        }


class Contender(Protocol):
    """A program that drains a queue."""

    @property
    def name(self) -> str:
        """Return the name for the table."""

    @property
    def processes(self) -> int:
        """Return how many of its processes share the queue."""

    def command(self) -> Sequence[str]:
        """Return the command that runs the program."""

    def environment(self, site: Site) -> Mapping[str, str]:
        """Return the program's own environment variables."""

    def bodies(self, number: int) -> Sequence[str]:
        """Return a number of messages for different images, in the program's format."""


@dataclass(frozen=True)
class Drained:
    """The result of draining a backlog.

    Attributes:
        images: Images of the measured part.
        seconds: How long that part took.
        cpu_seconds: Processor time of the contender alone, of that part.
        postgres_cpu_seconds: That of all of Postgres' processes.
        queue_cpu_seconds: That of the queue service.
        labels_cpu_seconds: That of the label service.
        sqs_calls: Calls of SQS by image, from the first receive to the last delete.
        detector_calls: Calls of the detector by image, likewise.
        resident_bytes: Memory of the contender at the end.
        start_seconds: From the start of the program to its first receive.
    """

    images: int
    seconds: float
    cpu_seconds: float
    postgres_cpu_seconds: float
    queue_cpu_seconds: float
    labels_cpu_seconds: float
    sqs_calls: float
    detector_calls: float
    resident_bytes: int
    start_seconds: float

    @property
    def images_per_second(self) -> float:
        """Return images a second of the measured part."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor milliseconds an image."""
        return 1_000 * self.cpu_seconds / self.images

    @property
    def postgres_cpu_ms(self) -> float:
        """Processor milliseconds an image that Postgres works."""
        return 1_000 * self.postgres_cpu_seconds / self.images

    @property
    def services_busy(self) -> float:
        """Part of a core that the busier service takes; near 1 it would be what is measured."""
        return max(self.queue_cpu_seconds, self.labels_cpu_seconds) / self.seconds

    @property
    def cores(self) -> float:
        """Return how many cores the contender, Postgres and the services take together."""
        services = self.queue_cpu_seconds + self.labels_cpu_seconds
        return (self.cpu_seconds + self.postgres_cpu_seconds + services) / self.seconds


@contextmanager
def site(server_url: str, latency_ms: float) -> Iterator[Site]:
    """Queue, detector service and database, fresh."""
    with (
        service("queue_service") as sqs,
        service("label_service", str(latency_ms)) as labels,
        database(server_url) as url,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLES)
        queue_url = call_sqs(sqs, "CreateQueue", QueueName=QUEUE)["QueueUrl"]
        yield Site(sqs, labels, queue_url, url)


def drain(contender: Contender, images: int, latency_ms: float, server_url: str) -> Drained:
    """Have a contender drain a backlog of so many images.

    The measured part begins when some are done, and ends when the queue has no more to give. So as
    many are under way in the contender at its end as at its beginning.
    """
    with site(server_url, latency_ms) as place, tempfile.TemporaryDirectory() as folder:
        fill(place, contender.bodies(images))
        environment = place.environment() | contender.environment(place)
        with (
            psycopg.connect(place.database_url, autocommit=True) as connection,
            ExitStack() as running,
        ):
            processes = []
            for number in range(contender.processes):
                log = Path(folder, f"log{number}")
                processes.append(MeasuredProcess(contender.command(), environment, log))
                running.callback(processes[-1].stop)
            return _watch(processes, place, images, connection)


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
    """Return a service's statistics."""
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


def event_bodies(number: int) -> list[str]:
    """Return S3's notifications of so many new photographs."""
    return [
        created(f"photos/2025/{image:07}.jpg", bucket="photos", size=250_000)
        for image in range(number)
    ]


def _watch(
    processes: Sequence[MeasuredProcess],
    place: Site,
    images: int,
    connection: "psycopg.Connection[Any]",
) -> Drained:
    started = processes[0].started_at
    before = until_deleted(processes, place, images * WARM)
    first, began = _spent(processes, place, connection), time.monotonic()
    after = _until(processes, place, lambda seen: not seen["visible"])
    last, seconds = _spent(processes, place, connection), time.monotonic() - began
    if after["deleted"] <= before["deleted"]:
        raise ValueError(
            f"{images} images are too few: all were received before {WARM:.0%} were done"
        )
    resident_bytes = sum(process.resident_bytes() for process in processes)
    end = until_deleted(processes, place, images)
    calls = sum(number for name, number in end["calls"].items() if name in WORKERS_CALLS)
    cpu, postgres, sqs, labels = (b - a for a, b in zip(first, last, strict=True))
    return Drained(
        images=after["deleted"] - before["deleted"],
        seconds=seconds,
        cpu_seconds=cpu,
        postgres_cpu_seconds=postgres,
        queue_cpu_seconds=sqs,
        labels_cpu_seconds=labels,
        sqs_calls=calls / images,
        detector_calls=ask(f"{place.labels}/calls")["calls"] / images,
        resident_bytes=resident_bytes,
        start_seconds=end["first_receive"] - started,
    )


def _spent(
    processes: Sequence[MeasuredProcess], place: Site, connection: "psycopg.Connection[Any]"
) -> tuple[float, float, float, float]:
    """Processor time until now: of the contender, of Postgres, and of the two services."""
    return (
        sum(process.cpu_seconds() for process in processes),
        server_cpu_seconds(connection),
        ask(f"{place.sqs}/seen")["cpu_seconds"],
        ask(f"{place.labels}/calls")["cpu_seconds"],
    )


def until_deleted(processes: Sequence[MeasuredProcess], place: Site, deleted: float) -> Any:
    """Wait until so many messages are deleted; what the queue has seen by then."""
    return _until(processes, place, lambda seen: seen["deleted"] >= deleted)


def _until(
    processes: Sequence[MeasuredProcess], place: Site, condition: Callable[[Any], bool]
) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        seen = ask(f"{place.sqs}/seen")
        if condition(seen):
            return seen
        for process in processes:
            process.check()
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{seen['deleted']} images after {PATIENCE_SECONDS:.0f} s")
