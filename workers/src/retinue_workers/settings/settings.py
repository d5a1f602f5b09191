"""Everything that can be set about a worker, in one place."""

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
from retinue_sdk import ConfigurationError, Price, Tier
from retinue_sdk.limits import MAX_BYTES, MAX_PX
from retinue_sdk.options import DescribedModel

from retinue_workers.settings.detectors import Detectors, check_named, parse_detectors
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.settings.isolation import Isolation
from retinue_workers.settings.routes import Route, check_routes

PREFIX = "RETINUE_"
"""What the environment variables' names begin with; the rest is the field's name in capitals."""

MAX_WAIT_TIME_SECONDS = 20
"""Longest long poll that SQS allows (``WaitTimeSeconds`` of ReceiveMessage)."""

MAX_VISIBILITY_TIMEOUT_SECONDS = 43_200
"""Longest visibility timeout that SQS allows: 12 hours."""

STOP_SECONDS = 10.0
"""What a stop needs at most beyond the detectors' grace, to commit and to tell plugins."""

Usd: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000)]
"""US dollars."""


class TierPrice(BaseModel):
    """A price that holds up to a number of units a month."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    up_to_units: Annotated[int, Field(ge=1)] | None = None
    """Units a month up to which it holds; left out in the last tier."""

    usd: Usd
    """US dollars per billed unit."""


class Settings(DescribedModel):
    """A worker's settings, read from environment variables once, where the program is put together.

    AWS itself (region, credentials, endpoint) is set through boto3's own variables and roles.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True
    )

    queue_url: str | None = Field(default=None, min_length=1)
    """URL of the SQS queue that the worker consumes."""

    database_url: SecretStr | None = None
    """PostgreSQL URL of the history (``postgresql://user:password@host/database``)."""

    database_auth: Literal["password", "iam"] = "password"
    """How to sign in to the database: a password, in the URL or in ``PGPASSWORD``, or IAM on RDS.

    With ``iam`` the URL names a login, no password, and ``sslmode=verify-full``; each new
    connection gets a token of its own.
    """

    query_database_url: SecretStr | None = None
    """PostgreSQL URL for ``retinue query``: a user who may only read."""

    detectors: Detectors = Field(default_factory=dict)
    """Detectors to apply, with their options: ``a,b:threshold=0.5``, or JSON such as
    ``{"name": {"option": value}}``."""

    prices: dict[str, tuple[TierPrice, ...]] = Field(default_factory=dict)
    """US dollars per billed unit by detector, as JSON; overrides the detector's own price. A
    number, or tiers: ``[{"up_to_units": 1000000, "usd": 0.001}, {"usd": 0.0008}]``."""

    monthly_budgets_usd: dict[str, Usd] = Field(default_factory=dict)
    """Most US dollars a month (UTC) by detector, as JSON: when it is spent, nothing is received."""

    routes: dict[str, Route] = Field(default_factory=dict)
    """Which images a detector is given, as JSON: ``{"name": {"key": "uploads/*"}}``; routing.md."""

    isolation: dict[str, Isolation] = Field(default_factory=dict)
    """Detectors to run in processes of their own, as JSON: ``{"name": {}}``; see isolation.md."""

    hosted_models: dict[str, ModelPolicy] = Field(default_factory=dict)
    """Detectors whose model the worker starts and stops, as JSON with the policy of each:
    ``{"name": {}}``; see custom-labels.md."""

    plugin_options: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """Options of plugins that are no detectors, as JSON: ``{"plugin": {"option": value}}``."""

    plugins_dir: Path | None = None
    """Folder of plugins that are one Python file each, beside those that are installed."""

    max_in_flight: int = Field(default=40, ge=10, le=10_000)
    """Most messages received and not yet deleted. SQS hands out at most ten at a time."""

    wait_time_seconds: int = Field(default=20, ge=0, le=MAX_WAIT_TIME_SECONDS)
    """How long one receive waits for a message (long polling). A stop waits for it to end."""

    visibility_timeout_seconds: int = Field(default=120, ge=2, le=MAX_VISIBILITY_TIMEOUT_SECONDS)
    """How long a message stays hidden after a receive or a heartbeat."""

    heartbeat_seconds: float = Field(default=30.0, ge=0.1, le=MAX_VISIBILITY_TIMEOUT_SECONDS // 2)
    """How often the visibility of the messages in flight is extended."""

    detector_timeout_seconds: float = Field(
        default=60.0, ge=0.01, le=MAX_VISIBILITY_TIMEOUT_SECONDS
    )
    """Longest call of a detector; after it the run has failed and the worker goes on."""

    retry_window_seconds: float = Field(default=300.0, ge=0, le=MAX_VISIBILITY_TIMEOUT_SECONDS)
    """How long an image is tried again inside the worker before its message goes back."""

    shutdown_grace_seconds: float = Field(default=20.0, ge=0, le=3_600)
    """How long a stop waits for detectors that are at work."""

    stop_timeout_seconds: float = Field(default=30.0, ge=0, le=3_600)
    """How long after SIGTERM the worker will be killed: the ECS container's ``stopTimeout``."""

    prefetch_threads: int = Field(default=2, ge=1, le=64)
    """Threads that fetch and decode images ahead of the detectors."""

    prefetch_images: int = Field(default=8, ge=1, le=1_000)
    """Most images held fetched or decoded at once; bounds memory to this times 3 × max_image_px."""

    max_image_bytes: int = Field(default=MAX_BYTES, ge=1)
    """Largest image file that is fetched, in bytes."""

    max_image_px: int = Field(default=MAX_PX, ge=1, le=2 * MAX_PX)
    """Most pixels (width × height) that are decoded."""

    max_detections: int = Field(default=5_000, ge=1)
    """Most detections in one run; a detector that reports more has failed."""

    max_response_bytes: int = Field(default=8 * 2**20, ge=2)
    """Largest raw response and attributes of one run, in bytes of JSON."""

    health_port: int | None = Field(default=None, ge=0, le=65_535)
    """TCP port that answers ``/health`` and, for Prometheus, ``/metrics``; 0 takes a free one."""

    metrics_namespace: str | None = Field(default=None, min_length=1, max_length=255)
    """CloudWatch namespace: metrics go to standard output in the embedded metric format."""

    traces_endpoint: str | None = Field(default=None, pattern=r"https?://")
    """URL of an OpenTelemetry collector (OTLP over HTTP) that traces go to; see debugging.md."""

    retention_detections_months: int | None = Field(default=None, ge=1, le=1_200)
    """Whole months of detections that ``retinue maintain`` keeps; all of them if not set."""

    retention_raw_responses_days: int | None = Field(default=None, ge=0, le=36_500)
    """Days that ``retinue maintain`` keeps raw responses of detectors; all of them if not set."""

    retention_deleted_images_days: int = Field(default=30, ge=0, le=36_500)
    """Days after which ``retinue maintain`` purges images that were removed from S3."""

    log_format: Literal["console", "json"] = "json"
    """How log lines are written."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged. In AWS, alarms and ``make smoke`` count lines of ``info``."""

    @field_validator("prices", mode="before")
    @classmethod
    def _one_price(cls, value: object) -> object:
        """A plain number is one tier without an end. Runs after ``_parse_json``, which is below."""
        if not isinstance(value, dict):
            return value
        return {
            name: price if isinstance(price, list | tuple) else [{"usd": price}]
            for name, price in value.items()
        }

    @field_validator("detectors", mode="before")
    @classmethod
    def _parse_detectors(cls, value: object) -> object:
        """Read the text of a variable."""
        return parse_detectors(value) if isinstance(value, str) else value

    @field_validator(
        "prices",
        "monthly_budgets_usd",
        "routes",
        "isolation",
        "hosted_models",
        "plugin_options",
        mode="before",
    )
    @classmethod
    def _parse_json(cls, value: object) -> object:
        """Read JSON, which is how a variable holds what is more than one value."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'must be JSON such as {{"NAME": ...}}: {error}') from error

    @field_validator("routes", mode="after")
    @classmethod
    def _check_routes(cls, routes: dict[str, Route], info: ValidationInfo) -> dict[str, Route]:
        """Refuse routes of detectors that the worker does not have, and circles."""
        if "detectors" in info.data:
            check_routes(routes, info.data["detectors"])
        return routes

    @field_validator("isolation", mode="after")
    @classmethod
    def _check_isolation(
        cls, isolation: dict[str, Isolation], info: ValidationInfo
    ) -> dict[str, Isolation]:
        """Refuse names of detectors that the worker does not have."""
        check_named(isolation, info.data.get("detectors", isolation))
        return isolation

    @field_validator("hosted_models", mode="after")
    @classmethod
    def _check_hosted_models(
        cls, models: dict[str, ModelPolicy], info: ValidationInfo
    ) -> dict[str, ModelPolicy]:
        """Refuse names of detectors that the worker does not have."""
        check_named(models, info.data.get("detectors", models))
        return models

    @field_validator("prices")
    @classmethod
    def _check_tiers(
        cls, value: dict[str, tuple[TierPrice, ...]]
    ) -> dict[str, tuple[TierPrice, ...]]:
        """Refuse tiers that leave a number of units without a price."""
        for name, tiers in value.items():
            try:
                as_tiers(tiers, name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Refuse values that are fine alone and wrong together."""
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
                f"({self.stop_timeout_seconds:g}): what was found must be committed before the kill"
            )
        unknown = sorted(set(self.monthly_budgets_usd) - set(self.detectors))
        if self.detectors and unknown:
            raise ValueError(
                f"{PREFIX}MONTHLY_BUDGETS_USD names {', '.join(unknown)}, which "
                f"{PREFIX}DETECTORS does not: nothing would be limited"
            )
        return self

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the environment; ``given`` overrides it.

        Raises:
            ConfigurationError: A variable is unknown or has a bad value; names each and says why.
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
            raise ConfigurationError(_explain(error)) from error

    def require_queue_url(self) -> str:
        """The queue's URL.

        Raises:
            ConfigurationError: It is not set.
        """
        if self.queue_url is None:
            raise ConfigurationError(
                f"{PREFIX}QUEUE_URL is not set: give the URL of the SQS queue to consume. "
                "Without AWS, `retinue run` has a queue and a worker of its own"
            )
        return self.queue_url

    def require_database_url(self) -> str:
        """The history's URL, password and all.

        Raises:
            ConfigurationError: It is not set.
        """
        if self.database_url is None:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_URL is not set: give the PostgreSQL URL of the history, "
                "such as postgresql://user:password@host:5432/retinue"
            )
        return self.database_url.get_secret_value()


def as_tiers(tiers: Sequence[TierPrice], group: str) -> Price:
    """Tiers of the settings as a price of a group.

    Raises:
        ValueError: They are out of order, or do not say what holds in the end.
    """
    return Price(tuple(Tier(tier.up_to_units, tier.usd) for tier in tiers), group)


def check_names(environment: Mapping[str, str]) -> None:
    """Refuse environment variables that look like a mistyped setting.

    Other variables pass, whatever they begin with. Kubernetes sets ``RETINUE_SERVICE_HOST`` and its
    kin in every pod of a namespace that has a service called ``retinue``.

    Raises:
        ConfigurationError: Names each variable, and the setting that was probably meant.
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
    """Return the setting of which a variable's name is a near miss, or None."""
    for setting in known:
        if name.upper() == setting or _is_typo(name, setting):
            return setting
    if not name.startswith(PREFIX) or OF_KUBERNETES.search(name):
        return None
    from difflib import get_close_matches  # which a worker with correct settings never needs

    # Without the prefix, which would make all names alike.
    settings = {setting.removeprefix(PREFIX): setting for setting in known}
    close = get_close_matches(name.removeprefix(PREFIX), settings, n=1, cutoff=_SIMILARITY)
    return settings[close[0]] if close else None


def _is_typo(name: str, setting: str) -> bool:
    """Return whether one character was added, left out or replaced, or two neighbours swapped."""
    differs = next((i for i, (a, b) in enumerate(zip(name, setting, strict=False)) if a != b), None)
    if differs is None:  # one begins with the other
        return abs(len(name) - len(setting)) <= 1
    here, there = name[differs:], setting[differs:]
    return (
        here[1:] == there[1:]
        or here[1:] == there
        or here == there[1:]
        or (here[:2] == there[1::-1] and here[2:] == there[2:])
    )


_SIMILARITY = 0.8
"""Ratio of difflib from which two names are alike: VISIBILITY_TIMEOUT and ..._SECONDS are."""

OF_KUBERNETES = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$"
)
"""Names of variables that Kubernetes sets for each service of a namespace."""

BY_KUBERNETES = re.compile(r"(tcp|udp|sctp)://[^/]+:\d+")
"""A value that only Kubernetes sets: for a service called ``retinue-health``, it sets
``RETINUE_HEALTH_PORT`` to ``tcp://10.0.0.7:8080``."""


def _explain(error: ValidationError) -> str:
    """One line a problem, each beginning with the environment variable."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place = [str(part) for part in problem["loc"]]
        name = PREFIX + place[0].upper() if place else ""
        inside = "".join(f"[{part}]" for part in place[1:])
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}{inside}: {text}" if place else text)
    return "\n".join(lines)
