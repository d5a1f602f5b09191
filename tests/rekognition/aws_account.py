"""AWS itself, for the contract tests: a bucket of their own, and what it costs, said first.

``make test-aws`` runs them. Nothing outside names that begin with ``retinue-test-`` is touched.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PREFIX = "retinue-test-"

BILLED_IMAGES = 60
"""Most images that the tests have Rekognition look at; a test counts, against the endpoint."""

BILLED_JOBS = 8
"""Most jobs that the tests start, each on a video of ten seconds; a test counts them, too."""

USD_PER_MINUTE = 0.10
"""Price of a minute of video; AWS may bill each job as a full minute."""

USD_PER_IMAGE = 0.001
"""First tier in us-east-1; retinue_rekognition.prices has the source. Up to half as much again in
other regions."""


def wanted() -> bool:
    """Return whether AWS is to be asked."""
    return os.environ.get("RETINUE_TEST_AWS") == "1"


def missing() -> str | None:
    """Return why AWS can't be queried; ``None`` if it can."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION"))
        if session.region_name is None:
            return "no region: set AWS_REGION"
        if session.get_credentials() is None:
            return "no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and the rest"
        session.client("sts").get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        return f"AWS does not accept the credentials: {error}"
    return None


@contextmanager
def bucket(s3: Any) -> Iterator[str]:
    """Yield a bucket that exists for as long as the block, with everything in it."""
    name = f"{PREFIX}{uuid.uuid4()}"
    region = s3.meta.region_name
    where = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    s3.create_bucket(Bucket=name, **where)
    try:
        yield name
    finally:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for one in page.get("Contents", ()):
                s3.delete_object(Bucket=name, Key=one["Key"])
        s3.delete_bucket(Bucket=name)


def main() -> None:
    """Say what it will cost; end with 3 if AWS cannot be asked."""
    usd = BILLED_IMAGES * USD_PER_IMAGE
    sys.stdout.write(
        f"make test-aws asks Amazon Rekognition about at most {BILLED_IMAGES} images (about "
        f"${usd:.2f}), and starts {BILLED_JOBS} jobs on a video of ten seconds (from "
        f"${BILLED_JOBS * USD_PER_MINUTE / 6:.2f} to ${BILLED_JOBS * USD_PER_MINUTE:.2f}). It "
        f"makes a bucket and collections named {PREFIX}… and removes them.\n"
    )
    if reason := missing():
        sys.stdout.write(f"skipped: {reason}\n")
        raise SystemExit(3)


if __name__ == "__main__":
    main()
