"""Check that existing buckets send the events that an environment's pools wait for."""

from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError


def event_problems(s3: Any, sources: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield problems with the notifications of existing buckets. Changes none.

    Args:
        s3: A client.
        sources: The variable ``sources`` of an environment.
    """
    for name, source in sorted(sources.items()):
        bucket, topic, owner = source["bucket_name"], source["topic_arn"], source["account_id"]
        try:
            found = s3.get_bucket_notification_configuration(
                Bucket=bucket, **({"ExpectedBucketOwner": owner} if owner else {})
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if owner is not None and code == "AccessDenied":
                continue  # only the owner can look, in most accounts
            yield f"sources.{name}: cannot read the notifications of {bucket}: {code}"
            continue
        if topic is None and "EventBridgeConfiguration" not in found:
            yield (
                f"sources.{name}: EventBridge is off in {bucket}. Enable it in the bucket's "
                "properties (Event notifications, Amazon EventBridge), which keeps its other "
                "notifications; or give topic_arn, a topic that it notifies"
            )
        topics = {entry["TopicArn"] for entry in found.get("TopicConfigurations", ())}
        if topic is not None and topic not in topics:
            known = ", ".join(sorted(topics)) or "none"
            yield f"sources.{name}: {bucket} doesn't notify {topic}. Its topics: {known}"
