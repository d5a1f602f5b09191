"""SQS for benchmarks: its JSON protocol, fast enough not to be what is measured.

``python -m benchmarks.queue_service`` prints its address. What a worker relies on it does as SQS
does (``tests/contract/test_queue.py`` runs the worker's contract on it): visibility timeouts,
receive counts, receipt handles, long polls, dead letters. ``GET /seen`` tells how often each
operation was called, how many messages are visible and how many were deleted, when the first
receive came, and how much processor time the service took.
"""

import asyncio
import hashlib
import heapq
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from benchmarks.http_service import Answer, Headers, serve

ACCOUNT = "000000000000"
VISIBILITY_TIMEOUT_SECONDS = 30
MEDIA_TYPE = b"application/x-amz-json-1.0"

_numbers = count(1)


class RefusedError(Exception):
    """An error answer of SQS."""

    def __init__(self, code: str, query_code: str) -> None:
        super().__init__(code)
        self.code, self.query_code = code, query_code


@dataclass(slots=True)
class Message:
    """A message; its handle changes with each receive."""

    message_id: str
    body: str
    sent_ms: int
    attributes: Mapping[str, Any]
    receives: int = 0
    visible_at: float = 0.0
    handle: str = ""


@dataclass(slots=True)
class Queue:
    """A standard queue."""

    url: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    visible: deque[Message] = field(default_factory=deque)
    hidden: dict[str, Message] = field(default_factory=dict)
    expiries: list[tuple[float, str]] = field(default_factory=list)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def put(self, message: Message) -> None:
        self.visible.append(message)
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def reappear(self) -> float | None:
        """Show what was hidden long enough; in how many seconds the next message follows."""
        now = time.monotonic()
        while self.expiries:
            moment, handle = self.expiries[0]
            message = self.hidden.get(handle)
            if message is None or message.visible_at != moment:
                heapq.heappop(self.expiries)
            elif moment <= now:
                heapq.heappop(self.expiries)
                self.put(self.hidden.pop(handle))
            else:
                return moment - now
        return None

    def hide(self, message: Message, seconds: float) -> None:
        message.visible_at = time.monotonic() + seconds
        self.hidden[message.handle] = message
        heapq.heappush(self.expiries, (message.visible_at, message.handle))


class Service:
    """All queues."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.calls: Counter[str] = Counter()
        self.deleted = 0
        self.first_receive: float | None = None

    def handle(self, path: bytes, headers: Headers, body: bytes) -> Answer | Awaitable[Answer]:
        if path == b"/seen":
            seen = {
                "calls": self.calls,
                "deleted": self.deleted,
                "visible": sum(len(queue.visible) for queue in self.queues.values()),
                "first_receive": self.first_receive,
                "cpu_seconds": time.process_time(),
            }
            return Answer(orjson.dumps(seen))
        operation = headers[b"x-amz-target"].decode().rpartition(".")[2]
        self.calls[operation] += 1
        parameters = orjson.loads(body)
        try:
            if operation == "ReceiveMessage":
                self.first_receive = self.first_receive or time.time()
                return self._receive(self._queue(parameters), parameters)
            handler: Callable[[Mapping[str, Any]], Any] = getattr(self, f"on_{operation}")
            return _answered(handler(parameters))
        except RefusedError as refusal:
            return _refused(refusal)

    def on_CreateQueue(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        name = asked["QueueName"]
        queue = self.queues.setdefault(name, Queue(f"/{ACCOUNT}/{name}", name))
        queue.attributes |= asked.get("Attributes", {})
        return {"QueueUrl": self.base + queue.url}

    base = ""

    def on_GetQueueUrl(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        return {"QueueUrl": self.base + self._named(asked["QueueName"]).url}

    def on_ListQueues(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        prefix = asked.get("QueueNamePrefix", "")
        return {
            "QueueUrls": [
                self.base + queue.url
                for name, queue in self.queues.items()
                if name.startswith(prefix)
            ]
        }

    def on_DeleteQueue(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        del self.queues[self._queue(asked).name]
        return {}

    def on_SetQueueAttributes(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        self._queue(asked).attributes |= asked["Attributes"]
        return {}

    def on_GetQueueAttributes(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        queue = self._queue(asked)
        queue.reappear()
        return {
            "Attributes": {
                **queue.attributes,
                "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue.name}",
                "ApproximateNumberOfMessages": str(len(queue.visible)),
                "ApproximateNumberOfMessagesNotVisible": str(len(queue.hidden)),
            }
        }

    def on_SendMessage(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        return self._send(self._queue(asked), asked)

    def on_SendMessageBatch(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        queue = self._queue(asked)
        sent = [{"Id": entry["Id"], **self._send(queue, entry)} for entry in asked["Entries"]]
        return {"Successful": sent}

    def on_DeleteMessage(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        self._delete(self._queue(asked), asked["ReceiptHandle"])
        return {}

    def on_DeleteMessageBatch(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        queue = self._queue(asked)
        for entry in asked["Entries"]:
            self._delete(queue, entry["ReceiptHandle"])
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]]}

    def on_ChangeMessageVisibility(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        self._change(self._queue(asked), asked)
        return {}

    def on_ChangeMessageVisibilityBatch(self, asked: Mapping[str, Any]) -> Any:  # noqa: N802
        queue = self._queue(asked)
        for entry in asked["Entries"]:
            self._change(queue, entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]]}

    def _named(self, name: str) -> Queue:
        try:
            return self.queues[name]
        except KeyError:
            raise RefusedError(
                "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"
            ) from None

    def _queue(self, asked: Mapping[str, Any]) -> Queue:
        return self._named(asked["QueueUrl"].rpartition("/")[2])

    def _send(self, queue: Queue, asked: Mapping[str, Any]) -> Any:
        body = asked["MessageBody"]
        message = Message(
            f"message-{next(_numbers)}",
            body,
            int(time.time() * 1_000),
            asked.get("MessageAttributes", {}),
        )
        queue.put(message)
        digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
        return {"MessageId": message.message_id, "MD5OfMessageBody": digest}

    def _delete(self, queue: Queue, handle: str) -> None:
        if queue.hidden.pop(handle, None) is not None:
            self.deleted += 1

    def _change(self, queue: Queue, asked: Mapping[str, Any]) -> None:
        message = queue.hidden.get(asked["ReceiptHandle"])
        if message is None:
            return
        if asked["VisibilityTimeout"]:
            queue.hide(message, asked["VisibilityTimeout"])
        else:
            del queue.hidden[message.handle]
            queue.put(message)

    def _receive(self, queue: Queue, asked: Mapping[str, Any]) -> Answer | Awaitable[Answer]:
        wait_seconds = asked.get("WaitTimeSeconds", 0)
        queue.reappear()
        if queue.visible or not wait_seconds:
            return self._received(queue, asked)
        return self._poll(queue, asked, time.monotonic() + wait_seconds)

    async def _poll(self, queue: Queue, asked: Mapping[str, Any], deadline: float) -> Answer:
        while not queue.visible and (rest := deadline - time.monotonic()) > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            queue.waiting.append(waiter)
            next_seconds = queue.reappear()
            try:
                await asyncio.wait_for(waiter, min(rest, next_seconds or rest))
            except TimeoutError:
                queue.reappear()
        return self._received(queue, asked)

    def _received(self, queue: Queue, asked: Mapping[str, Any]) -> Answer:
        hidden_seconds = asked.get(
            "VisibilityTimeout",
            int(queue.attributes.get("VisibilityTimeout", VISIBILITY_TIMEOUT_SECONDS)),
        )
        messages = []
        policy = queue.attributes.get("RedrivePolicy")
        redrive = orjson.loads(policy) if policy else None
        while queue.visible and len(messages) < asked.get("MaxNumberOfMessages", 1):
            message = queue.visible.popleft()
            if redrive is not None and message.receives >= int(redrive["maxReceiveCount"]):
                dead = self._named(redrive["deadLetterTargetArn"].rpartition(":")[2])
                dead.put(message)
                continue
            message.receives += 1
            message.handle = f"{message.message_id}#{message.receives}"
            queue.hide(message, hidden_seconds)
            digest = hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest()
            messages.append(
                {
                    "MessageId": message.message_id,
                    "ReceiptHandle": message.handle,
                    "Body": message.body,
                    "MD5OfBody": digest,
                    "MessageAttributes": message.attributes,
                    "Attributes": {
                        "ApproximateReceiveCount": str(message.receives),
                        "SentTimestamp": str(message.sent_ms),
                    },
                }
            )
        return _answered({"Messages": messages} if messages else {})


def _answered(answer: Any) -> Answer:
    return Answer(orjson.dumps(answer), media_type=MEDIA_TYPE)


def _refused(refusal: RefusedError) -> Answer:
    body = {"__type": f"com.amazonaws.sqs#{refusal.code}", "message": refusal.code}
    return Answer(
        orjson.dumps(body),
        status=b"400 Bad Request",
        media_type=MEDIA_TYPE + b"\r\nx-amzn-query-error: %b;Sender" % refusal.query_code.encode(),
    )


def main() -> None:
    """Serve."""
    service = Service()

    def handle(path: bytes, headers: Headers, body: bytes) -> Answer | Awaitable[Answer]:
        service.base = f"http://{headers[b'host'].decode()}"
        return service.handle(path, headers, body)

    serve(handle)


if __name__ == "__main__":
    main()
