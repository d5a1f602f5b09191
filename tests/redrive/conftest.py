"""Queues and buckets of an emulator, and wrappers that fail on demand."""

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from retinue_cli.local import AwsEndpoint

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Pool:
    """A queue and its dead-letter queue."""

    sqs: "SQSClient"
    url: str
    dead_url: str

    def bodies(self, url: str | None = None) -> list[str]:
        """Takes all messages out."""
        bodies: list[str] = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return bodies
            bodies += [message["Body"] for message in messages]
            self.sqs.delete_message_batch(
                QueueUrl=url or self.url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )


@pytest.fixture
def pool(aws: AwsEndpoint) -> Pool:
    sqs = aws.client("sqs")
    name = f"q{uuid.uuid4().hex}"
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": asked["Attributes"]["QueueArn"], "maxReceiveCount": "3"}
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})
    return Pool(sqs, url["QueueUrl"], dead_url)


@pytest.fixture
def s3(aws: AwsEndpoint) -> "S3Client":
    return aws.client("s3")


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"b{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name
