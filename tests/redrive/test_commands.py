"""``retinue backfill``, ``failures`` and ``replay`` with a real worker between them."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from fakes.command import run_retinue
from fakes.waiting import eventually
from redrive.conftest import Pool
from retinue_cli.app import retinue
from retinue_cli.local import AwsEndpoint
from retinue_history import ConnectionPool, History, ImageRecord, RemovedObject, RunKey, RunRecord
from retinue_sdk import ImageReference
from retinue_workers.intake.queue_depth import read_queue_depth

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

IMAGES = 12


@pytest.fixture
def tell(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    aws: AwsEndpoint,
    pool: Pool,
    history_url: str,
) -> Callable[..., str]:
    """Runs a command against a pool with two detectors, of which one fails for every image."""
    for name, value in aws.environment({}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RETINUE_QUEUE_URL", pool.url)
    monkeypatch.setenv("RETINUE_DATABASE_URL", history_url)
    monkeypatch.setenv("RETINUE_DETECTORS", json.dumps({"echo": {}, "hostile-invalid-image": {}}))
    monkeypatch.setenv("RETINUE_WAIT_TIME_SECONDS", "1")
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))

    def call(*arguments: str) -> str:
        return run_retinue(*arguments).output

    return call


def work_off(pool: Pool, runs: int, count: Callable[[], int]) -> None:
    with subprocess.Popen([Path(sys.executable).with_name("retinue"), "worker"]) as worker:
        try:
            eventually(lambda: count() == runs, what=f"{runs} runs", within_seconds=60)
            eventually(  # a duplicate makes no run, and is deleted all the same
                lambda: read_queue_depth(pool.sqs, pool.url).total == 0, what="an empty queue"
            )
        finally:
            worker.terminate()
    assert worker.returncode == 0
    assert pool.bodies() == []


def test_a_bucket_is_backfilled_and_what_failed_is_replayed(
    tell: Callable[..., str], pool: Pool, s3: "S3Client", bucket: str, history_url: str
) -> None:
    def count() -> int:
        with psycopg.connect(history_url) as connection:
            (number,) = connection.execute("SELECT count(*) FROM runs").fetchone() or (0,)
            return int(number)

    for number in range(IMAGES):
        s3.put_object(Bucket=bucket, Key=f"in/{number} +.jpg", Body=str(number).encode())
    s3.put_object(Bucket=bucket, Key="in/notes.txt", Body=b"?")
    uri = f"s3://{bucket}/in/"
    said = tell("backfill", uri, "--dry-run")
    assert f"{IMAGES} images to ask for" in said
    assert "1 without an image's extension" in said
    assert pool.bodies() == []
    assert f"sent {IMAGES} messages" in tell("backfill", uri, "--yes", "--per-second", "1000")
    work_off(pool, 2 * IMAGES, count)

    seen = tell("top", "--once")
    assert "waiting 0   in flight 0   dead 0" in seen
    assert "echo" in seen
    assert f"{IMAGES} known to the history" in tell("backfill", uri, "--dry-run")
    listed = json.loads(tell("failures", "--json"))
    (cause,) = listed["failed_runs"]
    assert (cause["detector"], cause["images"]) == ("hostile-invalid-image", IMAGES)
    assert listed["dead_letters"] == []
    assert "hostile-invalid-image" in tell("failures")

    assert "would send 12 images again; add --yes to do it" in tell("replay")
    assert "nothing to replay" in tell("replay", "--detector", "echo")
    assert "nothing to replay" in tell("replay", "--prefix", f"s3://{bucket}/out/")
    assert "nothing to replay" in tell("replay", "--missing")
    tell("replay", "--yes")
    tell("replay", "--yes")  # asked twice, it is one request
    work_off(pool, 3 * IMAGES, count)


def test_a_backfill_revives_what_counts_as_deleted_and_is_there(
    tell: Callable[..., str], pool: Pool, s3: "S3Client", bucket: str, history_url: str
) -> None:
    """The events of an hour were lost, and with them the removal of a delete marker."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [
        s3.put_object(Bucket=bucket, Key=f"{n}.jpg", Body=b"?")["VersionId"] for n in (1, 2)
    ]
    markers = [s3.delete_object(Bucket=bucket, Key=f"{n}.jpg")["VersionId"] for n in (1, 2)]
    now = datetime.now(UTC)
    with closing(ConnectionPool(history_url, application_name="test")) as connections:
        for number, (version, marker) in enumerate(zip(versions, markers, strict=True), 1):
            key = f"{number}.jpg"
            image_id = ImageReference(bucket, key, version).image_id
            image = ImageRecord(image_id, bucket, key, version, True, now, "10")
            run_key = RunKey(image_id, "echo", "1", "f")
            run = RunRecord(run_key, "e", "succeeded", False, now, 1.0)
            hidden = RemovedObject(bucket, key, None, "20", now, marker)
            History(connections).record([image], [run], [hidden])

    def alive() -> list[str]:
        with psycopg.connect(history_url) as connection:
            query = "SELECT key FROM images WHERE deleted_at IS NULL"
            return [key for (key,) in connection.execute(query)]

    assert alive() == []
    s3.delete_object(Bucket=bucket, Key="1.jpg", VersionId=markers[0])
    assert "sent 1 message" in tell("backfill", f"s3://{bucket}/", "--yes")
    work_off(pool, 1, lambda: len(alive()))
    assert alive() == ["1.jpg"]
    assert "1 known to the history" in tell("backfill", f"s3://{bucket}/", "--dry-run")


def test_a_backfill_that_is_killed_goes_on_where_it_was(
    tell: Callable[..., str], pool: Pool, s3: "S3Client", bucket: str
) -> None:
    """kill -9 in the midst of sending; in the end SQS has every image."""
    keys = [f"{number:05}.jpg" for number in range(2_200)]
    rows = "".join(f'"{bucket}","{key}","7","2026-01-02T03:04:05.000Z","e1"\n' for key in keys)
    manifest = {
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": [{"key": "1.csv.gz"}],
    }
    s3.put_object(Bucket=bucket, Key="1.csv.gz", Body=gzip.compress(rows.encode()))
    s3.put_object(Bucket=bucket, Key="manifest.json", Body=json.dumps(manifest).encode())
    arguments = ("backfill", f"s3://{bucket}/", "--inventory", f"s3://{bucket}/manifest.json")

    def waiting() -> int:
        told = pool.sqs.get_queue_attributes(
            QueueUrl=pool.url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(told["Attributes"]["ApproximateNumberOfMessages"])

    with subprocess.Popen(
        [
            Path(sys.executable).with_name("retinue"),
            *arguments,
            "--yes",
            "--per-second",
            "400",  # so that half of the images takes seconds, and it can't finish first
        ],
        stdout=subprocess.DEVNULL,
    ) as command:
        eventually(lambda: waiting() > 1_100, within_seconds=60)
        command.kill()
    assert "continues after" in tell(*arguments, "--yes")
    asked = [
        record["s3"]["object"]["key"]
        for body in pool.bodies()
        for record in json.loads(body)["Records"]
    ]
    assert set(asked) == set(keys)
    assert len(asked) <= len(keys) + 1_000, "no more than a page is asked for twice"


def test_dead_letters_are_told_and_moved_back(tell: Callable[..., str], pool: Pool) -> None:
    pool.sqs.send_message(QueueUrl=pool.dead_url, MessageBody="no event")
    said = tell("failures")
    assert "no failed runs" in said
    assert "is not JSON" in said
    assert "would move about 1 message back" in tell("replay", "--dead-letters")
    assert "1 stay, because no worker can parse them" in tell("replay", "--dead-letters", "--yes")
    assert pool.bodies(pool.dead_url) == ["no event"]


@pytest.mark.parametrize(
    "option", [["--prefix", "s3://photos/2026/"], ["--detector", "onnx-objects"], ["--since", "1d"]]
)
def test_dead_letters_cannot_be_selected(option: list[str]) -> None:
    done = CliRunner().invoke(retinue, ["replay", "--dead-letters", *option, "--yes"])
    assert done.exit_code == 2
    assert f"--dead-letters moves all dead letters: remove {option[0]}" in done.output
