"""The AWS endpoint: the laptop's emulator, or a LocalStack that the user names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from retinue_cli.local.errors import LaptopError

if TYPE_CHECKING:
    from boto3.session import Session
    from types_boto3_s3 import S3Client
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

REGION = "us-east-1"
ACCESS_KEY = "test"
SECRET_KEY = "test"  # noqa: S105 - the word that every emulator takes

_AWS_CONFIG = Path(__file__).with_name("aws_config.ini")
_NAMING = ("AWS_ENDPOINT_URL", "LOCALSTACK_HOST", "EDGE_PORT")
_PROXY = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class AwsEndpoint:
    """An AWS endpoint that isn't AWS. It prevents accidental access to a real account.

    Attributes:
        url: Address of all its services.
        region: AWS region.
        access_key: Access key id.
        secret_key: Secret access key.
    """

    url: str
    region: str = REGION
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def environment(self, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return environment variables for a program that uses boto3.

        Args:
            inherited: Variables to pass on. Those that could select another endpoint are removed: a
                profile, a session token, an endpoint of one service, all ``AWS_*``.

        Returns:
            The inherited variables and the endpoint's.
        """
        kept = {
            name: value for name, value in (inherited or {}).items() if not name.startswith("AWS_")
        }
        bypassed = [kept.get(name, "") for name in _PROXY]
        hosts = ",".join(dict.fromkeys(host for host in (*bypassed, self._host) if host))
        return {
            **kept,
            **dict.fromkeys(_PROXY, hosts),  # a company's proxy can't reach this machine
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": str(_AWS_CONFIG),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["sns"]) -> "SNSClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    def client(self, service: Literal["s3", "sns", "sqs"]) -> Any:
        """Return a boto3 client that ignores the environment and the user's AWS files."""
        from botocore.config import Config  # boto3 takes long to import

        return self._session.client(
            service,
            endpoint_url=self.url,
            region_name=self.region,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={"no": self.url},  # not empty, or boto3 would look for a proxy itself
                connect_timeout=5,
                retries={"total_max_attempts": 3, "mode": "standard"},
                max_pool_connections=32,
            ),
        )

    def check(self) -> None:
        """Check that S3 answers at the endpoint.

        Raises:
            LaptopError: Nothing answers, or the answer isn't S3's.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.client("s3").list_buckets()
        except (BotoCoreError, ClientError, ValueError) as error:
            raise LaptopError(
                f"nothing at {self.url} answers like S3 ({error}). Start LocalStack there, or "
                f"unset {', '.join(_NAMING)} to let Retinue start an emulator of its own."
            ) from error

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @cached_property
    def _session(self) -> "Session":
        import boto3
        import botocore.session

        nowhere = (None, None, os.devnull, None)
        core = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),  # AWS_PROFILE may name a missing one
                "config_file": nowhere,
                "credentials_file": nowhere,
            }
        )
        return boto3.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            botocore_session=core,
        )


def named_endpoint(environment: Mapping[str, str] | None = None) -> AwsEndpoint | None:
    """Return the endpoint in the user's environment, by LocalStack's conventions.

    ``AWS_ENDPOINT_URL``, or ``LOCALSTACK_HOST`` (``host`` or ``host:port``) and ``EDGE_PORT``, with
    ``USE_SSL``.

    Args:
        environment: The environment variables. The default is this process's own.

    Returns:
        The endpoint, unchecked: call ``check``. ``None`` if no variable names one.

    Raises:
        LaptopError: A variable isn't an address.
    """
    environment = os.environ if environment is None else environment
    given = {
        name: environment[name].strip() for name in _NAMING if environment.get(name, "").strip()
    }
    if not given:
        return None
    said = ", ".join(f"{name}={value}" for name, value in given.items())
    try:
        url = given.get("AWS_ENDPOINT_URL") or _localstack_url(given, environment)
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (RuntimeError, ValueError):
        complete = None
    if not complete:
        raise LaptopError(
            f"{said} does not name an endpoint. Write AWS_ENDPOINT_URL=http://host:port or "
            "LOCALSTACK_HOST=host:port, or unset it to let Retinue start an emulator of its own."
        )
    if (parts.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        raise LaptopError(
            f"{said} is AWS itself. `retinue run` works with an emulator only: unset it. "
            "To use AWS, deploy with `make deploy`."
        )
    return AwsEndpoint(url.rstrip("/"))


def _localstack_url(given: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Return localstack-client's URL. localstack-client no longer reads ``EDGE_PORT``."""
    from localstack_client import config  # type: ignore[import-untyped]

    host = given.get("LOCALSTACK_HOST", "localhost")
    if ":" not in host:
        host = f"{host}:{given.get('EDGE_PORT', config.DEFAULT_EDGE_PORT)}"
    url = config.get_service_endpoint("s3", localstack_host=host)
    secure = environment.get("USE_SSL", "").strip().lower() in ("1", "true")
    parts = urlsplit(str(url))
    return parts._replace(scheme="https" if secure else "http").geturl()
