"""Calling a service of AWS that speaks JSON."""

import time
from collections.abc import Callable, Mapping
from random import random
from threading import Lock
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004
    HTTPClientError,
)
from botocore.parsers import ResponseParserError, create_parser
from botocore.session import Session
from botocore.utils import get_environ_proxies

from retinue_aws.json_text import Answer, encode_json, read_json
from retinue_aws.prepared import PreparedCall, prepare
from retinue_aws.transport import HttpAnswer, Route, Transport, proxy_for

_TRANSIENT = frozenset({500, 502, 503, 504})
_THROTTLED = ("Throttl", "RequestLimitExceeded", "TooManyRequests", "SlowDown")
_REQUEST_ID = b"x-amzn-requestid:"


class JsonCalls:
    """Makes the calls of a boto3 client that are made very often. Safe to use from any thread.

    botocore prepares the first call of each operation, and signs them all, with the client's own
    credentials; so endpoints, FIPS, regions and credentials that expire are botocore's affair.
    What is left out is what costs a millisecond: checking parameters against the service's model,
    asking dozens of event handlers, and taking the answer apart by the model.

    Calls are repeated as the client's configuration says (``total_max_attempts``), for the reasons
    of botocore's standard mode.

    Args:
        client: A boto3 client of a service that speaks JSON.
        ca_bundle: File of the authorities that are trusted; by default as boto3 is configured
            (``AWS_CA_BUNDLE``, or the profile's ``ca_bundle``).
    """

    def __init__(self, client: Any, *, ca_bundle: str | None = None) -> None:
        """Call nothing yet."""
        self._client: BaseClient = client
        self._ca_bundle = ca_bundle
        self._lock = Lock()
        self._prepared: dict[str, tuple[PreparedCall, Transport]] = {}
        self._transports: dict[str, Transport] = {}
        self._route: Route | None = None
        retries: Any = self._client.meta.config.retries or {}
        self._attempts = int(retries.get("total_max_attempts", 1))
        self._errors: Any = create_parser("json")

    def call(self, operation: str, parameters: Mapping[str, Any]) -> Answer:
        """Call an operation.

        Args:
            operation: Its name in the API, such as ``ReceiveMessage``.
            parameters: Its parameters, in the API's own words; bytes are sent in base64.

        Raises:
            ClientError: AWS refuses, with the class and content that botocore gives it.
            BotoCoreError: It cannot be called: no answer, no credentials.
            ResponseParserError: The answer is no JSON object.
            UnsupportedCallError: It is no JSON call signed with Signature Version 4.
        """
        prepared, transport = self._prepared.get(operation) or self._prepare(operation, parameters)
        body = encode_json(parameters)
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            headers = prepared.signed_headers(body)
            try:
                answer = transport.post(headers, body)
            except (ConnectionError, HTTPClientError):
                if last:
                    raise
            else:
                try:
                    return self._told(operation, answer)
                except ClientError as refusal:
                    if last or not _passes(answer.status, refusal):
                        raise
            time.sleep(random() * 2 ** (attempt - 1))  # noqa: S311 - as botocore's standard mode
        raise AssertionError("unreachable")

    def send(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        done: Callable[[Answer | Exception], None],
    ) -> None:
        """Call an operation once, beside others that are under way.

        Args:
            operation: Its name in the API, such as ``DetectLabels``.
            parameters: Its parameters, in the API's own words; bytes are sent in base64.
            done: Told the answer, or what ``call`` would raise, once. That is on a thread which
                it must not keep waiting: answers to other calls come on the same.

        Raises:
            BotoCoreError: It cannot be sent: no credentials, or botocore refuses a parameter.
            UnsupportedCallError: It is no JSON call signed with Signature Version 4.
        """
        prepared, transport = self._prepared.get(operation) or self._prepare(operation, parameters)
        body = encode_json(parameters)

        def read(answer: HttpAnswer | BotoCoreError) -> None:
            if isinstance(answer, BotoCoreError):
                done(answer)
                return
            told: Answer | Exception
            try:
                told = self._told(operation, answer)
            except (ClientError, ResponseParserError) as error:
                told = error
            done(told)

        transport.send(prepared.signed_headers(body), body, read)

    def close(self) -> None:
        """Close connections; those of calls that are under way when they have ended."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()

    def _prepare(
        self, operation: str, parameters: Mapping[str, Any]
    ) -> tuple[PreparedCall, Transport]:
        with self._lock:
            if operation not in self._prepared:
                prepared = prepare(self._client, operation, parameters)
                transport = self._transports.get(prepared.url)
                if transport is None:
                    transport = Transport(prepared.url, self._way(prepared.url))
                    self._transports[prepared.url] = transport
                self._prepared[operation] = prepared, transport
            return self._prepared[operation]

    def _way(self, url: str) -> Route:
        """How the client reaches an address."""
        config: Any = self._client.meta.config
        proxies = config.proxies or get_environ_proxies(url)
        bundle = self._ca_bundle or Session().get_config_variable("ca_bundle")
        return Route(
            connect_timeout_seconds=config.connect_timeout,
            read_timeout_seconds=config.read_timeout,
            proxy_url=proxy_for(url, proxies),
            ca_bundle=bundle or True,
            client_certificate=config.client_cert,
            keep_alive=bool(config.tcp_keepalive),
            connections=config.max_pool_connections,
        )

    def _told(self, operation: str, answer: HttpAnswer) -> Answer:
        """What an answer says.

        Raises:
            ClientError: AWS refuses.
            ResponseParserError: It is no JSON object.
        """
        if answer.status != 200:
            raise self._refusal(operation, answer)
        return _read(operation, answer)

    def _refusal(self, operation: str, answer: HttpAnswer) -> ClientError:
        """The error that botocore would raise for an answer."""
        response = {
            "status_code": answer.status,
            "headers": answer.headers(),
            "body": answer.body,
        }
        parsed: Any = self._errors.parse(response, None)
        told = parsed.get("Error", {})
        code = told.get("QueryErrorCode") or told.get("Code")
        kind: Any = self._client.exceptions.from_code(code)
        refusal: ClientError = kind(parsed, operation)
        return refusal


def _passes(status: int, refusal: ClientError) -> bool:
    """Whether the same call may go well a moment later."""
    code = str(refusal.response.get("Error", {}).get("Code", ""))
    return status in _TRANSIENT or status == 429 or any(word in code for word in _THROTTLED)


def _read(operation: str, answer: HttpAnswer) -> Answer:
    try:
        body = read_json(answer.body) if answer.body else {}
    except ValueError as error:
        raise ResponseParserError(f"{operation}: the answer is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ResponseParserError(f"{operation}: this is no answer: {str(body)[:200]}")
    request_id = ""
    for line in answer.head:
        if line[: len(_REQUEST_ID)].lower() == _REQUEST_ID:
            request_id = line[len(_REQUEST_ID) :].strip().decode("latin-1")
    return Answer(body, request_id)
