"""Measure the speed of a backfill against bare boto3: ``make bench BENCHMARKS=backfill``.

Puts a report of S3 Inventory into the emulator; then, in rounds that alternate, sends the messages
by boto3 alone (``send_message_batch``, ten a call, as many threads as ours) and runs
``retinue backfill --inventory``: starting, counting, asking the history which images it knows, and
sending. Writes ``benchmarks/backfill.json``: of each the median of the rounds.

The emulator answers on the same cores, so both are as fast as it lets them. Its listing of a bucket
takes longer than anything here, so an inventory it is.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from retinue_cli.local import AwsEndpoint, EmbeddedPostgres, Emulator, State
from retinue_cli.replay.inventory import Inventory
from retinue_history.schema.migrate import upgrade

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

OUTPUT = Path(__file__).parents[2] / "benchmarks" / "backfill.json"
BUCKET = "photos"
REPORTS = "reports"
TARGET_SECONDS = 120.0
TARGET_RATIO = 0.8
THREADS = 8


@contextmanager
def queue(sqs: "SQSClient", name: str) -> Iterator[str]:
    """Yield an empty queue, and no queue after the block."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def count(sqs: "SQSClient", url: str) -> int:
    """Return how many messages it holds."""
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


def bare(sqs: "SQSClient", url: str, bodies: Sequence[str]) -> float:
    """Seconds that boto3 takes to send them, and nothing else."""

    def send(start: int) -> None:
        entries = [
            {"Id": str(number), "MessageBody": body}
            for number, body in enumerate(bodies[start : start + 10])
        ]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(send, range(0, len(bodies), 10)):
            pass
    return time.monotonic() - began


def backfill(environment: dict[str, str], folder: Path) -> float:
    """Seconds that the command takes, from its start to its end."""
    began = time.monotonic()
    subprocess.run(
        [
            *(sys.executable, "-m", "retinue_cli", "backfill", f"s3://{BUCKET}/", "--yes"),
            *("--inventory", f"s3://{REPORTS}/manifest.json"),
        ],
        env=environment,
        cwd=folder,
        check=True,
        stdout=sys.stderr,
    )
    return time.monotonic() - began


def report(endpoint: AwsEndpoint, keys: int) -> list[str]:
    """Put a report of so many keys into the emulator; the messages that ask for them."""
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket=REPORTS)
    text = io.StringIO()
    rows = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for number in range(keys):
        etag = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
        key = f"2025/{number % 365:03}/{number:07}.jpg"
        rows.writerow([BUCKET, key, "true", "false", "250000", "2025-12-31T00:00:00.000Z", etag])
    s3.put_object(Bucket=REPORTS, Key="1.csv.gz", Body=gzip.compress(text.getvalue().encode()))
    manifest = {
        "sourceBucket": BUCKET,
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag",
        "files": [{"key": "1.csv.gz"}],
    }
    s3.put_object(Bucket=REPORTS, Key="manifest.json", Body=json.dumps(manifest).encode())
    source = Inventory(s3, REPORTS, "manifest.json")
    return [request.body() for page in source.pages() for request in page.requests]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rqb")))
        folder.chmod(0o711)
        emulator = stack.enter_context(Emulator(State(folder / "aws" / ".retinue")))
        stack.callback(emulator.stop)
        postgres = stack.enter_context(EmbeddedPostgres(State(folder / "pg" / ".retinue")))
        upgrade(postgres.url())
        endpoint = emulator.endpoint
        sqs = endpoint.client("sqs")
        bodies = report(endpoint, options.keys)
        boto3_seconds, our_seconds = [], []
        for number in range(options.rounds):
            with queue(sqs, f"bare-{number}") as url:
                boto3_seconds.append(bare(sqs, url, bodies))
                assert count(sqs, url) == options.keys
            with queue(sqs, f"ours-{number}") as url:
                environment = endpoint.environment(dict(os.environ)) | {
                    "RETINUE_DETECTORS": '{"echo": {}}',
                    "RETINUE_QUEUE_URL": url,
                    "RETINUE_QUERY_DATABASE_URL": postgres.url(user="retinue_reader"),
                }
                our_seconds.append(backfill(environment, folder))
                assert count(sqs, url) == options.keys
            print(  # noqa: T201
                f"boto3 {boto3_seconds[-1]:.1f} s, backfill {our_seconds[-1]:.1f} s",
                file=sys.stderr,
            )
    theirs, ours = statistics.median(boto3_seconds), statistics.median(our_seconds)
    result = {
        "keys": options.keys,
        "rounds": options.rounds,
        "boto3_seconds": round(theirs, 2),
        "backfill_seconds": round(ours, 2),
        "target_seconds": TARGET_SECONDS,
        "of_boto3": round(theirs / ours, 3),
        "target_of_boto3": TARGET_RATIO,
        "reached": ours <= TARGET_SECONDS or theirs / ours >= TARGET_RATIO,
        "each_round": [
            [round(a, 2), round(b, 2)] for a, b in zip(boto3_seconds, our_seconds, strict=True)
        ],
        "load": os.getloadavg()[0],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
