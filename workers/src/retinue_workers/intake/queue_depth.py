"""Read from SQS how many messages a queue holds."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.work import QueueDepth

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


def read_queue_depth(
    client: "SQSClient", url: str, *, with_dead_letters: bool = False
) -> QueueDepth:
    """Return a queue's depth. SQS's counts are approximate.

    Args:
        client: boto3's client.
        url: The queue's URL.
        with_dead_letters: Whether to read its dead-letter queue, too, with two more calls.

    Raises:
        QueueUnavailableError: It doesn't answer.
    """
    try:
        attributes = client.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesDelayed",
                "ApproximateNumberOfMessagesNotVisible",
                "RedrivePolicy",
            ],
        ).get("Attributes", {})
        policy = attributes.get("RedrivePolicy")
        return QueueDepth(
            visible=int(attributes["ApproximateNumberOfMessages"])
            + int(attributes["ApproximateNumberOfMessagesDelayed"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            dead_letters=visible_messages(client, dead_letter_queue_url(client, policy))
            if policy and with_dead_letters
            else None,
        )
    except (BotoCoreError, ClientError, KeyError, TypeError, ValueError) as error:
        raise QueueUnavailableError(f"cannot read the depth of {url}: {error}") from error


def dead_letter_queue_url(client: "SQSClient", redrive_policy: str) -> str:
    """Return the URL of the dead-letter queue that a redrive policy names.

    Raises:
        ClientError: It doesn't exist.
        BotoCoreError: SQS doesn't answer.
    """
    *_, account, name = json.loads(redrive_policy)["deadLetterTargetArn"].split(":")
    return client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]


def visible_messages(client: "SQSClient", url: str) -> int:
    """Return SQS's approximate number of waiting messages. The errors are the same."""
    answer = client.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
