"""HTTP by aiohttp, with the proxies, certificates, timeouts and errors of a boto3 client."""

import asyncio
import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    InvalidProxiesConfigError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import create_urllib3_context, get_cert_path, mask_proxy_url
from yarl import URL

IDLE_SECONDS = 5.0
"""How long an unused connection stays open. It must be less than any service of AWS allows: a
request on a connection that the service is closing fails, and a POST must not be sent twice."""

SLOWEST_BYTES_PER_SECOND = 65_536
"""The lowest transfer rate at which large bodies are still sent and read."""

_LARGE_BODY_BYTES = 1_048_576
"""aiohttp writes larger bodies piece by piece if they are files, and warns if they are bytes."""

_LONGEST_ERROR_BYTES = 1_048_576
"""How much of an error answer is read."""

_LONGEST_HEADER_BYTES = 65_536
"""As in ``http.client``."""

_ALL_NAMES = ("Accept", "Content-Type", "User-Agent")
"""Headers that aiohttp would add. botocore's are complete."""


class TruncatedBodyError(ConnectionClosedError, IncompleteReadError):  # type: ignore[misc]
    """The connection was closed before the whole body of the answer had come."""

    fmt = '{actual_bytes} bytes read of {expected_bytes} from endpoint URL: "{endpoint_url}".'


class BodyTooLargeError(BotoCoreError):
    """The body of an answer is larger than the caller allows."""

    fmt = 'The answer of "{endpoint_url}" is larger than {max_bytes} bytes.'


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP response.

    Attributes:
        url: The requested URL.
        status: The HTTP status.
        headers: Headers, by case-insensitive name.
        body: The body as it was sent, without decompression.
    """

    url: URL
    status: int
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header as text that can be stored, or ``None`` if it's absent or empty."""
        value = self.headers.get(name)
        if not value or value.isascii():
            return value or None
        return value.encode(errors="surrogateescape").decode("latin-1")


class HttpSession:
    """Sends requests as a boto3 client would send them. Belongs to one event loop.

    The number of connections isn't limited, as with boto3. Idle ones are closed after
    ``IDLE_SECONDS``.

    Args:
        client: A boto3 client. botocore has resolved its proxies, certificates and timeouts.
        ca_bundle: File of trusted certificate authorities, in place of the client's own.

    Raises:
        InvalidProxiesConfigError: The proxy is to forward HTTPS requests without a tunnel.
    """

    def __init__(self, client: BaseClient, ca_bundle: str | None = None) -> None:
        # botocore has no public name for what a client resolved. Resolving it again would need the
        # session, which a client doesn't keep; the contract tests hold each setting to boto3's.
        resolved: Any = client._endpoint.http_session  # type: ignore[attr-defined] # noqa: SLF001
        self._verify: bool | str = resolved._verify if ca_bundle is None else ca_bundle  # noqa: SLF001
        self._certificate: tuple[str | None, str | None] = (
            resolved._cert_file,  # noqa: SLF001
            resolved._key_file,  # noqa: SLF001
        )
        self._socket_options: list[tuple[int, int, int]] = resolved._socket_options  # noqa: SLF001
        self._proxies: Any = resolved._proxy_config  # noqa: SLF001
        if self._proxies.settings.get("proxy_use_forwarding_for_https"):
            raise InvalidProxiesConfigError(error="proxy_use_forwarding_for_https isn't supported")
        self._proxy_urls: list[str] = [
            url for url in map(self._proxies.proxy_url_for, ("https://", "http://")) if url
        ]
        self._proxy_context: Any = resolved._setup_proxy_ssl_context  # noqa: SLF001
        config: Any = client.meta.config
        self._timeout = aiohttp.ClientTimeout(
            total=None,  # aiohttp's own costs more than asyncio's
            connect=config.connect_timeout,
            sock_read=config.read_timeout,
        )
        known = config.connect_timeout is not None and config.read_timeout is not None
        self._seconds = config.connect_timeout + config.read_timeout if known else math.inf
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes, *, max_bytes: int
    ) -> HttpAnswer:
        """Send a request once and read the answer.

        Connecting may take the client's ``connect_timeout``, and each wait for data its
        ``read_timeout``. In total a request may take their sum and a second for each 64 KiB of its
        body, or if it has none, of ``max_bytes``.

        Args:
            method: The HTTP method.
            url: The URL, encoded.
            headers: All headers but ``Host`` and ``Content-Length``.
            body: The body.
            max_bytes: The largest body of an answer that is read.

        Raises:
            BodyTooLargeError: The answer's body is larger.
            TruncatedBodyError: The answer's body is shorter than announced.
            BotoCoreError: There is no answer. The class is the one that botocore would raise.
        """
        session = self._session or self._open(str(url))
        proxy_url = self._proxies.proxy_url_for(str(url)) if self._proxy_urls else None
        kind: Any = BytesIO(body) if len(body) > _LARGE_BODY_BYTES else body or None
        seconds = self._seconds + (len(body) or max_bytes) // SLOWEST_BYTES_PER_SECOND
        response = None
        try:
            async with (
                asyncio.timeout(seconds),
                session.request(
                    method, url, headers=headers, data=kind, allow_redirects=False, proxy=proxy_url
                ) as response,
            ):
                if response.status >= 300:
                    received = await _read(response, _LONGEST_ERROR_BYTES)
                elif method == "HEAD":
                    received = b""
                elif (response.content_length or 0) > max_bytes or (
                    len(received := await _read(response, max_bytes)) > max_bytes
                ):
                    raise BodyTooLargeError(endpoint_url=str(url), max_bytes=max_bytes)
                return HttpAnswer(url, response.status, response.headers, received)
        except aiohttp.ClientPayloadError as error:
            raise TruncatedBodyError(
                endpoint_url=str(url),
                actual_bytes=response.content.total_bytes if response else 0,
                expected_bytes=response.content_length if response else None,
                error=error,
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _explain(error, str(url), proxy_url) from error

    async def aclose(self) -> None:
        """Close all connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self, url: str) -> aiohttp.ClientSession:
        """Open a session on the running loop.

        Raises:
            BotoCoreError: A certificate can't be read. botocore, too, reads them when it connects.
        """
        try:
            context = _tls_context(self._verify, *self._certificate)
            proxy_contexts = {url: self._proxy_context(url) for url in self._proxy_urls}
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error
        except InvalidProxiesConfigError as error:
            raise HTTPClientError(error=error) from error
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                proxy_contexts,
                ssl=context,
                limit=0,
                keepalive_timeout=IDLE_SECONDS,
                socket_factory=self._socket if self._socket_options else None,
            ),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            skip_auto_headers=_ALL_NAMES,
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        return self._session

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        for option in self._socket_options:
            made.setsockopt(*option)
        return made


class _Connector(aiohttp.TCPConnector):
    """Connects to proxies with certificates that may differ from the service's."""

    def __init__(self, proxy_contexts: Mapping[str, ssl.SSLContext | None], **options: Any) -> None:
        super().__init__(**options)
        self._proxy_contexts = {
            URL(url).origin(): context for url, context in proxy_contexts.items() if context
        }

    def _get_ssl_context(self, req: ClientRequest) -> ssl.SSLContext | None:
        if self._proxy_contexts and req.proxy is None and req.is_ssl():
            context = self._proxy_contexts.get(req.url.origin())
            if context is not None:
                return context
        return super()._get_ssl_context(req)


@cache
def _tls_context(verify: bool | str, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Return botocore's TLS settings for a service, made once since they take a megabyte.

    Raises:
        SSLError: There is something wrong with a file, or the authorities can't be read.
        OSError: The certificate or the key can't be read.
    """
    context: ssl.SSLContext = create_urllib3_context()
    if verify:
        try:
            context.load_verify_locations(str(get_cert_path(cast("bool", verify))))
        except OSError as error:
            raise ssl.SSLError(str(error)) from error
        context.check_hostname = True  # botocore leaves this to urllib3
    else:
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, or more than ``limit`` bytes of a larger one."""
    expected = response.content_length
    if expected is not None and expected <= limit:
        return await response.read()
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await response.content.readany()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _explain(
    error: aiohttp.ClientError | OSError, url: str, proxy_url: str | None
) -> BotoCoreError:
    """Return the error that botocore would raise."""
    if proxy_url:
        proxy = URL(proxy_url)
        match error:
            case (
                aiohttp.ClientHttpProxyError()
                | aiohttp.ClientConnectorError(host=proxy.host, port=proxy.port)
            ):
                return ProxyConnectionError(proxy_url=mask_proxy_url(proxy_url), error=error)
    known: dict[str, Any] = {"endpoint_url": url, "error": error}
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectTimeoutError(**known)
        case TimeoutError():
            return ReadTimeoutError(**known)
        case ssl.SSLError() | ssl.CertificateError() | aiohttp.ClientSSLError():
            return SSLError(**known)
        case aiohttp.ClientConnectorError():
            return EndpointConnectionError(**known)
        case OSError() | aiohttp.ServerConnectionError() | aiohttp.ClientResponseError():
            return ConnectionClosedError(**known)
        case _:
            return HTTPClientError(error=error)
