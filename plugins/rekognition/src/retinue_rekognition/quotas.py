"""How many requests a second an AWS account may make by default.

Source: AWS General Reference, "Amazon Rekognition endpoints and quotas"
(https://docs.aws.amazon.com/general/latest/gr/rekognition.html), table "Service quotas", as stored
copies of 2026 show it; read again on 2026-11. Quotas count per account, region and operation. They
are defaults: ask Service Quotas what yours are, and set ``requests_per_second`` to it.
"""

from collections.abc import Mapping

LARGE_REGIONS = frozenset({"us-east-1", "us-west-2", "eu-west-1"})
"""Regions with larger defaults: N. Virginia, Oregon, Ireland."""

_SEARCHING = (5.0, 50.0)
_FACES = (25.0, 100.0)
_EVERYWHERE = (5.0, 5.0)
_CUSTOM = (25.0, 25.0)
"""AWS names no rate for DetectCustomLabels: what a model can do depends on its inference units and
on the images. This is five a second for each of the five units that an account may use; where a
model can do less, it throttles, and all workers slow down."""

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
}
"""Requests a second by operation: in most regions, and in the large ones."""


def quota(operation: str, region: str, account: str | None = None) -> str:
    """Return what workers call the quota of an operation, so that those with the same one share it.

    AWS counts by account, region and operation. Workers with one history usually belong to one
    account; where they do not, the option ``account`` keeps their quotas apart.
    """
    return ":".join(["rekognition", *([account] if account else []), region, operation])


def default_requests_per_second(operation: str, region: str) -> float:
    """The default quota of an operation in a region; a region we do not know counts as small."""
    small, large = DEFAULTS[operation]
    return large if region in LARGE_REGIONS else small
