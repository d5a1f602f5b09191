"""All settings of a worker."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from retinue_sdk import Capabilities, ConfigurationError, Price, Tier
from retinue_sdk.limits import MAX_PX
from retinue_sdk.options import DescribedModel
from retinue_sdk.price import flat

from retinue_workers.settings.detectors import Detectors, check_named, parse_detectors
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.settings.isolation import Isolation
from retinue_workers.settings.routes import Route, check_routes
from retinue_workers.settings.video import VideoSampling

PREFIX = "RETINUE_"
"""Prefix of the environment variables. The rest is the field's name in capitals."""

MAX_WAIT_TIME_SECONDS = 20
"""SQS's maximum duration of a long poll (``WaitTimeSeconds`` of ReceiveMessage)."""

MAX_VISIBILITY_TIMEOUT_SECONDS = 43_200
"""SQS's maximum visibility timeout: 12 hours."""

STOP_SECONDS = 10.0
"""Maximum time of a stop after the detectors' grace period, to commit and to call plugins."""

Usd: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000)]
"""US dollars."""


class TierPrice(BaseModel):
    """A price for a number of units per month."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    up_to_units: Annotated[int, Field(ge=1)] | None = None
    """Units per month up to which the price applies. Omitted in the last tier."""

    usd: Usd
    """US dollars per billed unit."""


class Settings(DescribedModel):
    """A worker's settings, read from environment variables once, at startup.

    boto3's own variables and roles configure AWS (region, credentials, endpoint).
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True
    )

    queue_url: str | None = Field(default=None, min_length=1)
    """URL of the SQS queue that the worker consumes."""

    database_url: SecretStr | None = None
    """PostgreSQL URL of the history (``postgresql://user:password@host/database``)."""

    database_auth: Literal["password", "iam"] = "password"
    """How to sign in to the database: with a password, or with IAM on RDS.

    A password is in the URL or in ``PGPASSWORD``. With ``iam``, the URL contains a login, no
    password, and ``sslmode=verify-full``. Each new connection gets a new token.
    """

    query_database_url: SecretStr | None = None
    """PostgreSQL URL for ``retinue query``. The login must be read-only."""

    detectors: Detectors = Field(default_factory=dict)
    """Detectors with their options: ``a,b:threshold=0.5``, or JSON such as
    ``{"name": {"option": value}}``.
    """

    prices: dict[str, tuple[TierPrice, ...]] = Field(default_factory=dict)
    """US dollars per billed unit by detector, as JSON. Overrides the detector's own price. A
    number, or tiers: ``[{"up_to_units": 1000000, "usd": 0.001}, {"usd": 0.0008}]``.
    """

    monthly_budgets_usd: dict[str, Usd] = Field(default_factory=dict)
    """Monthly budget (UTC) in US dollars by detector, as JSON.

    When it is spent, receiving stops.
    """

    routes: dict[str, Route] = Field(default_factory=dict)
    """Images for each detector, as JSON: ``{"name": {"key": "uploads/*"}}``; see routing.md."""

    isolation: dict[str, Isolation] = Field(default_factory=dict)
    """Detectors to run in separate processes, as JSON: ``{"name": {}}``; see isolation.md."""

    video: dict[str, VideoSampling] = Field(default_factory=dict)
    """Detectors of images that process videos, as JSON with the frames for each:
    ``{"name": {"every_ms": 500}}``; see video.md.
    """

    hosted_models: dict[str, ModelPolicy] = Field(default_factory=dict)
    """Detectors whose model the worker starts and stops, as JSON with the policy of each:
    ``{"name": {}}``; see custom-labels.md.
    """

    plugin_options: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """Options of plugins that aren't detectors, as JSON: ``{"plugin": {"option": value}}``."""

    plugins_dir: Path | None = None
    """Folder of single-file plugins, in addition to installed ones."""

    max_in_flight: int | None = Field(default=None, ge=10, le=10_000)
    """Maximum number of messages in flight. SQS delivers at most ten per receive.

    Not set: 40, or a quarter more than prefetch_images.
    """

    wait_time_seconds: int = Field(default=20, ge=0, le=MAX_WAIT_TIME_SECONDS)
    """How long one receive waits for a message (long polling). A stop waits for its end."""

    visibility_timeout_seconds: int = Field(default=120, ge=2, le=MAX_VISIBILITY_TIMEOUT_SECONDS)
    """How long a message stays hidden after a receive or a heartbeat."""

    heartbeat_seconds: float = Field(default=30.0, ge=0.1, le=MAX_VISIBILITY_TIMEOUT_SECONDS // 2)
    """Time between two extensions of the visibility of messages in flight."""

    detector_timeout_seconds: float = Field(
        default=60.0, ge=0.01, le=MAX_VISIBILITY_TIMEOUT_SECONDS
    )
    """Time limit of a detector's call. Then the run fails."""

    retry_window_seconds: float = Field(default=300.0, ge=0, le=MAX_VISIBILITY_TIMEOUT_SECONDS)
    """How long an image is retried inside the worker before its message is requeued."""

    shutdown_grace_seconds: float = Field(default=20.0, ge=0, le=3_600)
    """How long a stop waits for running detectors."""

    stop_timeout_seconds: float = Field(default=30.0, ge=0, le=3_600)
    """Time after SIGTERM until the worker is killed: the ECS container's ``stopTimeout``."""

    prefetch_threads: int | None = Field(default=None, ge=1, le=64)
    """Threads that fetch and decode images before the detectors need them.

    Not set: 2, or one per core for a detector whose batches need more than 8 images.
    """

    prefetch_images: int | None = Field(default=None, ge=1, le=1_000)
    """Maximum number of images in memory.

    Not set: 8, or enough to fill the batches of detectors that prepare images, such as those on a
    GPU: max_batch_size × (max_concurrency + 1).
    """

    max_decoding_bytes: int | None = Field(default=None, ge=2**20)
    """Maximum memory for decoding and for decoded images, in bytes.

    An image that takes more fails. Not set: half of the memory that the worker may use, divided
    among it and its isolated detectors, and at most 4 GiB.
    """

    max_image_bytes: int | None = Field(default=None, ge=1)
    """Maximum size of an image file that is fetched, in bytes.

    Not set: 64 MiB, or less if prefetch_images such files (8 if it isn't set) took more than a
    quarter of the memory.
    """

    max_image_px: int = Field(default=MAX_PX, ge=1, le=2 * MAX_PX)
    """Maximum number of pixels (width × height) that are decoded."""

    max_video_bytes: int = Field(default=5 * 2**30, ge=1)
    """Maximum size of a video that is fetched to be decoded, in bytes. Each of prefetch_threads
    videos at a time takes this much disk space.
    """

    max_detections: int = Field(default=5_000, ge=1)
    """Maximum number of detections in a run. With more, the run fails."""

    max_response_bytes: int = Field(default=8 * 2**20, ge=2)
    """Maximum size of a run's raw response and attributes, in bytes of JSON. Eight times as much
    for a video.
    """

    max_video_detections: int = Field(default=50_000, ge=1)
    """Maximum number of detections in a run for a video. With more, the run fails."""

    max_jobs: int | None = Field(default=None, ge=1)
    """Maximum number of jobs for videos under way at a service, of all workers with the same
    history. Not set: the detector's own, such as 18 of Rekognition's 20 per account.
    """

    health_port: int | None = Field(default=None, ge=0, le=65_535)
    """TCP port of ``/health`` and, for Prometheus, ``/metrics``. 0 chooses a free port."""

    metrics_namespace: str | None = Field(default=None, min_length=1, max_length=255)
    """CloudWatch namespace.

    Metrics are printed to standard output in the embedded metric format.
    """

    traces_endpoint: str | None = Field(default=None, pattern=r"https?://")
    """URL of an OpenTelemetry collector (OTLP over HTTP) for traces; see debugging.md."""

    retention_detections_months: int | None = Field(default=None, ge=1, le=1_200)
    """Whole months of detections that ``retinue maintain`` keeps. Not set: all."""

    archive: str | None = Field(default=None, min_length=1)
    """Where ``retinue maintain`` puts months of detections that it drops; see archive.md.

    ``s3://bucket/prefix``, or a folder. Not set: they are deleted.
    """

    retention_raw_responses_days: int | None = Field(default=None, ge=0, le=36_500)
    """Days for which ``retinue maintain`` keeps raw responses. Not set: all."""

    retention_deleted_images_days: int = Field(default=30, ge=0, le=36_500)
    """Days after which ``retinue maintain`` purges images that were removed from S3."""

    log_format: Literal["console", "json"] = "json"
    """Format of log lines."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged. In AWS, alarms and ``make smoke`` count lines of ``info``."""

    @field_validator("prices", mode="before")
    @classmethod
    def _one_price(cls, value: object) -> object:
        """Turn a number into one tier without a limit.

        Runs after ``_parse_json``, which is below.
        """
        if not isinstance(value, dict):
            return value
        return {
            name: price if isinstance(price, list | tuple) else [{"usd": price}]
            for name, price in value.items()
        }

    @field_validator("detectors", mode="before")
    @classmethod
    def _parse_detectors(cls, value: object) -> object:
        """Parse the text of a variable."""
        return parse_detectors(value) if isinstance(value, str) else value

    @field_validator(
        "prices",
        "monthly_budgets_usd",
        "routes",
        "isolation",
        "video",
        "hosted_models",
        "plugin_options",
        mode="before",
    )
    @classmethod
    def _parse_json(cls, value: object) -> object:
        """Parse JSON, which variables with several values use."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'must be JSON such as {{"NAME": ...}}: {error}') from error

    @field_validator("routes", mode="after")
    @classmethod
    def _check_routes(cls, routes: dict[str, Route], info: ValidationInfo) -> dict[str, Route]:
        """Raise for routes of unknown detectors, and for cycles."""
        if "detectors" in info.data:
            check_routes(routes, info.data["detectors"])
        return routes

    @field_validator("isolation", "video", "hosted_models", mode="after")
    @classmethod
    def _check_named(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Raise for names of unknown detectors."""
        check_named(value, info.data.get("detectors", value))
        return value

    @field_validator("prices")
    @classmethod
    def _check_tiers(
        cls, value: dict[str, tuple[TierPrice, ...]]
    ) -> dict[str, tuple[TierPrice, ...]]:
        """Raise for tiers that leave a number of units without a price."""
        for name, tiers in value.items():
            try:
                as_tiers(tiers, name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Raise for values that contradict each other."""
        if self.heartbeat_seconds * 2 > self.visibility_timeout_seconds:
            raise ValueError(
                f"{PREFIX}HEARTBEAT_SECONDS ({self.heartbeat_seconds:g}) must be at most half of "
                f"{PREFIX}VISIBILITY_TIMEOUT_SECONDS ({self.visibility_timeout_seconds}), or "
                "messages reappear while they are worked on"
            )
        if self.shutdown_grace_seconds + STOP_SECONDS > self.stop_timeout_seconds:
            raise ValueError(
                f"{PREFIX}SHUTDOWN_GRACE_SECONDS ({self.shutdown_grace_seconds:g}) must be at "
                f"least {STOP_SECONDS:g} less than {PREFIX}STOP_TIMEOUT_SECONDS "
                f"({self.stop_timeout_seconds:g}): the worker needs this time to commit results "
                "before ECS kills it"
            )
        unknown = sorted(set(self.monthly_budgets_usd) - set(self.detectors))
        if self.detectors and unknown:
            raise ValueError(
                f"{PREFIX}MONTHLY_BUDGETS_USD names {', '.join(unknown)}, which "
                f"{PREFIX}DETECTORS doesn't: remove them, or add the detectors"
            )
        return self

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment. ``given`` overrides it.

        Raises:
            ConfigurationError: A variable is unknown or has an invalid value. The message names
                each, with the reason.
        """
        environment = {
            name: value for name, value in os.environ.items() if not BY_KUBERNETES.fullmatch(value)
        }
        check_names(environment)
        variables = {name: PREFIX + name.upper() for name in cls.model_fields}
        found = {name: environment[one] for name, one in variables.items() if one in environment}
        try:
            return cls(**(found | given))
        except ValidationError as error:
            raise ConfigurationError(explain(error)) from error

    def require_queue_url(self) -> str:
        """Return the queue's URL.

        Raises:
            ConfigurationError: It isn't set.
        """
        if self.queue_url is None:
            raise ConfigurationError(
                f"{PREFIX}QUEUE_URL is not set: give the URL of the SQS queue to consume. "
                "Without AWS, `retinue run` has a queue and a worker of its own"
            )
        return self.queue_url

    def require_database_url(self) -> str:
        """Return the history's URL, including its password.

        Raises:
            ConfigurationError: It isn't set.
        """
        if self.database_url is None:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_URL is not set: give the PostgreSQL URL of the history, "
                "such as postgresql://user:password@host:5432/retinue"
            )
        return self.database_url.get_secret_value()


def as_tiers(tiers: Sequence[TierPrice], group: str) -> Price:
    """Turn tiers of the settings into a price of a billing group.

    Raises:
        ValueError: They are out of order, or the last one has a limit.
    """
    return Price(tuple(Tier(tier.up_to_units, tier.usd) for tier in tiers), group)


def prices_of(
    detector: str, capabilities: Capabilities, wanted: Sequence[TierPrice] | None
) -> tuple[Price, ...]:
    """Return the settings' price, or the detector's own; empty if it is free."""
    own = capabilities.prices
    if wanted is not None:
        prices: tuple[Price, ...] = (as_tiers(wanted, own[0].billing_group if own else detector),)
    else:
        prices = own or (flat(capabilities.usd_per_unit, detector),)
    return prices if any(tier.usd for price in prices for tier in price.tiers) else ()


def check_names(environment: Mapping[str, str]) -> None:
    """Raise for environment variables that look like a misspelled setting.

    Other variables are accepted, with any prefix. Kubernetes sets ``RETINUE_SERVICE_HOST`` and
    similar variables in every pod of a namespace with a service named ``retinue``.

    Raises:
        ConfigurationError: The message names each variable, and the probable setting.
    """
    known = sorted(PREFIX + name.upper() for name in Settings.model_fields)
    meant = {
        name: setting
        for name in sorted(environment.keys() - set(known))
        if (setting := _meant(name, known)) is not None
    }
    if meant:
        raise ConfigurationError(
            "\n".join(
                f"{name} isn't a setting: use {setting}, or unset it"
                for name, setting in meant.items()
            )
        )


def _meant(name: str, known: Sequence[str]) -> str | None:
    """Return the setting whose name is similar to a variable's name, or ``None``."""
    for setting in known:
        if name.upper() == setting or _is_typo(name, setting):
            return setting
    if not name.startswith(PREFIX) or OF_KUBERNETES.search(name):
        return None
    from difflib import get_close_matches  # not needed by a worker with correct settings

    # Without the prefix, which would make all names similar.
    settings = {setting.removeprefix(PREFIX): setting for setting in known}
    close = get_close_matches(name.removeprefix(PREFIX), settings, n=1, cutoff=_SIMILARITY)
    return settings[close[0]] if close else None


def _is_typo(name: str, setting: str) -> bool:
    """Return whether two names differ by one character, or by two swapped neighbours."""
    differs = next((i for i, (a, b) in enumerate(zip(name, setting, strict=False)) if a != b), None)
    if differs is None:  # one name begins with the other
        return abs(len(name) - len(setting)) <= 1
    here, there = name[differs:], setting[differs:]
    return (
        here[1:] == there[1:]
        or here[1:] == there
        or here == there[1:]
        or (here[:2] == there[1::-1] and here[2:] == there[2:])
    )


_SIMILARITY = 0.8
"""difflib's ratio above which two names are similar: VISIBILITY_TIMEOUT and ..._SECONDS are."""

OF_KUBERNETES = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$"
)
"""Names of variables that Kubernetes sets for each service of a namespace."""

BY_KUBERNETES = re.compile(r"(tcp|udp|sctp)://[^/]+:\d+")
"""A value that only Kubernetes sets. For a service named ``retinue-health``, it sets
``RETINUE_HEALTH_PORT`` to ``tcp://10.0.0.7:8080``.
"""


def explain(error: ValidationError, prefix: str = PREFIX) -> str:
    """Return one line per problem, each beginning with the environment variable.

    Args:
        error: Pydantic's error.
        prefix: Prefix of the variables' names.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place = [str(part) for part in problem["loc"]]
        name = prefix + place[0].upper() if place else ""
        inside = "".join(f"[{part}]" for part in place[1:])
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}{inside}: {text}" if place else text)
    return "\n".join(lines)
