"""How many messages wait in a pool's queue, and in its dead-letter queue."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from retinue_workers.intake.sqs import QueueUnavailableError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Backlog:
    """What SQS counts; it says that it does so approximately.

    Attributes:
        waiting: Messages that can be received.
        in_flight: Messages that a worker has.
        delayed: Messages that cannot be received yet.
        dead: Messages in the dead-letter queue; ``None`` if there is no such queue.
    """

    waiting: int
    in_flight: int
    delayed: int
    dead: int | None

    @classmethod
    def of(cls, client: "SQSClient", url: str) -> "Backlog":
        """Ask a queue.

        Raises:
            QueueUnavailableError: It does not exist or does not answer.
        """
        try:
            asked = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            told = asked.get("Attributes", {})
            policy = told.get("RedrivePolicy")
            return cls(
                int(told.get("ApproximateNumberOfMessages", 0)),
                int(told.get("ApproximateNumberOfMessagesNotVisible", 0)),
                int(told.get("ApproximateNumberOfMessagesDelayed", 0)),
                _dead(client, json.loads(policy)["deadLetterTargetArn"]) if policy else None,
            )
        except (BotoCoreError, ClientError, ValueError) as error:
            raise QueueUnavailableError(f"cannot ask {url}: {error}") from error


def _dead(client: "SQSClient", arn: str) -> int:
    _, _, _, _, account, name = arn.split(":")
    url = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    asked = client.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(asked["Attributes"]["ApproximateNumberOfMessages"])
