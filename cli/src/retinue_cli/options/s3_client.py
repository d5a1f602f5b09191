"""Choose where a command reads images: the laptop's endpoint, or AWS."""

from typing import TYPE_CHECKING

from retinue_sdk import ConfigurationError
from retinue_workers.settings.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def s3_client(settings: Settings) -> "S3Client":
    """Return a client for the endpoint with the images of this history.

    The laptop's history has buckets of an emulator. Other AWS accounts may have buckets with the
    same names, so these are never requested from AWS.

    Raises:
        ConfigurationError: The emulator has ended, or boto3 isn't configured.
    """
    if settings.database_url is not None or settings.query_database_url is not None:
        from retinue_workers.intake.clients import make_clients

        return make_clients(connections=4).s3()
    from retinue_cli.local.endpoint import named_endpoint

    endpoint = named_endpoint()
    if endpoint is None:
        raise ConfigurationError(
            "the emulator of `retinue run` forgets its objects when the run ends. Set "
            "AWS_ENDPOINT_URL to an emulator that keeps running"
        )
    return endpoint.client("s3")
