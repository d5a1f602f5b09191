"""The hooks: create a publisher when the worker starts, pass it runs, and stop it."""

import os
from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from pydantic import ValidationError
from retinue_sdk import ConfigurationError, Json, Run, hookimpl

from retinue_eventbridge.event import entry
from retinue_eventbridge.options import PublisherOptions
from retinue_eventbridge.publisher import Publisher

TIMEOUT_SECONDS = 5
"""Timeout of a connection and of an answer. A batch that takes longer is sent again."""

_CONFIG = Config(
    connect_timeout=TIMEOUT_SECONDS,
    read_timeout=TIMEOUT_SECONDS,
    retries={"total_max_attempts": 1},  # the publisher retries by itself
)


class _State:
    """The state between the worker's start and stop."""

    publisher: Publisher | None = None
    bus = ""


@hookimpl
def retinue_worker_starting(options: Mapping[str, Json] | None) -> bool:
    """Start publishing if the settings have options for this plugin. ``{}`` suffices."""
    if options is None:
        return False
    try:
        chosen = PublisherOptions.model_validate(dict(options))
    except ValidationError as error:
        problems = "; ".join(
            f"option {'.'.join(map(str, problem['loc']))}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        allowed = ", ".join(PublisherOptions.model_fields)
        raise ConfigurationError(f"{problems} (its options: {allowed})") from error
    try:
        # ECS sets AWS_REGION, as other SDKs read it. botocore reads only AWS_DEFAULT_REGION.
        region = chosen.region or os.environ.get("AWS_REGION")
        session: Any = Session()
        client = session.create_client(
            "events", region_name=region, endpoint_url=chosen.endpoint_url, config=_CONFIG
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"cannot reach EventBridge: {error}") from error
    _State.bus = chosen.bus
    _State.publisher = Publisher(client, chosen)
    return True


@hookimpl
def retinue_run_finished(run: Run) -> None:
    """Publish a run, without waiting."""
    if _State.publisher is not None:
        _State.publisher.put(entry(run, _State.bus))


@hookimpl
def retinue_worker_stopping(timeout_seconds: float) -> None:
    """Send waiting events within the time limit."""
    publisher, _State.publisher = _State.publisher, None
    if publisher is not None:
        publisher.close(timeout_seconds)
