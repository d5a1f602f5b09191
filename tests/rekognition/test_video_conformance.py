"""Every detector of videos of Rekognition passes the checks of jobs, on the endpoint."""

from typing import Any

import pytest
from fakes.bare_mp4 import mp4
from rekognition.conftest import BUCKET, Store
from retinue_rekognition.plugin import VIDEO_DETECTORS
from retinue_rekognition_emulator import Endpoint, StoredObject
from retinue_sdk import ImageReference, Video
from retinue_sdk.testing import BaseJobs, JobSubject


@pytest.fixture(params=VIDEO_DETECTORS, ids=lambda kind: kind.name)
def job_subject(
    request: pytest.FixtureRequest, endpoint: Endpoint, store: Store, rekognition: Any
) -> JobSubject:
    store["clip.mp4"] = StoredObject(mp4(frames=3_000))
    rekognition.create_collection(CollectionId="people")
    jobs = endpoint.operations.video.jobs
    jobs.clock = lambda: 1_800_000_000.0
    kind = request.param
    options = {"endpoint_url": endpoint.url, "s3_endpoint_url": endpoint.url}
    if kind.name == "rekognition-video-face-search":
        options["collection_id"] = "people"
    return JobSubject(
        kind,
        Video(ImageReference(BUCKET, "clip.mp4", version_id="v1", etag="e"), duration_ms=120_000),
        end_jobs=lambda: jobs.advance(10),
        forget_jobs=lambda: jobs.advance(8 * 86_400),
        options=options,
    )


class TestJobs(BaseJobs):
    pass
