"""AWS clients, made one way."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.session import Session
from retinue_aws import find_credentials, new_session
from retinue_sdk import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_SECONDS = 10
"""How long an answer, or its next bytes, may take. A call is made twice, so a heartbeat into a
black hole is over after some 20 seconds, well within the visibility timeout that it renews."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The AWS services that a worker itself talks to.

    Attributes:
        s3: Makes a client of S3; raises ``ConfigurationError`` if it cannot be.
        sqs: For all calls but long polls.
        polling_sqs: For long polls.
    """

    s3: "Callable[[], S3Client]"
    sqs: "SQSClient"
    polling_sqs: "SQSClient"


class AwsUnavailableError(Exception):
    """There are no AWS credentials now. They may come: an endpoint that issues them may be away."""


def make_clients(*, connections: int, wait_time_seconds: int = 0) -> Clients:
    """Make clients from AWS's own configuration (variables, profile, or the task's role).

    This may ask the network for credentials. Long polls have a client of their own, whose patience
    outlasts a poll, so that a quiet queue is no error; and whose calls are made once, since the
    consumer polls again anyway.

    Args:
        connections: How many threads use a client at once.
        wait_time_seconds: How long a poll waits; without waiting one client does for all.

    Raises:
        ConfigurationError: No region is set, or the configuration cannot be used.
        AwsUnavailableError: There are no credentials now.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        # The worker paces and retries by itself; one quick repeat hides a dropped connection.
        retries={"total_max_attempts": 2, "mode": "standard"},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    polling = config.merge(
        Config(
            read_timeout=wait_time_seconds + ANSWER_SECONDS,
            retries={"total_max_attempts": 1, "mode": "standard"},
        )
    )
    with aws_configuration():
        # ECS sets AWS_REGION, as every other SDK reads it; botocore knows AWS_DEFAULT_REGION alone.
        session = new_session(os.environ.get("AWS_REGION"))
        find_credentials(session)
        sqs = cast("Any", session.create_client("sqs", config=config))
        return Clients(
            s3=lambda: _s3(session, config),
            sqs=sqs,
            polling_sqs=cast("Any", session.create_client("sqs", config=polling))
            if wait_time_seconds
            else sqs,
        )


def _s3(session: Session, config: Config) -> "S3Client":
    with aws_configuration():
        client: S3Client = cast("Any", session).create_client("s3", config=config)
    return client


@contextmanager
def aws_configuration() -> Iterator[None]:
    """Turn errors of botocore while a client is made into those of a setting, or of a wait.

    Raises:
        ConfigurationError: AWS's configuration cannot be used.
        AwsUnavailableError: There are no credentials now.
    """
    try:
        yield
    except NoRegionError as error:
        raise ConfigurationError("no AWS region is set: set AWS_REGION") from error
    except (NoCredentialsError, CredentialRetrievalError) as error:
        raise AwsUnavailableError(f"there are no AWS credentials: {error}") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the AWS configuration cannot be used: {error}") from error
