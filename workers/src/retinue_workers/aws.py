"""AWS clients, made one way."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
from retinue_sdk import ConfigurationError

from retinue_workers.settings import MAX_RECEIVE_WAIT_SECONDS

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = MAX_RECEIVE_WAIT_SECONDS + 10
"""Longer than the longest poll, so that a quiet queue is no error."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The AWS services that a worker itself talks to."""

    s3: "S3Client"
    sqs: "SQSClient"


def make_clients(*, connections: int) -> Clients:
    """Make clients from boto3's own configuration (variables, profile, or the task's role).

    Args:
        connections: How many threads use a client at once.

    Raises:
        ConfigurationError: No region is set, or the configuration cannot be read.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        # The worker paces and retries by itself; one quick repeat hides a dropped connection.
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=connections,
    )
    try:
        # ECS sets AWS_REGION, as every other SDK reads it; boto3 knows AWS_DEFAULT_REGION alone.
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION"))
        return Clients(
            s3=cast("Any", session.client("s3", config=config)),
            sqs=cast("Any", session.client("sqs", config=config)),
        )
    except NoRegionError as error:
        raise ConfigurationError("no AWS region is set: set AWS_REGION") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the AWS configuration cannot be used: {error}") from error
