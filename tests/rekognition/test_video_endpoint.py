"""The endpoint's operations on videos: as strict as the service, and with its life cycle."""

import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from fakes.bare_mp4 import mp4
from hypothesis import given
from hypothesis import strategies as st
from rekognition.conftest import BUCKET, TWO_FACES, Store
from retinue_rekognition_emulator import (
    Endpoint,
    Failure,
    JobFault,
    MessageFault,
    ObjectFault,
    StoredObject,
)
from retinue_rekognition_emulator.faults import VIDEO_OPERATIONS
from retinue_rekognition_emulator.video.header import Header, read_header
from retinue_rekognition_emulator.video.jobs import Jobs
from retinue_rekognition_emulator.video.operations import KINDS
from retinue_rekognition_emulator.video.timeline import timecode

TOPIC = "arn:aws:sns:us-east-1:123456789012:AmazonRekognition-jobs"
CHANNEL = {"SNSTopicArn": TOPIC, "RoleArn": "arn:aws:iam::123456789012:role/publishes"}
VIDEO = {"S3Object": {"Bucket": BUCKET, "Name": "a.mp4"}}
DAY = 86_400
MORE = {
    "FaceSearch": {"CollectionId": "people"},
    "SegmentDetection": {"SegmentTypes": ["TECHNICAL_CUE", "SHOT"]},
}

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def _a_minute(store: Store) -> None:
    store["a.mp4"] = StoredObject(mp4(frames=1_500, has_audio=True, content=b"frames 1"))


@pytest.fixture
def jobs(endpoint: Endpoint) -> Jobs:
    """Return the jobs, with a clock that only the test moves."""
    jobs = endpoint.operations.video.jobs
    jobs.clock = lambda: 1_800_000_000.0
    return jobs


@pytest.fixture
def call(rekognition: Any) -> Call:
    """Calls an operation by its name; returns the answer, or the code of the error."""

    def make(operation: str, **parameters: Any) -> Any:
        method = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation)[1:]
        try:
            answer = getattr(rekognition, method)(**parameters)
        except ClientError as error:
            return error.response["Error"]["Code"]
        del answer["ResponseMetadata"]
        return answer

    return make


@pytest.fixture
def start(call: Call) -> Call:
    """Starts a job and returns its id, or the code of the error."""

    def make(kind: str = "LabelDetection", **parameters: Any) -> str:
        answer = call(f"Start{kind}", **({"Video": VIDEO} | MORE.get(kind, {}) | parameters))
        return answer if isinstance(answer, str) else answer["JobId"]

    return make


def read(call: Call, kind: str, job: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """Yield the pages of a result."""
    token: dict[str, str] = {}
    while True:
        page = call(f"Get{kind}", JobId=job, **parameters, **token)
        yield page
        if "NextToken" not in page:
            return
        token = {"NextToken": page["NextToken"]}


@pytest.mark.parametrize("kind", VIDEO_OPERATIONS)
def test_a_job(kind: str, call: Call, start: Call, jobs: Jobs, store: Store) -> None:
    store["ann.png"] = StoredObject(TWO_FACES)
    call("CreateCollection", CollectionId="people")
    ann = {"S3Object": {"Bucket": BUCKET, "Name": "ann.png"}}
    call("IndexFaces", CollectionId="people", Image=ann)
    job = start(kind, JobTag="retinue/token", NotificationChannel=CHANNEL)
    items = KINDS[kind].items
    waiting = call(f"Get{kind}", JobId=job)
    assert (waiting["JobStatus"], waiting[items]) == ("IN_PROGRESS", [])
    jobs.advance(1.9)
    assert jobs.published == []
    jobs.advance(0.1)
    message = {
        "JobId": job,
        "Status": "SUCCEEDED",
        "API": f"Start{kind}",
        "JobTag": "retinue/token",
        "Timestamp": 1_800_000_002_000,
        "Video": {"S3ObjectName": "a.mp4", "S3Bucket": BUCKET},
    }
    assert jobs.published == [(TOPIC, message)]
    done = call(f"Get{kind}", JobId=job)
    assert done["JobStatus"] == "SUCCEEDED"
    assert (done["JobId"], done["JobTag"], done["Video"]) == (job, "retinue/token", VIDEO)
    metadata = {
        "Codec": "h264",
        "DurationMillis": 60_000,
        "Format": "QuickTime / MOV",
        "FrameRate": 25.0,
        "FrameHeight": 360,
        "FrameWidth": 640,
        "ColorRange": "FULL",
    }
    in_list = kind == "SegmentDetection"
    assert done["VideoMetadata"] == ([metadata] if in_list else metadata)
    assert done[items]
    if kind == "FaceSearch":
        assert [one for one in done[items] if one.get("FaceMatches")]
    other = "GetFaceSearch" if kind != "FaceSearch" else "GetTextDetection"
    assert call(other, JobId=job) == "ResourceNotFoundException"
    # The same bytes give the same result; other bytes give another.
    store["b.mp4"] = StoredObject(mp4(frames=1_500, content=b"other frames"))
    elsewhere = {"S3Object": {"Bucket": BUCKET, "Name": "b.mp4"}}
    same, different = start(kind), start(kind, Video=elsewhere)
    jobs.advance(2)
    assert call(f"Get{kind}", JobId=same)[items] == done[items]
    assert call(f"Get{kind}", JobId=different)[items] != done[items]


def test_a_token_starts_one_job(
    start: Call, call: Call, jobs: Jobs, endpoint: Endpoint, store: Store
) -> None:
    first = start(ClientRequestToken="t", NotificationChannel=CHANNEL)
    assert start(ClientRequestToken="t", NotificationChannel=CHANNEL) == first
    del store["a.mp4"]  # AWS doesn't look again
    assert start(ClientRequestToken="t", NotificationChannel=CHANNEL) == first
    mismatch = "IdempotentParameterMismatchException"
    assert start(ClientRequestToken="t", NotificationChannel=CHANNEL, JobTag="x") == mismatch
    store["a.mp4"] = StoredObject(mp4())
    assert start("FaceDetection", ClientRequestToken="t") != first  # each operation has its own
    jobs.advance(60)
    assert start(ClientRequestToken="t", NotificationChannel=CHANNEL) == first
    jobs.advance(60)
    assert jobs.started == {"LabelDetection": 1, "FaceDetection": 1}
    assert len(jobs.published) == 1
    jobs.advance(7 * DAY)
    assert start(ClientRequestToken="t", NotificationChannel=CHANNEL) != first


def test_a_token_finds_the_job_whose_answer_was_lost(
    start: Call, endpoint: Endpoint, jobs: Jobs
) -> None:
    lost = Failure("InternalServerError", status=500, took_effect=True)
    endpoint.faults.fail_next("StartLabelDetection", lost)
    assert start(ClientRequestToken="t") == "InternalServerError"
    assert start(ClientRequestToken="t") != start()
    assert jobs.started == {"LabelDetection": 2}


def test_all_operations_share_twenty_jobs(start: Call, jobs: Jobs) -> None:
    begun = [
        start("LabelDetection" if number % 2 else "TextDetection", ClientRequestToken=f"t{number}")
        for number in range(20)
    ]
    assert start("FaceDetection") == "LimitExceededException"
    assert start("LabelDetection", ClientRequestToken="t19") == begun[19]
    jobs.advance(2)
    assert "Exception" not in start("FaceDetection")
    assert jobs.most_running == 20


def test_pages(start: Call, call: Call, jobs: Jobs, endpoint: Endpoint) -> None:
    endpoint.operations.video.sample_ms = 40
    job = start()
    jobs.advance(2)
    pages = list(read(call, "LabelDetection", job, MaxResults=5_000))
    sizes = [len(page["Labels"]) for page in pages]
    assert len(sizes) > 2
    assert set(sizes[:-1]) == {1_000}
    assert all(page["VideoMetadata"]["DurationMillis"] == 60_000 for page in pages)
    items = [item for page in pages for item in page["Labels"]]
    assert [item["Timestamp"] for item in items] == sorted(item["Timestamp"] for item in items)
    small = next(read(call, "LabelDetection", job, MaxResults=7))
    assert small["Labels"] == items[:7]
    token = pages[0]["NextToken"]

    def get(**parameters: Any) -> Any:
        return call("GetLabelDetection", **({"JobId": job, "NextToken": token} | parameters))

    invalid = "InvalidPaginationTokenException"
    assert get(SortBy="NAME") == invalid
    assert get(NextToken="nonsense") == invalid
    assert get(MaxResults=3)["Labels"] == items[1_000:1_003]
    endpoint.faults.refuse_next_tokens()
    assert get() == invalid
    jobs.advance(DAY - 1)
    assert get()["Labels"] == pages[1]["Labels"]
    jobs.advance(1)
    assert get() == invalid
    assert get(NextToken="")["Labels"] == pages[0]["Labels"]
    jobs.advance(6 * DAY)
    assert get(NextToken="") == "ResourceNotFoundException"


@pytest.mark.parametrize("kind", ["LabelDetection", "ContentModeration"])
def test_segments_are_samples_joined(kind: str, start: Call, call: Call, jobs: Jobs) -> None:
    items, label = KINDS[kind].items, "Label" if kind == "LabelDetection" else "ModerationLabel"
    job = start(kind)
    jobs.advance(2)
    [samples] = read(call, kind, job)
    [spans] = read(call, kind, job, AggregateBy="SEGMENTS", SortBy="NAME")
    assert spans["GetRequestMetadata"] == {"AggregateBy": "SEGMENTS", "SortBy": "NAME"}
    names = [one[label]["Name"] for one in spans[items]]
    assert names == sorted(names)
    assert len(set(names)) > 1
    for one in spans[items]:
        assert one["EndTimestampMillis"] - one["StartTimestampMillis"] == one["DurationMillis"]
        assert one["Timestamp"] == one["StartTimestampMillis"]
        assert not one[label].get("Instances")
    for one in samples[items]:
        assert any(
            span["StartTimestampMillis"] <= one["Timestamp"] <= span["EndTimestampMillis"]
            for span in spans[items]
            if span[label]["Name"] == one[label]["Name"]
        )
    if kind == "LabelDetection":
        assert any(one[label]["Instances"] for one in samples[items])
        assert any(one[label]["Parents"] for one in samples[items])


def test_filters_of_labels(start: Call, call: Call, jobs: Jobs) -> None:
    def names(**settings: Any) -> set[str]:
        job = start(Settings={"GeneralLabels": settings})
        jobs.advance(2)
        return {one["Label"]["Name"] for one in call("GetLabelDetection", JobId=job)["Labels"]}

    assert names(LabelInclusionFilters=["Vehicle", "Car"], LabelExclusionFilters=["Car"]) == {
        "Vehicle"
    }
    assert names(LabelCategoryExclusionFilters=["Vehicles and Automotive"]).isdisjoint(
        {"Car", "Vehicle", "Transportation"}
    )
    unknown = {"GeneralLabels": {"LabelInclusionFilters": ["Gizmo"]}}
    assert start(Settings=unknown) == "InvalidParameterException"


def test_segments_are_exact_to_the_frame(start: Call, call: Call, jobs: Jobs, store: Store) -> None:
    film = mp4(frames=2_000, ticks_per_second=30_000, ticks_per_frame=1_001, has_audio=True)
    store["a.mp4"] = StoredObject(film)
    job = start("SegmentDetection")
    jobs.advance(3)
    done = call("GetSegmentDetection", JobId=job)
    assert done["AudioMetadata"] == [
        {"Codec": "aac", "DurationMillis": 66_733, "SampleRate": 44_100, "NumberOfChannels": 2}
    ]
    types = [one["Type"] for one in done["SelectedSegmentTypes"]]
    assert types == ["TECHNICAL_CUE", "SHOT"]
    for kind in types:
        found = [one for one in done["Segments"] if one["Type"] == kind]
        starts = [one["StartFrameNumber"] for one in found]
        assert starts == [0, *(one["EndFrameNumber"] + 1 for one in found[:-1])]
        assert found[-1]["EndFrameNumber"] == 1_999
        assert [one["StartTimestampMillis"] for one in found] == [
            number * 1_001 // 30 for number in starts
        ]
    last = done["Segments"][-1]
    assert last["EndTimecodeSMPTE"] == "00:01:06;21"
    assert (last["EndTimestampMillis"], last["ShotSegment"]["Index"]) == (66_699, len(found) - 1)


@pytest.mark.parametrize(
    ("rate", "frame", "expected"),
    [
        (25.0, 90_001, "01:00:00:01"),
        (30_000 / 1_001, 1_799, "00:00:59;29"),
        (30_000 / 1_001, 1_800, "00:01:00;02"),
        (30_000 / 1_001, 17_982, "00:10:00;00"),
        (60_000 / 1_001, 3_600, "00:01:00;04"),
        (24_000 / 1_001, 24, "00:00:01:00"),
    ],
)
def test_timecodes(rate: float, frame: int, expected: str) -> None:
    header = read_header_of(mp4())
    assert timecode(replace(header, frame_rate=rate), frame) == expected


@pytest.mark.parametrize(
    "data",
    [mp4(codec=b"hvc1"), mp4()[:200], mp4()[:-1].replace(b"vide", b"soun"), b"", b"#EXTM3U\n"],
    ids=["hevc", "truncated", "only sound", "empty", "playlist"],
)
def test_a_wrong_codec_fails_at_the_end(
    data: bytes, start: Call, call: Call, jobs: Jobs, store: Store
) -> None:
    store["a.mp4"] = StoredObject(data)
    job = start(NotificationChannel=CHANNEL)
    assert call("GetLabelDetection", JobId=job)["JobStatus"] == "IN_PROGRESS"
    jobs.advance(2)
    done = call("GetLabelDetection", JobId=job)
    assert (done["JobStatus"], done["StatusMessage"]) == ("FAILED", "Unsupported codec/format.")
    assert done["Labels"] == []
    assert [message["Status"] for _, message in jobs.published] == ["FAILED"]


def test_objects_that_are_refused(start: Call, store: Store, endpoint: Endpoint) -> None:
    store["long.mp4"] = StoredObject(mp4(frames=6 * 3_600 * 25 + 1))
    store["large.mp4"] = StoredObject(mp4(), size_bytes=10 * 2**30 + 1)
    store["secret.mp4"] = StoredObject(mp4())
    endpoint.faults.objects["secret.mp4"] = ObjectFault()
    codes = {}
    for name in ("none.mp4", "secret.mp4", "long.mp4", "large.mp4"):
        codes[name] = start(Video={"S3Object": {"Bucket": BUCKET, "Name": name}})
    assert codes == {
        "none.mp4": "InvalidS3ObjectException",
        "secret.mp4": "InvalidS3ObjectException",
        "long.mp4": "VideoTooLargeException",
        "large.mp4": "VideoTooLargeException",
    }
    assert start("FaceSearch") == "ResourceNotFoundException"  # no such collection
    assert start(Video={}) == "InvalidParameterException"


@pytest.mark.parametrize(
    "parameters",
    [
        {"ClientRequestToken": "two words"},
        {"ClientRequestToken": "x" * 65},
        {"JobTag": "a tag"},
        {"NotificationChannel": CHANNEL | {"SNSTopicArn": "topic"}},
        {"NotificationChannel": CHANNEL | {"RoleArn": "role"}},
        {"MinConfidence": 101.0},
        {"Features": ["IMAGE_PROPERTIES"]},
    ],
)
def test_requests_are_checked(start: Call, jobs: Jobs, parameters: dict[str, Any]) -> None:
    assert start(**parameters) == "ValidationException"
    assert jobs.started == {}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("lost", [0, 0, 0]),
        ("early", [1, 1, 1]),
        ("doubled", [0, 2, 2]),
        ("foreign", [0, 2, 2]),
        ("late", [0, 0, 1]),
    ],
)
def test_messages_go_wrong(
    kind: Any, expected: list[int], start: Call, call: Call, endpoint: Endpoint, jobs: Jobs
) -> None:
    endpoint.faults.disturb_next_messages(MessageFault(kind, seconds=60))
    job = start(NotificationChannel=CHANNEL)
    seen = []
    for seconds in (0, 2, 60):
        jobs.advance(seconds)
        seen.append(len(jobs.published))
    assert seen == expected
    assert call("GetLabelDetection", JobId=job)["JobStatus"] == "SUCCEEDED"
    foreign = [message for _, message in jobs.published if message["JobId"] != job]
    assert len(foreign) == (kind == "foreign")
    start(NotificationChannel=CHANNEL)
    jobs.advance(2)
    assert len(jobs.published) == expected[-1] + 1


@pytest.mark.parametrize(
    ("fault", "status", "published"),
    [
        (JobFault("Broken."), "FAILED", ["FAILED"]),
        (JobFault("Broken.", notified="ERROR"), "FAILED", ["ERROR"]),
        (JobFault(vanishes=True), None, []),
    ],
)
def test_jobs_go_wrong(
    fault: JobFault,
    status: str | None,
    published: list[str],
    start: Call,
    call: Call,
    endpoint: Endpoint,
    jobs: Jobs,
) -> None:
    endpoint.faults.disturb_next_jobs(None, fault)
    fine, job = start(), start(NotificationChannel=CHANNEL)
    assert call("GetLabelDetection", JobId=job)["JobStatus"] == "IN_PROGRESS"
    jobs.advance(1)
    answer = call("GetLabelDetection", JobId=job)
    if status is None:
        assert answer == "ResourceNotFoundException"
    else:
        assert (answer["JobStatus"], answer["StatusMessage"]) == (status, fault.message)
    assert [message["Status"] for _, message in jobs.published] == published
    jobs.advance(1)
    assert call("GetLabelDetection", JobId=fine)["JobStatus"] == "SUCCEEDED"


def test_amazons_quotas(start: Call, endpoint: Endpoint) -> None:
    endpoint.faults.set_video_quotas()
    codes = [start() for _ in range(8)]
    assert "ProvisionedThroughputExceededException" in codes
    assert "Exception" not in start("TextDetection")


def test_messages_are_published_when_they_are_due(store: Store) -> None:
    arrived = threading.Event()
    got: list[str] = []

    def publish(topic: str, message: str) -> None:
        got.append(topic)
        arrived.set()

    source = lambda bucket, key, version: store.get(key)  # noqa: E731
    with Endpoint(source=source, publish=publish) as endpoint:
        endpoint.operations.video.jobs.seconds_per_minute = 0.1
        endpoint.operations.video.jobs.least_seconds = 0.1
        client = boto3.client("rekognition", "us-east-1", endpoint_url=endpoint.url)
        client.start_text_detection(Video=VIDEO, NotificationChannel=CHANNEL)
        assert arrived.wait(30)
    assert got == [TOPIC]


def read_header_of(data: bytes) -> Header:
    header = read_header(len(data), lambda start, length: data[start : start + length])
    assert header is not None
    return header


def test_the_header_is_read_past_gigabytes_of_frames() -> None:
    first, last = mp4(content=b""), mp4(header_first=False, content=b"")
    assert read_header_of(first) == read_header_of(last)
    at = last.index(b"moov") - 4
    skipped = 9 * 2**30
    size = len(last) + skipped
    box = struct.pack(">I4sQ", 1, b"mdat", skipped + 16)
    start, end = last[: at - 8] + box, last[at:]
    size = len(start) + skipped + len(end)
    asked: list[int] = []

    def read(position: int, length: int) -> bytes:
        asked.append(length)
        if position < len(start):
            return start[position:] + bytes(length - len(start) + position)
        return end[max(0, position - len(start) - skipped) :][:length]

    assert read_header(size, read) == read_header_of(first)
    assert len(asked) == 2


@given(st.data())
def test_no_file_breaks_the_reader(data: st.DataObject) -> None:
    file = bytearray(mp4(has_audio=True))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=8))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    header = read_header(len(cut), lambda start, length: cut[start : start + length])
    assert header is None or header.frames >= 1
