"""The least that Python can do: ``python -m benchmarks.peers.bare_prototype TASKS [without-gc]``.

The shape of the other peers, without a library for HTTP or AWS, and WITHOUT ANY ERROR HANDLING: no
status is read, no call is repeated or given up, credentials never expire, and a signature's key is
good until midnight. Not a program to run, but the limit that the others are measured against.

With ``without-gc``, Python never looks for cycles of garbage. A program that runs for days can't do
without, unless it makes none.
"""

import asyncio
import gc
import hashlib
import hmac
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import psycopg
import uvloop

from benchmarks.peers.rows import MOST_MESSAGES, RECORD, Looked, deletes, rows, uploads

QUEUE_URL = os.environ["BENCH_QUEUE_URL"]
DATABASE_URL = os.environ["BENCH_DATABASE_URL"]
REGION = os.environ["AWS_REGION"]
KEY_ID, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
SIGNED = "content-type;host;x-amz-date;x-amz-target"


class Connection(asyncio.Protocol):
    """A connection to a service of AWS: one signed call after the other."""

    def __init__(self, service: str, url: str, prefix: str, media_type: str) -> None:
        parts = urlsplit(url)
        self.address = parts.hostname, parts.port
        self._host, self._prefix, self._media_type = parts.netloc, prefix, media_type
        day = time.strftime("%Y%m%d", time.gmtime())
        self._scope = f"{day}/{REGION}/{service}/aws4_request"
        self._key = f"AWS4{SECRET}".encode()
        for part in self._scope.split("/"):
            self._key = hmac.digest(self._key, part.encode(), "sha256")
        self._read = b""

    async def open(self) -> "Connection":
        host, port = self.address
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def call(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Send a call, and return its answer."""
        body = orjson.dumps(parameters)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = (
            f"content-type:{self._media_type}\nhost:{self._host}\nx-amz-date:{now}\n"
            f"x-amz-target:{self._prefix}.{operation}\n"
        )
        asked = f"POST\n/\n\n{headers}\n{SIGNED}\n{hashlib.sha256(body).hexdigest()}"
        digest = hashlib.sha256(asked.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, to_sign.encode(), "sha256").hex()
        head = (
            f"POST / HTTP/1.1\n{headers}authorization:AWS4-HMAC-SHA256 "
            f"Credential={KEY_ID}/{self._scope}, SignedHeaders={SIGNED}, Signature={signature}\n"
            f"content-length:{len(body)}\n\n"
        )
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head.replace("\n", "\r\n").encode() + body)
        return orjson.loads(await self._answer)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if found:
            length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            if len(body) == int(length):
                self._read = b""
                self._answer.set_result(body)


async def sqs() -> Connection:
    """Open a connection to SQS."""
    url = os.environ["AWS_ENDPOINT_URL"]
    return await Connection("sqs", url, "AmazonSQS", "application/x-amz-json-1.0").open()


async def rekognition() -> Connection:
    """Open a connection to Rekognition."""
    url = os.environ["AWS_ENDPOINT_URL_REKOGNITION"]
    media_type = "application/x-amz-json-1.1"
    return await Connection("rekognition", url, "RekognitionService", media_type).open()


async def look(looked: "asyncio.Queue[Looked]") -> None:
    """Receive and ask, until the process ends."""
    queue, detector = await sqs(), await rekognition()
    wanted = {"QueueUrl": QUEUE_URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20}
    while True:
        received = await queue.call("ReceiveMessage", wanted)
        for message in received.get("Messages", ()):
            done = Looked(message["ReceiptHandle"])
            for upload in uploads(message["Body"]):
                image = {"S3Object": {"Bucket": upload.bucket, "Name": upload.key}}
                answer = await detector.call("DetectLabels", {"Image": image})
                done.add(upload, answer["Labels"])
            await looked.put(done)


async def write(looked: "asyncio.Queue[Looked]") -> None:
    """Record and delete, until the process ends."""
    queues = [await sqs() for _ in range(MOST_MESSAGES // 10)]
    async with await psycopg.AsyncConnection.connect(DATABASE_URL, autocommit=True) as connection:
        while True:
            messages = [await looked.get()]
            while len(messages) < MOST_MESSAGES and not looked.empty():
                messages.append(looked.get_nowait())
            await connection.execute(RECORD, rows(messages))
            calls = (
                queue.call("DeleteMessageBatch", {"QueueUrl": QUEUE_URL, "Entries": entries})
                for queue, entries in zip(queues, deletes(messages), strict=False)
            )
            await asyncio.gather(*calls)


async def main(tasks: int) -> None:
    """Run so many tasks that look, and one that writes."""
    looked: asyncio.Queue[Looked] = asyncio.Queue(2 * MOST_MESSAGES)
    await asyncio.gather(write(looked), *(look(looked) for _ in range(tasks)))


if __name__ == "__main__":
    if "without-gc" in sys.argv:
        gc.disable()
    uvloop.run(main(int(sys.argv[1])))
