"""Everything that can be set about the console."""

import json
import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from retinue_sdk import ConfigurationError
from retinue_sdk.options import DescribedModel
from retinue_workers.settings.settings import BY_KUBERNETES, OF_KUBERNETES, explain

from retinue_console.access.guard import LOOPBACK_HOSTS
from retinue_console.access.identity import Right

PREFIX = "RETINUE_CONSOLE_"
"""Prefix of the environment variables. The rest is the field's name in capitals."""

NEEDED = {
    "none": (),
    "header": ("trusted_proxies", "proxy_secret"),
    "alb": ("load_balancer_arn", "oidc_issuer", "oidc_client_id"),
    "oidc": ("oidc_issuer", "oidc_client_id", "oidc_client_secret", "public_url"),
}
"""The settings that each way to sign in takes."""


class ConsoleSettings(DescribedModel):
    """The console's settings, read from environment variables once.

    The database and S3 are those of the other commands: ``RETINUE_QUERY_DATABASE_URL`` and boto3's
    own variables.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True
    )

    host: str = "127.0.0.1"
    """Address to listen on. Without sign-in, it must be a loopback address."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    """TCP port; 0 takes a free one. If it isn't set, the first free port from 8600 on is taken."""

    base_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """Path under which a proxy serves the console, such as ``/tools/retinue``."""

    review_database_url: SecretStr | None = None
    """PostgreSQL URL for saving reviews: a login that is a member of ``retinue_reviewer``. On a
    laptop it isn't needed."""

    sign_in: Literal["none", "header", "alb", "oidc"] = "none"
    """How people sign in: not at all, by a proxy's header, by an Application Load Balancer's token,
    or at an OpenID provider. Without sign-in the console serves this machine only, with all
    rights."""

    login_rights: dict[str, frozenset[Right]] = Field(default_factory=dict)
    """Rights by login, as JSON: ``{"ann@example.com": ["admin", "sql"]}``. The rights are
    ``viewer``, ``reviewer``, ``admin`` and ``sql``. Logins have none by default."""

    group_rights: dict[str, frozenset[Right]] = Field(default_factory=dict)
    """Rights by group, as JSON: ``{"labelling": ["reviewer"]}``."""

    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses or networks of the proxy that signs people in, such as ``10.0.3.7,10.0.4.0/24``."""

    proxy_secret: SecretStr | None = Field(default=None, min_length=16)
    """Secret that the proxy sends in the header ``X-Retinue-Proxy-Secret``."""

    login_header: str = Field(default="X-Forwarded-Email", pattern=r"^[A-Za-z0-9-]+$")
    """Header in which the proxy sends the login."""

    groups_header: str = Field(default="X-Forwarded-Groups", pattern=r"^[A-Za-z0-9-]+$")
    """Header in which the proxy sends the groups, with commas between them."""

    load_balancer_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:loadbalancer/app/.+$",
    )
    """ARN of the load balancer that signs people in. Tokens of others are refused."""

    oidc_issuer: str | None = None
    """Address of the OpenID provider, exactly as it calls itself: ``https://id.example.com``."""

    oidc_client_id: str | None = Field(default=None, min_length=1)
    """The console's client id at the OpenID provider."""

    oidc_client_secret: SecretStr | None = Field(default=None, min_length=16)
    """The console's secret at the OpenID provider. Sessions end when it changes."""

    oidc_scopes: str = Field(default="openid email profile", pattern=r"^openid( \S+)*$")
    """Scopes to ask the OpenID provider for. Some need ``groups`` to send groups."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^/?#@\s]+$")
    """Address of the console in browsers, without a path: ``https://retinue.example.com``."""

    login_claim: str = Field(default="email", min_length=1)
    """Claim that is the login. People must not be able to change it. For ``email``, the provider
    must say that it is verified."""

    groups_claim: str = Field(default="groups", min_length=1)
    """Claim with the groups."""

    session_minutes: int = Field(default=480, ge=5, le=1_440)
    """How long an OpenID sign-in lasts. Changes of a person's groups count from the next one on."""

    pictures_dir: Path | None = None
    """Folder of the cache of pictures; by default ``pictures`` in ``.retinue`` on a laptop, and
    elsewhere a temporary one that ends with the console."""

    pictures_cache_mb: int = Field(default=1_000, ge=10, le=1_000_000)
    """Maximum size of the picture cache in megabytes. The least recently used are removed first."""

    @field_validator("base_path", mode="before")
    @classmethod
    def _strip_slash(cls, value: object) -> object:
        return value.rstrip("/") if isinstance(value, str) else value

    @field_validator("login_rights", "group_rights", mode="before")
    @classmethod
    def _parse_rights(cls, value: object) -> object:
        """Read JSON."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'must be JSON such as {{"NAME": ["viewer"]}}: {error}') from error

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [one.strip() for one in value.split(",") if one.strip()]

    @field_validator("oidc_issuer", "public_url", mode="after")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        """Refuse HTTP, except on this machine: an attacker in between could sign in as anyone."""
        if value is None:
            return None
        parts = urlsplit(value)
        is_local = parts.hostname in LOOPBACK_HOSTS
        if not parts.hostname or parts.scheme not in (
            ("https", "http") if is_local else ("https",)
        ):
            raise ValueError(f"must begin with https://, not {value}")
        return value

    @model_validator(mode="after")
    def _check_sign_in(self) -> Self:
        """Refuse a way to sign in that isn't complete, or serving others without any."""
        if self.sign_in == "none":
            if self.host not in LOOPBACK_HOSTS:
                raise ValueError(
                    f"{PREFIX}HOST is {self.host}, and without sign-in the console listens on "
                    f"{', '.join(sorted(LOOPBACK_HOSTS))} only. Set {PREFIX}SIGN_IN"
                )
            return self
        missing = [name for name in NEEDED[self.sign_in] if not getattr(self, name)]
        if missing:
            names = ", ".join(PREFIX + name.upper() for name in missing)
            raise ValueError(f"{PREFIX}SIGN_IN is {self.sign_in}, which also needs {names}")
        if not self.login_rights and not self.group_rights:
            raise ValueError(
                f"no login has a right: set {PREFIX}LOGIN_RIGHTS or {PREFIX}GROUP_RIGHTS"
            )
        return self

    @classmethod
    def load(cls, **given: object) -> Self:
        """Read the environment; values of ``given`` override it, unless they are ``None``.

        Raises:
            ConfigurationError: A variable is unknown or has a bad value.
        """
        found: dict[str, object] = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in os.environ.items()
            if name.startswith(PREFIX) and not _is_by_kubernetes(name, value)
        }
        if unknown := sorted(found.keys() - cls.model_fields.keys()):
            known = ", ".join(PREFIX + name.upper() for name in cls.model_fields)
            raise ConfigurationError(
                "\n".join(
                    f"{PREFIX}{name.upper()} isn't a setting. The console's are {known}"
                    for name in unknown
                )
            )
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return cls.model_validate(found | given)
        except ValidationError as error:
            raise ConfigurationError(explain(error, PREFIX)) from error


def _is_by_kubernetes(name: str, value: str) -> bool:
    """Return whether Kubernetes set a variable, for a service called ``retinue-console``."""
    is_setting = name.removeprefix(PREFIX).lower() in ConsoleSettings.model_fields
    return bool(BY_KUBERNETES.fullmatch(value) or (not is_setting and OF_KUBERNETES.search(name)))
