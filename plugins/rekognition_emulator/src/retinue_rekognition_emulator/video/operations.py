"""The answers of the operations on stored videos."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retinue_rekognition_emulator.collections import Collections
from retinue_rekognition_emulator.details import LABELS, Answer
from retinue_rekognition_emulator.faults import AwsError, Faults
from retinue_rekognition_emulator.images import UNREADABLE
from retinue_rekognition_emulator.video import results
from retinue_rekognition_emulator.video.header import Header, read_header
from retinue_rekognition_emulator.video.jobs import Content, Job, Jobs
from retinue_rekognition_emulator.video.notifications import Publish
from retinue_rekognition_emulator.video.objects import VideoObject, VideoSource
from retinue_rekognition_emulator.video.results import Found

MAX_BYTES = 10 * 2**30
MAX_SECONDS = 6 * 3_600
PAGE = 1_000
"""Maximum number of items in a page, even if the request asks for more."""

TOKEN_SECONDS = 86_400.0
"""How long a pagination token is valid."""

INVALID = "Request has Invalid Parameters"

_ENDS_BYTES = 64 * 2**10
_CACHED = 4


@dataclass(frozen=True)
class Kind:
    """A pair of operations.

    Attributes:
        items: The name of the results in an answer.
        find: Finds them in a job's video.
        models: Model versions in each answer.
        settings: Members of the Get request that change the results.
    """

    items: str
    find: Callable[[Job, Header, Answer, int], Found]
    models: Answer
    settings: tuple[str, ...] = ()


KINDS = {
    "LabelDetection": Kind(
        "Labels", results.labels, {"LabelModelVersion": "3.0"}, ("SortBy", "AggregateBy")
    ),
    "FaceDetection": Kind("Faces", results.faces, {}),
    "FaceSearch": Kind("Persons", results.persons, {}, ("SortBy",)),
    "ContentModeration": Kind(
        "ModerationLabels",
        results.moderation,
        {"ModerationModelVersion": "7.0"},
        ("SortBy", "AggregateBy"),
    ),
    "CelebrityRecognition": Kind("Celebrities", results.celebrities, {}, ("SortBy",)),
    "TextDetection": Kind("TextDetections", results.text, {"TextModelVersion": "3.0"}),
    "SegmentDetection": Kind("Segments", results.segments, {}),
}


class VideoOperations:
    """The seven pairs of Start and Get operations.

    Attributes:
        jobs: The jobs.
        sample_ms: Interval at which frames are looked at.
    """

    def __init__(
        self,
        source: VideoSource | None,
        collections: Collections,
        faults: Faults,
        publish: Publish | None,
    ) -> None:
        self.jobs = Jobs(faults, publish)
        self.sample_ms = 500
        self._source = source
        self._collections = collections
        self._faults = faults
        self._secret = secrets.token_bytes(16)
        self._found: dict[str, Found] = {}
        self.known: dict[str, Callable[[Answer], Answer]] = {}
        for name in KINDS:
            self.known[f"Start{name}"] = self._starter(name)
            self.known[f"Get{name}"] = self._getter(name)

    def _starter(self, name: str) -> Callable[[Answer], Answer]:
        return lambda request: {"JobId": self._start(name, request).job_id}

    def _getter(self, name: str) -> Callable[[Answer], Answer]:
        return lambda request: self._get(name, request)

    def _start(self, name: str, request: Answer) -> Job:
        again = self.jobs.repeated(name, request)
        if again is not None:
            return again
        _check_filters(request)
        content = self._look(request["Video"])
        found = self._matches(request, content) if name == "FaceSearch" else None
        return self.jobs.start(name, request, content, found)

    def _look(self, video: Answer) -> Content:
        """Return the content of a request's video.

        Raises:
            AwsError: It can't be read, or is too large or too long.
        """
        where = video.get("S3Object", {})
        bucket, key, version = where.get("Bucket"), where.get("Name"), where.get("Version")
        if not bucket or not key:
            raise AwsError("InvalidParameterException", INVALID)
        if self._source is None:
            digest = hashlib.sha256(f"{bucket}/{key}/{version or ''}".encode()).digest()
            return Content(digest, _invented(digest))
        stored = self._source(bucket, key, version)
        if stored is None:
            raise AwsError("InvalidS3ObjectException", UNREADABLE)
        if stored.size_bytes > MAX_BYTES:
            raise AwsError("VideoTooLargeException", "Video size is larger than 10 GB")
        header = read_header(stored.size_bytes, stored.read)
        if header is not None and header.duration_ms > MAX_SECONDS * 1_000:
            raise AwsError("VideoTooLargeException", "Video duration is longer than 6 hours")
        return Content(_digest(stored), header)

    def _matches(self, request: Answer, content: Content) -> Any:
        """Return the collection's faces that each person of the video matches."""
        name, threshold = request["CollectionId"], request.get("FaceMatchThreshold", 80)
        with self._collections.lock:
            records = self._collections.get(name).records.values()
            identities = sorted({record.identity for record in records})
            return results.matched_faces(
                content.digest,
                identities,
                lambda one: self._collections.search(name, one, threshold=threshold, limit=5),
            )

    def _get(self, name: str, request: Answer) -> Answer:
        job, status = self.jobs.get(name, request["JobId"])
        kind = KINDS[name]
        answer: Answer = {"JobStatus": status, "JobId": job.job_id, "Video": job.request["Video"]}
        if "JobTag" in job.request:
            answer["JobTag"] = job.request["JobTag"]
        answer |= kind.models
        if "AggregateBy" in kind.settings:
            answer["GetRequestMetadata"] = {
                "SortBy": request.get("SortBy", "TIMESTAMP"),
                "AggregateBy": request.get("AggregateBy", "TIMESTAMPS"),
            }
        if name == "SegmentDetection":
            types = job.request["SegmentTypes"]
            answer["SelectedSegmentTypes"] = [
                {"Type": one, "ModelVersion": "2.0"} for one in dict.fromkeys(types)
            ]
        header = job.content.header
        if status == "FAILED":
            answer["StatusMessage"] = job.failure
        if status != "SUCCEEDED" or header is None:
            return answer | {kind.items: []}
        answer |= _metadata(name, header)
        found = self._results(job, header, kind, request)
        start = self._position(job, kind, request)
        end = min(start + min(request.get("MaxResults", PAGE), PAGE), len(found.samples))
        answer[kind.items] = [found.item(sample) for sample in found.samples[start:end]]
        if end < len(found.samples):
            answer["NextToken"] = self._token(job, kind, request, end)
        return answer

    def _results(self, job: Job, header: Header, kind: Kind, request: Answer) -> Found:
        key = _settings(job, kind, request) + f"/{self.sample_ms}"
        found = self._found.pop(key, None) or kind.find(job, header, request, self.sample_ms)
        self._found[key] = found
        while len(self._found) > _CACHED:
            self._found.pop(next(iter(self._found)), None)
        return found

    def _token(self, job: Job, kind: Kind, request: Answer, position: int) -> str:
        """Return a token for the next page of the same request."""
        said = [position, int(self.jobs.now())]
        return base64.b64encode(
            json.dumps([*said, self._signature(job, kind, request, said)]).encode()
        ).decode()

    def _position(self, job: Job, kind: Kind, request: Answer) -> int:
        """Return the index at which a request's page begins.

        Raises:
            AwsError: Its token is of another request, too old, or refused.
        """
        token = request.get("NextToken")
        if not token:
            return 0
        try:
            position, issued, signature = json.loads(base64.b64decode(token, validate=True))
            valid = signature == self._signature(job, kind, request, [position, issued])
            valid = valid and self.jobs.now() - issued < TOKEN_SECONDS
        except (ValueError, TypeError):
            valid = False
        if not valid or self._faults.refuses_token():
            raise AwsError("InvalidPaginationTokenException", "Invalid pagination token")
        return int(position)

    def _signature(self, job: Job, kind: Kind, request: Answer, said: list[int]) -> str:
        text = f"{_settings(job, kind, request)}/{said}".encode()
        return hashlib.blake2s(text, key=self._secret, digest_size=8).hexdigest()


def _settings(job: Job, kind: Kind, request: Answer) -> str:
    return "/".join([job.job_id, *(str(request.get(name)) for name in kind.settings)])


def _check_filters(request: Answer) -> None:
    """Raise AwsError for labels and categories that Rekognition doesn't have."""
    filters = request.get("Settings", {}).get("GeneralLabels", {})
    labels = {one for name, ancestors, _ in LABELS for one in (name, *ancestors)}
    categories = {category for _, _, category in LABELS}
    for name, wanted in filters.items():
        if not set(wanted) <= (categories if "Category" in name else labels):
            raise AwsError("InvalidParameterException", INVALID)


def _metadata(name: str, header: Header) -> Answer:
    """Return the fields about the video that every page has."""
    video = {
        "Codec": header.codec,
        "DurationMillis": header.duration_ms,
        "Format": "QuickTime / MOV",
        "FrameRate": header.frame_rate,
        "FrameHeight": header.height_px,
        "FrameWidth": header.width_px,
        "ColorRange": "FULL" if header.full_range else "LIMITED",
    }
    if name != "SegmentDetection":
        return {"VideoMetadata": video}
    audio = [
        {
            "Codec": track.codec,
            "DurationMillis": track.duration_ms,
            "SampleRate": track.sample_rate,
            "NumberOfChannels": track.channels,
        }
        for track in header.audio
    ]
    return {"VideoMetadata": [video], "AudioMetadata": audio}


def _digest(stored: VideoObject) -> bytes:
    """Return a digest of an object's size, beginning and end. It may have gigabytes."""
    size = stored.size_bytes
    digest = hashlib.sha256(str(size).encode())
    for start in (0, max(0, size - _ENDS_BYTES)):
        digest.update(stored.read(start, _ENDS_BYTES))
    return digest.digest()


def _invented(digest: bytes) -> Header:
    """Return the header of a video of which only the name is known: up to a minute long."""
    milliseconds = 10_000 + digest[8] * 200
    return Header("h264", milliseconds, milliseconds * 25 // 1_000, 25.0, 1280, 720)
