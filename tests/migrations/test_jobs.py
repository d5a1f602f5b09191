"""Jobs: one run and one charge for each, no slot too many, whatever stops between two steps."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from retinue_history import (
    Charge,
    ConnectionPool,
    DetectionRecord,
    History,
    HistoryDataError,
    ImageRecord,
    JobRecord,
    Jobs,
    OpenJob,
    RemovedObject,
    RunKey,
    RunRecord,
    Slot,
    StaleJobError,
    VideoRecord,
)
from retinue_history.privacy.erasure import Erasures, PersonNames
from retinue_history.privacy.image_erasure import ImageErasures, ImageSubject
from retinue_history.upkeep.maintenance import Retention, maintain
from retinue_sdk.json_value import encode_json
from sqlalchemy import Engine, text

Make = Callable[..., Any]

FACES = ("faces", "1", "f")
COST = Charge("video", Decimal(2), Decimal("0.2"))
DOG = DetectionRecord("label", "Dog", 0.9, None, "{}", 1000, 4000, 7)
WORKERS = 8
SLOTS = "SELECT count(*) FROM jobs WHERE reserved_at IS NOT NULL"


@pytest.fixture
def pool(history_url: str) -> Iterator[ConnectionPool]:
    """Connections with a worker's rights."""
    url = f"{history_url}&options=-c%20role%3Dretinue_writer"
    with closing(ConnectionPool(url, max_size=WORKERS)) as pool:
        yield pool


@pytest.fixture
def jobs(pool: ConnectionPool) -> Jobs:
    """Return the jobs of the same database as ``history``."""
    return Jobs(pool)


def rows(engine: Engine, query: str, **given: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), given)]


def change(engine: Engine, statement: str, **given: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), given)


def expire(engine: Engine) -> None:
    """Let time pass: no claim is in force, and all jobs are due."""
    change(engine, "UPDATE jobs SET lease_until = now() WHERE lease_until IS NOT NULL")
    change(engine, "UPDATE jobs SET look_at = now()")


def wanted(image: ImageRecord, event_id: str = "event 1") -> JobRecord:
    return JobRecord(RunKey(image.image_id, *FACES), event_id, "service")


def claim(jobs: Jobs, holder: str = "worker", limit: int = 100, **given: Any) -> list[OpenJob]:
    return list(jobs.claim([FACES], holder=holder, lease_seconds=60, limit=limit, **given))


def reserve(jobs: Jobs, job: OpenJob, slots: int = 1, budget: Decimal | None = None) -> Slot:
    return jobs.reserve_slot(job, slots=slots, budget_usd=budget, expected=COST)


def ended(job: OpenJob, run: Make, charge: Charge = COST, **fields: Any) -> RunRecord:
    if "error_code" not in fields:
        success = {"detections": (DOG,), "charges": (charge,), "price_usd": charge.price_usd}
        fields = {**success, "started_at": job.wanted_at, **fields}
    made: RunRecord = run(job.image, job.event_id, detector=job.key.detector, **fields)
    return made


def test_from_an_event_to_rows_with_times(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clip = image("clip.mp4", size_bytes=5)
    history.record([clip], jobs=[wanted(clip)])
    assert rows(engine, "SELECT key, state, attempt, expected_usd FROM open_jobs") == [
        ("clip.mp4", "wanted", 1, None)
    ]
    (job,) = claim(jobs)
    assert (job.image, job.video, job.attempt, job.has_slot) == (clip, None, 1, False)
    assert reserve(jobs, job) == Slot.GRANTED
    assert rows(engine, SLOTS) == [(1,)]
    jobs.started(job, "provider 1", after_seconds=0)
    (job,) = claim(jobs)
    assert (job.provider_job_id, job.has_slot, job.expected) == ("provider 1", True, COST)
    assert rows(engine, "SELECT state, worker, expected_usd FROM open_jobs") == [
        ("started", "worker", Decimal("0.2"))
    ]
    seen = VideoRecord(clip.image_id, 5000, 25.0, "h264", "mp4", 90)
    known = replace(job.image, width_px=640, height_px=360)
    run_id = jobs.finish(job, ended(job, run), image=known, video=seen)
    assert rows(engine, "SELECT run_id FROM runs") == [(run_id,)]
    assert rows(engine, "SELECT * FROM open_jobs") == []
    assert rows(
        engine,
        "SELECT key, label, start_ms, end_ms, track, video_ms, width_px FROM video_timeline",
    ) == [("clip.mp4", "Dog", 1000, 4000, 7, 5000, 640)]
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(Decimal("0.2"),)]


def test_a_time_is_whole_and_in_order(
    history: History, engine: Engine, image: Make, run: Make
) -> None:
    clip, cat = image("clip.mp4"), image("cat.jpg")
    moment = DetectionRecord("text", "Exit", 0.5, None, "{}", 0, 0)
    still = DetectionRecord("label", "Cat", 0.5)
    history.record(
        [cat, clip], [run(cat, detections=(still,)), run(clip, detections=(moment, DOG))]
    )
    assert rows(
        engine,
        "SELECT label, start_ms, end_ms, track FROM detection_history ORDER BY key, ordinal",
    ) == [("Cat", None, None, None), ("Exit", 0, 0, None), ("Dog", 1000, 4000, 7)]
    assert rows(engine, "SELECT label FROM video_timeline ORDER BY 1") == [("Dog",), ("Exit",)]
    for times in (
        (2, 1),
        (-1, 1),
        (1, None),
        (None, 1),
        (None, None, 1),
        (1, 2, -1),
        (2**31, 2**31),
    ):
        wrong = DetectionRecord("label", "Cat", 0.5, None, "{}", *times)
        with pytest.raises(HistoryDataError):
            history.record([cat], [run(cat, "event 2", fingerprint="g", detections=(wrong,))])


def test_the_video_facts_that_tell_most_count(
    history: History, engine: Engine, image: Make
) -> None:
    clip = image("clip.mp4")
    little = VideoRecord(clip.image_id, codec="hevc")
    more = VideoRecord(clip.image_id, 5000, 25.0, "h264", "mp4", 90)
    for facts in ([little], [more], [little, more], [more, little], [little]):
        history.record([clip], videos=facts)
    assert rows(engine, "SELECT duration_ms, codec, rotation_degrees FROM videos") == [
        (5000, "h264", 90)
    ]
    unknown = VideoRecord(image("other.mp4").image_id)
    history.record([], videos=[unknown])  # its image is not recorded
    assert rows(engine, "SELECT count(*) FROM videos") == [(1,)]
    for wrong in (
        {"codec": "a\0"},
        {"rotation_degrees": 1},
        {"frame_rate": 0.0},
        {"duration_ms": -1},
    ):
        with pytest.raises(HistoryDataError):
            history.record([clip], videos=[VideoRecord(clip.image_id, **wrong)])


def test_a_job_is_wanted_once_and_only_while_its_key_needs_work(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clip, bad = image("clip.mp4"), image("bad.mp4")
    history.record([clip, bad], jobs=[wanted(clip), wanted(clip), wanted(bad)])
    history.record([clip], jobs=[wanted(clip, "event 2")])
    history.record([], jobs=[wanted(clip), wanted(image("unknown.mp4"))])
    assert rows(engine, "SELECT event_id FROM jobs") == [("event 1",)] * 2
    failure = {"error_code": "unsupported_codec", "retryable": False}
    for job in claim(jobs):
        made = ended(job, run, **(failure if job.image.key == "bad.mp4" else {}))
        assert jobs.finish(job, made, image=job.image)
    history.record([clip, bad], jobs=[wanted(clip), wanted(bad), wanted(bad, "event 2")])
    assert claim(jobs) == []
    history.record([bad, clip], jobs=[wanted(bad, "replay:1"), wanted(clip, "replay:1")])
    (job,) = claim(jobs)
    assert (job.image.key, job.event_id) == ("bad.mp4", "replay:1")


def test_tokens_are_the_same_in_a_database_of_yesterday_and_new_for_a_replay(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clip = image("clip.mp4")

    def tokens(event_id: str) -> list[str]:
        history.record([clip], jobs=[wanted(clip, event_id)])
        found = []
        for _ in range(3):
            expire(engine)
            (job,) = claim(jobs)
            found.append(job.token)
            jobs.restart(job, after_seconds=0, problem="it failed")
        return found

    today = tokens("event 1")
    assert all(len(token) == 43 for token in today)
    change(engine, "DELETE FROM jobs")  # restored from before the upload, which comes again
    assert tokens("replay:1") == today
    (job,) = claim(jobs)
    assert job.attempt == 4
    jobs.finish(job, ended(job, run, error_code="job_failed"), image=job.image)
    again = tokens("replay:2")
    assert len({*again, *today}) == 6


def test_a_worker_that_lost_its_claim_changes_nothing(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clip = image("clip.mp4")
    history.record([clip], jobs=[wanted(clip)])
    (late,) = claim(jobs, "late")
    reserve(jobs, late)
    assert claim(jobs, "other") == []
    jobs.renew(late, 60)
    expire(engine)
    jobs.renew(late, 60)  # nobody has claimed it meanwhile
    assert claim(jobs, "other") == []
    expire(engine)
    (job,) = claim(jobs, "late")  # even if it is another process of the same name
    assert (job.has_slot, job.provider_job_id, job.fence) == (True, None, late.fence + 1)
    before = rows(engine, "SELECT * FROM jobs")
    calls: list[Callable[[], Any]] = [
        lambda: reserve(jobs, late),
        lambda: jobs.started(late, "p", after_seconds=0),
        lambda: jobs.release(late, after_seconds=0, problem="x"),
        lambda: jobs.look_again(late, after_seconds=0),
        lambda: jobs.restart(late, after_seconds=0, problem="x"),
        lambda: jobs.renew(late, 60),
        lambda: jobs.finish(late, ended(late, run), image=late.image),
    ]
    for call in calls:
        with pytest.raises(StaleJobError):
            call()
    assert rows(engine, "SELECT * FROM jobs") == before
    jobs.started(job, "p", after_seconds=0)
    (job,) = claim(jobs)
    with pytest.raises(StaleJobError):
        jobs.release(job, after_seconds=0, problem="it is started")
    jobs.finish(job, ended(job, run), image=job.image)
    for call in (*calls, lambda: jobs.finish(job, ended(job, run), image=job.image)):
        with pytest.raises(StaleJobError):
            call()
    assert rows(engine, "SELECT count(*) FROM runs") == [(1,)]
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(Decimal("0.2"),)]


def test_a_message_of_the_service_is_a_hint(
    history: History, jobs: Jobs, engine: Engine, image: Make
) -> None:
    clip = image("clip.mp4")
    history.record([clip], jobs=[wanted(clip)])
    (job,) = claim(jobs)
    reserve(jobs, job)
    assert jobs.hint("foreign", job.token)  # before the id is known
    jobs.started(job, "provider 1", after_seconds=1000)
    (job,) = claim(jobs)
    jobs.look_again(job, after_seconds=1000)
    assert claim(jobs) == []
    assert jobs.hint("provider 1")
    (job,) = claim(jobs)
    assert jobs.hint("provider 1")
    jobs.look_again(job, after_seconds=1000)  # the message may tell what came after the look
    (job,) = claim(jobs)
    jobs.restart(job, after_seconds=0, problem="lost")
    assert not jobs.hint("provider 1", job.token)
    assert not jobs.hint("foreign")
    assert rows(engine, "SELECT hinted_at, problem FROM open_jobs") == [(None, "lost")]


def test_jobs_of_the_asked_configurations_are_claimed_started_ones_first(
    history: History, jobs: Jobs, image: Make
) -> None:
    clips = [image(f"{number}.mp4") for number in range(4)]
    for clip in clips:
        history.record([clip], jobs=[wanted(clip)])
    assert jobs.claim([], holder="w", lease_seconds=60, limit=9) == []
    others = [("faces", "2", "f"), ("faces", "1", "g"), ("labels", "1", "f")]
    assert jobs.claim(others, holder="w", lease_seconds=60, limit=9) == []
    first, *rest = claim(jobs)
    assert [job.image.key for job in (first, *rest)] == [clip.key for clip in clips]
    for job in rest:
        jobs.release(job, after_seconds=0, problem="not yet")
    reserve(jobs, first, slots=2)
    jobs.started(first, "p", after_seconds=0)
    found = claim(jobs, limit=3, slots={"service": 2})
    assert [job.provider_job_id for job in found] == ["p", None]
    jobs.look_again(found[0], after_seconds=0)
    assert claim(jobs, slots={"service": 0, "other": 9}) != []  # the started one
    assert len(claim(jobs, slots={"other": 0})) == 2


def test_slots_and_budget_are_never_exceeded(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    clips = [image(f"{number}.mp4") for number in range(50)]
    history.record(clips, jobs=[wanted(clip) for clip in clips])
    together = Barrier(WORKERS)

    def take(holder: str) -> list[OpenJob]:
        together.wait()
        mine = claim(jobs, holder, limit=6)
        together.wait()
        granted = [job for job in mine if reserve(jobs, job, slots=20) == Slot.GRANTED]
        for job in mine:
            if job not in granted:
                jobs.release(job, after_seconds=0, problem="no slot")
        return granted

    def spend(holder: str, mine: Sequence[OpenJob]) -> None:
        while mine:
            for job in mine:
                if reserve(jobs, job, slots=20, budget=Decimal("6.1")) == Slot.GRANTED:
                    jobs.finish(job, ended(job, run), image=job.image)
            mine = claim(jobs, holder, limit=1)

    with ThreadPoolExecutor(WORKERS) as threads:
        holders = [f"worker {number}" for number in range(WORKERS)]
        taken = list(threads.map(take, holders))
        assert sum(map(len, taken)) == 20
        assert rows(engine, SLOTS) == [(20,)]
        list(threads.map(spend, holders, taken))
    # Those that were refused a slot are still claimed. All others were asked for.
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(Decimal("6.0"),)]
    assert rows(engine, "SELECT count(*) FROM runs") == [(30,)]


def test_what_failed_attempts_cost_is_spent(history: History, jobs: Jobs, image: Make) -> None:
    clips = [image("a.mp4"), image("b.mp4")]
    history.record(clips, jobs=[wanted(clip) for clip in clips])
    failed, other = claim(jobs)
    assert reserve(jobs, failed) == Slot.GRANTED
    jobs.restart(failed, after_seconds=0, problem="it failed", billed_units=COST.billed_units)
    budget = 2 * COST.price_usd
    assert reserve(jobs, other, budget=budget - Decimal("0.01")) == Slot.NO_BUDGET
    assert reserve(jobs, other, budget=budget) == Slot.GRANTED
    [again] = claim(jobs)
    assert (again.attempt, again.billed_units) == (2, COST.billed_units)


@dataclass
class Service:
    """A service that starts one job for a token, and ends each when it is asked for its result."""

    outcomes: Callable[[str], str] = lambda token: "succeeded"
    jobs: dict[str, str] = field(default_factory=dict)
    under_way: set[str] = field(default_factory=set)
    most_under_way: int = 0

    def start(self, token: str) -> str:
        if token not in self.jobs:
            self.jobs[token] = f"job {uuid4()}"
            self.under_way.add(token)
            self.most_under_way = max(self.most_under_way, len(self.under_way))
        return self.jobs[token]

    def result(self, job_id: str) -> str:
        (token,) = [token for token, known in self.jobs.items() if known == job_id]
        outcome = self.outcomes(token)
        if outcome != "under way":
            self.under_way.discard(token)
        return outcome


def work(jobs: Jobs, service: Service, run: Make, slots: int = 2) -> Iterator[None]:
    """Do a worker's steps. It can be stopped wherever it yields: between any two calls."""
    holder = str(uuid4())
    while True:
        claimed = claim(jobs, holder, limit=2, slots={"service": slots})
        yield
        for job in claimed:
            try:
                yield from _step(jobs, job, service, run, slots)
            except StaleJobError:
                yield


def _step(jobs: Jobs, job: OpenJob, service: Service, run: Make, slots: int) -> Iterator[None]:
    charge = replace(COST, billing_group=job.image.key)
    if job.provider_job_id is None:
        answer = jobs.reserve_slot(job, slots=slots, budget_usd=None, expected=charge)
        yield
        if answer != Slot.GRANTED:
            jobs.release(job, after_seconds=0, problem=answer)
            return
        job_id = service.start(job.token)
        yield
        jobs.started(job, job_id, after_seconds=0)
        return
    outcome = service.result(job.provider_job_id)
    yield
    if outcome == "under way":
        jobs.look_again(job, after_seconds=0)
    elif outcome == "succeeded":
        jobs.finish(job, ended(job, run, charge), image=job.image)
    elif job.attempt < 3:
        jobs.restart(job, after_seconds=0, problem=outcome)
    else:
        jobs.finish(job, ended(job, run, error_code="job_failed"), image=job.image)


def work_off(engine: Engine, jobs: Jobs, service: Service, run: Make) -> None:
    """Let another worker do what is left, some time later."""
    expire(engine)
    worker = work(jobs, service, run)
    while rows(engine, "SELECT FROM jobs"):
        for _ in range(5):
            next(worker)


@pytest.mark.parametrize("steps", range(10))
def test_a_worker_killed_between_two_steps_leaves_one_job_one_run_one_charge(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make, steps: int
) -> None:
    clip = image("clip.mp4")
    service = Service()
    history.record([clip], jobs=[wanted(clip)])
    killed = work(jobs, service, run)
    for _ in range(steps):
        next(killed)
    work_off(engine, jobs, service, run)
    assert len(service.jobs) == 1
    assert rows(engine, "SELECT outcome, detection_count FROM runs") == [("succeeded", 1)]
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(Decimal("0.2"),)]


KEYS = ("a.mp4", "b.mp4", "c.mp4")
steps_of_workers = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 2)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["deliver", "hint", "remove"]), st.sampled_from(KEYS)),
        st.tuples(st.just("expire"), st.none()),
    ),
    max_size=60,
)
looks = st.lists(st.sampled_from(["succeeded", "failed", "under way"]), max_size=12)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=steps_of_workers, outcomes=st.fixed_dictionaries(dict.fromkeys(KEYS, looks)))
def test_whatever_happens_in_whatever_order(
    history: History,
    jobs: Jobs,
    engine: Engine,
    image: Make,
    run: Make,
    schedule: Sequence[tuple[str, Any]],
    outcomes: dict[str, list[str]],
) -> None:
    """Workers overtake each other, lose their claims and die; events and messages repeat."""
    folder = f"{uuid4()}/"
    clips = {key: image(folder + key) for key in KEYS}
    told = {key: iter(given) for key, given in outcomes.items()}
    ends: dict[str, str] = {}  # a job that has ended stays as it is

    def outcome(token: str) -> str:
        if ends.get(token, "under way") == "under way":
            query = "SELECT key FROM jobs JOIN images USING (image_id) WHERE token = :t"
            keys = [key.removeprefix(folder) for (key,) in rows(engine, query, t=token)]
            ends[token] = next(told[keys[0]], "succeeded") if keys else "dropped"
        return ends[token]

    service = Service(outcome)
    workers = [work(jobs, service, run) for _ in range(3)]
    history.record(list(clips.values()), jobs=[wanted(clip) for clip in clips.values()])
    removed = set()
    for what, which in schedule:
        if what == "step":
            next(workers[which])
        elif what == "kill":
            workers[which] = work(jobs, service, run)
        elif what == "deliver":
            history.record([clips[which]], jobs=[wanted(clips[which])])
        elif what == "hint":
            jobs.hint(*service.jobs.values(), *service.jobs)
        elif what == "remove":
            removed.add(which)
            remove(history, [clips[which]], "")
        else:
            expire(engine)
    work_off(engine, jobs, service, run)

    if not removed:  # a dropped job has no slot, although the service still has it
        assert service.most_under_way <= 2
    for key, clip in clips.items():
        made = rows(engine, "SELECT outcome FROM runs WHERE image_id = :i", i=clip.image_id)
        charged = rows(
            engine, "SELECT price_usd FROM monthly_spending WHERE billing_group = :g", g=clip.key
        )
        if key not in removed:
            assert len(made) == 1
        assert len(made) <= 1
        if made == [("succeeded",)]:
            assert charged == [(COST.price_usd,)]
        elif made:
            assert charged == []
        else:
            assert charged in ([], [(COST.price_usd,)])


def remove(history: History, images: Sequence[ImageRecord], prefix: str) -> None:
    gone = [
        RemovedObject(image.bucket, image.key, image.version, "20", image.uploaded_at)
        for image in images
        if image.key.startswith(prefix)
    ]
    history.record([], removed=gone)


def test_jobs_of_images_that_go_are_dropped_and_what_is_under_way_is_charged(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    ways = ("removed", "forbidden", "forgotten", "purged")
    clips = [image(f"{way}/{state}.mp4") for way in ways for state in ("wanted", "started")]
    facts = [VideoRecord(clip.image_id, 5000) for clip in clips]
    history.record(clips, videos=facts, jobs=[wanted(clip) for clip in clips])
    claimed = claim(jobs)
    for job in claimed:
        assert reserve(jobs, job, slots=9) == Slot.GRANTED
        if "started" in job.image.key:
            jobs.started(job, job.image.key, after_seconds=0)
        else:
            jobs.restart(job, after_seconds=0, problem="it failed", billed_units=Decimal(1))
    held = claim(jobs)

    erasures = ImageErasures(engine)
    for way in ("forbidden", "forgotten"):
        subject = ImageSubject.prefix(f"s3://photos/{way}/")
        erasure_id, until = erasures.open(subject)
        if way == "forgotten":
            assert erasures.count(subject).jobs == 2
            batches = list(erasures.erase(erasure_id, subject, until))
            assert sum(batch.get("jobs", 0) for batch in batches) == 2
            history.record(clips, jobs=[wanted(clip) for clip in clips])
    remove(history, clips, "purged")
    maintain(engine, Retention(deleted_images_days=0), tell=lambda line: None)
    remove(history, clips, "removed")
    assert rows(engine, "SELECT count(*) FROM jobs") == [(4,)]
    expire(engine)
    assert claim(jobs) == []
    assert rows(engine, "SELECT * FROM jobs") == []
    spent = 4 * COST.price_usd + 4 * COST.price_usd / COST.billed_units
    assert rows(engine, "SELECT price_usd FROM monthly_spending") == [(spent,)]
    known = rows(engine, "SELECT key FROM images ORDER BY 1")
    assert {key for (key,) in known} == {
        clip.key for clip in clips if clip.key.startswith(("removed", "forbidden"))
    }
    assert len(rows(engine, "SELECT FROM videos")) == 4
    for job in held:
        with pytest.raises(StaleJobError):
            jobs.finish(job, ended(job, run), image=job.image, video=facts[0])
    assert rows(engine, "SELECT key FROM images ORDER BY 1") == known
    assert rows(engine, "SELECT count(*) FROM runs") == [(0,)]


def test_a_forgotten_person_leaves_no_appearance(
    history: History, jobs: Jobs, engine: Engine, image: Make, run: Make
) -> None:
    seen = {"Face": {"FaceId": "f1", "ExternalImageId": "Ann"}, "path": [[0, 0.1, 0.1, 0.2, 0.2]]}
    ann = DetectionRecord("face_match", "Ann", 0.9, None, encode_json(seen), 0, 10, 1)
    face = DetectionRecord("face", "Face", 0.9, None, "{}", 0, 10, 1)
    early, late = image("early.mp4"), image("late.mp4")
    history.record([early], [run(early, detections=(ann, face))])
    history.record([late], jobs=[wanted(late)])
    erasures = Erasures(engine)
    names = PersonNames(frozenset({"Ann", "f1"}))
    erasure_id = erasures.open("person", "Ann", names)
    for _ in erasures.erase(erasure_id, names):
        pass
    (job,) = claim(jobs)
    jobs.finish(job, ended(job, run, detections=(ann, face)), image=late)
    assert rows(engine, "SELECT label, count(*) FROM video_timeline GROUP BY 1") == [("Face", 2)]
    assert rows(engine, "SELECT DISTINCT detection_count FROM runs") == [(1,)]
    assert rows(engine, "SELECT count(*) FROM labels WHERE label = 'Ann'") == [(0,)]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("retinue_writer", "DELETE FROM videos"),
        ("retinue_writer", "UPDATE jobs SET detector = detector"),
        ("retinue_writer", "UPDATE jobs SET event_id = event_id"),
        ("retinue_reader", "UPDATE jobs SET problem = problem"),
        ("retinue_reader", "DELETE FROM videos"),
        ("retinue_reader", "SELECT drop_jobs('{}')"),
        ("retinue_reader", "SELECT record_videos('[]', '[]')"),
    ],
)
def test_what_logins_may_not_do(history_url: str, role: str, statement: str) -> None:
    with psycopg.connect(history_url) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for view in ("video_timeline", "open_jobs", "videos", "jobs"):
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())
