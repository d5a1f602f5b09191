"""Call AWS from coroutines, by the rules of a boto3 client."""

import asyncio
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import count
from typing import Any, TypeAlias, cast

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.client import BaseClient
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004
    HTTPClientError,
)
from botocore.hooks import first_non_none_response
from botocore.httpchecksum import handle_checksum_body
from botocore.model import OperationModel
from botocore.utils import percent_encode

from retinue_aws.connection import HttpAnswer
from retinue_aws.credentials import CurrentCredentials
from retinue_aws.http import HttpSession, header_lines
from retinue_aws.json_text import JsonAnswer, encode_json, read_json
from retinue_aws.operation import Operation, prepare, texts
from retinue_aws.parser import AnswerParserFactory, unreadable

LONGEST_ANSWER_BYTES = 67_108_864
"""Maximum size of a JSON answer."""

_Sign: TypeAlias = Callable[[Operation, ReadOnlyCredentials | None], tuple[str, str]]
"""Returns the URL and the signed headers of an attempt."""

_GOOD = AWSResponse("", 200, cast("Any", {}), None)
"""Reports a success to botocore's retry quota."""

_RETRY_QUOTA = 500
"""botocore's quota of retries, to which each success returns at least one
(``botocore.retries.quota``). After this many successes since the last retry, none must be reported.
"""

_KEY = "key"
"""The placeholder for the object's key when botocore prepares a bucket's requests."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in S3, or a part of it.

    Attributes:
        body: The bytes; empty for a HEAD.
        etag: The ETag, in quotation marks as S3 sends it.
        version_id: The version; ``None`` if versioning was never enabled.
        content_length: Length in bytes of the object, or of the requested part.
        headers: All headers of the answer, by lower-case name.
    """

    body: bytes
    etag: str
    version_id: str | None
    content_length: int
    headers: Mapping[str, str]


class AwsClient:
    """Calls a service as a boto3 client does, from coroutines. Belongs to one event loop.

    botocore prepares each operation once, signs every call with the client's own credentials, reads
    error answers and decides about retries. So regions, endpoints, FIPS, credentials, proxies,
    certificates, timeouts and retries are those of the client. Three steps that cost a millisecond
    per call are omitted: checking parameters against the service's model, calling dozens of event
    handlers, and parsing the answer by the model. The retry mode ``adaptive`` acts as ``standard``:
    its rate limiter isn't used.

    A call that is cancelled closes its connection.

    Args:
        client: A boto3 client.
        ca_bundle: File of trusted certificate authorities, instead of the client's own.

    Raises:
        InvalidProxiesConfigError: A proxy is to forward HTTPS requests without a tunnel.
    """

    def __init__(self, client: Any, *, ca_bundle: str | None = None) -> None:
        self._client: BaseClient = client
        self._http = HttpSession(client, ca_bundle)
        self._credentials = CurrentCredentials(client._request_signer._credentials)  # noqa: SLF001
        self._protocol: str = client.meta.service_model.resolved_protocol
        self._parser = AnswerParserFactory().create_parser(self._protocol)
        self._prepared: dict[tuple[str, str], Operation] = {}
        self._preparing = asyncio.Lock()
        self._successes_to_tell = 0

    async def call(self, operation: str, parameters: Mapping[str, Any]) -> JsonAnswer:
        """Call an operation of a service that speaks JSON, such as SQS and Rekognition.

        The client's configuration determines retries. Each attempt is one request.

        Args:
            operation: The operation's name in the API, such as ``ReceiveMessage``.
            parameters: Its parameters as the API names them. Bytes are sent in base64.

        Raises:
            ClientError: AWS answered with an error. Class and content are botocore's. If the body
                has no code, the code is the HTTP status.
            UnreadableAnswerError: AWS answered with success, and the body isn't a JSON object.
            BotoCoreError: There was no answer, or the call can't be sent: no connection, no
                credentials, an invalid parameter in the first call of an operation.
            ValueError: The service doesn't speak JSON, or a number isn't finite.
            TypeError: A parameter can't be sent as JSON.
        """
        if self._protocol != "json":
            raise ValueError(
                f"{self._client.meta.service_model.service_name} doesn't use a JSON protocol"
            )
        body = encode_json(parameters)
        answer = await self._answer(
            (operation, ""),
            parameters,
            lambda prepared, credentials: (
                prepared.url,
                prepared.signed_headers(credentials, body),
            ),
            body,
            LONGEST_ANSWER_BYTES,
        )
        try:
            told = read_json(answer.body) if answer.body else {}
        except (ValueError, RecursionError) as error:
            raise unreadable(_response(answer), "isn't JSON") from error
        if not isinstance(told, dict):
            raise unreadable(_response(answer), "isn't a JSON object")
        return JsonAnswer(told, answer.headers.get("x-amzn-requestid", ""))

    async def get_object(
        self,
        bucket: str,
        key: str,
        version_id: str | None = None,
        *,
        max_bytes: int,
        byte_range: tuple[int, int] | None = None,
    ) -> S3Object:
        """Read an object, or a part of it. Checksums that S3 sends are checked as by boto3.

        Args:
            bucket: The bucket.
            key: The key.
            version_id: The version; by default the current one.
            max_bytes: Maximum size of the body.
            byte_range: First and last byte to read, counted from 0.

        Raises:
            BodyTooLargeError: The body is larger.
            TruncatedBodyError: The connection was closed within the body, in each attempt.
            ClientError: S3 answered with an error. Class and content are botocore's.
            UnreadableAnswerError: The answer has no ETag.
            BotoCoreError: There was no answer, or the request can't be sent.
        """
        headers = {"Range": "bytes={}-{}".format(*byte_range)} if byte_range else {}
        return await self._object("GetObject", bucket, key, version_id, headers, max_bytes)

    async def head_object(self, bucket: str, key: str, version_id: str | None = None) -> S3Object:
        """Read an object's headers. Arguments and errors are those of ``get_object``."""
        return await self._object("HeadObject", bucket, key, version_id, {}, 0)

    async def aclose(self) -> None:
        """Close all connections. A later call opens new ones."""
        await self._http.aclose()

    async def _object(
        self,
        operation: str,
        bucket: str,
        key: str,
        version_id: str | None,
        headers: Mapping[str, str],
        max_bytes: int,
    ) -> S3Object:
        def sign(prepared: Operation, credentials: ReadOnlyCredentials | None) -> tuple[str, str]:
            base = prepared.request["url"].removesuffix(_KEY)
            url = base + percent_encode(key, safe="/~")
            if version_id is not None:
                url += f"?versionId={percent_encode(version_id)}"
            request = prepared.sign(credentials, url=url, headers=headers)
            return str(request.url), header_lines(texts(request.headers))

        answer = await self._answer(
            (operation, bucket), {"Bucket": bucket, "Key": _KEY}, sign, b"", max_bytes
        )
        etag, length = answer.header("etag") or "", answer.header("content-length")
        if not etag.strip('"'):
            raise unreadable(_response(answer), "has no ETag")
        return S3Object(
            body=answer.body,
            etag=etag,
            version_id=answer.header("x-amz-version-id"),
            content_length=int(length) if length and length.isdecimal() else len(answer.body),
            headers=answer.headers,
        )

    async def _answer(
        self,
        key: tuple[str, str],
        parameters: Mapping[str, Any],
        sign: _Sign,
        body: bytes,
        max_bytes: int,
    ) -> HttpAnswer:
        """Send a request until the answer is good or botocore decides against a retry.

        Args:
            key: Operation and bucket that botocore prepares requests for.
            parameters: Parameters for that.
            sign: Returns the URL and the signed headers of an attempt.
            body: The request's body.
            max_bytes: Maximum size of a good answer's body.
        """
        context: dict[str, Any] = {}
        for attempt in count(1):
            prepared = self._prepared.get(key) or await self._prepare(key, parameters)
            url, headers = sign(prepared, await self._credentials.get())
            received: AWSResponse | None = None
            error: ClientError | BotoCoreError
            try:
                answer = await self._http.send(
                    prepared.request["method"], url, headers, body, max_bytes=max_bytes
                )
            except (ConnectionError, HTTPClientError) as failure:
                error = failure
            else:
                if answer.status < 300:
                    if key[1]:
                        _check(prepared, answer)
                    if self._successes_to_tell:
                        self._successes_to_tell -= 1
                        prepared.emit(
                            "after-call",
                            http_response=_GOOD,
                            parsed={},
                            model=prepared.model,
                            context=context,
                        )
                    return answer
                received = _received(answer)
                error = self._refusal(prepared.model, answer)
            context = context or dict(prepared.request["context"])
            delay = await self._delay(prepared, attempt, context, received, error)
            if delay is None:
                raise error
            if key[1]:
                self._prepared.pop(key, None)  # botocore may have learned the bucket's region
            await asyncio.sleep(delay)
        raise AssertionError("unreachable")

    async def _prepare(self, key: tuple[str, str], parameters: Mapping[str, Any]) -> Operation:
        async with self._preparing:
            if key not in self._prepared:
                self._prepared[key] = await asyncio.to_thread(
                    prepare, self._client, key[0], parameters
                )
            return self._prepared[key]

    async def _delay(
        self,
        prepared: Operation,
        attempt: int,
        context: dict[str, Any],
        received: AWSResponse | None,
        error: ClientError | BotoCoreError,
    ) -> float | None:
        """Return botocore's delay before the next attempt in seconds; ``None`` for no attempt."""
        self._successes_to_tell = _RETRY_QUOTA
        speaks_json = self._protocol == "json"
        model = copy(prepared.model)
        if speaks_json:
            # When its retry quota is used up, botocore sleeps before it lets a long poll fail,
            # which it recognises by name. The event loop's thread must not sleep.
            model.name = f"{model.name}-without-sleep"
        ask = partial(
            prepared.emit,
            "needs-retry",
            response=(received, error.response) if isinstance(error, ClientError) else None,
            endpoint=None,
            operation=model,
            attempts=attempt,
            caught_exception=None if isinstance(error, ClientError) else error,
            request_dict={**prepared.request, "context": context},
        )
        # For S3, botocore may request the bucket's region from the network.
        try:
            answers = ask() if speaks_json else await asyncio.to_thread(ask)
        except BotoCoreError:  # the region is unknown, so the request can't be sent
            return None
        delay = first_non_none_response(answers)
        return None if delay is None or delay is False else float(delay)

    def _refusal(self, model: OperationModel, answer: HttpAnswer) -> ClientError:
        """Return the error that botocore would raise for an answer."""
        response = {**_response(answer), "context": {"operation_name": model.name}}
        parsed: Any = self._parser.parse(response, model.output_shape)
        told = parsed["Error"]
        shape = model.service_model.shape_for_error_code(told["Code"])
        if shape is not None:
            parsed.update(self._parser.parse(response, shape))
        kind: Any = self._client.exceptions
        refusal: ClientError = kind.from_code(told.get("QueryErrorCode") or told["Code"])(
            parsed, model.name
        )
        return refusal


class _Raw(BytesIO):
    """A body in urllib3's form."""

    def stream(self) -> list[bytes]:
        return [self.getvalue()]


def _received(answer: HttpAnswer) -> AWSResponse:
    """Return an answer in the form that botocore's event handlers and parsers expect."""
    headers = cast("Any", answer.headers)
    return AWSResponse(answer.url, answer.status, headers, _Raw(answer.body))


def _check(prepared: Operation, answer: HttpAnswer) -> None:
    """Compare an object with S3's checksum, if the answer has one.

    Raises:
        FlexibleChecksumError: They differ.
    """
    context = prepared.request["context"]
    algorithms = context.get("checksum", {}).get("response_algorithms", ())
    if any(f"x-amz-checksum-{algorithm}" in answer.headers for algorithm in algorithms):
        received: Any = _received(answer)
        response = {"headers": received.headers, "body": received.raw, "context": {}}
        handle_checksum_body(received, response, context, prepared.model)
        response["body"].read()


def _response(answer: HttpAnswer) -> dict[str, Any]:
    """Return an answer in the form that botocore's parsers expect."""
    headers = HeadersDict(answer.headers)
    return {"status_code": answer.status, "headers": headers, "body": answer.body}
