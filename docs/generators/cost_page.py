"""Print the table of docs/cost.md: ``python docs/generators/cost_page.py``."""

import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from retinue_deploy.cost import prices
from retinue_rekognition.prices import price as rekognition_price

VOLUMES = (10_000, 1_000_000, 100_000_000)
"""Images a month."""

IMAGE_MB = 2.0
"""Size of an image."""
IMAGES_PER_MINUTE_PER_TASK = 60
"""Terraform's default for a pool, with its default size: 1 vCPU and 2 GB."""
SQS_CALLS = 0.2
"""A batch of ten takes one call to receive and one to delete."""
KB_THROUGH_ENDPOINTS = 10.0
"""A message, a response of Rekognition and log lines. Images use the gateway endpoint of S3."""
LOG_KB = 0.5
"""One run is one line."""
ROW_KB = 4.4
"""Measured: 5,000 images, each with one run of eight boxed labels and a raw response of 2.9 KB."""


def lines(images: int, price: Mapping[str, Any], *, by_reference: bool) -> dict[str, float]:
    """Return the cost of a month's images in US dollars, without the environment's cost at rest.

    Args:
        images: Images in the month.
        price: The price file.
        by_reference: Whether Rekognition processes them, or a model in the worker.
    """
    hours = images / IMAGES_PER_MINUTE_PER_TASK / 60
    fargate = price["fargate"]["X86_64"]
    task_hour = fargate["vcpu_hour"] + 2 * fargate["gb_hour"]
    million, gigabyte = images / 1e6, 1e6  # kilobytes
    labels = rekognition_price("DetectLabels", price["region"]).usd(Decimal(images))
    reads = 0.0 if by_reference else images / 1e3 * price["s3"]["get_thousand"]
    return {
        "Rekognition, DetectLabels": float(labels) if by_reference else 0.0,
        "Fargate tasks": hours * task_hour,
        "S3 requests": images / 1e3 * price["s3"]["put_thousand"] + reads,
        "S3 storage of the month's images": images * IMAGE_MB / 1e3 * price["s3"]["gb_month"],
        "SNS and SQS": million
        * (price["messages"]["sns_publish_million"] + SQS_CALLS * price["messages"]["sqs_million"]),
        "logs": images * LOG_KB / gigabyte * price["logs"]["gb"],
        "data through VPC endpoints": images
        * KB_THROUGH_ENDPOINTS
        / gigabyte
        * price["endpoint_data"]["gb"],
        "database storage of the month's rows": images
        * ROW_KB
        / gigabyte
        * price["rds"]["storage_gb_month"],
    }


def tables() -> Iterator[str]:
    """Yield the lines of the table: with Rekognition, and the totals with a local model."""
    price = prices()
    columns = [lines(images, price, by_reference=True) for images in VOLUMES]
    yield "| US dollars a month | " + " | ".join(f"{n:,} images" for n in VOLUMES) + " |"
    yield "|---|" + "---:|" * len(VOLUMES)
    for line in columns[0]:
        cells = (f"{column[line]:,.2f}" for column in columns)
        yield f"| {line} | " + " | ".join(cells) + " |"
    local = [lines(images, price, by_reference=False) for images in VOLUMES]
    for title, costs in (("`rekognition-labels`", columns), ("`onnx-objects`", local)):
        sums = [sum(each.values()) for each in costs]
        yield f"| total with {title} | " + " | ".join(f"**{total:,.2f}**" for total in sums) + " |"
        thousands = (total / n * 1e3 for total, n in zip(sums, VOLUMES, strict=True))
        yield "| per 1,000 images | " + " | ".join(f"{each:,.3f}" for each in thousands) + " |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(tables()))
