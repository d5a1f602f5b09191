"""Default quotas of an AWS account, in requests per second.

Source: AWS General Reference, "Amazon Rekognition endpoints and quotas"
(https://docs.aws.amazon.com/general/latest/gr/rekognition.html), table "Service quotas", as stored
copies of 2026 show it; read again on 2026-11. Quotas apply per account, region and operation. Look
up your quotas in Service Quotas, and set ``requests_per_second``.
"""

from collections.abc import Mapping

LARGE_REGIONS = frozenset({"us-east-1", "us-west-2", "eu-west-1"})
"""Regions with larger defaults: N. Virginia, Oregon, Ireland."""

JOBS = (
    "CelebrityRecognition",
    "ContentModeration",
    "FaceDetection",
    "FaceSearch",
    "LabelDetection",
    "SegmentDetection",
    "TextDetection",
)
"""Jobs on videos, by their names in the API: each has an operation Start and one Get."""

MAX_JOBS = 20
"""Maximum number of jobs on videos under way, of all operations together (the same page)."""

_SEARCHING = (5.0, 50.0)
_FACES = (25.0, 100.0)
_EVERYWHERE = (5.0, 5.0)
_RESULTS = (5.0, 20.0)
_CUSTOM = (25.0, 25.0)
"""AWS names no rate for DetectCustomLabels, because a model's rate depends on its inference units
and on the images. This is five a second for each of the five units that an account may use. A
slower model throttles, and all workers slow down.
"""

DEFAULTS: Mapping[str, tuple[float, float]] = {
    "DetectLabels": _SEARCHING,
    "DetectModerationLabels": _SEARCHING,
    "DetectText": _SEARCHING,
    "IndexFaces": _SEARCHING,
    "ListFaces": _SEARCHING,
    "RecognizeCelebrities": _SEARCHING,
    "SearchFaces": _SEARCHING,
    "SearchFacesByImage": _SEARCHING,
    "CompareFaces": _FACES,
    "DetectFaces": _FACES,
    "DetectProtectiveEquipment": _EVERYWHERE,
    "DeleteFaces": _EVERYWHERE,
    "DescribeCollection": _EVERYWHERE,
    "DetectCustomLabels": _CUSTOM,
    "DescribeProjectVersions": _EVERYWHERE,
    "DescribeProjects": _EVERYWHERE,
    "StartProjectVersion": _EVERYWHERE,
    "StopProjectVersion": _EVERYWHERE,
    **dict.fromkeys((f"Start{job}" for job in JOBS), _EVERYWHERE),
    **dict.fromkeys((f"Get{job}" for job in JOBS), _RESULTS),
}
"""Requests per second by operation: in most regions, and in the large ones."""


def quota(operation: str, region: str, account: str | None = None) -> str:
    """Return the name of an operation's quota, under which workers share it.

    AWS counts per account, region and operation. Workers with one history usually belong to one
    account. Otherwise the option ``account`` separates their quotas.
    """
    return ":".join(["rekognition", *([account] if account else []), region, operation])


def default_requests_per_second(operation: str, region: str) -> float:
    """Return the default quota of an operation in a region. Unknown regions count as small."""
    small, large = DEFAULTS[operation]
    return large if region in LARGE_REGIONS else small
