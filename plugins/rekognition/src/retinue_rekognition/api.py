"""Call Rekognition: one attempt per call, with errors by the next step and unchanged answers."""

import asyncio
import reprlib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.session import Session
from retinue_aws import AwsClient, RefusedObjects, find_credentials, new_session
from retinue_sdk import ConfigurationError, DetectorError, ImageReference, RetriableError

from retinue_rekognition.errors import RULES, CredentialsError, Rules, explained, meaning
from retinue_rekognition.options import ServiceOptions
from retinue_rekognition.s3 import why_unreadable

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_s3 import S3Client


_JSON_TYPES: Mapping[str, type[Any]] = {"list": list, "map": dict, "string": str, "structure": dict}
"""JSON types of botocore's types, as far as answers are checked."""

_Types: TypeAlias = tuple[type[Any], frozenset[type] | None]
"""The type of a field and, for a list, the types of its items; ``None`` for any."""


@dataclass(slots=True)
class _Clients:
    """Clients of one session with one set of credentials.

    Attributes:
        session: The session.
        rekognition: The client that ``aws`` is built on.
        aws: Calls Rekognition.
        s3: Created on first use. S3 is queried only after an error.
        calls_in_flight: Number of running calls of ``aws``.
    """

    session: Session
    rekognition: "RekognitionClient"
    aws: AwsClient
    s3: "S3Client | None" = None
    calls_in_flight: int = 0
    _members: dict[str, Mapping[str, "_Types"]] = field(default_factory=dict)

    def members(self, operation: str) -> Mapping[str, "_Types"]:
        """Return the fields that an answer may have, with their types from botocore."""
        known = self._members.get(operation)
        if known is None:
            shape = self.rekognition.meta.service_model.operation_model(operation).output_shape
            members = {} if shape is None else shape.members
            known = {name: _types(one) for name, one in members.items()}
            self._members[operation] = known
        return known

    async def aclose(self) -> None:
        """Close all connections."""
        await self.aws.aclose()
        self.rekognition.close()
        if self.s3 is not None:
            self.s3.close()


class Api:
    """Rekognition in one region, for coroutines of one event loop.

    botocore never retries. The worker decides when and how often to retry.

    Args:
        options: Endpoints, timeouts and the number of connections.
        region: The region.
        rate_limited: Returns the rate limiter's context manager for an operation.
    """

    def __init__(
        self,
        options: ServiceOptions,
        region: str,
        rate_limited: Callable[[str], AbstractAsyncContextManager[None]],
    ) -> None:
        self.region = region
        self._options = options
        self._rate_limited = rate_limited
        self._connecting = asyncio.Lock()
        self._clients: _Clients | None = None

    async def connect(self) -> None:
        """Create the clients and find credentials, without a billed call.

        Raises:
            CredentialsError: No credentials are available.
            ConfigurationError: A setting can't work.
        """
        await self._connected()

    async def aclose(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients.aclose()

    async def call(
        self, operation: str, parameters: Mapping[str, Any], rules: Rules = RULES
    ) -> dict[str, Any]:
        """Call an operation once, when its quota allows.

        Args:
            operation: Its name in the API, such as ``DetectLabels``.
            parameters: Its parameters as the API names them.
            rules: The meaning of its error codes.

        Returns:
            The unchanged answer, including fields that botocore's service model doesn't have, and
            the request's id in ``ResponseMetadata``.

        Raises:
            DetectorError: The call failed. Its class decides the next step.
            ConfigurationError: The call can never work.
        """
        clients = self._clients or await self._connected()
        clients.calls_in_flight += 1
        try:
            async with self._rate_limited(operation):
                try:
                    answer = await clients.aws.call(operation, parameters)
                except Exception as error:
                    raise meaning(error, operation, rules) from error
        except CredentialsError:
            if self._clients is clients:
                self._clients = None  # the next call looks for new credentials
            raise
        finally:
            clients.calls_in_flight -= 1
            if clients is not self._clients and not clients.calls_in_flight:
                await clients.aclose()
        body = answer.body
        if not _is_answer(body, clients.members(operation)):
            # A proxy's page must not count as "nothing found".
            raise RetriableError(f"{operation}: unreadable answer: {reprlib.repr(body)}")
        if answer.request_id:
            body["ResponseMetadata"] = {"RequestId": answer.request_id}
        return body

    async def why_unreadable(
        self, reference: ImageReference, complaint: str, objects: RefusedObjects[ImageReference]
    ) -> DetectorError:
        """Ask S3 why Rekognition couldn't read an object.

        Args:
            reference: The object.
            complaint: Rekognition's answer.
            objects: Objects that Rekognition has read.

        Raises:
            DetectorError: S3 can't be queried.
        """
        clients = await self._connected()
        async with self._connecting:
            if clients.s3 is None:
                clients.s3 = await asyncio.to_thread(self._s3_client, clients.session)
        return await asyncio.to_thread(
            why_unreadable, clients.s3, reference, self.region, complaint, objects
        )

    async def _connected(self) -> _Clients:
        """Return the clients. Create them on first use, and after credentials were refused."""
        if self._clients is not None:
            return self._clients
        async with self._connecting:
            if self._clients is None:
                session, client = await asyncio.to_thread(rekognition, self._options, self.region)
                self._clients = _Clients(session, client, AwsClient(client))
            return self._clients

    def _s3_client(self, session: Session) -> "S3Client":
        untyped: Any = session
        with explained("boto3"):
            client: S3Client = untyped.create_client(
                "s3",
                config=_config(self._options, self.region),
                endpoint_url=self._options.s3_endpoint_url,
            )
        return client


def rekognition(options: ServiceOptions, region: str) -> tuple[Session, "RekognitionClient"]:
    """Return a new session and its Rekognition client, which doesn't retry.

    A new session reads the files with credentials again.

    Raises:
        CredentialsError: No credentials are available.
        ConfigurationError: A setting can't work.
    """
    with explained("boto3"):
        session: Any = new_session(region)
        try:
            find_credentials(session)
        except NoCredentialsError as error:
            raise CredentialsError(
                "there are no AWS credentials: give the worker a task role, or set AWS_PROFILE"
            ) from error
        client = session.create_client(
            "rekognition", config=_config(options, region), endpoint_url=options.endpoint_url
        )
    return session, client


def find_region(option: str | None) -> str:
    """Return the region of the option, or of AWS's configuration.

    Raises:
        ConfigurationError: No region is configured.
    """
    if option:
        return option
    with explained("boto3"):
        region: str | None = new_session().get_config_variable("region")
    if not region:
        raise ConfigurationError(
            "option region: no AWS region is known; set it, or AWS_REGION, to the bucket's region, "
            "such as eu-west-1"
        )
    return region


def _config(options: ServiceOptions, region: str) -> Config:
    return Config(
        region_name=region,
        connect_timeout=options.connect_timeout_seconds,
        read_timeout=options.read_timeout_seconds,
        max_pool_connections=options.max_concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra="retinue",
    )


def _types(shape: Any) -> _Types:
    kind = _JSON_TYPES.get(shape.type_name, object)
    item = _JSON_TYPES.get(shape.member.type_name) if kind is list else None
    return kind, None if item is None else frozenset({item, NoneType})


def _is_answer(body: Mapping[str, Any], members: Mapping[str, _Types]) -> bool:
    """Return whether an answer has fields of its operation, all of the right type."""
    has_field = False
    for name, value in body.items():
        types = members.get(name)
        if types is None or value is None:
            continue
        kind, items = types
        if not isinstance(value, kind):
            return False
        if items is not None and not items.issuperset(map(type, value)):
            return False
        has_field = True
    return has_field
