"""Create the AWS clients of a worker."""

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

from retinue_workers.intake.errors import AwsUnavailableError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_SECONDS = 10
"""Read timeout of a call. A call is made twice, so a heartbeat without an answer ends after about
20 seconds, well within the visibility timeout that it renews.
"""


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of AWS services that the worker itself uses.

    Attributes:
        s3: Creates a client of S3; raises ``ConfigurationError`` if that is impossible.
        sqs: For all calls except long polls.
        polling_sqs: For long polls.
    """

    s3: "Callable[[], S3Client]"
    sqs: "SQSClient"
    polling_sqs: "SQSClient"


def make_clients(*, connections: int, wait_time_seconds: int = 0) -> Clients:
    """Create clients from AWS's own configuration (variables, profile, or the task's role).

    This may request credentials from the network. Long polls have a separate client. Its read
    timeout is longer than a poll, and it doesn't retry, because the inbox polls again anyway.

    Args:
        connections: Number of threads that use a client concurrently.
        wait_time_seconds: How long a poll waits. With 0, one client makes all calls.

    Raises:
        ConfigurationError: No region is set, or the configuration is invalid.
        AwsUnavailableError: No credentials are available now.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        # The worker itself paces and retries. One quick retry hides a dropped connection.
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
        session = new_session()
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
    """Turn botocore's errors of creating a client into errors of a setting, or of a wait.

    Raises:
        ConfigurationError: AWS's configuration is invalid.
        AwsUnavailableError: No credentials are available now.
    """
    try:
        yield
    except NoRegionError as error:
        raise ConfigurationError("no AWS region is set: set AWS_REGION") from error
    except (NoCredentialsError, CredentialRetrievalError) as error:
        raise AwsUnavailableError(f"there are no AWS credentials: {error}") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the AWS configuration cannot be used: {error}") from error
