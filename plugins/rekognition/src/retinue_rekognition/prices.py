"""What a call costs, in US dollars, by tier.

Source: https://aws.amazon.com/rekognition/pricing/, Amazon Rekognition Image, US East
(N. Virginia). The first tiers of DetectLabels and of image properties were compared on 2026-11 with
the worked examples on that page, as transcribed on 2026-10-07; its tables are filled in by a
script, so the others are those that AWS has published for years, not compared again. Other regions
cost up to about half as much again: set ``RETINUE_PRICES`` to what your bill says.
"""

from collections.abc import Mapping
from decimal import Decimal

from retinue_sdk import Price, Tier

PRICES_AS_OF = "2026-10-07"
"""The day for which the prices hold."""


def _tiers(*usd: str) -> tuple[Tier, ...]:
    limits = (1_000_000, 5_000_000, 35_000_000, None)
    return tuple(Tier(limit, Decimal(price)) for limit, price in zip(limits, usd, strict=True))


_GROUP_1 = _tiers("0.001", "0.0008", "0.0006", "0.0004")
_GROUP_2 = _tiers("0.001", "0.0008", "0.0006", "0.00025")

IMAGE_PROPERTIES = "DetectLabels:IMAGE_PROPERTIES"
"""Image properties are billed beside the labels, as an image of their own kind."""

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
}
"""Tiers by operation. Each tier counts the images of its group and region in the month."""


USD_PER_UNIT_MINUTE = Decimal(4) / 60
"""What an inference unit of Custom Labels costs a minute: $4 an hour in US East (N. Virginia), by
the pricing page's worked example (as of ``PRICES_AS_OF``)."""

_GROUPS = {id(_GROUP_1): "group-1", id(_GROUP_2): "group-2"}


def price(operation: str, region: str, account: str | None = None) -> Price:
    """The price of an operation.

    AWS counts the images of a month by account, region and group of operations, all together.
    """
    tiers = TIERS[operation]
    group = _GROUPS.get(id(tiers), "image-properties")
    return Price(tiers, ":".join(["rekognition", *([account] if account else []), region, group]))
