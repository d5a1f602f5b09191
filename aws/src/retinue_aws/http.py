"""HTTP/1.1 with the proxies, certificates, timeouts and errors of a boto3 client.

httptools parses, asyncio connects, and botocore has resolved the settings. A general HTTP library
costs three times as much for each call (docs/adr/0011-aws-client.md).
"""

import asyncio
import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import aiohappyeyeballs
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

from retinue_aws.connection import (
    ClosedError,
    Connection,
    HttpAnswer,
    ProtocolError,
    TooLargeError,
    TruncatedError,
)

IDLE_SECONDS = 5.0
"""How long an unused connection stays open. It must be less than any service of AWS allows: a
request on a connection that the service is closing fails, and a POST must not be sent twice.
"""

SLOWEST_BYTES_PER_SECOND = 65_536
"""The minimum transfer rate for large bodies."""

_ANOTHER_ADDRESS_SECONDS = 0.25
"""Delay before the next address of a name is tried, too (RFC 8305, section 8)."""


class TruncatedBodyError(ConnectionClosedError, IncompleteReadError):  # type: ignore[misc]
    """The connection was closed before the end of the answer's body."""

    fmt = '{actual_bytes} bytes read of {expected_bytes} from endpoint URL: "{endpoint_url}".'


class BodyTooLargeError(BotoCoreError):
    """The body of an answer is larger than the caller allows."""

    fmt = 'The answer of "{endpoint_url}" is larger than {max_bytes} bytes.'


@dataclass(slots=True)
class _Origin:
    """The destination of requests, and its free connections.

    Attributes:
        host: The server's name or address.
        port: Its port.
        tls: The TLS settings; ``None`` for plain HTTP.
        proxy: The URL of its proxy, if any.
        prefix: The text before the path in the request line: the origin for a proxy that forwards
            the request.
        common: The headers of all requests.
        idle: Free connections, the last used at the end.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: str | None
    prefix: str
    common: str
    idle: list[Connection] = field(default_factory=list)


class HttpSession:
    """Sends requests like a boto3 client. Belongs to one event loop.

    The number of connections isn't limited, as with boto3. Idle ones are closed after
    ``IDLE_SECONDS``.

    Args:
        client: A boto3 client. botocore has resolved its proxies, certificates and timeouts.
        ca_bundle: File of trusted certificate authorities, instead of the client's own.

    Raises:
        InvalidProxiesConfigError: The proxy would forward HTTPS requests without a tunnel.
    """

    def __init__(self, client: BaseClient, ca_bundle: str | None = None) -> None:
        # botocore has no public name for the settings that a client resolved. Resolving them again
        # would need the session, which a client doesn't keep. Contract tests compare with boto3.
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
        self._proxy_context: Any = resolved._setup_proxy_ssl_context  # noqa: SLF001
        config: Any = client.meta.config
        self._connect_timeout: float | None = config.connect_timeout
        self._read_timeout: float = math.inf if config.read_timeout is None else config.read_timeout
        self._origins: dict[str, _Origin] = {}
        self._sweep: asyncio.TimerHandle | None = None

    async def send(
        self, method: str, url: str, headers: str, body: bytes, *, max_bytes: int
    ) -> HttpAnswer:
        """Send a request once and read the answer.

        Connecting may take the client's ``connect_timeout``, and each wait for data its
        ``read_timeout``. In total an answer may take that and a second for each 64 KiB of the
        request's body, or if it has none, of ``max_bytes``.

        Args:
            method: The HTTP method.
            url: The URL, encoded.
            headers: All headers except ``Host``, ``Accept-Encoding`` and ``Content-Length``, as
                ``header_lines`` writes them.
            body: The body.
            max_bytes: Maximum size of an answer's body.

        Raises:
            BodyTooLargeError: The answer's body is larger.
            TruncatedBodyError: The answer's body is shorter than announced.
            BotoCoreError: There is no answer. The class is the one that botocore would raise.
        """
        scheme, _, rest = url.partition("://")
        authority, _, path = rest.partition("/")
        start = f"{scheme}://{authority}"
        origin = self._origins.get(start) or self._resolve(start)
        request = _encode(method, f"{origin.prefix}/{path}", origin.common, headers, body)
        connection = self._take(origin) or await self._connect(origin, url)
        try:
            answer = await connection.exchange(
                method,
                url,
                request,
                max_bytes=max_bytes,
                read_timeout=self._read_timeout,
                total_timeout=self._read_timeout
                + (len(body) or max_bytes) // SLOWEST_BYTES_PER_SECOND,
            )
        except TooLargeError as error:
            raise BodyTooLargeError(endpoint_url=url, max_bytes=max_bytes) from error
        except TruncatedError as error:
            raise TruncatedBodyError(
                endpoint_url=url,
                actual_bytes=error.actual_bytes,
                expected_bytes=error.expected_bytes,
                error=error,
            ) from error
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=url, error=error) from error
        except (ClosedError, ProtocolError, OSError) as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error
        if connection.is_reusable:
            self._give(origin, connection)
        else:
            connection.close()
        return answer

    async def aclose(self) -> None:
        """Close all free connections. A later request opens new ones."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for origin in self._origins.values():
            for connection in origin.idle:
                connection.close()
        self._origins.clear()
        await asyncio.sleep(0)  # closing takes a turn of the loop

    def _take(self, origin: _Origin) -> Connection | None:
        while origin.idle:
            connection = origin.idle.pop()
            if connection.is_reusable:
                return connection
        return None

    def _give(self, origin: _Origin, connection: Connection) -> None:
        origin.idle.append(connection)
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(IDLE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for origin in self._origins.values():
            for connection in origin.idle:
                if connection.active_at <= oldest:
                    connection.close()
            origin.idle = [connection for connection in origin.idle if connection.is_reusable]
        waiting = [origin.idle[0].active_at for origin in self._origins.values() if origin.idle]
        self._sweep = loop.call_later(min(waiting) - oldest, self._close_idle) if waiting else None

    def _resolve(self, start: str) -> _Origin:
        """Determine how to reach a server.

        Args:
            start: The beginning of its URLs: scheme and authority.

        Raises:
            BotoCoreError: A certificate can't be read. botocore, too, reads them when it connects.
        """
        parts = urlsplit(start)
        default = 443 if parts.scheme == "https" else 80
        authority = parts.netloc.rpartition("@")[2].removesuffix(f":{default}")
        common = f"Host: {authority}\r\nAccept-Encoding: identity\r\n"
        proxy: str | None = self._proxies.proxy_url_for(start)
        is_forwarded = proxy is not None and parts.scheme == "http"
        if is_forwarded:
            common += header_lines(self._proxies.proxy_headers_for(proxy))
        origin = _Origin(
            host=parts.hostname or "",
            port=parts.port or default,
            tls=self._tls(start) if parts.scheme == "https" else None,
            proxy=proxy,
            prefix=f"http://{authority}" if is_forwarded else "",
            common=common,
        )
        self._origins[start] = origin
        return origin

    def _tls(self, url: str) -> ssl.SSLContext:
        try:
            return _tls_context(self._verify, *self._certificate)
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=url, error=error) from error
        except OSError as error:
            raise ConnectionClosedError(endpoint_url=url, error=error) from error

    async def _connect(self, origin: _Origin, url: str) -> Connection:
        """Open a connection to a server, through its proxy if it has one.

        Raises:
            BotoCoreError: The connection failed. The class is the one that botocore would raise.
        """
        known: dict[str, Any] = {"endpoint_url": url}
        try:
            async with asyncio.timeout(self._connect_timeout):
                if origin.proxy is not None:
                    return await self._connect_by_proxy(origin, origin.proxy)
                return await self._open(origin.host, origin.port, origin.tls)
        except BotoCoreError:
            raise
        except TimeoutError as error:
            raise ConnectTimeoutError(**known, error=error) from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise SSLError(**known, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(**known, error=error) from error

    async def _connect_by_proxy(self, origin: _Origin, proxy: str) -> Connection:
        parts = urlsplit(proxy)
        is_tls = parts.scheme == "https"
        try:
            context = self._proxy_context(proxy) if is_tls else None
        except InvalidProxiesConfigError as error:
            raise HTTPClientError(error=error) from error
        if is_tls and context is None:
            context = self._tls(proxy)
        masked = mask_proxy_url(proxy)
        try:
            connection = await self._open(
                parts.hostname or "", parts.port or (443 if is_tls else 80), context
            )
        except TimeoutError:
            raise
        except OSError as error:
            raise ProxyConnectionError(proxy_url=masked, error=error) from error
        if origin.tls is None:
            return connection
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        headers = self._proxies.proxy_headers_for(proxy)
        try:
            answer = await connection.exchange(
                "CONNECT",
                proxy,
                _encode("CONNECT", target, f"Host: {target}\r\n", header_lines(headers), b""),
                max_bytes=0,
                read_timeout=math.inf,
                total_timeout=math.inf,
            )
        except (ClosedError, ProtocolError) as error:
            raise ProxyConnectionError(proxy_url=masked, error=error) from error
        if not 200 <= answer.status < 300:
            connection.close()
            refused = f"the proxy refused a tunnel with HTTP status {answer.status}"
            raise ProxyConnectionError(proxy_url=masked, error=refused)
        try:
            transport = await asyncio.get_running_loop().start_tls(
                connection.transport, connection, origin.tls, server_hostname=origin.host
            )
        except BaseException:
            connection.close()
            raise
        connection.connection_made(cast("asyncio.BaseTransport", transport))
        return connection

    async def _open(self, host: str, port: int, tls: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        opened = await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=_ANOTHER_ADDRESS_SECONDS,
            socket_factory=self._socket,
        )
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(loop),
                sock=opened,
                ssl=tls,
                server_hostname=None if tls is None else host,
            )
        except BaseException:
            opened.close()
            raise
        return connection

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        for option in self._socket_options:
            made.setsockopt(*option)
        return made


def header_lines(headers: Mapping[str, str]) -> str:
    """Return headers as a request has them.

    Raises:
        HTTPClientError: One has a line break.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers):
        raise HTTPClientError(error="a header has a line break")
    return lines


def _encode(method: str, target: str, common: str, headers: str, body: bytes) -> bytes:
    """Return an encoded request.

    Raises:
        HTTPClientError: The target has a line break.
    """
    if "\n" in target:
        raise HTTPClientError(error="the URL has a line break")
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\n{common}{headers}{length}\r\n".encode() + body


@cache
def _tls_context(verify: bool | str, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Return botocore's TLS settings for a service.

    They are cached, because they take a megabyte.

    Raises:
        SSLError: A file is invalid, or the authorities can't be read.
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
