"""What one would write in an afternoon: boto3, 64 threads, and a row at a time.

Each thread receives ten messages, asks Rekognition about each image, inserts the image and its
labels row by row in a transaction, and deletes the message.
"""

import json
import os
import threading
from typing import Any

import boto3
import psycopg
from botocore.config import Config

THREADS = 64


def look(rekognition: Any, connection: psycopg.Connection[Any], record: dict[str, Any]) -> None:
    """Ask about one image, and keep the answer."""
    bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
    answer = rekognition.detect_labels(Image={"S3Object": {"Bucket": bucket, "Name": key}})
    with connection.transaction():
        connection.execute(
            "INSERT INTO plain_images VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (key, record["eventTime"], json.dumps(answer["Labels"])),
        )
        number = 0
        for label in answer["Labels"]:
            places = [(label["Confidence"], None)]
            places += [
                (place["Confidence"], json.dumps(place["BoundingBox"]))
                for place in label["Instances"]
            ]
            for confidence, box in places:
                connection.execute(
                    "INSERT INTO plain_labels VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (key, number, label["Name"], confidence / 100, box),
                )
                number += 1


def clients() -> tuple[Any, Any]:
    """SQS and Rekognition, with room for every thread."""
    config = Config(max_pool_connections=THREADS)
    return boto3.client("sqs", config=config), boto3.client("rekognition", config=config)


def main() -> None:
    """Work until the process is ended."""
    sqs, rekognition = clients()
    url, queue = os.environ["BENCH_DATABASE_URL"], os.environ["BENCH_QUEUE_URL"]

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while True:
                received = sqs.receive_message(
                    QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20
                )
                for message in received.get("Messages", ()):
                    for record in json.loads(message["Body"])["Records"]:
                        look(rekognition, connection, record)
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
