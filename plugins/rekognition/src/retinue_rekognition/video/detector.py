"""The common base of the detectors of videos: start a job, and read its result."""

import asyncio
import re
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, model_validator
from retinue_sdk import (
    Capabilities,
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    Findings,
    Input,
    InvalidImageError,
    JobDetector,
    Operational,
    RetriableError,
    Video,
)

from retinue_rekognition.convert import cleaned, items, json_object, model_version
from retinue_rekognition.errors import (
    REJECTED,
    RESULT_RULES,
    START_RULES,
    UNSUPPORTED_CODEC,
    VIDEO_TOO_LARGE,
    RejectedError,
    StalePageError,
    UnreadableObjectError,
)
from retinue_rekognition.image_parameter import s3_object
from retinue_rekognition.options import ServiceOptions
from retinue_rekognition.quotas import MAX_JOBS, quota
from retinue_rekognition.service import RekognitionService
from retinue_rekognition.video.appearances import Collector, stored_integer

MAX_BYTES = 10 * 2**30
"""Maximum bytes of a video ("Guidelines and quotas in Amazon Rekognition": 10 GB)."""

MAX_MS = 6 * 3_600_000
"""Maximum duration of a video (the same page: 6 hours)."""

CODEC = "h264"
"""The only codec (the same page), by FFmpeg's name."""

CONTAINERS = frozenset({"mp4", "mov"})
"""The only containers (the same page), by FFmpeg's names."""

PAGE = 1_000
"""Maximum number of items in a page."""

MAX_PAGES = 20_000
"""Maximum number of pages. Six hours of 30 faces every half second are 1,300."""

READINGS = 3
"""How often a result is read from the first page, if a page's token is refused."""

_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""The service model's pattern of a job's id."""

_FAILURES = (
    (re.compile(r"\b(codec|format)", re.IGNORECASE), UNSUPPORTED_CODEC),
    (
        re.compile(r"too (large|long)|(size|duration|length).*(exceed|limit)", re.IGNORECASE),
        VIDEO_TOO_LARGE,
    ),
)
"""Error codes for failures of a job that another job would repeat, by words of its message. AWS
documents no list of these messages.
"""

_REMEDIES = {
    UNSUPPORTED_CODEC: "Rekognition reads H.264 in MP4 or MOV: convert the video, for example with "
    "ffmpeg -i VIDEO -c:v libx264 -pix_fmt yuv420p -c:a aac NEW.mp4",
    VIDEO_TOO_LARGE: "Rekognition takes 10 GB and 6 hours: split the video",
}


class VideoOptions(ServiceOptions):
    """Options of all Rekognition detectors of videos. They don't change findings."""

    requests_per_second: Annotated[float | None, Field(gt=0, le=100_000), Operational()] = None
    """Your account's quota of the operation that reads results. Default: the region's default
    quota. All workers with the same history share it.
    """

    notification_topic_arn: Annotated[
        str | None, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:\S+$"), Operational()
    ] = None
    """ARN of the SNS topic to which Rekognition publishes the end of a job. Subscribe the pool's
    queue to it. Without it, the worker finds every end too, within a minute.
    """

    notification_role_arn: Annotated[
        str | None, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$"), Operational()
    ] = None
    """ARN of the role with which Rekognition publishes to the topic."""

    @model_validator(mode="after")
    def _needs_both(self) -> "VideoOptions":
        if (self.notification_topic_arn is None) != (self.notification_role_arn is None):
            raise ValueError(
                "set both notification_topic_arn and notification_role_arn, or neither"
            )
        return self


OptionsT = TypeVar("OptionsT", bound=VideoOptions)


class VideoDetector(RekognitionService[OptionsT], JobDetector[OptionsT]):
    """A detector whose jobs Rekognition runs.

    Attributes:
        operation: The operation that starts a job.
        result_operation: The operation that returns its result.
        listed: The field of a result that has its items.
        read_by: Parameters of the operation Get that decide about the form of the result.
    """

    result_operation: ClassVar[str]
    listed: ClassVar[str]
    read_by: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: OptionsT) -> None:
        super().__init__(options)
        self._has_started_one = False

    @property
    def capabilities(self) -> Capabilities:
        """Declare the account's jobs, which all detectors of videos share."""
        return Capabilities(
            input=Input.REFERENCE,
            max_concurrency=self.options.max_concurrency,
            prices=self.prices,
            quotas=self.quotas,
            max_jobs=MAX_JOBS,
            job_group=quota("jobs", self.region, self.options.account),
        )

    @property
    def operations_of_rate_option(self) -> frozenset[str]:
        """Return the operation that reads results."""
        return frozenset({self.result_operation})

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return the parameters that change a job's findings."""

    @abstractmethod
    def collector(self) -> Collector:
        """Return a collector for one result."""

    def result_model_version(self, head: Mapping[str, Any]) -> str | None:
        """Return the model version of a result, without its items."""
        return model_version(head)

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        options = self.options
        if options.notification_topic_arn is None:
            return self.parameters()
        channel = {
            "SNSTopicArn": options.notification_topic_arn,
            "RoleArn": options.notification_role_arn,
        }
        return {**self.parameters(), "NotificationChannel": channel}

    def units(self, video: Video) -> Decimal:
        """Return the minutes that Rekognition bills.

        Raises:
            InvalidImageError: Rekognition can't process the video: ``empty_file``,
                ``video_too_large_for_service`` or ``unsupported_codec``.
        """
        _check(video)
        return _minutes(MAX_MS if video.duration_ms is None else video.duration_ms)

    async def start_job(self, video: Video, *, token: str, tag: str) -> str:
        """Start a job, and return its id."""
        _check(video)
        asked_at = time.monotonic()
        parameters = {
            **self._parameters,
            "Video": s3_object(video.reference),
            "ClientRequestToken": token,
            "JobTag": tag,
        }
        try:
            answer = await self.api.call(self.operation, parameters, START_RULES)
        except UnreadableObjectError as error:
            raise await self.why_unreadable(video.reference, str(error)) from error
        except RejectedError as error:
            raise self._rejected(error) from error
        except ConfigurationError as error:  # the worker runs: too late to refuse the start
            raise DetectorNotReadyError(str(error)) from error
        job_id = str(answer.get("JobId"))
        if not _JOB_ID.fullmatch(job_id):
            raise RetriableError(f"{self.operation}: unreadable answer: no id of a job: {job_id!r}")
        self._has_started_one = True
        self._objects.record_served(video.reference, asked_at)
        return job_id

    async def job_result(self, job_id: str, video: Video) -> Findings | None:
        """Return the result of a job, or ``None`` while it is under way."""
        try:
            first = await self._page(job_id, MaxResults=1)
            match first.get("JobStatus"):
                case "IN_PROGRESS":
                    return None
                case "FAILED":
                    raise _failure(str(first.get("StatusMessage") or "no message"))
                case "SUCCEEDED":
                    return await self._findings(job_id, video)
            raise self._unreadable(f"the status {first.get('JobStatus')!r}")
        except ConfigurationError as error:
            raise DetectorNotReadyError(str(error)) from error
        except RecursionError as error:
            raise self._unreadable(str(error)) from error

    async def _findings(self, job_id: str, video: Video) -> Findings:
        """Read the result, again from the first page if a page's token is refused."""
        for _ in range(READINGS - 1):
            try:
                return await self._read(job_id, video)
            except StalePageError:
                continue
        return await self._read(job_id, video)

    async def _read(self, job_id: str, video: Video) -> Findings:
        """Read all pages, one at a time."""
        collector = self.collector()
        head: dict[str, Any] = {}
        async for page in self._pages(job_id):
            found = page.pop(self.listed, None)
            page.pop("NextToken", None)
            head = head or cleaned(page)
            # On a thread, because a page with a thousand items takes 10 ms and more.
            await asyncio.to_thread(_collect, collector, found)
            del found, page  # before the next one is read
        detections = await asyncio.to_thread(collector.detections)
        return Findings(
            detections=tuple(detections),
            raw_response=head,
            model_version=self.result_model_version(head),
            billed_units=_minutes(_duration_ms(head, video)),
        )

    async def _pages(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        tokens: set[str] = set()
        more: dict[str, str] = {}
        while True:
            page = await self._page(job_id, MaxResults=PAGE, **more)
            if page.get("JobStatus") != "SUCCEEDED":
                raise self._unreadable(f"a page with the status {page.get('JobStatus')!r}")
            token = page.get("NextToken")
            yield page
            if not token:
                return
            if token in tokens or len(tokens) >= MAX_PAGES:
                raise self._unreadable(f"{len(tokens) + 1:,} pages, and no end")
            tokens.add(token)
            more = {"NextToken": token}

    async def _page(self, job_id: str, **parameters: Any) -> dict[str, Any]:
        return await self.api.call(
            self.result_operation, {"JobId": job_id, **self.read_by, **parameters}, RESULT_RULES
        )

    def _rejected(self, error: RejectedError) -> DetectorError:
        """Return the error for a rejected parameter.

        The video is at fault only if another one was accepted with the same options.
        """
        if self._has_started_one:
            return InvalidImageError(str(error), code=REJECTED)
        return DetectorNotReadyError(
            f"{error}. No video was accepted with these options of {self.name} yet: "
            f"{self.options.model_dump(exclude_defaults=True)}"
        )

    def _unreadable(self, what: str) -> RetriableError:
        return RetriableError(f"{self.result_operation}: unreadable answer: {what}")


def _check(video: Video) -> None:
    """Raise InvalidImageError for a video that Rekognition would refuse."""
    if video.size_bytes == 0:
        raise InvalidImageError("the file is empty (0 bytes)", code="empty_file")
    if video.size_bytes is not None and video.size_bytes > MAX_BYTES:
        raise _refusal(VIDEO_TOO_LARGE, f"the video has {video.size_bytes:,} bytes")
    if video.duration_ms is not None and video.duration_ms > MAX_MS:
        hours = video.duration_ms / 3_600_000
        raise _refusal(VIDEO_TOO_LARGE, f"the video lasts {hours:.1f} hours")
    if video.codec is not None and video.codec != CODEC:
        raise _refusal(UNSUPPORTED_CODEC, f"the video's codec is {video.codec}")
    if video.container is not None and video.container not in CONTAINERS:
        raise _refusal(UNSUPPORTED_CODEC, f"the video's container is {video.container}")


def _failure(message: str) -> DetectorError:
    """Return the error for a failed job."""
    what = f"the job failed: {message}"
    for words, code in _FAILURES:
        if words.search(message):
            return _refusal(code, what)
    return DetectorError(what)


def _refusal(code: str, what: str) -> InvalidImageError:
    return InvalidImageError(f"{what}. {_REMEDIES[code]}", code=code)


def _collect(collector: Collector, found: Any) -> None:
    collector.add(items(cleaned({"Items": found}).get("Items")))


def _duration_ms(head: Mapping[str, Any], video: Video) -> int:
    """Return the duration that Rekognition processed."""
    told = head.get("VideoMetadata")
    tracks = items(told) if isinstance(told, list) else [json_object(told)]
    known = [stored_integer(track.get("DurationMillis")) for track in tracks]
    plausible = [time for time in known if time is not None and time <= MAX_MS]
    return max(plausible, default=video.duration_ms or 0)


def _minutes(duration_ms: int) -> Decimal:
    return round(Decimal(duration_ms) / 60_000, 6)
