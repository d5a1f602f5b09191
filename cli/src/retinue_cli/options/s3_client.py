"""Where a command finds the images themselves: the laptop's endpoint, or AWS."""

from typing import TYPE_CHECKING

from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def s3_client(settings: Settings) -> "S3Client":
    """A client for the place where the images of this history lie.

    The laptop's own history speaks of buckets in an emulator. Its names could be somebody's in AWS,
    so AWS is never asked about them.

    Raises:
        ConfigurationError: The emulator has ended, or boto3 is not configured.
    """
    if settings.database_url is not None or settings.query_database_url is not None:
        from retinue_workers.intake.clients import make_clients

        return make_clients(connections=4).s3()
    from retinue_cli.local.endpoint import named_endpoint

    endpoint = named_endpoint()
    if endpoint is None:
        raise ConfigurationError(
            "the emulator of `retinue run` forgets its objects when the run ends; name one that "
            "stays with AWS_ENDPOINT_URL"
        )
    return endpoint.client("s3")
