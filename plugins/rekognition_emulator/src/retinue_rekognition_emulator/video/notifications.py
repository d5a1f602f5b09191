"""Publish completion messages to SNS."""

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any

Publish = Callable[[str, str], None]
"""Publishes a message to the topic with an ARN: (ARN, message)."""

log = logging.getLogger(__name__)


def sns_publisher(address: str | None = None) -> Publish:
    """Return a publisher to SNS, or to the endpoint in boto3's settings.

    A message that SNS refuses is logged and lost, as at AWS.

    Args:
        address: URL of the SNS endpoint. The default is boto3's settings.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    @cache
    def client(region: str) -> Any:
        return boto3.client("sns", region_name=region, endpoint_url=address)

    def publish(topic: str, message: str) -> None:
        region = topic.split(":")[3] or os.environ.get("AWS_REGION") or "us-east-1"
        try:
            client(region).publish(TopicArn=topic, Message=message)
        except (BotoCoreError, ClientError) as error:
            log.warning("completion message to %s was not published: %s", topic, error)

    return publish
