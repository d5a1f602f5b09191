"""Jobs on videos, against the endpoint: started once, read whole, and every error's next step."""

import json
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aws_client.server import Reply, Server, serving
from fakes.bare_mp4 import mp4
from pydantic import ValidationError
from rekognition.conftest import BUCKET, TWO_FACES, Store
from retinue_rekognition.plugin import VIDEO_DETECTORS
from retinue_rekognition.video.detector import VideoDetector
from retinue_rekognition.video.face_search import VideoFaceSearchDetector
from retinue_rekognition.video.faces import VideoFaceDetector
from retinue_rekognition.video.labels import VideoLabelDetector
from retinue_rekognition.video.moderation import VideoModerationDetector
from retinue_rekognition.video.segments import VideoSegmentDetector
from retinue_rekognition.video.text import VideoTextDetector
from retinue_rekognition_emulator import Endpoint, Failure, JobFault, ObjectFault, StoredObject
from retinue_rekognition_emulator.video.jobs import Jobs
from retinue_sdk import (
    DetectorError,
    DetectorNotReadyError,
    Findings,
    ImageReference,
    Input,
    InvalidImageError,
    JobLostError,
    RetriableError,
    Video,
)

TOKEN = "t" * 43
TAG = f"retinue/{TOKEN}"
CLIP = Video(
    ImageReference(BUCKET, "clip.mp4", version_id="v1", etag="e"),
    duration_ms=120_000,
    codec="h264",
    container="mp4",
)

Kind = type[VideoDetector[Any]]
Open = Callable[..., Any]


@pytest.fixture
def jobs(endpoint: Endpoint, store: Store) -> Jobs:
    """Store a clip of two minutes; return the jobs, with a clock that only the test moves."""
    store["clip.mp4"] = StoredObject(mp4(frames=3_000))
    store["ann.png"] = StoredObject(TWO_FACES)
    known = endpoint.operations.video.jobs
    known.clock = lambda: 1_800_000_000.0
    return known


@pytest.fixture
def people(rekognition: Any, jobs: Jobs) -> str:
    """Return a collection with two faces."""
    del jobs
    rekognition.create_collection(CollectionId="people")
    ann = {"S3Object": {"Bucket": BUCKET, "Name": "ann.png"}}
    rekognition.index_faces(CollectionId="people", Image=ann, ExternalImageId="ann")
    return "people"


@pytest.fixture
def started(endpoint: Endpoint) -> Open:
    """Opens a detector that calls the endpoint."""

    @asynccontextmanager
    async def make(kind: Kind, **options: object) -> AsyncIterator[VideoDetector[Any]]:
        urls = {"endpoint_url": endpoint.url, "s3_endpoint_url": endpoint.url}
        one = kind(kind.options_model.model_validate(urls | options))
        await one.start()
        try:
            yield one
        finally:
            await one.close()

    return make


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as known:
        yield known


def of(server: Server, kind: Kind = VideoFaceDetector) -> VideoDetector[Any]:
    return kind(kind.options_model.model_validate({"endpoint_url": server.url}))


def reply(**body: Any) -> Reply:
    return Reply(body=json.dumps(body).encode())


EXPECTED = {
    "rekognition-video-labels": ({"label"}, True),
    "rekognition-video-faces": ({"face"}, False),
    "rekognition-video-face-search": ({"face", "face_match"}, True),
    "rekognition-video-moderation": ({"moderation"}, True),
    "rekognition-video-celebrities": ({"celebrity"}, False),
    "rekognition-video-text": ({"text"}, True),
    "rekognition-video-segments": ({"shot", "technical_cue"}, True),
}


@pytest.mark.parametrize("kind", VIDEO_DETECTORS, ids=lambda kind: kind.name)
async def test_a_job_from_its_start_to_its_rows(
    kind: Kind, started: Open, endpoint: Endpoint, jobs: Jobs, people: str
) -> None:
    options = {"collection_id": people} if kind is VideoFaceSearchDetector else {}
    endpoint.calls.clear()
    endpoint.requests.clear()
    async with started(kind, **options) as detector:
        job_id = await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        assert await detector.start_job(CLIP, token=TOKEN, tag=TAG) == job_id
        assert await detector.job_result(job_id, CLIP) is None
        jobs.advance(4)
        findings = await detector.job_result(job_id, CLIP)
        assert isinstance(findings, Findings)
        again = await detector.job_result(job_id, CLIP)
        assert again.detections == findings.detections
        capabilities = detector.capabilities
        version = findings.model_version or detector.model_version
    assert jobs.started == {kind.operation.removeprefix("Start"): 1}
    kinds, has_version = EXPECTED[kind.name]
    assert {one.kind for one in findings.detections} == kinds
    assert (version is not None) == has_version
    for one in findings.detections:
        assert one.start_ms is not None
        assert 0 <= one.start_ms <= (one.end_ms or 0) <= 120_000
    order = [(one.start_ms, one.end_ms) for one in findings.detections]
    assert order == sorted(order)
    raw = findings.raw_response
    assert raw["JobTag"] == TAG
    assert raw["JobId"] == job_id
    assert raw.keys().isdisjoint({kind.listed, "NextToken"})
    assert findings.billed_units == detector.units(CLIP) == 2
    assert sum(price.usd(Decimal(1)) for price in capabilities.prices) == Decimal("0.10")
    assert capabilities.input is Input.REFERENCE
    assert endpoint.calls.keys() == set(kind.operations)
    request = next(body for name, body in endpoint.requests if name == kind.operation)
    where = {"Bucket": BUCKET, "Name": "clip.mp4", "Version": "v1"}
    assert request["Video"] == {"S3Object": where}
    assert (request["ClientRequestToken"], request["JobTag"]) == (TOKEN, TAG)
    assert "NotificationChannel" not in request


def test_all_jobs_share_one_limit() -> None:
    made = [
        kind(kind.options_model.model_validate({"region": "eu-west-1", **more}))
        for kind in VIDEO_DETECTORS
        for more in [{"collection_id": "c"} if kind is VideoFaceSearchDetector else {}]
    ]
    assert {one.capabilities.max_jobs for one in made} == {20}
    assert {one.capabilities.job_group for one in made} == {"rekognition:eu-west-1:jobs"}
    faces = made[1].capabilities.quotas
    assert faces == {
        "rekognition:eu-west-1:StartFaceDetection": 5,
        "rekognition:eu-west-1:GetFaceDetection": 20,
    }
    own = {"region": "eu-central-1", "requests_per_second": 50, "account": "press"}
    quotas = VideoFaceDetector(VideoFaceDetector.options_model(**own)).capabilities.quotas
    assert quotas == {
        "rekognition:press:eu-central-1:StartFaceDetection": 5,
        "rekognition:press:eu-central-1:GetFaceDetection": 50,
    }


@pytest.mark.parametrize(
    ("types", "usd"),
    [(["SHOT"], "0.05"), (["TECHNICAL_CUE"], "0.05"), (["SHOT", "TECHNICAL_CUE"], "0.10")],
)
def test_types_of_segments_are_billed_separately(types: list[str], usd: str) -> None:
    one = VideoSegmentDetector(VideoSegmentDetector.options_model(segment_types=types))
    prices = one.capabilities.prices
    assert sum(price.usd(Decimal(1)) for price in prices) == Decimal(usd)
    assert set(one.parameters()["Filters"]) == {
        {"SHOT": "ShotFilter", "TECHNICAL_CUE": "TechnicalCueFilter"}[name] for name in types
    }


CHANNEL = {
    "notification_topic_arn": "arn:aws:sns:us-east-1:123456789012:retinue-jobs",
    "notification_role_arn": "arn:aws:iam::123456789012:role/publishes",
}


@pytest.mark.parametrize(
    ("kind", "options", "request_"),
    [
        (
            VideoLabelDetector,
            {
                "min_confidence": 0.7,
                "label_inclusion_filters": ["Car"],
                "label_category_exclusion_filters": ["Vehicles and Automotive"],
            },
            {
                "MinConfidence": 70,
                "Features": ["GENERAL_LABELS"],
                "Settings": {
                    "GeneralLabels": {
                        "LabelInclusionFilters": ["Car"],
                        "LabelCategoryExclusionFilters": ["Vehicles and Automotive"],
                    }
                },
            },
        ),
        (VideoFaceDetector, {"attributes": "DEFAULT"}, {"FaceAttributes": "DEFAULT"}),
        (VideoModerationDetector, {"min_confidence": 0.3}, {"MinConfidence": 30}),
        (
            VideoTextDetector,
            {
                "min_box_height": 0.1,
                "min_box_width": 0.2,
                "regions_of_interest": [[0, 0.5, 1, 0.5]],
            },
            {
                "Filters": {
                    "WordFilter": {
                        "MinConfidence": 80,
                        "MinBoundingBoxHeight": 0.1,
                        "MinBoundingBoxWidth": 0.2,
                    },
                    "RegionsOfInterest": [
                        {"BoundingBox": {"Left": 0, "Top": 0.5, "Width": 1, "Height": 0.5}}
                    ],
                }
            },
        ),
        (
            VideoSegmentDetector,
            {
                "min_shot_confidence": 0.6,
                "min_cue_confidence": 0.7,
                "black_max_pixel": 0.1,
                "black_min_coverage": 0.95,
            },
            {
                "SegmentTypes": ["SHOT", "TECHNICAL_CUE"],
                "Filters": {
                    "ShotFilter": {"MinSegmentConfidence": 60},
                    "TechnicalCueFilter": {
                        "MinSegmentConfidence": 70,
                        "BlackFrame": {"MaxPixelThreshold": 0.1, "MinCoveragePercentage": 95},
                    },
                },
            },
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_options_reach_the_request(
    kind: Kind,
    options: dict[str, Any],
    request_: dict[str, Any],
    started: Open,
    endpoint: Endpoint,
    jobs: Jobs,
) -> None:
    del jobs
    async with started(kind, **options, **CHANNEL) as detector:
        await detector.start_job(CLIP, token=TOKEN, tag=TAG)  # held against the service model
    [(_, request)] = endpoint.requests
    assert request.pop("NotificationChannel") == {
        "SNSTopicArn": CHANNEL["notification_topic_arn"],
        "RoleArn": CHANNEL["notification_role_arn"],
    }
    for name in ("Video", "ClientRequestToken", "JobTag"):
        del request[name]
    assert request == request_


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [
        (VideoLabelDetector, {"send": "bytes"}, "send"),
        (VideoLabelDetector, {"min_confidence": 50}, "min_confidence"),
        (VideoLabelDetector, CHANNEL | {"notification_role_arn": None}, "or neither"),
        (VideoLabelDetector, CHANNEL | {"notification_topic_arn": "jobs"}, "notification_topic"),
        (VideoFaceDetector, {"attributes": "SMILE"}, "attributes"),
        (VideoFaceSearchDetector, {}, "collection_id"),
        (VideoTextDetector, {"regions_of_interest": [[0, 0, 2, 1]]}, "regions_of_interest"),
        (VideoSegmentDetector, {"segment_types": []}, "segment_types"),
        (VideoSegmentDetector, {"min_shot_confidence": 0.4}, "min_shot_confidence"),
    ],
)
def test_bad_options_are_refused(kind: Kind, options: dict[str, Any], names: str) -> None:
    with pytest.raises(ValidationError, match=names):
        kind.options_model.model_validate(options)


def test_where_the_end_is_announced_changes_no_finding() -> None:
    model = VideoLabelDetector.options_model
    assert model(**CHANNEL).fingerprint() == model().fingerprint()


@pytest.mark.parametrize(
    ("facts", "code", "remedy"),
    [
        ({"codec": "hevc"}, "unsupported_codec", "codec is hevc. Rekognition reads H.264"),
        ({"container": "webm"}, "unsupported_codec", "container is webm. Rekognition reads H.264"),
        ({"size_bytes": 10 * 2**30 + 1}, "video_too_large_for_service", "split the video"),
        ({"duration_ms": 6 * 3_600_000 + 1}, "video_too_large_for_service", "lasts 6.0 hours"),
        ({"size_bytes": 0}, "empty_file", "0 bytes"),
    ],
)
async def test_a_video_that_would_be_refused_costs_no_call(
    facts: dict[str, Any], code: str, remedy: str, started: Open, endpoint: Endpoint
) -> None:
    video = Video(CLIP.reference, **facts)
    async with started(VideoLabelDetector) as detector:
        with pytest.raises(InvalidImageError, match=remedy) as refused:
            detector.units(video)
        assert refused.value.code == code
        with pytest.raises(InvalidImageError, match=remedy):
            await detector.start_job(video, token=TOKEN, tag=TAG)
    assert endpoint.requests == []


def test_units_are_minutes() -> None:
    detector = VideoLabelDetector(VideoLabelDetector.options_model())
    assert detector.units(Video(CLIP.reference)) == 360  # the longest that is allowed
    assert detector.units(Video(CLIP.reference, duration_ms=90_000)) == Decimal("1.5")
    assert detector.units(Video(CLIP.reference, duration_ms=1)) == Decimal("0.000017")


@pytest.mark.parametrize(
    ("failure", "expected", "says"),
    [
        (Failure("LimitExceededException"), RetriableError, "waits for the end of one"),
        (Failure("ThrottlingException"), RetriableError, "ThrottlingException"),
        (Failure("ProvisionedThroughputExceededException"), RetriableError, "Provisioned"),
        (Failure("InternalServerError", status=500), RetriableError, "InternalServerError"),
        (Failure("reset"), RetriableError, "no answer"),
        (Failure("garbage"), RetriableError, "StartLabelDetection"),
        (
            Failure("AccessDeniedException"),
            DetectorNotReadyError,
            "rekognition:StartLabelDetection",
        ),
        (Failure("VideoTooLargeException"), InvalidImageError, "split the video"),
        (Failure("IdempotentParameterMismatchException"), JobLostError, "other options"),
        (Failure("UnknownOperationException"), DetectorNotReadyError, "this endpoint has no"),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_what_a_start_that_fails_means(
    failure: Failure,
    expected: type[DetectorError],
    says: str,
    started: Open,
    endpoint: Endpoint,
    jobs: Jobs,
) -> None:
    del jobs
    endpoint.faults.fail_next("StartLabelDetection", failure)
    async with started(VideoLabelDetector) as detector:
        with pytest.raises(expected, match=says) as failed:
            await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        assert type(failed.value) is expected
        if failure.code == "LimitExceededException":  # surely not started: its slot is free again
            assert (failed.value.throttled, failed.value.retry_after_seconds) == (True, 60)
        assert await detector.start_job(CLIP, token=TOKEN, tag=TAG)


async def test_a_job_whose_start_was_not_answered_is_found_by_its_token(
    started: Open, endpoint: Endpoint, jobs: Jobs
) -> None:
    endpoint.faults.fail_next("StartLabelDetection", Failure("reset", took_effect=True))
    async with started(VideoLabelDetector) as detector:
        with pytest.raises(RetriableError):
            await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        await detector.start_job(CLIP, token=TOKEN, tag=TAG)
    assert jobs.started == {"LabelDetection": 1}


async def test_a_rejected_parameter_is_an_options_fault_until_one_video_is_accepted(
    started: Open, endpoint: Endpoint, jobs: Jobs
) -> None:
    del jobs
    rejected = Failure("InvalidParameterException", "Request has Invalid Parameters")
    async with started(VideoLabelDetector, label_inclusion_filters=["Car"]) as detector:
        endpoint.faults.fail_next("StartLabelDetection", rejected)
        with pytest.raises(DetectorNotReadyError, match="label_inclusion_filters"):
            await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        endpoint.faults.fail_next("StartLabelDetection", rejected)
        with pytest.raises(InvalidImageError) as failed:
            await detector.start_job(CLIP, token="u" * 43, tag=TAG)
        assert failed.value.code == "rejected_by_service"


async def test_s3_tells_why_a_video_cannot_be_read(
    started: Open, endpoint: Endpoint, jobs: Jobs
) -> None:
    del jobs
    gone = Video(ImageReference(BUCKET, "gone.mp4", version_id="v1", etag="e"))
    async with started(VideoLabelDetector) as detector:
        with pytest.raises(InvalidImageError) as failed:
            await detector.start_job(gone, token=TOKEN, tag=TAG)
        assert (failed.value.code, failed.value.retryable) == ("object_not_found", True)
        await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        endpoint.faults.objects["clip.mp4"] = ObjectFault()
        with pytest.raises(DetectorError, match=r"clip\.mp4"):
            await detector.start_job(CLIP, token="u" * 43, tag=TAG)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Unsupported codec/format.", "unsupported_codec"),
        ("The video exceeds the maximum duration: too long.", "video_too_large_for_service"),
        ("Unable to get object information.", None),
        ("", None),
    ],
)
async def test_what_a_failed_job_means(
    message: str, code: str | None, started: Open, endpoint: Endpoint, jobs: Jobs
) -> None:
    endpoint.faults.disturb_next_jobs(JobFault(message))
    async with started(VideoLabelDetector) as detector:
        job_id = await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        jobs.advance(4)
        with pytest.raises(DetectorError, match=message or "no message") as failed:
            await detector.job_result(job_id, CLIP)
    assert getattr(failed.value, "code", None) == code
    if code is None:  # another job may succeed
        assert type(failed.value) is DetectorError


async def test_a_job_that_is_unknown_is_lost(started: Open, endpoint: Endpoint, jobs: Jobs) -> None:
    async with started(VideoLabelDetector) as detector:
        with pytest.raises(JobLostError, match="7 days"):
            await detector.job_result("nowhere", CLIP)
        job_id = await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        endpoint.faults.fail_next("GetLabelDetection", Failure("InvalidParameterException"))
        with pytest.raises(DetectorNotReadyError):  # would be the same for every job
            await detector.job_result(job_id, CLIP)
        endpoint.faults.fail_next(
            "GetLabelDetection", Failure("ResourceNotFoundException", status=503)
        )
        with pytest.raises(RetriableError):
            await detector.job_result(job_id, CLIP)
        jobs.advance(8 * 86_400)
        with pytest.raises(JobLostError):
            await detector.job_result(job_id, CLIP)


async def test_pages_are_read_whole_and_again_after_a_refused_token(
    started: Open, endpoint: Endpoint, jobs: Jobs, store: Store
) -> None:
    endpoint.operations.video.sample_ms = 40
    store["clip.mp4"] = StoredObject(mp4(frames=4_000))
    async with started(VideoFaceDetector, attributes="DEFAULT") as detector:
        job_id = await detector.start_job(CLIP, token=TOKEN, tag=TAG)
        jobs.advance(20)
        endpoint.requests.clear()
        whole = await detector.job_result(job_id, CLIP)
        pages = [body for name, body in endpoint.requests if name == "GetFaceDetection"]
        assert [page.get("MaxResults") for page in pages] == [1, *[1_000] * (len(pages) - 1)]
        assert len(pages) > 3
        assert sum(one.attributes["frames"] for one in whole.detections) > 1_000
        assert len(whole.detections) < 50
        endpoint.faults.refuse_next_tokens(2)
        again = await detector.job_result(job_id, CLIP)
        assert again.detections == whole.detections
        endpoint.faults.refuse_next_tokens(3)
        with pytest.raises(RetriableError, match="InvalidPaginationToken"):
            await detector.job_result(job_id, CLIP)


def page_of_faces(number: int, token: str | None) -> dict[str, Any]:
    faces = [
        {
            "Timestamp": (number * 20 + at) * 500,
            "Face": {
                "BoundingBox": {"Left": left, "Top": 0.1, "Width": 0.2, "Height": 0.2},
                "Confidence": 90.0,
                "Landmarks": [{"Type": "nose", "X": 0.1, "Y": 0.1 * number} for _ in range(5)],
            },
        }
        for at in range(20)
        for left in (0.1, 0.6)
    ]
    return {"JobStatus": "SUCCEEDED", "Faces": faces, "NextToken": token}


async def test_three_hundred_pages_take_as_much_memory_as_forty(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    async def peak(count: int) -> int:
        detector = of(server)

        async def call(_: str, parameters: dict[str, Any], *__: Any) -> dict[str, Any]:
            number = int(parameters.get("NextToken", 0))
            return page_of_faces(number, str(number + 1) if number + 1 < count else None)

        await detector.start()
        monkeypatch.setattr(detector.api, "call", call)
        tracemalloc.start()
        findings = await detector.job_result("job", CLIP)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await detector.close()
        assert [one.attributes["frames"] for one in findings.detections] == [20 * count] * 2
        return most

    assert await peak(300) < 1.3 * await peak(40)


GOOD = {"JobStatus": "SUCCEEDED", "Faces": [], "VideoMetadata": {"DurationMillis": 30_000}}


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{"JobStatus": "DONE"}], "the status 'DONE'"),
        ([{"Faces": []}], "the status None"),
        ([{"JobStatus": 5}], "unreadable"),
        ([GOOD, {"JobStatus": "IN_PROGRESS"}], "a page with the status 'IN_PROGRESS'"),
        ([GOOD, {**GOOD, "Faces": "none"}], "unreadable"),
        ([GOOD, {**GOOD, "NextToken": "a"}, {**GOOD, "NextToken": "a"}], "and no end"),
        ([GOOD, {**GOOD, "NextToken": "a"}, {**GOOD, "NextToken": "b"}], "and no end"),
    ],
)
async def test_an_answer_that_is_none_is_never_nothing_found(
    server: Server,
    answers: list[dict[str, Any]],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("retinue_rekognition.video.detector.MAX_PAGES", 1)
    server.replies.extend(reply(**answer) for answer in answers)
    detector = of(server)
    await detector.start()
    with pytest.raises(RetriableError, match=says):
        await detector.job_result("job", CLIP)
    await detector.close()


@pytest.mark.parametrize("job_id", ["", "a job", "x" * 65, None, 7])
async def test_an_id_that_is_none_is_asked_for_again(server: Server, job_id: Any) -> None:
    server.replies.append(reply(JobId=job_id))
    detector = of(server)
    await detector.start()
    with pytest.raises(RetriableError, match="unreadable answer"):
        await detector.start_job(CLIP, token=TOKEN, tag=TAG)
    await detector.close()


@pytest.mark.parametrize(
    ("metadata", "minutes"),
    [
        ({"DurationMillis": 30_000}, Decimal("0.5")),
        ([{"DurationMillis": 30_000}, None, {"DurationMillis": 45_000}], Decimal("0.75")),
        ({"DurationMillis": 2**62}, 2),
        (None, 2),
    ],
)
async def test_billed_is_what_rekognition_processed(
    server: Server, metadata: Any, minutes: Any
) -> None:
    kind = VideoSegmentDetector if isinstance(metadata, list) else VideoFaceDetector
    answer = {"JobStatus": "SUCCEEDED", kind.listed: None, "VideoMetadata": metadata}
    server.default = reply(**answer)
    detector = of(server, kind)
    await detector.start()
    findings = await detector.job_result("job", CLIP)
    await detector.close()
    assert findings.billed_units == minutes
    assert findings.detections == ()
