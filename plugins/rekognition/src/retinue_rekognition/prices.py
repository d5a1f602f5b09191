"""Prices of a call or of a minute of video in US dollars, by tier.

Source: https://aws.amazon.com/rekognition/pricing/, Amazon Rekognition Image, US East (N.
Virginia). The first tiers of DetectLabels and of image properties were compared on 2026-11 with the
worked examples on that page, as transcribed on 2026-10-07. A script fills in the page's tables, so
the other prices weren't compared again. AWS has published them for years. Other regions cost up to
50% more: set ``RETINUE_PRICES`` to the prices of your bill.

Videos are billed per minute that was processed successfully (the same page, Amazon Rekognition
Video): the same price for every minute, and shots and technical cues as two features. AWS
doesn't document whether it rounds a video up to full minutes. Here it isn't rounded.
"""

from collections.abc import Mapping
from decimal import Decimal

from retinue_sdk import Price, Tier


def _tiers(*usd: str) -> tuple[Tier, ...]:
    limits = (1_000_000, 5_000_000, 35_000_000, None)
    return tuple(Tier(limit, Decimal(price)) for limit, price in zip(limits, usd, strict=True))


_GROUP_1 = _tiers("0.001", "0.0008", "0.0006", "0.0004")
_GROUP_2 = _tiers("0.001", "0.0008", "0.0006", "0.00025")
_MINUTE = (Tier(None, Decimal("0.10")),)
_SEGMENTS_MINUTE = (Tier(None, Decimal("0.05")),)

IMAGE_PROPERTIES = "DetectLabels:IMAGE_PROPERTIES"
"""Image properties are billed in addition to labels, as a separate group."""

SHOT_MINUTES = "StartSegmentDetection:SHOT"
CUE_MINUTES = "StartSegmentDetection:TECHNICAL_CUE"
"""Shots and technical cues are billed separately."""

TIERS: Mapping[str, tuple[Tier, ...]] = {
    "CompareFaces": _GROUP_1,
    "IndexFaces": _GROUP_1,
    "SearchFaces": _GROUP_1,
    "SearchFacesByImage": _GROUP_1,
    "DetectFaces": _GROUP_2,
    "DetectLabels": _GROUP_2,
    "DetectModerationLabels": _GROUP_2,
    "DetectProtectiveEquipment": _GROUP_2,
    "DetectText": _GROUP_2,
    "RecognizeCelebrities": _GROUP_2,
    IMAGE_PROPERTIES: _tiers("0.00075", "0.0006", "0.00045", "0.00019"),
    "StartCelebrityRecognition": _MINUTE,
    "StartContentModeration": _MINUTE,
    "StartFaceDetection": _MINUTE,
    "StartFaceSearch": _MINUTE,
    "StartLabelDetection": _MINUTE,
    "StartTextDetection": _MINUTE,
    SHOT_MINUTES: _SEGMENTS_MINUTE,
    CUE_MINUTES: _SEGMENTS_MINUTE,
}
"""Tiers by operation. Each tier counts the month's images, or minutes of video, of its group and
region.
"""

USD_PER_UNIT_MINUTE = Decimal(4) / 60
"""Price of an inference unit of Custom Labels per minute: $4 an hour in US East (N. Virginia), from
the pricing page's worked example (as of 2026-10-07).
"""

_GROUPS = {
    id(_GROUP_1): "group-1",
    id(_GROUP_2): "group-2",
    id(_MINUTE): "video",
    id(_SEGMENTS_MINUTE): "video-segments",
}


def price(operation: str, region: str, account: str | None = None) -> Price:
    """Return the price of an operation.

    AWS counts a month's images or minutes per account, region and group of operations.
    """
    tiers = TIERS[operation]
    group = _GROUPS.get(id(tiers), "image-properties")
    return Price(tiers, ":".join(["rekognition", *([account] if account else []), region, group]))
