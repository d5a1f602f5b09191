"""aiobotocore on uvloop, and one writer: ``python -m benchmarks.peers.aiobotocore_tasks TASKS``.

Each task receives ten messages and asks Rekognition about one image after the other. The writer
records what has gathered, up to 100 messages in one statement, and has them deleted by tens.
"""

import asyncio
import os
import sys

import psycopg
import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from benchmarks.peers.rows import MOST_MESSAGES, RECORD, Looked, deletes, rows, uploads

DELETES = MOST_MESSAGES // 10
"""How many calls delete side by side."""
QUEUE_URL = os.environ["BENCH_QUEUE_URL"]
DATABASE_URL = os.environ["BENCH_DATABASE_URL"]


async def main(tasks: int) -> None:
    """Receive, ask, record and delete, until the process ends."""
    config = AioConfig(max_pool_connections=tasks + DELETES)
    session = get_session()
    looked: asyncio.Queue[Looked] = asyncio.Queue(2 * MOST_MESSAGES)
    async with (
        session.create_client("sqs", config=config) as sqs,
        session.create_client("rekognition", config=config) as rekognition,
        await psycopg.AsyncConnection.connect(DATABASE_URL, autocommit=True) as connection,
        asyncio.TaskGroup() as group,
    ):

        async def look() -> None:
            while True:
                received = await sqs.receive_message(
                    QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=20
                )
                for message in received.get("Messages", ()):
                    done = Looked(message["ReceiptHandle"])
                    for upload in uploads(message["Body"]):
                        image = {"S3Object": {"Bucket": upload.bucket, "Name": upload.key}}
                        answer = await rekognition.detect_labels(Image=image)
                        done.add(upload, answer["Labels"])
                    await looked.put(done)

        async def write() -> None:
            while True:
                messages = [await looked.get()]
                while len(messages) < MOST_MESSAGES and not looked.empty():
                    messages.append(looked.get_nowait())
                await connection.execute(RECORD, rows(messages))
                await asyncio.gather(
                    *(
                        sqs.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
                        for entries in deletes(messages)
                    )
                )

        for _ in range(tasks):
            group.create_task(look())
        group.create_task(write())


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
