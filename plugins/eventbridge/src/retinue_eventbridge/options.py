"""The options of the publisher."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field


class PublisherOptions(BaseModel):
    """Options of the plugin ``eventbridge``, under its name in ``RETINUE_PLUGIN_OPTIONS``."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    bus: str = Field(default="default", min_length=1, max_length=1_600)
    """Name or ARN of the event bus."""

    region: str | None = None
    """AWS region. Default: boto3's configuration."""

    endpoint_url: str | None = None
    """Another endpoint, such as a VPC endpoint's or an emulator's."""

    max_waiting: int = Field(default=2_000, ge=10, le=100_000)
    """Maximum number of events that wait. New events replace the oldest, which are counted."""

    max_tries: int = Field(default=8, ge=1, le=100)
    """How often an event is sent before it is given up."""
