"""Read S3 objects in blocking code, with the asynchronous client."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import uvloop
from retinue_aws import AwsClient, S3Object

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

LONGEST_READ_SECONDS = 60.0
"""Time limit for a call, including the whole body. S3 sends the largest image in a few seconds. The
client's own timeout applies to the next byte only, so a slow body never exceeds it.
"""


class ObjectReader:
    """Reads objects for blocking callers. Thread-safe.

    The calls run on an event loop of their own, in a daemon thread. On the worker's loop, a call
    could deadlock: a coroutine that reads an image blocks that loop until the answer has arrived.

    Args:
        client: A boto3 S3 client. Objects are read by its rules.

    Attributes:
        client: The same, for calls that are rarely made.

    Raises:
        InvalidProxiesConfigError: See ``AwsClient``.
        RuntimeError: The system can't start a thread.
    """

    def __init__(self, client: "S3Client") -> None:
        self.client = client
        self._objects = AwsClient(client)
        self._closed = asyncio.Event()
        self._loop = uvloop.new_event_loop()
        try:
            Thread(target=self._work, name="retinue-s3", daemon=True).start()
        except RuntimeError:
            self._loop.close()
            raise

    def get_object(
        self,
        bucket: str,
        key: str,
        version_id: str | None = None,
        *,
        max_bytes: int,
        byte_range: tuple[int, int] | None = None,
    ) -> S3Object:
        """Read an object, or a part of it. See ``AwsClient.get_object``.

        Raises:
            TimeoutError: The call took ``LONGEST_READ_SECONDS``.
            BotoCoreError: As for ``AwsClient.get_object``.
            ClientError: As for ``AwsClient.get_object``.
        """
        return self._call(
            self._objects.get_object(
                bucket, key, version_id, max_bytes=max_bytes, byte_range=byte_range
            )
        )

    def head_object(self, bucket: str, key: str, version_id: str | None = None) -> S3Object:
        """Read an object's headers. Arguments and errors are those of ``get_object``."""
        return self._call(self._objects.head_object(bucket, key, version_id))

    def close(self) -> None:
        """Cancel all calls, close the connections and end the thread."""
        with suppress(RuntimeError):  # closed already
            self._loop.call_soon_threadsafe(self._closed.set)

    def _call(self, call: Coroutine[Any, Any, S3Object]) -> S3Object:
        return asyncio.run_coroutine_threadsafe(_limited(call), self._loop).result()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._wait_for_close())

    async def _wait_for_close(self) -> None:
        await self._closed.wait()
        await self._objects.aclose()


async def _limited(call: Coroutine[Any, Any, S3Object]) -> S3Object:
    async with asyncio.timeout(LONGEST_READ_SECONDS):
        return await call
