"""Calling AWS: clients, one attempt a call, and the answer as it came."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from botocore.config import Config
from botocore.session import Session
from retinue_aws import Answer, JsonCalls, new_session
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    ImageReference,
    Paced,
    RetinueError,
    RetriableError,
    Turn,
)

from retinue_rekognition.errors import BOTOCORES, CredentialsError, explained, meaning
from retinue_rekognition.options import RekognitionOptions
from retinue_rekognition.s3 import why_unreadable

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_s3 import S3Client


@dataclass(slots=True)
class _Clients:
    """Clients of one session. S3 is asked only when something is wrong, so its client waits."""

    session: Session
    rekognition: "RekognitionClient"
    calls: JsonCalls
    s3: "S3Client | None" = None
    _members: dict[str, frozenset[str]] = field(default_factory=dict)

    def members(self, operation: str) -> frozenset[str]:
        """The fields that an answer may have, as far as botocore knows them."""
        found = self._members.get(operation)
        if found is None:
            shape = self.rekognition.meta.service_model.operation_model(operation).output_shape
            found = frozenset(shape.members) if shape is not None else frozenset()
            self._members[operation] = found
        return found


class AtOnce:
    """A pacer for calls that count against no quota: each may be made at once."""

    def wait(self, quota: str) -> Turn:
        """Return at once."""
        del quota
        return self

    def throttled(self) -> None:
        """Slow nothing down."""

    def accepted(self) -> None:
        """Take note of nothing."""


AT_ONCE = AtOnce()


class Api:
    """Rekognition in one region. Safe to use from several threads.

    botocore retries nothing: when and how often to try again is the worker's affair alone.

    Args:
        options: Endpoints, timeouts and the number of connections.
        region: Where to call.
        paced: Given an operation: waits until it may be called, and is told how it went.
    """

    def __init__(
        self,
        options: RekognitionOptions,
        region: str,
        paced: Callable[[str], Paced] = lambda operation: Paced(AT_ONCE, operation),
    ) -> None:
        """Open nothing yet."""
        self._paced = paced
        self.region = region
        self._options = options
        self._lock = Lock()
        self._clients: _Clients | None = None

    def connect(self) -> None:
        """Make the clients and find credentials; calls nothing that is billed.

        Raises:
            CredentialsError: There are none.
            ConfigurationError: A setting cannot work.
        """
        self._connected()

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            clients, self._clients = self._clients, None
        if clients is not None:
            clients.calls.close()
            clients.rekognition.close()
            if clients.s3 is not None:
                clients.s3.close()

    def call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation once, at its pace.

        Args:
            operation: Its name in the API, such as ``DetectLabels``.
            parameters: Its parameters, in the API's own words.

        Returns:
            The answer as it came, with what botocore's service model does not know yet, and the
            request's id under ``ResponseMetadata``.

        Raises:
            DetectorError: It failed; the class says what to do next.
            ConfigurationError: It can never work.
        """
        clients = self._connected()
        try:
            with self._paced(operation), explained(operation):
                answer = clients.calls.call(operation, parameters)
        except CredentialsError:
            self._forget(clients)
            raise
        return _whole(operation, answer, clients.members(operation))

    def send(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        done: Callable[[dict[str, Any] | RetinueError], None],
    ) -> None:
        """Wait for the operation's pace, then call it once beside others that are under way.

        Args:
            operation: As for ``call``.
            parameters: As for ``call``.
            done: Told what ``call`` would return or raise, once, on a thread that other answers
                come on as well: it must not be kept waiting.

        Raises:
            DetectorError: It could not be sent; the class says what to do next.
            ConfigurationError: It can never work.
        """
        clients = self._connected()
        turn = self._paced(operation)
        turn.begin()

        def told(answer: Answer | Exception) -> None:
            if isinstance(answer, Exception):
                done(self._failed(clients, operation, turn, answer))
                return
            turn.ended()
            outcome: dict[str, Any] | RetinueError
            try:
                outcome = _whole(operation, answer, clients.members(operation))
            except RetriableError as error:
                outcome = error
            done(outcome)

        try:
            clients.calls.send(operation, parameters, told)
        except BOTOCORES as error:
            raise self._failed(clients, operation, turn, error) from error

    def _failed(
        self, clients: _Clients, operation: str, turn: Paced, error: Exception
    ) -> RetinueError:
        """A call went wrong: the error that says what to do next."""
        meant = meaning(error, operation)
        turn.ended(meant)
        if isinstance(meant, CredentialsError):
            self._forget(clients)
        meant.__cause__ = error
        return meant

    def why_unreadable(self, reference: ImageReference, complaint: str) -> DetectorError:
        """Why Rekognition could not read an object: S3 is asked.

        Raises:
            DetectorError: S3 cannot be asked.
        """
        return why_unreadable(self._s3(), reference, self.region, complaint)

    def _connected(self) -> _Clients:
        """The clients, made on first use and after credentials were refused."""
        with self._lock:
            if self._clients is None:
                self._clients = self._connect()
            return self._clients

    def _connect(self) -> _Clients:
        with explained("boto3"):
            # A session of its own, so that a credentials file is read anew.
            session: Any = new_session(self.region)
            if session.get_credentials() is None:
                raise CredentialsError(
                    "there are no AWS credentials: give the worker a task role, or set AWS_PROFILE"
                )
            client = session.create_client(
                "rekognition", config=self._config(), endpoint_url=self._options.endpoint_url
            )
        return _Clients(session, client, JsonCalls(client))

    def _s3(self) -> "S3Client":
        clients = self._connected()
        with self._lock, explained("boto3"):
            if clients.s3 is None:
                clients.s3 = cast("Any", clients.session).create_client(
                    "s3", config=self._config(), endpoint_url=self._options.s3_endpoint_url
                )
            return clients.s3

    def _config(self) -> Config:
        options = self._options
        return Config(
            region_name=self.region,
            connect_timeout=options.connect_timeout_seconds,
            read_timeout=options.read_timeout_seconds,
            max_pool_connections=options.max_concurrency,
            retries={"total_max_attempts": 1, "mode": "standard"},
            user_agent_extra="retinue",
        )

    def _forget(self, clients: _Clients) -> None:
        """Look credentials up anew next time, unless another thread has done so already."""
        with self._lock:
            if self._clients is clients:
                self._clients = None


def find_region(wanted: str | None) -> str:
    """The region that the option names, or else the one that boto3 would use.

    Raises:
        ConfigurationError: There is none.
    """
    if wanted:
        return wanted
    region = os.environ.get("AWS_REGION")  # botocore reads AWS_DEFAULT_REGION alone
    if not region:
        with explained("boto3"):
            region = new_session().get_config_variable("region")
    if not region:
        raise ConfigurationError(
            "option region: no AWS region is known; set it, or AWS_REGION, to the bucket's region, "
            "such as eu-west-1"
        )
    return region


def _whole(operation: str, answer: Answer, members: frozenset[str]) -> dict[str, Any]:
    """The answer from its own bytes."""
    body = answer.body
    if not members & body.keys():
        # A proxy's page, or an answer cut off: it must not pass for "nothing found".
        raise RetriableError(f"{operation}: this is no answer: {str(body)[:200]}")
    if answer.request_id:
        body["ResponseMetadata"] = {"RequestId": answer.request_id}
    return body
