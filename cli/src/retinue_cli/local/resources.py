"""Create bucket, topic, queue and dead-letter queue, as Terraform does in AWS."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retinue_cli.local.endpoint import AwsEndpoint
from retinue_cli.local.errors import LaptopError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType

MAX_RECEIVE_COUNT = 2
"""How often a message is received. In AWS it is more: here a person waits for the result, and
transient errors, such as a busy service, are retried within a receive."""

_DEAD_LETTER_SECONDS = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Wiring:
    """The resources between an upload and the worker.

    Attributes:
        bucket: Name of the S3 bucket. It is unversioned, so an image's version is its ETag.
        topic_arn: ARN of the SNS topic that the bucket notifies.
        queue_url: URL of the SQS queue that gets the topic's messages raw.
        queue_arn: Its ARN.
        dead_letter_queue_url: URL of the queue for messages that were received too often.
    """

    bucket: str
    topic_arn: str
    queue_url: str
    queue_arn: str
    dead_letter_queue_url: str


def wire(endpoint: AwsEndpoint, name: str, *, visibility_timeout_seconds: int = 120) -> Wiring:
    """Create missing resources, and update the others.

    Args:
        endpoint: The AWS endpoint.
        name: Name of the bucket, and prefix of the other names.
        visibility_timeout_seconds: How long a received message stays hidden from other workers.

    Returns:
        The resources.

    Raises:
        LaptopError: The endpoint refuses, or doesn't answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return _wire(endpoint, name, visibility_timeout_seconds)
    except (BotoCoreError, ClientError) as error:
        raise LaptopError(
            f"{endpoint.url} cannot make bucket, topic and queue {name!r}: {error}. "
            "Is it an emulator of S3, SNS and SQS that is still running?"
        ) from error


def stop_notifications(endpoint: AwsEndpoint, wiring: Wiring) -> None:
    """Stop the bucket from notifying the topic, until ``wire`` is called again."""
    endpoint.client("s3").put_bucket_notification_configuration(
        Bucket=wiring.bucket, NotificationConfiguration={}
    )


def is_empty(endpoint: AwsEndpoint, wiring: Wiring) -> bool:
    """Return whether no message is waiting, in flight or delayed."""
    from retinue_workers.intake.queue_depth import read_queue_depth

    return not read_queue_depth(endpoint.client("sqs"), wiring.queue_url).total


def _wire(endpoint: AwsEndpoint, name: str, visibility_timeout_seconds: int) -> Wiring:
    s3, sns, sqs = endpoint.client("s3"), endpoint.client("sns"), endpoint.client("sqs")
    try:
        s3.create_bucket(Bucket=name)
    except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.head_bucket(Bucket=name)  # refused if it belongs to another account

    topic_arn = sns.create_topic(Name=f"{name}-images")["TopicArn"]
    bucket_arn = f"arn:aws:s3:::{name}"
    allowed = _allow("s3.amazonaws.com", "sns:Publish", topic_arn, source=bucket_arn)
    sns.set_topic_attributes(
        TopicArn=topic_arn, AttributeName="Policy", AttributeValue=json.dumps(allowed)
    )

    dead_letter_queue_url, dead_letter_queue_arn = _queue(
        sqs, f"{name}-dead", {"MessageRetentionPeriod": str(_DEAD_LETTER_SECONDS)}
    )
    redrive = {
        "deadLetterTargetArn": dead_letter_queue_arn,
        "maxReceiveCount": str(MAX_RECEIVE_COUNT),
    }
    queue_url, queue_arn = _queue(
        sqs,
        name,
        {
            "VisibilityTimeout": str(visibility_timeout_seconds),
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": json.dumps(redrive),
        },
    )
    allowed = _allow("sns.amazonaws.com", "sqs:SendMessage", queue_arn, source=topic_arn)
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(allowed)})

    subscription_arn = sns.subscribe(
        TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    sns.set_subscription_attributes(  # separately, because an existing queue keeps its own
        SubscriptionArn=subscription_arn,
        AttributeName="RawMessageDelivery",
        AttributeValue="true",
    )
    s3.put_bucket_notification_configuration(
        Bucket=name,
        NotificationConfiguration={
            "TopicConfigurations": [
                {
                    "Id": "images",
                    "TopicArn": topic_arn,
                    "Events": [
                        "s3:ObjectCreated:*",
                        "s3:ObjectRemoved:*",
                        "s3:LifecycleExpiration:*",
                    ],
                }
            ]
        },
    )
    return Wiring(name, topic_arn, queue_url, queue_arn, dead_letter_queue_url)


def _queue(
    sqs: "SQSClient", name: str, attributes: "dict[QueueAttributeNameType, str]"
) -> tuple[str, str]:
    """Return URL and ARN of a queue. It is created without attributes, which must not differ."""
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, answer["Attributes"]["QueueArn"]


def _allow(service: str, action: str, resource: str, *, source: str) -> dict[str, object]:
    """Return a policy that lets an AWS service act on a resource for one source."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": action,
                "Resource": resource,
                "Condition": {"ArnEquals": {"aws:SourceArn": source}},
            }
        ],
    }
