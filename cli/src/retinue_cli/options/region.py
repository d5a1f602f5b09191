"""Choose the AWS region of a command for faces."""

import os

from retinue_sdk import ConfigurationError


def region_of(given: str | None) -> str:
    """Return the given region, or the one of AWS's configuration.

    Raises:
        ConfigurationError: No region is configured.
    """
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        region = given or os.environ.get("AWS_REGION") or boto3.session.Session().region_name
    except BotoCoreError as error:
        raise ConfigurationError(f"the AWS configuration cannot be used: {error}") from error
    if not region:
        raise ConfigurationError(
            "no AWS region is known: face collections are kept by Amazon Rekognition, in a region. "
            "Give --region, or set AWS_REGION"
        )
    return str(region)
