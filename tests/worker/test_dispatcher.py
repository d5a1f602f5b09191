"""One message, from its text to its deletion."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, cast
from unittest.mock import ANY

import pytest
from fakes import events
from fakes.detectors import AnyScripted, AsyncScripted, Scripted
from fakes.history import MemoryHistory
from fakes.object_store import MemoryS3, client_error, store_on
from fakes.queue import MemoryQueue
from fakes.videos import BIKES, InProcessDecoder
from fakes.waiting import settle, until
from PIL import Image as PillowImage
from retinue_history import HistoryDataError
from retinue_sdk import (
    BoundingBox,
    Detection,
    DetectorNotReadyError,
    Findings,
    Image,
    Input,
    InvalidImageError,
    RetriableError,
)
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors import runner as runner_module
from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.run_record import RunRecorder
from retinue_workers.detectors.runner import DetectorRunner
from retinue_workers.detectors.suspects import Successes
from retinue_workers.dispatch.attempts import Attempts
from retinue_workers.dispatch.dispatcher import MAX_IGNORED, Dispatcher
from retinue_workers.dispatch.routing.object_metadata import MetadataReader
from retinue_workers.dispatch.routing.router import Router
from retinue_workers.dispatch.video_frames import VideoFrames
from retinue_workers.intake.inbox import Inbox
from retinue_workers.intake.prefetch import Prefetch
from retinue_workers.jobs.scheduler import JobScheduler
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.metrics import Metrics
from retinue_workers.recording.committer import Committer
from retinue_workers.recording.lookup import Lookup
from retinue_workers.recording.observers import Observers
from retinue_workers.settings.routes import Route
from retinue_workers.settings.settings import TierPrice
from retinue_workers.settings.video import VideoSampling


@pytest.fixture(autouse=True)
def _quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("retry_policy", "runner"):
        monkeypatch.setattr(f"retinue_workers.detectors.{module}.PROBE_SECONDS", 0.05)


class Other(AsyncScripted):
    """A second detector."""

    name: ClassVar[str] = "other"


@dataclass
class Rig:
    """A dispatcher and what is around it; effects are in the journal, in order.

    Attributes:
        decoder: What decodes videos.
        handling: What handles the messages that were received.
    """

    dispatcher: Dispatcher
    inbox: Inbox
    queue: MemoryQueue
    history: MemoryHistory
    s3: MemoryS3
    budget: Budget
    gate: ReceiveGate
    runners: Sequence[DetectorRunner]
    journal: list[str]
    decoder: InProcessDecoder
    handling: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def handle(self, *bodies: str) -> None:
        """Send messages, receive all of the queue, and handle it to the end."""
        await self.begin(*bodies)
        await asyncio.gather(*self.handling)

    async def begin(self, *bodies: str) -> None:
        """Send messages, receive all of the queue, and begin to handle it."""
        for body in bodies:
            self.queue.send(body)
        async for messages in self.inbox.receive():
            self.handling += [
                asyncio.create_task(self.dispatcher.handle(message)) for message in messages
            ]
            if not messages:
                break

    def upload(self, key: str, data: bytes = b"?") -> str:
        """Put an object into the bucket; returns the body of its event."""
        put = self.s3.put_object(Bucket=events.BUCKET, Key=key, Body=data)
        return events.created(key, etag=put["ETag"].strip('"'), version_id=put.get("VersionId"))

    def codes(self) -> list[str]:
        """Return the error code, or the outcome, of each run; sorted."""
        return sorted(run.error_code or run.outcome for run in self.history.runs)


@asynccontextmanager
async def dispatching(
    *detectors: AnyScripted,
    retry_window_seconds: float = 20.0,
    timeout_seconds: float = 20.0,
    max_receive_count: int | None = 3,
    usd: Decimal | None = None,
    routes: dict[str, Any] | None = None,
    video: VideoSampling | None = None,
) -> AsyncIterator[Rig]:
    journal: list[str] = []
    history = MemoryHistory(journal)
    queue = MemoryQueue(
        journal=journal, max_receive_count=max_receive_count, wait_seconds=0, clock=lambda: 0.0
    )
    s3 = MemoryS3()
    s3.create_bucket(Bucket=events.BUCKET)
    gate, threads = ReceiveGate(), DaemonThreads("history", 2)
    inbox = Inbox(queue, gate, capacity=100, heartbeat_seconds=30, visibility_timeout_seconds=90)
    metrics = Metrics(in_flight=lambda: len(inbox), pause_reasons=lambda: len(gate.reasons()))
    budget = Budget(
        history,
        threads,
        gate,
        prices={detector.name: (TierPrice(usd=Decimal(1)),) for detector in detectors},
        budgets={} if usd is None else {detector.name: usd for detector in detectors},
    )
    prefetch = Prefetch(threads=2, max_images=4)
    store = store_on(s3)
    chosen = {name: Route.model_validate(route) for name, route in (routes or {}).items()}
    metadata = MetadataReader(store, prefetch, chosen)
    observers = Observers(Plugins(()))
    successes = Successes()
    runners = [
        DetectorRunner(
            detector,
            timeout_seconds=timeout_seconds,
            gate=gate,
            budget=budget,
            prefetch=prefetch,
            filters=Filters(),
            successes=successes,
            video=video if detector.capabilities.input is Input.PIXELS else None,
        )
        for detector in detectors
    ]
    attempts = Attempts(budget, metrics, retry_window_seconds)
    decoder = InProcessDecoder()
    frames = VideoFrames(
        decoder=decoder,
        store=store,
        attempts=attempts,
        max_videos=1,
        max_bytes=10_000_000,
        max_appearances=100,
        on_progress=lambda: journal.append("progress"),
    )
    records = RunRecorder(budget, FindingsEncoder(100, 10_000))
    jobs = JobScheduler(
        [],
        jobs=None,
        threads=threads,
        store=store,
        records=records,
        filters=Filters(),
        budget=budget,
        metrics=metrics,
        observers=observers,
        gate=gate,
        timeout_seconds=timeout_seconds,
    )
    dispatcher = Dispatcher(
        inbox=inbox,
        lookup=Lookup(history, threads, gate),
        router=Router(chosen, metadata),
        runners=runners,
        jobs=jobs,
        records=records,
        committer=Committer(
            history, threads, gate, budget=budget, metrics=metrics, observers=observers
        ),
        store=store,
        prefetch=prefetch,
        budget=budget,
        attempts=attempts,
        max_receive_count=queue.max_receive_count,
        frames=frames,
    )
    for runner in runners:
        await runner.start()
    rig = Rig(dispatcher, inbox, queue, history, s3, budget, gate, runners, journal, decoder)
    try:
        yield rig
    finally:
        for detector in detectors:
            detector.notes.release()
        for runner in runners:
            runner.stop_calling()
            await runner.close(5)
        for task in rig.handling:
            task.cancel()
        await asyncio.gather(*rig.handling, return_exceptions=True)
        await observers.drain(1)
        for part in (prefetch, metadata, threads, frames):
            part.close()


async def test_a_message_is_deleted_after_its_runs_are_committed() -> None:
    async with dispatching(Scripted(), Other()) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert [line.split()[:2] for line in rig.journal] == [
            ["commit", "scripted"],
            ["commit", "other"],
            ["delete", "message-1"],
        ]
        [image] = rig.history.images
        assert (image.key, image.missing_since) == ("a.jpg", None)
        assert len(rig.inbox) == 0


async def test_a_message_is_requeued_only_after_what_it_has_is_committed() -> None:
    def bug(image: Image) -> Any:
        raise ZeroDivisionError

    async with dispatching(Scripted(bug), Other()) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.codes() == ["succeeded"]
        assert [line.split()[0] for line in rig.journal] == ["commit", "hide"]
        assert rig.journal[-1] == "hide message-1 1"


async def test_on_the_last_receive_a_failure_is_recorded() -> None:
    calls: list[str] = []

    def bug(image: Image) -> Any:
        calls.append(image.reference.key)
        raise ZeroDivisionError("bug")

    async with dispatching(Scripted(bug), max_receive_count=2) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.codes() == []
        rig.queue.reappear()
        await rig.handle()
        assert rig.codes() == ["unexpected_error"]
        assert rig.queue.empty()
        assert rig.queue.dead_letters() == []
        assert rig.history.runs[0].error_message == "ZeroDivisionError: bug"
    assert calls == ["a.jpg"] * 2


async def test_what_is_done_is_not_detected_again() -> None:
    detector = Scripted()
    async with dispatching(detector) as rig:
        body = rig.upload("a.jpg")
        await rig.handle(body)
        await rig.handle(body)
        assert len(detector.notes.batches) == 1
        assert rig.queue.empty()
        assert len(rig.history.images) == 2, "that the image was seen is recorded"


async def test_only_the_detector_and_the_image_that_lack_a_run_are_processed_again() -> None:
    detector, other = Scripted(), Other()
    async with dispatching(detector, other) as rig:
        records = [json.loads(rig.upload(key))["Records"][0] for key in ("a.jpg", "b.jpg")]
        await rig.handle(events.body(*records))
        [lost] = [
            run
            for run in rig.history.runs
            if run.key.detector == "other" and run.key.image_id == rig.history.images[1].image_id
        ]
        rig.history.runs.remove(lost)
        await rig.handle(events.body(*records))
        assert sorted(detector.notes.batches) == [["a.jpg"], ["b.jpg"]]
        assert sorted(other.notes.batches) == [["a.jpg"], ["b.jpg"], ["b.jpg"]]
        assert rig.history.runs[-1] == replace(lost, started_at=ANY, duration_ms=ANY)
        assert rig.queue.empty()


async def test_an_erased_image_is_not_detected() -> None:
    detector = Scripted()
    async with dispatching(detector) as rig:
        body = rig.upload("a.jpg")
        await rig.handle(body)
        rig.history.erased_images = {rig.history.images[0].image_id}
        rig.history.runs.clear()
        await rig.handle(body)
        assert len(detector.notes.batches) == 1
        assert rig.queue.empty()


@pytest.mark.parametrize(("receives", "next_step"), [(1, "delivered again"), (2, "dead-letter")])
async def test_a_message_with_a_problem_is_requeued_after_its_good_events_are_committed(
    logged: list[dict[str, Any]], receives: int, next_step: str
) -> None:
    async with dispatching(Scripted(), max_receive_count=2) as rig:
        rig.s3.put_object(Bucket=events.BUCKET, Key="a.jpg", Body=b"?")
        await rig.handle(events.body(events.record("a.jpg"), {"eventName": "ObjectCreated:Put"}))
        if receives == 2:
            rig.queue.reappear()
            await rig.handle()
        assert rig.codes() == ["succeeded"]
        assert rig.journal[-1] == f"hide message-1 {receives}"
    problems = [entry for entry in logged if entry["event"] == "malformed_message"]
    assert len(problems) == receives
    assert problems[-1]["next"].startswith(next_step)


@pytest.mark.parametrize("body", ["", "no JSON", "[]", json.dumps({"Records": 5})])
async def test_what_is_no_event_is_requeued_and_takes_no_transaction(body: str) -> None:
    async with dispatching(Scripted()) as rig:
        await rig.handle(body)
        assert rig.journal == ["hide message-1 1"]
        assert rig.history.calls == 0


async def test_a_message_about_nothing_is_deleted() -> None:
    async with dispatching(Scripted()) as rig:
        await rig.handle(events.TEST_EVENT)
        assert rig.journal == ["delete message-1"]


async def test_events_that_are_not_followed_are_told_once_for_each_kind(
    logged: list[dict[str, Any]],
) -> None:
    def bridged(kind: str) -> str:
        return json.dumps({"source": "aws.s3", "detail-type": kind})

    kinds = ["AWS API Call via CloudTrail", "Object Painted", "Object Tags Added"]
    async with dispatching(Scripted()) as rig:
        await rig.handle(*map(bridged, kinds * 3))
        assert sorted(rig.journal) == sorted(f"delete message-{n}" for n in range(1, 10))
        await rig.handle(*(bridged(f"Object {n}") for n in range(3 * MAX_IGNORED)))
    reasons = [entry["reason"] for entry in logged if entry["event"] == "event_ignored"]
    assert len(set(reasons)) == len(reasons) == MAX_IGNORED
    assert sum("CloudTrail" in reason for reason in reasons) == 1
    assert sum("Painted" in reason for reason in reasons) == 1


@pytest.mark.parametrize(
    ("takes", "versioning", "by_key"),
    [
        (Input.REFERENCE, "Suspended", True),
        (Input.REFERENCE, "Enabled", False),
        (Input.BYTES, "Suspended", False),
    ],
)
async def test_a_run_says_whether_the_detector_read_by_key(
    takes: Input, versioning: str, by_key: bool
) -> None:
    async with dispatching(Scripted(input=takes)) as rig:
        rig.s3.put_bucket_versioning(
            Bucket=events.BUCKET, VersioningConfiguration={"Status": versioning}
        )
        await rig.handle(rig.upload("a.jpg"))
        (run,) = rig.history.runs
        assert (run.outcome, run.read_by_key) == ("succeeded", by_key)


async def test_an_image_is_missing_since_its_call_began() -> None:
    """Nothing that happened while the rest of the message took its time is undone by it."""

    def gone(image: Image) -> Any:
        raise InvalidImageError("gone", code="object_not_found", retryable=True)

    async with dispatching(Scripted(gone)) as rig:
        before = datetime.now(UTC)
        await rig.handle(rig.upload("a.jpg"))
        (image,), (run,) = rig.history.images, rig.history.runs
        assert image.missing_since == run.started_at >= before


async def test_removals_are_committed_with_the_rest() -> None:
    async with dispatching(Scripted()) as rig:
        await rig.handle(
            events.body(
                events.record("a.jpg"),
                events.record("b.jpg", name="ObjectRemoved:Delete", size=None, etag=None),
            )
        )
        assert [removed.key for removed in rig.history.removed] == ["b.jpg"]
        assert rig.codes() == ["succeeded"]


@pytest.mark.parametrize(
    ("error", "is_bug"), [(HistoryDataError("poison"), False), (TypeError("bug"), True)]
)
async def test_a_rejected_commit_requeues_its_message_alone(
    logged: list[dict[str, Any]], error: Exception, is_bug: bool
) -> None:
    async with dispatching(Scripted(max_concurrency=4)) as rig:
        real = rig.history.record

        def record(images: Any, *others: Any) -> Any:
            if any(image.key == "bad.jpg" for image in images):
                raise error
            return real(images, *others)

        rig.history.record = record
        await rig.handle(*(rig.upload(key) for key in ("a.jpg", "bad.jpg", "c.jpg")))
        assert rig.codes() == ["succeeded"] * 2
        assert rig.queue.receive_counts() == {"message-2": 1}
        assert "hide message-2 1" in rig.journal
    [line] = [entry for entry in logged if entry["event"] == "commit_rejected"]
    assert (line["message_id"], line["reason"]) == ("message-2", str(error))
    assert (line["exc_info"] is not None) == is_bug


async def test_a_message_that_cannot_be_looked_up_is_requeued_alone(
    logged: list[dict[str, Any]],
) -> None:
    async with dispatching(Scripted(max_concurrency=4)) as rig:
        real = rig.history.done_and_erased

        def done_and_erased(tasks: Any, images: Any) -> Any:
            if any(image.key == "bad.jpg" for image in images):
                raise HistoryDataError("untranslatable")
            return real(tasks, images)

        rig.history.done_and_erased = done_and_erased
        await rig.handle(*(rig.upload(key) for key in ("a.jpg", "bad.jpg", "c.jpg")))
        assert rig.codes() == ["succeeded"] * 2
        assert rig.queue.receive_counts() == {"message-2": 1}
    [line] = [entry for entry in logged if entry["event"] == "commit_rejected"]
    assert (line["reason"], line["next"]) == ("untranslatable", "delivered again")


# Retries.


async def test_retriable_errors_are_retried_inside_and_cost_no_receive(
    logged: list[dict[str, Any]],
) -> None:
    answers: list[Any] = [RetriableError("busy", retry_after_seconds=0)] * 3

    def script(image: Image) -> Any:
        return answers.pop() if answers else Findings()

    async with dispatching(Scripted(script)) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.codes() == ["succeeded"]
        assert not any(line.startswith("hide") for line in rig.journal)
    retries = [entry for entry in logged if entry["event"] == "detector_retried"]
    assert [entry["attempt"] for entry in retries] == [1, 2, 3]


async def test_after_the_retry_window_the_message_is_requeued_then_the_failure_recorded() -> None:
    def busy(image: Image) -> Any:
        raise RetriableError("busy", retry_after_seconds=0.01)

    async with dispatching(Scripted(busy), retry_window_seconds=0.05, max_receive_count=2) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.journal == ["hide message-1 1"]
        rig.queue.reappear()
        await rig.handle()
        assert rig.codes() == ["retries_exhausted"]


async def test_a_message_that_waited_longer_than_sqs_hides_it_is_requeued_without_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker may have received it, and its detector would be paid twice."""
    detector = Scripted()
    async with dispatching(detector) as rig:
        with monkeypatch.context() as after_a_day:
            after_a_day.setattr(runner_module, "MAX_VISIBILITY_TIMEOUT_SECONDS", 0)
            await rig.handle(rig.upload("a.jpg"))
        assert rig.journal == ["hide message-1 0"]
        assert detector.notes.batches == []
        rig.queue.reappear()
        await rig.handle()
        assert rig.codes() == ["succeeded"]


@pytest.mark.parametrize("order", [(0, 1, 1), (1, 0, 1)], ids=["before", "between"])
async def test_the_retry_window_counts_nothing_but_retriable_errors_in_a_row(
    order: tuple[int, ...],
) -> None:
    """The image may have waited, before or between, for a detector that was not ready."""
    kinds = (
        DetectorNotReadyError("stopped", retry_after_seconds=1.2),
        RetriableError("busy", retry_after_seconds=0),
    )
    answers: list[Exception] = [kinds[index] for index in reversed(order)]

    def script(image: Image) -> Any:
        return answers.pop() if answers else Findings()

    async with dispatching(Scripted(script), retry_window_seconds=1.0) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.codes() == ["succeeded"]
        assert "hide message-1 1" not in rig.journal


async def test_a_detector_that_is_not_ready_keeps_its_messages_and_closes_the_gate() -> None:
    answers: list[Exception] = [DetectorNotReadyError("stopped", retry_after_seconds=0.3)] * 3

    def script(image: Image) -> Any:
        return answers.pop() if answers else Findings()

    async with dispatching(AsyncScripted(script)) as rig:
        await rig.begin(rig.upload("a.jpg"))
        await until(lambda: rig.gate.reasons() == {"detector scripted": "stopped"})
        assert rig.journal == []
        await asyncio.gather(*rig.handling)
        assert rig.gate.reasons() == {}
        assert rig.codes() == ["succeeded"]


async def test_one_bad_image_of_a_batch_is_found_alone() -> None:
    def script(image: Image) -> Any:
        if image.reference.key == "bad.jpg":
            raise ZeroDivisionError
        return Findings()

    detector = Scripted(script, max_batch_size=10)
    keys = ["a.jpg", "bad.jpg", "c.jpg"]
    async with dispatching(detector, max_receive_count=1) as rig:
        rig.runners[0].pause(1.0, "until all wait")
        rig.gate.open("detector scripted")
        await rig.handle(*(rig.upload(key) for key in keys))
        assert rig.codes() == ["succeeded", "succeeded", "unexpected_error"]
    assert sorted(map(len, detector.notes.batches)) == [1, 1, 1, 3]


# Bills.


@pytest.mark.parametrize("kind", [Scripted, AsyncScripted])
async def test_what_failed_calls_cost_is_on_the_bill_of_the_run(
    kind: Callable[..., AnyScripted],
) -> None:
    answers: list[Any] = [
        Findings(billed_units=Decimal(1)),
        DetectorNotReadyError("no", retry_after_seconds=0, billed_units=2),
        RetriableError("busy", retry_after_seconds=0, billed_units=4),
    ]
    async with dispatching(kind(lambda image: answers.pop())) as rig:
        await rig.handle(rig.upload("a.jpg"))
        [run] = rig.history.runs
        assert (run.outcome, run.billed_units, run.price_usd) == ("succeeded", 7, 7)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (InvalidImageError("dark", code="dark", billed_units=3), "dark"),
        (Findings(cast("Any", ({"label": "Dog"},)), billed_units=Decimal(3)), "invalid_result"),
        (Findings(raw_response=float("nan"), billed_units=Decimal(3)), "invalid_result"),
        (Findings(raw_response="x" * 20_000, billed_units=Decimal(3)), "invalid_result"),
    ],
    ids=["invalid image", "no detection", "NaN", "too large"],
)
async def test_a_paid_answer_that_is_no_success_keeps_its_bill(answer: Any, code: str) -> None:
    async with dispatching(Scripted(lambda image: answer), usd=Decimal(10)) as rig:
        await rig.handle(rig.upload("a.jpg"))
        [run] = rig.history.runs
        assert (run.error_code, run.billed_units, run.price_usd) == (code, 3, 3)
        assert sum(charge.price_usd for charge in run.charges) == 3


async def test_what_a_call_reserved_is_released_however_it_ends() -> None:
    answers: list[Any] = [
        Findings(),
        InvalidImageError("dark"),
        ZeroDivisionError(),
        RetriableError(retry_after_seconds=0),
    ]

    def script(image: Image) -> Any:
        answer = answers.pop() if answers else Findings()
        if isinstance(answer, ZeroDivisionError):
            raise answer
        return answer

    async with dispatching(Scripted(script), usd=Decimal(2)) as rig:
        await rig.handle(*(rig.upload(f"{n}.jpg") for n in range(4)))
        assert len(rig.codes()) == 3
        assert await rig.budget.reserve("scripted", 2) == 2


# Several images, several detectors.


async def test_an_image_that_is_gone_is_marked_missing() -> None:
    async with dispatching(Scripted(input=Input.BYTES)) as rig:
        await rig.handle(events.created("gone.jpg"))
        assert rig.codes() == ["object_not_found"]
        assert rig.history.images[0].missing_since is not None


async def test_the_size_of_what_was_decoded_is_recorded() -> None:
    file = BytesIO()
    PillowImage.new("RGB", (8, 6)).save(file, "PNG")
    async with dispatching(Scripted(input=Input.PIXELS)) as rig:
        good = rig.upload("good.png", file.getvalue())
        bad = rig.upload("bad.png", b"no image")
        records = [record for body in (good, bad) for record in json.loads(body)["Records"]]
        await rig.handle(events.body(*records))
        assert [(image.key, image.width_px, image.height_px) for image in rig.history.images] == [
            ("good.png", 8, 6),
            ("bad.png", None, None),
        ]
        assert rig.codes() == ["succeeded", "unsupported_format"]


@pytest.mark.parametrize(("wait_ms", "sizes"), [(60_000, [3, 1]), (1, [2, 1, 1])])
async def test_images_wait_for_a_full_batch_as_long_as_the_detector_wants(
    wait_ms: float, sizes: list[int]
) -> None:
    detector = Scripted(max_batch_size=3, max_wait_ms=wait_ms)
    async with dispatching(detector) as rig:
        await rig.begin(rig.upload("1.jpg"), rig.upload("2.jpg"))
        await settle()
        if wait_ms == 1:
            await until(lambda: len(detector.notes.batches) == 1)
        assert [len(batch) for batch in detector.notes.batches] == sizes[: wait_ms == 1]
        await rig.begin(rig.upload("3.jpg"))
        await until(lambda: len(rig.history.runs) == 3)
        rig.runners[0]._wait_seconds = 0.0
        await rig.handle(rig.upload("4.jpg"))
        assert [len(batch) for batch in detector.notes.batches] == sizes


async def test_a_loaded_image_waits_for_a_full_batch_only_while_another_is_loaded() -> None:
    detector = Scripted(input=Input.BYTES, max_batch_size=3, max_wait_ms=60_000)
    go, inside = threading.Event(), threading.Event()
    async with dispatching(detector) as rig:
        await rig.handle(rig.upload("alone.jpg"))

        def hold_slow(bucket: str, key: str) -> None:
            if key == "slow.jpg":
                inside.set()
                go.wait(20)

        rig.s3.fault = hold_slow
        await rig.begin(rig.upload("slow.jpg"))
        await until(inside.is_set)
        await rig.begin(rig.upload("fast.jpg"))
        await until(lambda: any(key == "fast.jpg" for _, key in rig.s3.gets))
        await settle()
        assert detector.notes.batches == [["alone.jpg"]]
        go.set()
        await asyncio.gather(*rig.handling)
        assert detector.notes.batches[1:] == [["fast.jpg", "slow.jpg"]]


class Preparing(Scripted):
    """Answers on which threads an image was prepared."""

    def __init__(self, **capabilities: Any) -> None:
        super().__init__(self.answer, input=Input.PIXELS, **capabilities)

    def prepare(self, image: Image) -> str:
        width = image.resized_pixels(8, 6).shape[1]
        return f"{threading.current_thread().name} {width}"

    def answer(self, image: Image) -> Findings:
        prepared = image.prepared(self.prepare)
        assert not image.has_file or not image.is_loaded(pixels=False), "its bytes are freed"
        return Findings((Detection("label", prepared, 1.0),))


async def test_images_are_prepared_on_threads_that_load_and_frames_in_the_call() -> None:
    file = BytesIO()
    PillowImage.new("RGB", (80, 60)).save(file, "JPEG")
    async with dispatching(Preparing(max_batch_size=2), video=EACH_SECOND) as rig:
        await rig.handle(rig.upload("a.jpg", file.getvalue()), rig.upload("b.jpg", b"no image"))
        await rig.handle(rig.upload("bikes.mp4", BIKES.read_bytes()))
        assert rig.codes() == ["succeeded", "succeeded", "unsupported_format"]
        labels = {found.label for run in rig.history.runs for found in run.detections}
        assert labels == {"retinue-prefetch 8", "retinue-scripted 8"}
        sizes = {image.key: image.width_px for image in rig.history.images}
        assert sizes == {"a.jpg": 80, "b.jpg": None, "bikes.mp4": 640}


async def test_while_s3_refuses_every_object_no_image_is_blamed() -> None:
    async with dispatching(Scripted(input=Input.BYTES)) as rig:

        def refuse(*_: object) -> None:
            raise client_error("AccessDenied", 403)

        rig.s3.fault = refuse
        await rig.begin(*(rig.upload(f"{number}.jpg") for number in range(3)))
        await until(lambda: "S3 refuses" in str(rig.gate.reasons()))
        await settle()
        assert rig.journal == []
        rig.s3.fault = None
        await asyncio.gather(*rig.handling)
        assert rig.codes() == ["succeeded"] * 3
        assert rig.gate.reasons() == {}


async def test_a_slow_detector_holds_its_own_message_and_no_other() -> None:
    slow = Other(max_concurrency=2)
    slow.notes.holding = lambda image: image.reference.key == "slow.jpg"
    async with dispatching(Scripted(), slow) as rig:
        await rig.begin(rig.upload("slow.jpg"), rig.upload("fast.jpg"))
        await until(lambda: "delete message-2" in rig.journal)
        assert "delete message-1" not in rig.journal
        slow.notes.release()
        await asyncio.gather(*rig.handling)
        assert rig.queue.empty()


@pytest.mark.parametrize("is_found", [True, False])
async def test_a_route_waits_for_the_detector_that_it_names(is_found: bool) -> None:
    findings = Findings((Detection("label", "Dog", 0.9),) if is_found else ())
    first, second = Scripted(lambda image: findings), Other()
    first.notes.holding = lambda image: True
    routes = {"other": {"found": [{"detector": "scripted"}]}}
    async with dispatching(first, second, routes=routes) as rig:
        await rig.begin(rig.upload("a.jpg"))
        await until(lambda: first.notes.inside == 1)
        await settle()
        assert second.notes.batches == []
        first.notes.release()
        await asyncio.gather(*rig.handling)
        assert second.notes.batches == [["a.jpg"]] * is_found
        assert rig.codes() == sorted(
            ["succeeded", "succeeded" if is_found else "skipped_by_findings"]
        )


async def test_a_route_whose_detector_has_no_result_requeues_without_a_call() -> None:
    def bug(image: Image) -> Any:
        raise ZeroDivisionError

    second = Other()
    routes = {"other": {"found": [{"detector": "scripted"}]}}
    async with dispatching(Scripted(bug), second, routes=routes) as rig:
        await rig.handle(rig.upload("a.jpg"))
        assert rig.journal == ["hide message-1 1"]
        assert second.notes.batches == []


# Stopping.


async def test_a_stop_requeues_what_waits_and_commits_what_finishes() -> None:
    detector = Scripted()
    detector.notes.holding = lambda image: True
    async with dispatching(detector) as rig:
        await rig.begin(*(rig.upload(f"{n}.jpg") for n in range(4)))
        await until(lambda: detector.notes.inside == 1)
        rig.runners[0].stop_calling()
        rig.dispatcher.cancel_waiting()
        await until(lambda: sum(line.startswith("hide") for line in rig.journal) == 3)
        detector.notes.release()
        await asyncio.gather(*rig.handling)
        assert rig.codes() == ["succeeded"]
        assert sorted(rig.journal)[-3:] == [f"hide message-{n} 0" for n in (2, 3, 4)]


async def test_a_second_stop_abandons_the_call_and_requeues_its_message() -> None:
    detector = Scripted()
    detector.notes.holding = lambda image: True
    async with dispatching(detector) as rig:
        await rig.begin(rig.upload("a.jpg"))
        await until(lambda: detector.notes.inside == 1)
        rig.runners[0].stop_calling()
        rig.dispatcher.cancel_waiting()
        await settle()
        assert rig.journal == []
        rig.dispatcher.cancel_waiting()
        await asyncio.wait(rig.handling, timeout=5)
        assert rig.journal == ["hide message-1 0"]


@pytest.mark.parametrize(
    "answer",
    [RetriableError("busy", retry_after_seconds=60), DetectorNotReadyError("stopped"), OSError()],
)
async def test_a_call_that_ends_without_a_result_after_the_stop_is_not_made_again(
    answer: Exception,
) -> None:
    def script(image: Image) -> Any:
        raise answer

    detector = AsyncScripted(script)
    detector.notes.holding = lambda image: True
    async with dispatching(detector) as rig:
        await rig.begin(rig.upload("a.jpg"))
        await until(lambda: detector.notes.inside == 1)
        rig.runners[0].stop_calling()
        rig.dispatcher.cancel_waiting()
        detector.notes.release()
        await asyncio.wait_for(asyncio.gather(*rig.handling), 5)
        assert rig.journal == ["hide message-1 0"]
        assert len(detector.notes.batches) == 1


async def test_what_comes_after_the_stop_is_requeued_immediately() -> None:
    detector = Scripted()
    async with dispatching(detector) as rig:
        rig.dispatcher.cancel_waiting()
        await rig.begin(rig.upload("a.jpg"))
        await asyncio.wait(rig.handling)
        assert rig.journal == ["hide message-1 0"]
        assert detector.notes.batches == []


async def test_a_stop_while_the_history_is_away_requeues() -> None:
    async with dispatching(Scripted()) as rig:
        rig.history.away = True
        await rig.begin(rig.upload("a.jpg"))
        await until(lambda: rig.gate.reasons())
        rig.dispatcher.cancel_waiting()
        await asyncio.wait(rig.handling, timeout=5)
        assert rig.journal == ["hide message-1 0"]


async def test_a_bug_in_a_step_requeues_the_message_with_a_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bug(*_: object) -> Any:
        raise RuntimeError("a bug")

    async with dispatching(Scripted()) as rig:
        monkeypatch.setattr(RunRecorder, "success", bug)
        await rig.begin(rig.upload("a.jpg"))
        await asyncio.wait(rig.handling)
        assert rig.journal == ["hide message-1 1"]
        assert isinstance(rig.handling[0].exception(), RuntimeError)
        assert await rig.budget.reserve("scripted", 1) == 0


PHOTOGRAPH = (Path(__file__).parents[2] / "docs" / "astronaut.jpg").read_bytes()

EACH_SECOND = VideoSampling()
"""Ten frames of ``BIKES``."""


def cyclist(image: Image) -> Findings:
    """Find a cyclist in every frame, and a unit to pay."""
    height, width, _ = image.pixels().shape
    found = Detection("object", "bicycle", 0.5, attributes={"size": [width, height]})
    return Findings((found,), billed_units=Decimal(1))


def pixels_detector(script: Any = cyclist, **capabilities: Any) -> Scripted:
    return Scripted(script, input=Input.PIXELS, **capabilities)


async def test_a_video_becomes_one_run_with_appearances() -> None:
    async with dispatching(pixels_detector(), Other(), video=EACH_SECOND, usd=Decimal(99)) as rig:
        await rig.handle(rig.upload("bikes.MP4", BIKES.read_bytes()))
        [run] = rig.history.runs  # the other detector takes no videos
        assert run.outcome == "succeeded"
        assert run.billed_units == run.price_usd == 10
        [found] = run.detections
        assert (found.label, found.start_ms, found.end_ms, found.track) == (
            "bicycle",
            0,
            9_000,
            None,
        )
        assert json.loads(found.attributes) == {"size": [640, 272], "best_ms": 0, "frames": 10}
        assert json.loads(run.raw_response or "") == {"frames": 10}
        assert run.key.fingerprint == rig.runners[0].video_fingerprint != rig.runners[0].fingerprint
        [image] = rig.history.images
        assert (image.width_px, image.height_px) == (640, 272)
        [video] = rig.history.videos
        assert (video.image_id, video.duration_ms, video.codec) == (image.image_id, 10_000, "h264")
        assert rig.journal.count("progress") == 10
        assert rig.queue.empty()
        assert await rig.budget.reserve("scripted", 89) == 89


async def test_frames_fill_batches_with_other_images() -> None:
    detector = pixels_detector(max_batch_size=4)
    detector.notes.holding = lambda image: len(detector.notes.batches) == 1
    async with dispatching(detector, video=EACH_SECOND) as rig:
        await rig.begin(rig.upload("bikes.mp4", BIKES.read_bytes()))
        await until(lambda: rig.decoder.read == 8)  # two batches
        await rig.begin(rig.upload("a.jpg", PHOTOGRAPH))
        await until(lambda: len(rig.runners[0]._queue) == 8)
        detector.notes.release()
        await asyncio.gather(*rig.handling)
        assert [len(batch) for batch in detector.notes.batches][:3] == [1, 4, 4]
        assert detector.notes.calls_by_key == {"bikes.mp4": 10, "a.jpg": 1}
        assert any(len(set(batch)) == 2 for batch in detector.notes.batches)


async def test_a_frame_that_fails_fails_the_video() -> None:
    seen: list[Image] = []

    def script(image: Image) -> Any:
        seen.append(image)
        if len(seen) == 3:
            raise InvalidImageError("too dark", code="dark", billed_units=1)
        return cyclist(image)

    async with dispatching(pixels_detector(script), video=EACH_SECOND, usd=Decimal(99)) as rig:
        await rig.handle(rig.upload("bikes.mp4", BIKES.read_bytes()))
        [run] = rig.history.runs
        assert run.error_code == "dark"
        assert run.billed_units == len(seen)
        assert run.error_message == "in the frame at 2,000 ms: too dark"
        assert rig.decoder.closed == 1
        assert await rig.budget.reserve("scripted", 99 - len(seen))


async def test_others_at_the_same_place_in_the_next_scene_are_others() -> None:
    """``BIKES`` has five scenes of about two seconds."""

    def person(image: Image) -> Findings:
        return Findings((Detection("object", "person", 0.5, BoundingBox(0.4, 0.2, 0.2, 0.6)),))

    tracking = VideoSampling(track=True)
    async with dispatching(pixels_detector(person), video=tracking) as rig:
        await rig.handle(rig.upload("bikes.mp4", BIKES.read_bytes()))
        [run] = rig.history.runs
        assert [(found.start_ms, found.end_ms, found.track) for found in run.detections] == [
            (2_000 * scene, 2_000 * scene + 1_000, scene) for scene in range(5)
        ]


class OtherPixels(Scripted):
    """A second detector of pixels."""

    name: ClassVar[str] = "other-pixels"


async def test_detectors_share_the_fetch_and_the_frames_of_a_video() -> None:
    seen: list[Image] = []

    def see(image: Image) -> Findings:
        seen.append(image)
        return cyclist(image)

    def fail(image: Image) -> Any:
        raise InvalidImageError("too dark", code="dark")

    slow, other = pixels_detector(see), OtherPixels(fail, input=Input.PIXELS)
    slow.notes.holding = lambda image: len(slow.notes.batches) == 1
    async with dispatching(slow, other, video=EACH_SECOND) as rig:
        await rig.begin(rig.upload("bikes.mp4", BIKES.read_bytes()))
        await until(lambda: rig.decoder.read == 2)  # as many as the slow one has room for
        slow.notes.release()
        await asyncio.gather(*rig.handling)
        runs = {run.key.detector: run for run in rig.history.runs}
        assert runs["other-pixels"].error_code == "dark"
        assert [found.end_ms for found in runs["scripted"].detections] == [9_000]
        assert (rig.decoder.opened, rig.decoder.closed) == (1, 1)
        assert len(seen) == rig.decoder.read == 10


@pytest.mark.parametrize(
    ("data", "code"), [(b"https://example.com/a.mp4", "not_a_video"), (b"", "empty_file")]
)
async def test_what_is_no_video_fails(data: bytes, code: str) -> None:
    async with dispatching(pixels_detector(), video=EACH_SECOND) as rig:
        await rig.handle(rig.upload("a.mp4", data))
        assert rig.codes() == [code]
        assert rig.history.videos == []


async def test_a_detector_that_needs_files_gets_no_frames() -> None:
    def read(image: Image) -> Any:
        return Findings((Detection("size", str(len(image.read())), 1.0),))

    async with dispatching(pixels_detector(read), video=EACH_SECOND) as rig:
        await rig.handle(rig.upload("bikes.mp4", BIKES.read_bytes()))
        assert rig.codes() == ["frame_without_file"]


async def test_too_many_appearances_fail() -> None:
    def crowd(image: Image) -> Any:
        return Findings(tuple(Detection("object", f"{id(image)} {i}", 0.5) for i in range(60)))

    async with dispatching(pixels_detector(crowd), video=EACH_SECOND) as rig:
        await rig.handle(rig.upload("bikes.mp4", BIKES.read_bytes()))
        assert rig.codes() == ["invalid_result"]


async def test_a_stop_gives_a_video_back() -> None:
    detector = pixels_detector(max_batch_size=4)
    detector.notes.holding = lambda image: True
    async with dispatching(detector, video=EACH_SECOND, usd=Decimal(99)) as rig:
        await rig.begin(rig.upload("bikes.mp4", BIKES.read_bytes()))
        await until(lambda: rig.decoder.read == 8)
        rig.dispatcher.cancel_waiting()
        detector.notes.release()
        await asyncio.gather(*rig.handling)
        assert rig.codes() == []
        assert rig.journal[-1] == "hide message-1 0"
        assert rig.decoder.closed == 1
        assert await rig.budget.reserve("scripted", 99) == 99
