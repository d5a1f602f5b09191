"""Jobs for videos: one job, one run and one charge for each, whatever fails and whoever dies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from threading import Event
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from fakes.events import BUCKET
from fakes.mp4 import moved, silence, video
from fakes.object_store import MemoryS3, client_error, store_on
from fakes.video_service import VideoFaces, VideoLabels, VideoService
from fakes.waiting import settle, until
from psycopg.rows import dict_row
from retinue_cli.app import retinue
from retinue_history import (
    History,
    HistoryUnavailableError,
    ImageRecord,
    JobRecord,
    Jobs,
    OpenJob,
    RemovedObject,
    RunKey,
)
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    ImageReference,
    Input,
    InvalidImageError,
    JobLostError,
    ObjectRefusedError,
    RetriableError,
    Run,
)
from retinue_sdk.plugins.manager import Filter, Plugins
from retinue_workers.detectors.encoding import FindingsEncoder
from retinue_workers.detectors.filters import Filters
from retinue_workers.detectors.run_record import RunRecorder
from retinue_workers.jobs.runner import JobRunner
from retinue_workers.jobs.scheduler import Intervals, JobScheduler
from retinue_workers.limits.budget import Budget
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.ops.metrics import Metrics
from retinue_workers.recording.observers import Observers
from retinue_workers.work import JobHint

QUICK = Intervals(poll=0.01, first_look=0.01, look=0.01, retry=0.01, lease=30.0, result=20.0)
SPARING = Intervals(poll=0.01, first_look=0.05, look=1.0, retry=0.01)
"""For many jobs: if all were due each 0.01 s, a slow machine would look at them and start none."""
PATIENT = Intervals(poll=0.01, first_look=3_600.0, look=3_600.0, retry=0.01)
CLIP = video(frames=1, rate=1)


class Listening(Plugins):
    """No plugins but an observer."""

    observed = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.told: list[Run] = []

    def notify(self, run: Run) -> None:
        self.told.append(run)


@dataclass
class Steps:
    """The history's jobs, with a hook before and after each call.

    Attributes:
        real: The jobs.
        hook: Called with ``before`` or ``after`` and the method's name, on a thread.
    """

    real: Jobs
    hook: Callable[[str, str], None] = lambda when, method: None

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self.real, method)

        def step(*args: Any, **given: Any) -> Any:
            self.hook("before", method)
            answer = call(*args, **given)
            self.hook("after", method)
            return answer

        return step


class LongLeases(Steps):
    """Jobs whose claims outlast the test, however slow the machine is."""

    def claim(self, *detectors: Any, **given: Any) -> Any:
        return self.real.claim(*detectors, **given | {"lease_seconds": 900.0})

    def renew(self, job: OpenJob, lease_seconds: float) -> None:
        self.real.renew(job, 900.0)


@dataclass
class Worker:
    """A scheduler and what is around it."""

    scheduler: JobScheduler
    metrics: Metrics
    budget: Budget
    told: list[Run]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@dataclass
class Rig:
    """Videos, their service and the history."""

    history: History
    jobs: Jobs
    service: VideoService
    url: str
    connection: psycopg.Connection[dict[str, Any]]
    s3: MemoryS3 = field(default_factory=MemoryS3)

    def want(
        self,
        key: str = "clip.mp4",
        data: bytes = CLIP,
        event_id: str = "event 1",
        detectors: Sequence[type[VideoLabels]] = (VideoLabels,),
        filters: Sequence[Filter] = (),
    ) -> ImageRecord:
        """Upload a video, and record that jobs for it are wanted."""
        self.s3.create_bucket(Bucket=BUCKET)
        put = self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        reference = ImageReference(BUCKET, key, etag=put["ETag"].strip('"'))
        image = ImageRecord(
            reference.image_id,
            BUCKET,
            key,
            reference.version,
            versioned=False,
            uploaded_at=datetime(2026, 1, 1, tzinfo=UTC),
            etag=reference.etag,
            size_bytes=len(data),
        )
        jobs = [wanted(image, one, event_id, filters) for one in detectors]
        self.history.record([image], jobs=jobs)
        return image

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.connection.execute(sql, parameters).fetchall()

    def execute(self, sql: str, *parameters: Any) -> None:
        self.connection.execute(sql, parameters)

    def open(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM open_jobs ORDER BY key")

    def slots(self) -> list[dict[str, Any]]:
        return self.rows("SELECT job_id FROM jobs WHERE reserved_at IS NOT NULL")

    def runs(self) -> list[tuple[str, str]]:
        """Return each run's key, and its error code or outcome."""
        return [
            (row["key"], row["error_code"] or row["outcome"])
            for row in self.rows(
                "SELECT key, outcome, error_code FROM runs JOIN images USING (image_id) "
                "ORDER BY key, run_id"
            )
        ]

    def forget(self, key: str) -> None:
        forgotten = CliRunner().invoke(
            retinue,
            ["forget", "--prefix", f"s3://{BUCKET}/{key}", "--yes"],
            env={"RETINUE_DATABASE_URL": self.url},
        )
        assert forgotten.exit_code == 0, forgotten.output

    def spent(self) -> Decimal:
        (row,) = self.rows("SELECT coalesce(sum(price_usd), 0) AS usd FROM monthly_spending")
        return Decimal(row["usd"])

    @asynccontextmanager
    async def worker(
        self,
        *detectors: VideoLabels,
        times: Intervals = QUICK,
        budget_usd: str | None = None,
        filters: Sequence[Filter] = (),
        max_detections: int = 100,
        jobs: Any = None,
    ) -> AsyncIterator[Worker]:
        """Run a worker's scheduler."""
        chosen = detectors or (VideoLabels(),)
        gate, threads = ReceiveGate(), DaemonThreads("history", 4)
        plugins = Listening(())
        observers = Observers(plugins)
        budget = Budget(
            self.history,
            threads,
            gate,
            budgets={} if budget_usd is None else {"video-labels": Decimal(budget_usd)},
        )
        made = Filters(filters)
        metrics = Metrics(
            in_flight=lambda: 0,
            pause_reasons=lambda: 0,
            paused_jobs=lambda: len(scheduler.reasons()),
        )
        scheduler = JobScheduler(
            [JobRunner(one, filters=made, budget=budget) for one in chosen],
            jobs=jobs or self.jobs,
            threads=threads,
            store=store_on(self.s3),
            records=RunRecorder(budget, FindingsEncoder(max_detections, 10_000)),
            filters=made,
            budget=budget,
            metrics=metrics,
            observers=observers,
            gate=gate,
            timeout_seconds=20.0,
            intervals=times,
        )
        observing = asyncio.create_task(observers.run())
        await scheduler.start()
        try:
            yield Worker(scheduler, metrics, budget, plugins.told)
        finally:
            scheduler.stop()
            await scheduler.close(time.monotonic() + 5)
            await observers.drain(1)
            observing.cancel()
            threads.close()

    async def work_off(self, **given: Any) -> None:
        """Run a worker until no job is open."""
        async with self.worker(**given):
            await until(lambda: not self.open(), what="no open job")


def wanted(
    image: ImageRecord,
    detector: type[VideoLabels] = VideoLabels,
    event_id: str = "event 1",
    filters: Sequence[Filter] = (),
) -> JobRecord:
    fingerprint = Filters(filters).fingerprint(detector().fingerprint())
    key = RunKey(image.image_id, detector.name, detector.version, fingerprint)
    return JobRecord(key, event_id, "videos")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> VideoService:
    """Return a fresh service, which all detectors use."""
    fresh = VideoService()
    monkeypatch.setattr(VideoLabels, "service", fresh)
    return fresh


@pytest.fixture
def rig(history: History, database_url: str, service: VideoService) -> Iterator[Rig]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield Rig(history, Jobs(history._pool), service, database_url, connection)


async def test_a_video_becomes_rows_with_times(rig: Rig) -> None:
    image = rig.want(data=video())
    async with rig.worker() as worker:
        await until(lambda: worker.told)
    assert rig.open() == []
    (row,) = rig.rows("SELECT * FROM video_timeline")
    assert (row["key"], row["label"], row["start_ms"], row["end_ms"]) == (
        "clip.mp4",
        "Dog",
        0,
        1000,
    )
    (facts,) = rig.rows("SELECT * FROM videos JOIN images USING (image_id)")
    assert (facts["duration_ms"], facts["codec"], facts["width_px"]) == (1000, "h264", 64)
    (run,) = rig.rows("SELECT * FROM runs")
    assert (run["event_id"], run["price_usd"]) == ("event 1", Decimal("0.10"))
    assert rig.spent() == Decimal("0.10")
    (job,) = rig.service.jobs.values()
    assert job.tag.startswith("retinue/")
    (told,) = worker.told
    assert (told.image.image_id, told.detections[0].end_ms) == (image.image_id, 1000)
    assert worker.metric("retinue_jobs_started_total", detector="video-labels") == 1
    assert worker.metric("retinue_jobs_ended_total", detector="video-labels", hinted="no") == 1


async def test_two_workers_never_have_a_twenty_first_job(rig: Rig) -> None:
    rig.service.ends_after = None
    for number in range(25):
        rig.want(f"{number}.mp4", detectors=[VideoLabels, VideoFaces])
    async with (
        rig.worker(VideoLabels(), VideoFaces(), times=SPARING),
        rig.worker(VideoLabels(), VideoFaces(), times=SPARING),
    ):
        for left in (50, 32, 14):
            await until(lambda left=left: len(rig.service.under_way) == min(left, 18))
            rig.service.end()
        await until(lambda: not rig.open())
    assert rig.service.most == 18  # of both detectors together
    assert rig.service.refused == 0
    assert len(rig.service.jobs) == len(rig.runs()) == 50
    assert set(rig.runs()) == {(f"{number}.mp4", "succeeded") for number in range(25)}


async def test_a_service_whose_jobs_are_all_taken_fails_no_video(rig: Rig) -> None:
    others = [partial(rig.service.start, f"{n}.avi", f"other-{n}", "") for n in range(20)]
    for start in others:
        await start()
    rig.want()
    async with rig.worker() as worker:
        await until(lambda: rig.service.refused >= 3)
        assert len(rig.slots()) <= 1
        assert rig.runs() == []
        rig.service.end()
        await until(lambda: not rig.open())
    assert rig.runs() == [("clip.mp4", "succeeded")]
    assert rig.service.started("clip.mp4") == 1
    assert worker.metric("retinue_retries_total", detector="video-labels", throttled="yes") >= 3


async def test_a_video_whose_object_is_refused_takes_no_slot(rig: Rig) -> None:
    async def refuse(call: str, key: str) -> None:
        if call == "start":
            raise ObjectRefusedError(f"S3 refuses {key}")

    rig.service.before = refuse
    rig.want()
    async with rig.worker():
        await until(lambda: rig.open()[0]["problem"] is not None)
        assert rig.slots() == []


POINTS = [
    "before reserve_slot",
    "after reserve_slot",
    "before start",
    "after start",
    "before started",
    "after started",
    "before result",
    "after result",
    "before finish",
    "after finish",
]


@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_that_dies_or_sleeps_at_any_step_leaves_one_job_run_and_charge(
    rig: Rig, point: str
) -> None:
    """The worker freezes; another takes over; then the first one wakes up and goes on."""
    rig.want()
    frozen, thaw, thaw_loop = Event(), Event(), asyncio.Event()
    rig.service.ends_after = 0

    def freeze(now: str, called: str) -> None:
        if f"{now} {called}" == point and not frozen.is_set():
            frozen.set()
            thaw.wait(20)

    async def freeze_call(now: str, called: str, key: str) -> None:
        if f"{now} {called}" == point and not frozen.is_set():
            frozen.set()
            await thaw_loop.wait()

    rig.service.before = partial(freeze_call, "before")
    rig.service.after = partial(freeze_call, "after")
    steps = Steps(rig.jobs, freeze)
    # A dead worker doesn't renew its claim: here it doesn't live long enough.
    async with rig.worker(jobs=steps, times=replace(QUICK, lease=900.0)):
        await until(frozen.is_set, what=point)
        rig.execute("UPDATE jobs SET lease_until = now() - interval '1 s' WHERE holder IS NOT NULL")
        async with rig.worker():
            await until(lambda: not rig.open())
            thaw.set()
            thaw_loop.set()
            await settle()
    assert len(rig.service.jobs) == 1
    assert rig.runs() == [("clip.mp4", "succeeded")]
    assert rig.spent() == Decimal("0.10")


async def test_a_claim_that_is_renewed_is_not_taken_over(rig: Rig) -> None:
    rig.want()
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def read(called: str, key: str) -> None:
        if called == "result":
            reading.set()
            await go_on.wait()

    rig.service.before, rig.service.ends_after = read, 0
    often = replace(QUICK, lease=0.1)
    async with rig.worker(times=often, jobs=LongLeases(rig.jobs)) as worker:
        await reading.wait()
        rig.execute("UPDATE jobs SET lease_until = now() + interval '300 s'")
        await until(
            lambda: rig.rows("SELECT FROM jobs WHERE lease_until > now() + interval '600 s'")
        )
        labels = JobRunner(VideoLabels(), filters=Filters(), budget=worker.budget).configuration
        assert rig.jobs.claim([labels], holder="x", lease_seconds=1, limit=1) == []
        go_on.set()
        await until(lambda: not rig.open())


async def test_a_start_whose_answer_is_lost_is_repeated_and_paid_once(rig: Rig) -> None:
    rig.want()
    lost = count(1)

    async def lose(called: str, key: str) -> None:
        if called == "start" and next(lost) < 4:
            raise RetriableError("the connection broke")

    rig.service.after = lose
    async with rig.worker():
        await until(lambda: rig.service.jobs)
        await until(lambda: (rig.open() or [{"problem": "ended"}])[0]["problem"])
        await until(lambda: not rig.open())
    assert (len(rig.service.jobs), rig.runs()) == (1, [("clip.mp4", "succeeded")])


async def test_the_history_may_be_away_at_any_call(rig: Rig) -> None:
    rig.want()
    calls: set[tuple[str, str]] = set()

    def away(when: str, method: str) -> None:
        if (when, method) not in calls and (when, method) != ("after", "claim"):
            calls.add((when, method))
            raise HistoryUnavailableError("the database is away")

    await rig.work_off(jobs=Steps(rig.jobs, away))
    assert {method for _, method in calls} >= {"claim", "reserve_slot", "started", "finish"}
    assert (len(rig.service.jobs), rig.runs()) == (1, [("clip.mp4", "succeeded")])


class UnexpectedError(Exception):
    """An error of a plugin."""


@pytest.mark.parametrize(
    ("answer", "code", "started"),
    [
        (InvalidImageError("bad", code="rejected", billed_units=1), "rejected", 1),
        (JobLostError("gone"), "job_lost", 3),
        (DetectorError("the service failed", billed_units=1), "job_failed", 3),
        (UnexpectedError("bug"), "job_failed", 3),
        (SystemExit(1), "job_failed", 3),
        (asyncio.CancelledError(), "job_failed", 3),
        ("nonsense", "invalid_result", 1),
        (
            Findings((Detection("label", "Dog", 0.5, start_ms=0, end_ms=0),) * 101),
            "invalid_result",
            1,
        ),
        (Findings(raw_response={"huge": "x" * 10_000}), "invalid_result", 1),
    ],
    ids=repr,
)
async def test_a_job_that_fails_is_started_again_if_that_can_help(
    rig: Rig, answer: Any, code: str, started: int, logged: list[dict[str, Any]]
) -> None:
    rig.want()

    def give(video: Any) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    rig.service.answer = give
    await rig.work_off()
    assert rig.runs() == [("clip.mp4", code)]
    assert rig.service.started("clip.mp4") == len(rig.service.jobs) == started
    (run,) = rig.rows("SELECT * FROM runs")
    assert run["retryable"] is (code != "rejected")
    assert run["billed_units"] == len(rig.service.jobs) * getattr(answer, "billed_units", 0)
    raised = [entry for entry in logged if entry["event"] == "detector_raised"]
    assert bool(raised) == (code == "job_failed" and not isinstance(answer, DetectorError))


async def test_a_lost_job_is_replaced(rig: Rig) -> None:
    rig.want()
    rig.service.ends_after = None
    async with rig.worker():
        await until(lambda: [job for job in rig.open() if job["state"] == "started"])
        rig.service.forget()
        rig.service.ends_after = 0
        await until(lambda: not rig.open())
    assert (len(rig.service.jobs), rig.runs()) == (2, [("clip.mp4", "succeeded")])


@pytest.mark.parametrize("called", ["start", "result"])
async def test_a_service_that_is_not_ready_pauses_its_jobs(
    rig: Rig, called: str, logged: list[dict[str, Any]]
) -> None:
    rig.want("a.mp4")
    rig.want("b.mp4")
    refused: list[str] = []

    async def refuse(now: str, key: str) -> None:
        if now == called and len(refused) < 5:
            refused.append(key)
            raise DetectorNotReadyError("allow rekognition:Start…", retry_after_seconds=0.05)

    rig.service.before = refuse
    async with rig.worker() as worker:
        await until(lambda: refused)
        await until(lambda: worker.scheduler.reasons())
        assert worker.scheduler.reasons() == {"jobs of video-labels": "allow rekognition:Start…"}
        assert worker.metric("retinue_jobs_paused") == 1
        await until(lambda: not rig.open())
        assert worker.scheduler.reasons() == {}
    assert rig.runs() == [("a.mp4", "succeeded"), ("b.mp4", "succeeded")]
    assert len(rig.service.jobs) == 2
    events = [entry["event"] for entry in logged if entry["event"].startswith("jobs_")]
    pauses = events.count("jobs_paused")
    assert events == ["jobs_paused", "jobs_resumed"] * pauses
    # The other video's call, under way at the first refusal, may succeed and end the pause.
    assert (len(refused), pauses) in [(5, 1), (5, 2)]


async def test_a_detector_that_is_not_ready_at_the_start_gets_its_jobs_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = count(1)

    async def start(self: VideoLabels) -> None:
        match next(tries):
            case 1:
                raise DetectorNotReadyError("not yet", retry_after_seconds=0.01)
            case 2:
                raise UnexpectedError

    monkeypatch.setattr(VideoLabels, "start", start)
    monkeypatch.setattr("retinue_workers.jobs.runner.PROBE_SECONDS", 0.01)
    rig.want()
    await rig.work_off()
    assert rig.runs() == [("clip.mp4", "succeeded")]


@pytest.mark.parametrize("by", ["job_id", "token", "both", "other_token"])
async def test_a_message_lets_a_worker_look_now(rig: Rig, by: str) -> None:
    rig.want()
    rig.service.ends_after = 0
    async with rig.worker(times=PATIENT) as worker:
        await until(lambda: [job for job in rig.open() if job["state"] == "started"])
        ((token, job),) = rig.service.jobs.items()
        hint = {
            "job_id": JobHint(job.job_id),
            "token": JobHint("of another form", token),
            "both": JobHint(job.job_id, token),
            "other_token": JobHint(job.job_id, "foreign"),
        }[by]
        await worker.scheduler.hint(hint)
        await until(lambda: not rig.open())
        await worker.scheduler.hint(hint)  # doubled, and late
        await settle()
    assert rig.runs() == [("clip.mp4", "succeeded")]
    assert worker.metric("retinue_jobs_ended_total", detector="video-labels", hinted="yes") == 1


async def test_foreign_and_early_messages_are_harmless(rig: Rig) -> None:
    rig.want()
    rig.service.ends_after = 0
    early = JobHint("job-1")

    async def say(called: str, key: str) -> None:
        if called == "start":
            ((token, job),) = rig.service.jobs.items()
            await worker.scheduler.hint(JobHint(job.job_id, token))

    rig.service.after = say
    async with rig.worker(times=PATIENT) as worker:
        for hint in (early, JobHint("another's"), JobHint("another's", "foreign")):
            await worker.scheduler.hint(hint)
        await until(lambda: not rig.open())  # although the message came before the answer
    assert (len(rig.service.jobs), rig.runs()) == (1, [("clip.mp4", "succeeded")])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"\xff\xd8\xff\xe0 JPEG", "not_a_video"),
        (video()[:-100], "corrupt_video"),
        (silence(), "no_video_track"),
        (video(codec="libx265"), "unsupported_codec"),
    ],
    ids=["empty", "JPEG", "cut off", "sound", "HEVC"],
)
async def test_a_video_that_the_service_would_refuse_fails_before_it_costs(
    rig: Rig, data: bytes, code: str
) -> None:
    rig.want(data=data)
    await rig.work_off()
    assert rig.runs() == [("clip.mp4", code)]
    assert rig.service.jobs == {}


async def test_a_video_that_is_gone_counts_as_deleted(rig: Rig) -> None:
    rig.want()
    rig.s3.delete_object(Bucket=BUCKET, Key="clip.mp4")
    await rig.work_off()
    assert rig.runs() == [("clip.mp4", "object_not_found")]
    assert rig.rows("SELECT deleted_at FROM images WHERE deleted_at IS NULL") == []


async def test_a_video_waits_while_s3_is_away(rig: Rig) -> None:
    rig.want()
    asked: list[str] = []

    def away(bucket: str, key: str) -> None:
        asked.append(key)
        if len(asked) < 4:
            raise client_error("SlowDown", 503)

    rig.s3.fault = away
    await rig.work_off()
    assert rig.runs() == [("clip.mp4", "succeeded")]
    assert len(asked) == 4  # and the header isn't read at every look


async def test_the_header_is_read_once_for_all_detectors(rig: Rig) -> None:
    rig.want(data=moved(video(), {b"mdat": 100_000}), detectors=[VideoLabels, VideoFaces])
    async with rig.worker(VideoLabels(), VideoFaces()):
        await until(lambda: not rig.open())
    assert len(rig.s3.gets) in (2, 4)  # or twice at the same time
    assert len(rig.runs()) == 2


async def test_a_budget_counts_the_jobs_that_are_under_way(rig: Rig) -> None:
    rig.service.ends_after = None
    for key in ("a.mp4", "b.mp4", "c.mp4"):
        rig.want(key)
    cents = "0.004"  # a second costs 0.00167
    async with rig.worker(budget_usd=cents) as worker, rig.worker(budget_usd=cents):
        await until(lambda: worker.scheduler.reasons())
        assert len(rig.service.jobs) == 2
        assert "budget of $0.004 a month" in worker.scheduler.reasons()["jobs of video-labels"]
        rig.service.end()  # a spent budget keeps no started job from its end
        await until(lambda: len(rig.runs()) == 2)
        assert len(rig.open()) == 1
    rig.service.ends_after = 0
    await rig.work_off(budget_usd="1")
    assert len(rig.service.jobs) == len(rig.runs()) == 3


async def test_a_budget_without_a_price_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoLabels, "capabilities", Capabilities(Input.REFERENCE))
    with pytest.raises(ConfigurationError, match="has no price"):
        await rig.work_off(budget_usd="1")


async def test_a_removed_video_is_dropped_and_its_cost_counts(rig: Rig) -> None:
    image = rig.want()
    rig.service.ends_after = None
    async with rig.worker():
        await until(lambda: [job for job in rig.open() if job["state"] == "started"])
        at = datetime(2026, 1, 2, tzinfo=UTC)
        rig.history.record([], removed=[RemovedObject(BUCKET, image.key, image.version, None, at)])
        await until(lambda: not rig.open())
        rig.service.end()
        await settle()
    assert rig.runs() == []
    assert rig.spent() > 0


async def test_nothing_is_recorded_of_a_video_that_is_forgotten_meanwhile(rig: Rig) -> None:
    rig.want()
    rig.service.ends_after = 0

    async def forget(called: str, key: str) -> None:
        if called == "result":
            await asyncio.to_thread(rig.forget, key)

    rig.service.after = forget
    async with rig.worker() as worker:
        await until(lambda: not rig.rows("SELECT FROM images"))
        await until(lambda: not worker.scheduler._steps)
    assert rig.rows("SELECT FROM jobs") == rig.rows("SELECT FROM runs") == []
    assert rig.rows("SELECT FROM videos") == worker.told == []


async def test_a_database_of_yesterday_finds_its_jobs_by_their_tokens(rig: Rig) -> None:
    image = rig.want("kept.mp4")
    yesterday = rig.rows("SELECT * FROM jobs")
    rig.service.ends_after = None
    async with rig.worker():
        await until(lambda: len(rig.service.jobs) == 1)
        rig.want("lost.mp4")
        await until(lambda: len(rig.service.jobs) == 2)
        rig.service.end()
        await until(lambda: not rig.open())
    for table in ("detections", "runs", "jobs", "monthly_spending"):
        rig.execute(f"DELETE FROM {table}")
    assert [job["token"] for job in yesterday] == [next(iter(rig.service.jobs))]
    rig.history.record([image], jobs=[wanted(image)])
    rig.want("lost.mp4")  # retinue backfill
    await rig.work_off()
    assert rig.runs() == [("kept.mp4", "succeeded"), ("lost.mp4", "succeeded")]
    assert len(rig.service.jobs) == 2


@pytest.mark.parametrize("fails", [False, True])
async def test_filters_see_the_findings_of_videos(rig: Rig, fails: bool) -> None:
    def blur(*, detections: Sequence[Detection], **_: Any) -> list[Detection]:
        assert not fails
        return [replace(found, label="Animal") for found in detections]

    filters = [Filter("test 1", blur)]
    rig.want(filters=filters)
    await rig.work_off(filters=filters)
    labels = [row["label"] for row in rig.rows("SELECT label FROM detections")]
    assert labels == ([] if fails else ["Animal"])
    assert rig.runs() == [("clip.mp4", "filter_failed" if fails else "succeeded")]
    assert rig.spent() == Decimal("0.10")


async def test_a_job_that_does_not_end_is_reported_after_a_day(
    rig: Rig, logged: list[dict[str, Any]]
) -> None:
    rig.want()
    rig.service.ends_after = None
    overdue = partial(Worker.metric, name="retinue_job_looks_total", detector="video-labels")
    async with rig.worker() as worker:
        await until(lambda: overdue(worker, overdue="no"))
        assert not overdue(worker, overdue="yes")
        rig.execute("UPDATE jobs SET started_at = started_at - interval '25 h'")
        await until(lambda: overdue(worker, overdue="yes") > 2)
    [line] = [entry for entry in logged if entry["event"] == "job_overdue"]
    assert (line["provider_job_id"], line["hours"]) == ("job-1", 25)


async def test_a_stop_hands_jobs_back_and_finishes_a_start(rig: Rig) -> None:
    rig.service.ends_after = 0
    reached: dict[str, asyncio.Event] = {"start": asyncio.Event(), "result": asyncio.Event()}
    go_on = asyncio.Event()

    async def wait(called: str, key: str) -> None:
        reached[called].set()
        if not (called == "start" and key == "read.mp4"):
            await go_on.wait()

    rig.service.after = wait
    rig.want("read.mp4")
    async with rig.worker() as worker:
        await reached["result"].wait()
        reached["start"].clear()
        rig.want("begun.mp4")
        await reached["start"].wait()
        worker.scheduler.stop()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    begun, read = rig.open()
    assert (begun["key"], begun["state"]) == ("begun.mp4", "started")
    assert (read["key"], read["state"]) == ("read.mp4", "started")  # its result is read again
    assert rig.rows("SELECT FROM jobs WHERE holder IS NOT NULL") == []
    await rig.work_off()
    assert len(rig.service.jobs) == len(rig.runs()) == 2


async def test_a_stop_abandons_a_start_that_takes_too_long(rig: Rig) -> None:
    rig.want()
    begun = asyncio.Event()

    async def hang(called: str, key: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    rig.service.after = hang
    async with rig.worker() as worker:
        await begun.wait()
        worker.scheduler.stop()
        await worker.scheduler.close(time.monotonic())
    (job,) = rig.open()
    assert (job["state"], job["provider_job_id"]) != ("started", None)
    rig.service.after = None
    await rig.work_off()
    assert (len(rig.service.jobs), rig.runs()) == (1, [("clip.mp4", "succeeded")])


async def test_a_stop_hands_back_a_job_that_is_being_claimed(rig: Rig) -> None:
    rig.want()
    claimed, go_on = Event(), Event()

    def hold(when: str, method: str) -> None:
        if (when, method) == ("after", "claim") and rig.open()[0]["worker"]:
            claimed.set()
            go_on.wait(20)

    async with rig.worker(jobs=Steps(rig.jobs, hold)) as worker:
        await until(claimed.is_set)
        worker.scheduler.stop()
        asyncio.get_running_loop().call_later(0.02, go_on.set)
    assert rig.rows("SELECT FROM jobs WHERE holder IS NOT NULL") == []
    assert len(rig.open()) == 1
