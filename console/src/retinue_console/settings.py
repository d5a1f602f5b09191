"""Everything that can be set about the console."""

import os
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from retinue_sdk import ConfigurationError
from retinue_sdk.options import DescribedModel
from retinue_workers.settings.settings import BY_KUBERNETES, OF_KUBERNETES

from retinue_console.access.guard import LOOPBACK_HOSTS

PREFIX = "RETINUE_CONSOLE_"
"""What the environment variables' names begin with; the rest is the field's name in capitals."""


class ConsoleSettings(DescribedModel):
    """The console's settings, read from environment variables once.

    The database and S3 are those of the other commands: ``RETINUE_QUERY_DATABASE_URL`` and boto3's
    own variables.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True
    )

    host: str = "127.0.0.1"
    """Loopback address to listen on."""

    port: int | None = Field(default=None, ge=0, le=65_535)
    """TCP port; 0 takes a free one. If it isn't set, the first free port from 8600 on is taken."""

    base_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """Path under which a proxy serves the console, such as ``/tools/retinue``."""

    pictures_dir: Path | None = None
    """Folder of the cache of pictures; by default ``pictures`` in ``.retinue`` on a laptop, and
    elsewhere a temporary one that ends with the console."""

    pictures_cache_mb: int = Field(default=1_000, ge=10, le=1_000_000)
    """Most megabytes of pictures in the cache. The least recently used are removed first."""

    @field_validator("base_path", mode="before")
    @classmethod
    def _strip_slash(cls, value: object) -> object:
        return value.rstrip("/") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_loopback(self) -> Self:
        """Refuse to serve others: everyone who reaches the console has all rights."""
        if self.host not in LOOPBACK_HOSTS:
            raise ValueError(
                f"{PREFIX}HOST is {self.host}, and without sign-in the console listens on "
                f"{', '.join(sorted(LOOPBACK_HOSTS))} only"
            )
        return self

    @classmethod
    def load(cls, **given: object) -> Self:
        """Read the environment; ``given`` overrides it, except for what is ``None``.

        Raises:
            ConfigurationError: A variable is unknown or has a bad value.
        """
        found: dict[str, object] = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in os.environ.items()
            if name.startswith(PREFIX) and not _is_by_kubernetes(name, value)
        }
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return cls.model_validate(found | given)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from error


def _is_by_kubernetes(name: str, value: str) -> bool:
    """Return whether Kubernetes set a variable, for a service called ``retinue-console``."""
    is_setting = name.removeprefix(PREFIX).lower() in ConsoleSettings.model_fields
    return bool(BY_KUBERNETES.fullmatch(value) or (not is_setting and OF_KUBERNETES.search(name)))


def _explain(error: ValidationError) -> str:
    """Return one line a problem, each beginning with the environment variable."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        if problem["type"] == "extra_forbidden":
            known = ", ".join(PREFIX + name.upper() for name in ConsoleSettings.model_fields)
            name = PREFIX + str(problem["loc"][0]).upper()
            lines.append(f"{name} isn't a setting. The console's are {known}")
            continue
        name = "".join(f"{PREFIX}{str(part).upper()}: " for part in problem["loc"][:1])
        lines.append(name + problem["msg"].removeprefix("Value error, "))
    return "\n".join(lines)
