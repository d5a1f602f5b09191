"""The contract of a queue, for emulated SQS and for the queue in memory.

One suite for both, so that what is tested in memory holds on the wire.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.process import service
from fakes.examples import examples
from fakes.queue import MemoryQueue
from fakes.waiting import eventually
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retinue_aws import AwsClient
from retinue_cli.local import AwsEndpoint
from retinue_sdk import ConfigurationError
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.intake.sqs import Queue, SqsQueue
from retinue_workers.work import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

HIDDEN_SECONDS = 2


class BlockingQueue:
    """A queue whose coroutines run on a loop of the test's own."""

    def __init__(self, queue: Queue, runner: asyncio.Runner) -> None:
        self.queue = queue
        self._runner = runner

    @property
    def max_receive_count(self) -> int | None:
        return self.queue.max_receive_count

    def receive(self, limit: int) -> list[Message]:
        return self._runner.run(self.queue.receive(limit))

    def delete(self, messages: Sequence[Message]) -> None:
        self._runner.run(self.queue.delete(messages))

    def change_visibility(self, messages: Sequence[Message], seconds: int) -> None:
        self._runner.run(self.queue.change_visibility(messages, seconds))


class Case:
    """A queue with what a test needs besides.

    Attributes:
        queue: The queue, with a visibility timeout of two seconds.
        send: Puts a message in.
        dead: Bodies in the dead-letter queue.
    """

    def __init__(
        self, queue: BlockingQueue, send: Callable[[str], object], dead: Callable[[], list[str]]
    ) -> None:
        self.queue = queue
        self.send = send
        self.dead = dead

    def receive(self, number: int = 1) -> list[Message]:
        """Receive a number of messages, in one or several receives."""
        messages: list[Message] = []

        def enough() -> bool:
            messages.extend(self.queue.receive(10))
            return len(messages) >= number

        eventually(enough, what=f"{number} messages")
        return messages

    def one(self) -> Message:
        (message,) = self.receive()
        return message

    def silent(self) -> bool:
        """Return whether a receive brings nothing."""
        return not self.queue.receive(10)


def memory_case(runner: asyncio.Runner, max_receive_count: int | None) -> Case:
    queue = MemoryQueue(
        visibility_timeout_seconds=HIDDEN_SECONDS, max_receive_count=max_receive_count
    )
    return Case(BlockingQueue(queue, runner), queue.send, queue.dead_letters)


def sqs_queue(runner: asyncio.Runner, client: "SQSClient", url: str) -> BlockingQueue:
    """Return a queue of SQS that was found to exist."""
    queue = SqsQueue(
        AwsClient(client), url, wait_seconds=0, visibility_timeout_seconds=HIDDEN_SECONDS
    )
    try:
        runner.run(queue.connect())
    except BaseException:
        runner.run(queue.close())
        raise
    return BlockingQueue(queue, runner)


def sqs_case(runner: asyncio.Runner, client: "SQSClient", max_receive_count: int | None) -> Case:
    name = f"q{uuid.uuid4().hex}"
    url = client.create_queue(QueueName=name)["QueueUrl"]
    dead_url = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    if max_receive_count is not None:
        arn = client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])
        policy = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": str(max_receive_count),
        }
        client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    dead: list[str] = []

    def read_dead() -> list[str]:
        answer = client.receive_message(QueueUrl=dead_url, MaxNumberOfMessages=10)
        dead.extend(message["Body"] for message in answer.get("Messages", ()))
        return dead

    return Case(
        sqs_queue(runner, client, url),
        lambda text: client.send_message(QueueUrl=url, MessageBody=text),
        read_dead,
    )


def close(queue: BlockingQueue, runner: asyncio.Runner) -> None:
    """Close the connections of a queue of SQS."""
    assert isinstance(queue.queue, SqsQueue)
    runner.run(queue.queue.close())


Make = Callable[..., Case]


@pytest.fixture(scope="session")
def quick_sqs() -> Iterator[AwsEndpoint]:
    """Yield the benchmarks' own SQS."""
    with service("queue_service") as url:
        yield AwsEndpoint(url)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(params=["memory", "sqs", "benchmark"])
def make(request: pytest.FixtureRequest, runner: asyncio.Runner) -> Iterator[Make]:
    """Makes a fresh queue of either kind."""
    if request.param == "memory":
        yield lambda max_receive_count=3: memory_case(runner, max_receive_count)
        return
    endpoint = "aws" if request.param == "sqs" else "quick_sqs"
    client = request.getfixturevalue(endpoint).client("sqs")
    made: list[Case] = []

    def make_case(max_receive_count: int | None = 3) -> Case:
        made.append(sqs_case(runner, client, max_receive_count))
        return made[-1]

    yield make_case
    for case in made:
        close(case.queue, runner)


@pytest.fixture
def case(make: Make) -> Case:
    return make()


def test_a_message_comes_once_and_counts_its_receives(case: Case) -> None:
    case.send("hello")
    message = case.one()
    assert (message.body, message.receive_count) == ("hello", 1)
    assert message.message_id
    assert message.receipt_handle
    assert case.silent()


def test_an_empty_queue_gives_nothing(case: Case) -> None:
    assert case.queue.receive(10) == []


def test_no_more_than_the_limit_come_at_once(case: Case) -> None:
    for number in range(5):
        case.send(str(number))
    first = case.queue.receive(2)
    assert 1 <= len(first) <= 2
    rest = case.receive(5 - len(first))
    assert sorted(message.body for message in [*first, *rest]) == ["0", "1", "2", "3", "4"]


def test_a_deleted_message_never_comes_again(case: Case) -> None:
    case.send("x")
    message = case.one()
    case.queue.delete([message])
    case.queue.change_visibility([message], 0)  # too late, and no error
    assert case.silent()
    case.queue.delete([message])  # again, and no error


def test_more_than_ten_are_deleted_and_hidden(case: Case) -> None:
    for number in range(23):
        case.send(str(number))
    messages = case.receive(23)
    case.queue.change_visibility(messages, 0)
    messages = case.receive(23)
    assert {message.receive_count for message in messages} == {2}
    case.queue.delete(messages)
    assert case.silent()


def test_nothing_may_be_deleted_and_hidden(case: Case) -> None:
    case.queue.delete([])
    case.queue.change_visibility([], 0)


def test_a_message_that_is_handed_back_comes_at_once_with_another_handle(case: Case) -> None:
    case.send("x")
    first = case.one()
    case.queue.change_visibility([first], 0)
    second = case.one()
    assert second.message_id == first.message_id
    assert second.receive_count == 2
    assert second.receipt_handle != first.receipt_handle
    assert second != first
    case.queue.delete([second])
    assert case.silent()


def test_a_message_that_nobody_deletes_comes_again_after_its_visibility_timeout(
    case: Case,
) -> None:
    case.send("x")
    case.one()
    assert case.silent()
    again = case.one()
    assert again.receive_count == 2


def test_an_extension_keeps_a_message_hidden(case: Case) -> None:
    for text in ("kept", "dropped"):
        case.send(text)
    messages = case.receive(2)
    case.queue.change_visibility([m for m in messages if m.body == "kept"], 600)
    assert case.one().body == "dropped"
    assert case.silent()


def test_after_its_last_receive_a_message_is_dead(make: Make) -> None:
    case = make(max_receive_count=2)
    assert case.queue.max_receive_count == 2
    case.send("poison")
    for receive_count in (1, 2):
        message = case.one()
        assert message.receive_count == receive_count
        case.queue.change_visibility([message], 0)
    assert case.silent()
    eventually(lambda: case.dead() == ["poison"])


def test_without_a_redrive_policy_a_message_comes_for_ever(make: Make) -> None:
    case = make(max_receive_count=None)
    assert case.queue.max_receive_count is None
    case.send("x")
    for receive_count in range(1, 8):
        message = case.one()
        assert message.receive_count == receive_count
        case.queue.change_visibility([message], 0)


def test_one_bad_entry_does_not_keep_the_others_of_a_batch(case: Case) -> None:
    for number in range(3):
        case.send(str(number))
    messages = case.receive(3)
    case.queue.delete(messages[:1])
    case.queue.change_visibility(messages, 0)
    again = case.receive(2)
    assert {message.body for message in again} == {message.body for message in messages[1:]}


@pytest.mark.parametrize("size", [1, 256 * 1024])
def test_bodies_come_as_they_were_sent(case: Case, size: int) -> None:
    case.send("x" * size)
    assert case.one().body == "x" * size


# What SQS accepts: XML's characters.
texts = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs"],
        exclude_characters=[
            *map(chr, [*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF]),
        ],
    ),
    min_size=1,
    max_size=200,
)


@given(text=texts)
@settings(
    max_examples=examples(0.25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_text_goes_through(case: Case, text: str) -> None:
    case.send(text)
    message = case.one()
    case.queue.delete([message])
    assert message.body == text


# What only the real one can do: not be there.


def _client(aws: AwsEndpoint, **changes: Any) -> "SQSClient":
    return AwsEndpoint(**{"url": aws.url, **changes}).client("sqs")


def test_a_queue_that_does_not_exist_is_a_wrong_setting(
    aws: AwsEndpoint, runner: asyncio.Runner
) -> None:
    url = f"{aws.url}/000000000000/no-such-queue"
    with pytest.raises(ConfigurationError, match=r"RETINUE_QUEUE_URL .*no-such-queue"):
        sqs_queue(runner, _client(aws), url)


def test_a_queue_that_does_not_answer_is_waited_for(
    aws: AwsEndpoint, runner: asyncio.Runner
) -> None:
    away = _client(aws, url="http://127.0.0.1:9")
    url = "http://127.0.0.1:9/000000000000/q"
    with pytest.raises(QueueUnavailableError, match="cannot read"):
        sqs_queue(runner, away, url)


MESSAGE = Message("id", "handle", "body", 1)
CALLS: dict[str, Callable[[BlockingQueue], object]] = {
    "receive": lambda queue: queue.receive(10),
    "delete": lambda queue: queue.delete([MESSAGE]),
    "change_visibility": lambda queue: queue.change_visibility([MESSAGE], 30),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_queue_that_goes_away_says_so(
    aws: AwsEndpoint, runner: asyncio.Runner, call: Callable[[BlockingQueue], object]
) -> None:
    client = _client(aws)
    url = client.create_queue(QueueName=f"q{uuid.uuid4().hex}")["QueueUrl"]
    queue = sqs_queue(runner, client, url)
    client.delete_queue(QueueUrl=url)
    with pytest.raises(QueueUnavailableError, match=re.escape(url)):
        call(queue)
    close(queue, runner)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_the_queue_in_memory_goes_away_likewise(
    runner: asyncio.Runner, call: Callable[[BlockingQueue], object]
) -> None:
    queue = MemoryQueue()
    queue.unavailable = "gone"
    with pytest.raises(QueueUnavailableError, match="gone"):
        call(BlockingQueue(queue, runner))
