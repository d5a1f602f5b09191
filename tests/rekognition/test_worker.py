"""A whole worker with Rekognition's detectors: a real database, the endpoint, faults in between."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
from fakes.bare_mp4 import mp4
from fakes.rig import Rig, keys
from fakes.waiting import eventually
from retinue_history import ConnectionPool, History, Jobs
from retinue_rekognition_emulator import Endpoint, Failure, JobFault
from retinue_sdk.plugins.manager import Plugins
from retinue_workers.detectors import retry_policy

POINT = EntryPoint("rekognition", "retinue_rekognition.plugin", "retinue")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinue_workers.limits.backoff.BASE_SECONDS", 0.02)
    monkeypatch.setattr(retry_policy, "PROBE_SECONDS", 0.1)


@pytest.fixture
def rig(history_url: str) -> Iterator[Rig]:
    """Uploads go to a queue and an S3 in memory; the endpoint invents what their names say."""
    pool = ConnectionPool(history_url)
    rig = Rig(History(pool), url=history_url, jobs=Jobs(pool))
    rig.plugins = Plugins((POINT,))
    yield rig
    pool.close()


def test_two_detectors_through_throttling_and_expired_credentials(
    rig: Rig, cloud: Endpoint
) -> None:
    options = {"endpoint_url": cloud.url, "requests_per_second": 1_000}
    wanted = {"rekognition-labels": options, "rekognition-faces": options}
    for key in keys(12):
        rig.upload(key)
    rig.upload("picture.webp")
    cloud.faults.fail_next("DetectLabels", *[Failure("ThrottlingException")] * 5, Failure("reset"))
    with rig.running(wanted):
        eventually(lambda: cloud.calls["DetectFaces"] > 0, what="faces to be looked for")
        cloud.faults.accepted_key_ids = frozenset({"AKIARENEWED"})
        for key in keys(12, "late"):
            rig.upload(key)
        eventually(
            lambda: cloud.errors["UnrecognizedClientException"] > 1, what="credentials to expire"
        )
        cloud.faults.accepted_key_ids = None
        rig.wait_until_empty()
    for name in wanted:
        assert rig.outcomes(name) == ["succeeded"] * 24 + ["unsupported_format"]
    [cost] = rig.rows("SELECT sum(price_usd) AS usd FROM runs WHERE outcome = 'succeeded'")
    assert float(cost["usd"]) == pytest.approx(48 * 0.001)
    assert rig.rows("SELECT 1 FROM detections WHERE kind = 'label' AND box_left IS NULL LIMIT 1")
    [version] = rig.rows(
        "SELECT DISTINCT model_version FROM runs "
        "WHERE detector = 'rekognition-labels' AND outcome = 'succeeded'"
    )
    assert version["model_version"] == "3.0"


def test_videos_beside_images_through_lost_answers_and_lost_jobs(rig: Rig, cloud: Endpoint) -> None:
    jobs = cloud.operations.video.jobs
    jobs.least_seconds, jobs.seconds_per_minute = 0.05, 0
    urls = {"endpoint_url": cloud.url, "requests_per_second": 1_000}
    labels, faces = "rekognition-video-labels", "rekognition-video-faces"
    clips = [key.replace(".jpg", ".mp4") for key in keys(3)]
    for clip in clips:
        rig.upload(clip, mp4())
    rig.upload("long.mp4", mp4(frames=7 * 3_600 * 25))
    rig.upload("other.mp4", mp4(codec=b"hvc1"))
    rig.upload("photo.png")
    cloud.faults.disturb_next_jobs(JobFault(vanishes=True), JobFault("Try again."))
    lost = Failure("reset", took_effect=True)
    cloud.faults.fail_next("StartLabelDetection", Failure("ThrottlingException"), lost)
    cloud.faults.fail_next("GetFaceDetection", Failure("InternalServerError", status=500))
    with rig.running({labels: urls, faces: urls, "rekognition-labels": urls}):
        for name in (labels, faces):
            eventually(lambda name=name: len(rig.outcomes(name)) == 5, what=f"runs of {name}")
    expected = ["succeeded"] * 3 + ["unsupported_codec", "video_too_large_for_service"]
    assert sorted(rig.outcomes(labels)) == sorted(rig.outcomes(faces)) == expected
    assert rig.outcomes("rekognition-labels") == ["succeeded"]
    assert sum(jobs.started.values()) == 6 + 2  # the job that vanished, and the one that failed
    assert rig.rows("SELECT 1 FROM jobs") == []
    [found] = rig.rows(
        "SELECT bool_and(start_ms IS NOT NULL) AS timed, count(DISTINCT image_id) AS videos "
        "FROM detections WHERE kind = 'label' AND image_id IN (SELECT image_id FROM videos)"
    )
    assert found == {"timed": True, "videos": 3}
    [cost] = rig.rows(
        "SELECT sum(price_usd) AS usd, sum(billed_units) AS minutes FROM runs "
        f"WHERE detector = '{labels}' AND outcome = 'succeeded'"
    )
    assert float(cost["usd"]) == pytest.approx(float(cost["minutes"]) * 0.10)
