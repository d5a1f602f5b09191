"""A bucket, a queue and a database of one test, workers as processes, and what must come of it."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fakes.events import created
from faults.database import Database
from faults.proxy import Breakage, Proxy, Weather
from PIL import Image
from psycopg.rows import dict_row
from retinue_cli.local import AwsEndpoint
from retinue_workers.settings.settings import STOP_SECONDS

PLUGINS = Path(__file__).with_name("plugins")
DATA = b"the bytes of an image"

REFUSED = "refused"
"""Keys of objects that S3 never gives out begin with it."""

BRISK = {
    "RETINUE_WAIT_TIME_SECONDS": "1",
    "RETINUE_VISIBILITY_TIMEOUT_SECONDS": "4",
    "RETINUE_HEARTBEAT_SECONDS": "1",
    "RETINUE_SHUTDOWN_GRACE_SECONDS": "3",
    "RETINUE_LOG_FORMAT": "json",
}
"""Settings with which a message that a killed worker held comes back within seconds."""

STOPS_WITHIN_SECONDS = float(BRISK["RETINUE_SHUTDOWN_GRACE_SECONDS"]) + STOP_SECONDS
"""How long a stop takes at most, whatever is broken: the grace, and what the settings add to it."""

ECHO: Mapping[str, Mapping[str, Any]] = {"echo": {"latency_ms": 5}}


class Site:
    """The surroundings of one test.

    Args:
        aws: The emulator, as the test reaches it.
        proxy: In front of it, for the workers.
        database: The server.
        folder: For logs.
        max_receive_count: Of the queue. A worker that is killed costs what it holds a receive.
    """

    def __init__(
        self,
        aws: AwsEndpoint,
        proxy: Proxy,
        database: Database,
        folder: Path,
        *,
        max_receive_count: int = 5,
    ) -> None:
        """Make bucket, queue, dead-letter queue and database."""
        self.proxy = proxy
        self.database = database
        self._aws = aws
        self._folder = folder
        self._s3, self._sqs = aws.client("s3"), aws.client("sqs")
        self.bucket = name = f"b{uuid.uuid4().hex[:16]}"
        self._s3.create_bucket(Bucket=name)
        self.dead_url = self._sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])
        policy = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": str(max_receive_count),
        }
        self.queue_url = self._sqs.create_queue(
            QueueName=name,
            Attributes={"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "4"},
        )["QueueUrl"]
        self.name = database.copy()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.sent: list[str] = []
        self.etag = "e1"

    def close(self) -> None:
        """End the workers that are left."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        self.database.drop(self.name)

    # images

    def upload(self, number: int, prefix: str = "image", *, bytes_too: bool = False) -> list[str]:
        """Announce so many images; with ``bytes_too`` there is something in S3 as well."""
        keys = [f"{prefix}-{len(self.sent) + index:05}.jpg" for index in range(number)]
        for key in keys if bytes_too else ():
            put = self._s3.put_object(Bucket=self.bucket, Key=key, Body=DATA)
            self.etag = put["ETag"].strip('"')
        self.sent.extend(keys)
        self.announce(
            [created(key, bucket=self.bucket, etag=self.etag, size=len(DATA)) for key in keys]
        )
        return keys

    def upload_refused(self, number: int) -> list[str]:
        """Announce so many images that S3 never gives out to the workers."""
        self.proxy.set_for_good("s3", Weather(Breakage.DENY, about=REFUSED))
        return self.upload(number, REFUSED, bytes_too=True)

    def put(self, key: str, data: bytes) -> None:
        """Upload an image whose event has a wrong size: one byte."""
        put = self._s3.put_object(Bucket=self.bucket, Key=key, Body=data)
        self.sent.append(key)
        etag = put["ETag"].strip('"')
        self.announce([created(key, bucket=self.bucket, etag=etag, size=1)])

    def upload_pictures(self, number: int) -> list[str]:
        """Upload photographs that a service can process."""
        keys = [f"picture-{len(self.sent) + index:05}.png" for index in range(number)]
        bodies = []
        for key in keys:
            data = io.BytesIO()
            Image.new("RGB", (128, 96), (len(self.sent) % 256, 90, 160)).save(data, "PNG")
            put = self._s3.put_object(Bucket=self.bucket, Key=key, Body=data.getvalue())
            etag = put["ETag"].strip('"')
            bodies.append(created(key, bucket=self.bucket, etag=etag, size=len(data.getvalue())))
        self.sent.extend(keys)
        self.announce(bodies)
        return keys

    def announce(self, bodies: Sequence[str]) -> None:
        """Put messages into the queue."""
        for start in range(0, len(bodies), 10):
            self._sqs.send_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {"Id": str(number), "MessageBody": body}
                    for number, body in enumerate(bodies[start : start + 10])
                ],
            )

    def publish(self, bodies: Sequence[str]) -> None:
        """Publish an event through a topic, and retry until it is accepted.

        The topic's answers pass the proxy.
        """
        sns = AwsEndpoint(self.proxy.url).client("sns")
        if not hasattr(self, "_topic"):
            direct = self._aws.client("sns")
            self._topic = direct.create_topic(Name=self.bucket)["TopicArn"]
            arn = self._sqs.get_queue_attributes(
                QueueUrl=self.queue_url, AttributeNames=["QueueArn"]
            )["Attributes"]["QueueArn"]
            direct.subscribe(
                TopicArn=self._topic,
                Protocol="sqs",
                Endpoint=arn,
                Attributes={"RawMessageDelivery": "true"},
            )
        for body in bodies:
            while True:
                with suppress(BotoCoreError, ClientError):
                    sns.publish(TopicArn=self._topic, Message=body)
                    break

    # workers

    def start(
        self,
        detectors: Mapping[str, Mapping[str, Any]] = ECHO,
        *,
        output: Path | None = None,
        **variables: str,
    ) -> subprocess.Popen[bytes]:
        """Start a worker; its AWS is the proxy."""
        worker = str(self.queue_url).replace(self._aws.url, self.proxy.url)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("RETINUE_")
        }
        with (output or self.log).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "retinue_workers"],
                env=AwsEndpoint(self.proxy.url).environment(environment)
                | BRISK
                | {
                    "RETINUE_QUEUE_URL": worker,
                    "RETINUE_DATABASE_URL": self.database.worker_url(self.name),
                    "RETINUE_DETECTORS": json.dumps(detectors),
                    "RETINUE_PLUGINS_DIR": str(PLUGINS),
                }
                | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(process)
        return process

    def living(self) -> list[subprocess.Popen[bytes]]:
        """Return the workers that run."""
        return [worker for worker in self.workers if worker.poll() is None]

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker, as the kernel does when memory is short."""
        worker.kill()
        worker.wait()

    def pause(self, worker: subprocess.Popen[bytes], seconds: float) -> None:
        """Pause a worker: it doesn't run, but time passes."""
        worker.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        worker.send_signal(signal.SIGCONT)

    def terminate(
        self,
        worker: subprocess.Popen[bytes],
        within_seconds: float = 60,
        *,
        early: bool = False,
    ) -> float:
        """Terminate a worker as ECS does, and return the seconds that it took."""
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(within_seconds)
        # Before it listens to the signal it holds nothing, and Python ends by the signal itself.
        assert code == 0 or (code == -signal.SIGTERM and early), f"exit code {code}\n{self.tail()}"
        return time.monotonic() - began

    def stop(self) -> None:
        """End all workers gracefully, even those that are only just starting."""
        for worker in self.living():
            self.terminate(worker, early=True)

    # what can be seen

    @property
    def log(self) -> Path:
        """Return the log of all workers."""
        return self._folder / "workers.log"

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines about an event."""
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        entries = []
        for line in lines:
            if f'"{event}"' in line:
                try:
                    entries.append(json.loads(line))
                except ValueError:  # two workers at once, or half a line of a killed one
                    continue
        return [entry for entry in entries if entry.get("event") == event]

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text("utf-8")[-4_000:] if self.log.exists() else "no log"

    def counts(self, url: str | None = None) -> tuple[int, int]:
        """Return messages that wait, and that somebody holds."""
        answer = self._sqs.get_queue_attributes(
            QueueUrl=url or self.queue_url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return (
            int(answer["ApproximateNumberOfMessages"]),
            int(answer["ApproximateNumberOfMessagesNotVisible"]),
        )

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database."""
        with (
            self.database.admin(self.name) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return cursor.execute(query, parameters).fetchall()

    def done(self) -> int:
        """Return how many runs there are."""
        return int(self.rows("SELECT count(*) AS number FROM runs")[0]["number"])

    def until(self, what: Callable[[], object], within_seconds: float = 90, why: str = "") -> None:
        """Wait for something; whoever waits sees the log if it does not happen."""
        deadline = time.monotonic() + within_seconds
        while not what():
            assert time.monotonic() < deadline, (
                f"not within {within_seconds:g} s: {why or what}; queue {self.counts()}, "
                f"dead {self.counts(self.dead_url)}, runs {self.done()}\n{self.tail()}"
            )
            assert not self.workers or self.living(), f"no worker is left\n{self.tail()}"
            time.sleep(0.05)

    def until_empty(self, within_seconds: float = 90) -> None:
        """Wait until no message is left in the queue."""
        self.until(lambda: self.counts() == (0, 0), within_seconds, "the queue empty")

    # what must be true

    def check(
        self,
        detectors: Mapping[str, Mapping[str, Any]] = ECHO,
        *,
        codes: Mapping[str | tuple[str, str], str] | None = None,
        dead: int = 0,
    ) -> None:
        """Hold the history against what was sent: every image, each detector, once.

        Args:
            detectors: The detectors, each of which must have one run on every image.
            codes: The error code instead of a success, by key and detector, by key, or by
                detector; the first of these goes first.
            dead: How many messages must be in the dead-letter queue.
        """
        codes = codes or {}
        wanted = Counter(
            (
                key,
                detector,
                codes.get((key, detector)) or codes.get(key) or codes.get(detector) or "succeeded",
            )
            for key in self.sent
            for detector in detectors
        )
        found = Counter(
            (row["key"], row["detector"], row["error_code"] or row["outcome"])
            for row in self.rows(
                "SELECT key, detector, outcome, error_code FROM runs JOIN images USING (image_id)"
            )
        )
        assert found == wanted, (
            f"missing {list((wanted - found).items())[:9]}, "
            f"too many {list((found - wanted).items())[:9]}, "
            f"dead {self.counts(self.dead_url)}\n{self.tail()}"
        )
        images = self.rows("SELECT count(*) AS number FROM images")[0]["number"]
        assert images == len(set(self.sent))
        wrong = self.rows(
            "SELECT run_id, outcome, count(detections.run_id) AS number FROM runs "
            "LEFT JOIN detections USING (run_id) GROUP BY run_id, outcome "
            "HAVING count(detections.run_id) <> CASE outcome WHEN 'succeeded' THEN 1 ELSE 0 END"
        )
        assert wrong == []
        assert self.counts() == (0, 0)
        assert self.counts(self.dead_url) == (dead, 0)
