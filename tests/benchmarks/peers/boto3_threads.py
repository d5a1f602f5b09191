"""boto3 with threads and one writer: ``python -m benchmarks.peers.boto3_threads THREADS``.

Each thread receives ten messages and asks Rekognition about one image after the other. The writer
records what has gathered, up to 100 messages in one statement, and has them deleted by tens.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Thread

import boto3
import psycopg
from botocore.config import Config

from benchmarks.peers.rows import MOST_MESSAGES, RECORD, Looked, deletes, rows, uploads

THREADS = int(sys.argv[1])
DELETERS = MOST_MESSAGES // 10
QUEUE_URL = os.environ["BENCH_QUEUE_URL"]

config = Config(max_pool_connections=THREADS + DELETERS)
sqs = boto3.client("sqs", config=config)
rekognition = boto3.client("rekognition", config=config)
looked: Queue[Looked] = Queue(2 * MOST_MESSAGES)


def look() -> None:
    """Receive and ask, until the process ends."""
    while True:
        received = sqs.receive_message(
            QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=20
        )
        for message in received.get("Messages", ()):
            done = Looked(message["ReceiptHandle"])
            for upload in uploads(message["Body"]):
                image = {"S3Object": {"Bucket": upload.bucket, "Name": upload.key}}
                done.add(upload, rekognition.detect_labels(Image=image)["Labels"])
            looked.put(done)


def delete(entries: list[dict[str, str]]) -> None:
    """Delete up to ten messages."""
    sqs.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)


def write() -> None:
    """Record and delete, until the process ends."""
    with (
        psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True) as connection,
        ThreadPoolExecutor(DELETERS) as deleters,
    ):
        while True:
            messages = [looked.get()]
            while len(messages) < MOST_MESSAGES and not looked.empty():
                messages.append(looked.get())
            connection.execute(RECORD, rows(messages))
            list(deleters.map(delete, deletes(messages)))


if __name__ == "__main__":
    for _ in range(THREADS):
        Thread(target=look, daemon=True).start()
    write()
