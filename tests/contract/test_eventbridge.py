"""The EventBridge publisher: over the wire to a queue, and with a client that fails on demand."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import EntryPoint
from typing import Any, cast

import pytest
from fakes.events import BUCKET
from fakes.history import MemoryHistory
from fakes.rig import POINTS, Rig
from fakes.waiting import eventually
from retinue_cli.local import AwsEndpoint
from retinue_eventbridge import publisher as publishing
from retinue_eventbridge.event import MAX_ENTRY_BYTES, entry, entry_bytes
from retinue_eventbridge.options import PublisherOptions
from retinue_eventbridge.publisher import Publisher
from retinue_sdk import BoundingBox, ConfigurationError, Detection, ImageReference, Run
from retinue_sdk.plugins.manager import Plugins

RUN = Run(
    image=ImageReference("photos", "a.jpg", etag="e"),
    detector="echo",
    detector_version="1",
    fingerprint="f" * 32,
    model_version=None,
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    duration_ms=1.5,
    detections=(Detection("label", "Größe", 0.5, BoundingBox(0, 0, 1, 1)),),
    error_code=None,
    error_message=None,
    price_usd=Decimal("0.001"),
)
POINT = EntryPoint("eventbridge", "retinue_eventbridge.plugin", "retinue")


class FakeClient:
    """Takes entries, as far as ``answer`` lets it."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.answer: Callable[[dict[str, Any]], dict[str, str]] = lambda one: {"EventId": "1"}

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.requests.append(Entries)
        return {"Entries": [self.answer(one) for one in Entries]}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BASE_SECONDS", 0.001)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def make(client: FakeClient) -> Iterator[Callable[..., Publisher]]:
    made: list[Publisher] = []

    def publisher(**options: Any) -> Publisher:
        made.append(Publisher(cast("Any", client), PublisherOptions(**options)))
        return made[-1]

    yield publisher
    for one in made:
        one.close(5)


@pytest.fixture
def target(aws: AwsEndpoint) -> tuple[str, Callable[[int], list[dict[str, Any]]]]:
    """Return a bus whose events land in a queue, and what reads them."""
    bus = f"bus-{uuid.uuid4().hex[:8]}"
    events, sqs = cast("Any", aws).client("events"), aws.client("sqs")
    url = sqs.create_queue(QueueName=bus)["QueueUrl"]
    names = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    events.create_event_bus(Name=bus)
    pattern = json.dumps({"source": ["retinue"], "detail-type": ["Run Finished"]})
    events.put_rule(Name="all", EventBusName=bus, EventPattern=pattern)
    arn = names["Attributes"]["QueueArn"]
    events.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn}])

    def read(number: int) -> list[dict[str, Any]]:
        bodies: list[dict[str, Any]] = []

        def enough() -> bool:
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
            bodies.extend(json.loads(one["Body"]) for one in got.get("Messages", []))
            return len(bodies) >= number

        eventually(enough, what=f"{number} events")
        return bodies

    return bus, read


def test_runs_of_a_worker_arrive_over_the_wire(
    aws: AwsEndpoint,
    target: tuple[str, Callable[[int], list[dict[str, Any]]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus, read = target
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    rig = Rig(MemoryHistory())
    rig.plugins = Plugins((*POINTS, POINT))
    keys = [f"{index}.jpg" for index in range(25)]
    for key in keys:
        rig.upload(key)
    rig.work_off(
        {"echo": {}, "hostile-invalid-image": {}, "hostile-slow": {}},
        plugin_options={"eventbridge": {"bus": bus}},
        routes={"hostile-slow": {"key": "none"}},
    )
    arrived = read(50)
    assert {(one["source"], one["detail-type"]) for one in arrived} == {("retinue", "Run Finished")}
    details = [one["detail"] for one in arrived]
    found = {one["key"]: one for one in details if one["detector"] == "echo"}
    assert sorted(found) == sorted(keys)
    assert found["7.jpg"]["detections"][0]["label"] == "7"
    assert found["7.jpg"]["bucket"] == BUCKET
    failed = [one for one in details if one["outcome"] == "failed"]
    assert {(one["detector"], one["error_code"]) for one in failed} == {
        ("hostile-invalid-image", "hostile")
    }
    assert len(failed) == 25


def test_batches_have_ten_entries_and_fit(
    client: FakeClient, make: Callable[..., Publisher]
) -> None:
    gate = threading.Event()
    client.answer = lambda one: {"EventId": "1"} if gate.wait(10) else {}
    publisher = make()
    large = replace(RUN, detections=(Detection("label", "x" * 2_000, 1.0),) * 60)
    for run in [RUN] * 25 + [large] * 5:
        publisher.put(entry(run, "b"))
    gate.set()
    publisher.close(10)
    assert sum(map(len, client.requests)) == 30
    assert max(map(len, client.requests)) == 10
    assert all(sum(map(entry_bytes, one)) <= MAX_ENTRY_BYTES for one in client.requests)
    assert (publisher.sent, publisher.lost) == (30, 0)


def test_an_event_that_would_be_too_large_leaves_detections_out() -> None:
    many = replace(RUN, detections=(Detection("label", "ü" * 1_000, 1.0),) * 500)
    one = entry(many, "b")
    detail = json.loads(one["Detail"])
    assert MAX_ENTRY_BYTES - 4_000 < entry_bytes(one) <= MAX_ENTRY_BYTES
    assert detail["detection_count"] == 500
    assert detail["detections_left_out"] == 500 - len(detail["detections"]) > 0


def test_what_is_refused_is_offered_again_and_alone(
    client: FakeClient, make: Callable[..., Publisher]
) -> None:
    refusals = iter([{"ErrorCode": "ThrottlingException"}] * 2)
    client.answer = lambda one: next(refusals, {"EventId": "1"})
    publisher = make()
    for _ in range(5):
        publisher.put(entry(RUN, "b"))
    eventually(lambda: publisher.sent == 5)
    assert publisher.lost == 0
    assert sum(map(len, client.requests)) == 7


def test_what_is_refused_for_ever_is_given_up_and_counted(
    client: FakeClient, make: Callable[..., Publisher], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(one: dict[str, Any]) -> dict[str, str]:
        raise RuntimeError("no network")

    client.answer = refuse
    publisher = make(max_tries=3)
    publisher.put(entry(RUN, "b"))
    eventually(lambda: publisher.lost == 1)
    assert len(client.requests) == 3
    assert "no network" in caplog.text


def test_memory_is_bounded_and_nobody_waits(
    client: FakeClient, make: Callable[..., Publisher]
) -> None:
    gate = threading.Event()
    client.answer = lambda one: {"EventId": "1"} if gate.wait(20) else {}
    publisher = make(max_waiting=10)
    for _ in range(1_000):
        publisher.put(entry(RUN, "b"))
    assert publisher.lost >= 1_000 - 10 - 10
    gate.set()
    eventually(lambda: publisher.sent + publisher.lost == 1_000)


def test_a_stop_waits_no_longer_than_it_may(
    client: FakeClient, make: Callable[..., Publisher]
) -> None:
    gate = threading.Event()
    client.answer = lambda one: {"EventId": "1"} if gate.wait(20) else {}
    publisher = make()
    for _ in range(30):
        publisher.put(entry(RUN, "b"))
    publisher.close(0.1)
    assert publisher.lost == 30
    gate.set()


@pytest.mark.parametrize("options", [{"bus": ""}, {"bos": "x"}, {"max_waiting": 1}])
def test_bad_options_are_refused_by_name(options: dict[str, Any]) -> None:
    [field] = options
    with pytest.raises(
        ConfigurationError, match=rf"plugin eventbridge: option {field}.*its options"
    ):
        Plugins((POINT,)).starting({"eventbridge": options})
