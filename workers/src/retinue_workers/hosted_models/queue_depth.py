"""Read from SQS how many messages wait for a hosted model."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from retinue_workers.intake.sqs import QueueUnavailableError
from retinue_workers.work import Backlog

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


def read_backlog(client: "SQSClient", url: str) -> Backlog:
    """Return what a queue holds: one call. SQS counts approximately.

    Raises:
        QueueUnavailableError: It does not answer.
    """
    try:
        told = client.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        ).get("Attributes", {})
        return Backlog(
            visible=int(told["ApproximateNumberOfMessages"])
            + int(told["ApproximateNumberOfMessagesDelayed"]),
            in_flight=int(told["ApproximateNumberOfMessagesNotVisible"]),
        )
    except (BotoCoreError, ClientError, KeyError, ValueError) as error:
        raise QueueUnavailableError(f"cannot ask {url}: {error}") from error
