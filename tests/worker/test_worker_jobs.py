"""Videos in a whole worker: which detectors get them, and what becomes of their messages."""

import json
from typing import Any

import pytest
from fakes.events import BUCKET, created
from fakes.mp4 import video
from fakes.rig import Rig
from fakes.video_service import VideoLabels, VideoService
from fakes.waiting import eventually
from retinue_sdk import ConfigurationError, DetectorNotReadyError, Run
from retinue_workers.jobs.scheduler import Intervals

CLIP = video(frames=1, rate=1)
PATIENT = Intervals(poll=0.01, first_look=3_600.0, look=3_600.0)


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> VideoService:
    """Return a fresh service, whose jobs end when a test says so."""
    fresh = VideoService(ends_after=None)
    monkeypatch.setattr(VideoLabels, "service", fresh)
    return fresh


def jobs(rig: Rig) -> list[tuple[str, str]]:
    return [
        (row["key"], row["state"])
        for row in rig.rows("SELECT key, state FROM open_jobs ORDER BY key, detector")
    ]


def looks(service: VideoService) -> int:
    return sum(job.looks for job in service.jobs.values())


def test_each_medium_goes_to_its_detectors(
    rig: Rig, service: VideoService, observed: list[Run]
) -> None:
    rig.upload("a.jpg")
    rig.upload("b.MP4", CLIP)
    rig.upload("c.mp4.jpg")
    with rig.running({"echo": {}, "video-labels": {}, "video-faces": {}}):
        rig.wait_until_empty()
        eventually(lambda: jobs(rig) == [("b.MP4", "started")] * 2)
        assert [run[:3] for run in rig.runs()] == [
            ("a.jpg", "echo", "succeeded"),
            ("c.mp4.jpg", "echo", "succeeded"),
        ]
        service.end()
        eventually(lambda: len(observed) == 4)
    assert [run[:3] for run in rig.runs()[1:3]] == [
        ("b.MP4", "video-faces", "succeeded"),
        ("b.MP4", "video-labels", "succeeded"),
    ]


def test_a_video_without_a_detector_is_an_image_without_runs(rig: Rig) -> None:
    rig.upload("a.mov", CLIP)
    rig.work_off({"echo": {}})
    assert rig.runs() == []
    assert [row["key"] for row in rig.rows("SELECT key FROM images")] == ["a.mov"]


def test_five_stops_in_a_row_burn_no_receive(rig: Rig, service: VideoService) -> None:
    rig.upload("a.mp4", CLIP)
    for _ in range(5):
        with rig.running({"video-labels": {}}):
            before = looks(service)
            eventually(
                lambda before=before: looks(service) > before,
                what=str(rig.rows("SELECT now(), * FROM jobs")),
            )
    assert jobs(rig) == [("a.mp4", "started")]
    service.end()
    with rig.running({"video-labels": {}}):
        eventually(lambda: not jobs(rig))
    assert rig.outcomes("video-labels") == ["succeeded"]
    assert len(service.jobs) == 1
    assert [line for line in rig.queue.journal if "message-1" in line] == ["delete message-1"]


def test_a_redelivered_or_repeated_event_makes_no_second_job(
    rig: Rig, service: VideoService
) -> None:
    rig.upload("a.mp4", CLIP)
    rig.upload("a.mp4", CLIP)
    with rig.running({"video-labels": {}}):
        eventually(lambda: jobs(rig) == [("a.mp4", "started")])
        rig.upload("a.mp4", CLIP)
        rig.wait_until_empty()
        service.end()
        eventually(lambda: not jobs(rig))
        rig.upload("a.mp4", CLIP)
        rig.wait_until_empty()
        assert jobs(rig) == []
    assert (len(service.jobs), rig.outcomes("video-labels")) == (1, ["succeeded"])


def test_a_message_about_a_job_ends_it_and_is_deleted(rig: Rig, service: VideoService) -> None:
    rig.upload("a.mp4", CLIP)
    with rig.running({"video-labels": {}}, intervals=PATIENT):
        eventually(lambda: jobs(rig) == [("a.mp4", "started")])
        ((token, job),) = service.jobs.items()
        message = {"JobId": job.job_id, "Status": "SUCCEEDED", "JobTag": f"retinue/{token}"}
        service.end()
        rig.queue.send(json.dumps({"JobId": "foreign", "Status": "ERROR"}))
        rig.queue.send(json.dumps({"Type": "Notification", "Message": json.dumps(message)}))
        rig.queue.send(json.dumps(message))
        eventually(lambda: not jobs(rig))
        rig.wait_until_empty()
    assert rig.outcomes("video-labels") == ["succeeded"]
    assert rig.queue.dead_letters() == []


def test_a_pool_without_videos_deletes_messages_about_jobs(memory_rig: Rig) -> None:
    memory_rig.queue.send(json.dumps({"JobId": "1", "Status": "SUCCEEDED"}))
    memory_rig.work_off({"echo": {}})
    assert memory_rig.queue.dead_letters() == []


def test_routes_apply_to_videos(rig: Rig, service: VideoService) -> None:
    rig.upload("small/a.mp4", CLIP)
    rig.upload("large/b.mp4", video(size=(128, 96), frames=1))
    rig.upload("large/c.mp4", b"\xff\xd8\xff JPEG")
    with rig.running(
        {"video-labels": {}}, routes={"video-labels": {"key": "large/*", "min_width_px": 100}}
    ):
        rig.wait_until_empty()
        eventually(lambda: jobs(rig) == [("large/b.mp4", "started")])
    assert [run[::3] for run in rig.runs()] == [
        ("large/c.mp4", "not_a_video"),
        ("small/a.mp4", "skipped_by_key"),
    ]


def test_a_route_waits_for_s3_without_burning_a_receive(rig: Rig, service: VideoService) -> None:
    rig.upload("a.mp4", CLIP, Metadata={"for": "us"})
    tries: list[str] = []

    def fail(bucket: str, key: str) -> None:
        tries.append(key)
        if len(tries) < 4:
            raise OSError("reset")

    rig.s3.fault = fail
    with rig.running({"video-labels": {}}, routes={"video-labels": {"metadata": {"for": "us"}}}):
        eventually(lambda: jobs(rig) == [("a.mp4", "started")])
    assert [line for line in rig.queue.journal if "message-1" in line] == ["delete message-1"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"isolation": {"video-labels": {}}}, "RETINUE_ISOLATION names video-labels"),
        ({"video": {"video-labels": {}}}, "RETINUE_VIDEO names video-labels"),
        (
            {"routes": {"echo": {"found": {"detector": "video-labels"}}}},
            r"RETINUE_ROUTES\[echo\]: found can't name video-labels",
        ),
        ({"monthly_budgets_usd": {"video-faces": 1}}, "names video-faces"),
    ],
)
def test_settings_that_cannot_apply_to_jobs_are_refused(
    rig: Rig, settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises((ConfigurationError, ValueError), match=problem):
        rig.worker({"echo": {}, "video-labels": {}}, **settings).start()


def test_a_limit_of_the_settings_replaces_the_detectors(rig: Rig, service: VideoService) -> None:
    for key in ("a.mp4", "b.mp4", "c.mp4"):
        rig.upload(key, CLIP)
    with rig.running({"video-labels": {}}, max_jobs=1):
        for left in (2, 1, 0):
            eventually(lambda: len(service.under_way) == 1)
            service.end()
            eventually(lambda left=left: len(jobs(rig)) == left)
    assert service.most == 1


def test_health_says_why_jobs_wait_while_images_go_on(rig: Rig, service: VideoService) -> None:
    async def refuse(called: str, key: str) -> None:
        raise DetectorNotReadyError("the role is missing", retry_after_seconds=1_000)

    service.before = refuse
    rig.upload("a.mp4", CLIP)
    with rig.running({"echo": {}, "video-labels": {}}) as worker:
        line = "waiting for jobs of video-labels: the role is missing"
        eventually(lambda: worker.worker.liveness.state() == (True, line))
        rig.queue.send(created("b.jpg", etag="1", bucket=BUCKET))
        rig.wait_until_empty()
    assert rig.outcomes("echo") == ["succeeded"]
    assert jobs(rig) == [("a.mp4", "wanted")]
