"""HTTP by libcurl, with the proxies, certificates, timeouts and errors that botocore has."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlsplit

import pycurl
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import get_cert_path, mask_proxy_url

from retinue_aws.loop import CallLoop

SLOWEST_BYTES_PER_SECOND = 65_536
"""How slowly a large request may go out before its call is given up."""

_UNREACHABLE = {pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST}
_PROXY = {pycurl.E_COULDNT_RESOLVE_PROXY, 97}
"""97 is libcurl's CURLE_PROXY, for which pycurl has no name."""

_TLS = {
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_ISSUER_ERROR,
}
_CLOSED = {
    pycurl.E_GOT_NOTHING,
    pycurl.E_PARTIAL_FILE,
    pycurl.E_RECV_ERROR,
    pycurl.E_SEND_ERROR,
    pycurl.E_SEND_FAIL_REWIND,
}


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a service.

    Attributes:
        connect_timeout_seconds: How long to wait for a connection.
        read_timeout_seconds: How long the answer may take after that.
        proxy_url: Through which proxy; ``None`` for none.
        ca_bundle: File of the authorities that are trusted; ``True`` for botocore's own.
        client_certificate: File of our own certificate, or of it and its key.
        keep_alive: Whether TCP asks a silent connection whether it is still there.
        connections: Most idle connections that are kept.
    """

    connect_timeout_seconds: float
    read_timeout_seconds: float
    proxy_url: str | None = None
    ca_bundle: str | bool = True
    client_certificate: str | tuple[str, str] | None = None
    keep_alive: bool = False
    connections: int = 10


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back.

    Attributes:
        status: The HTTP status.
        head: Status line and header lines, as they came.
        body: The body.
    """

    status: int
    head: list[bytes]
    body: bytes

    def headers(self) -> dict[str, str]:
        """Header values by their names in lower case."""
        found = {}
        for line in self.head:
            name, separator, value = line.partition(b":")
            if separator:
                found[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        return found


class Transport:
    """Sends requests to one address, on connections that stay open. Safe to use from any thread.

    Args:
        url: The address.
        route: How to reach it.
    """

    def __init__(self, url: str, route: Route) -> None:
        """Connect to nothing yet."""
        self._url = url
        self._route = route
        self._idle: deque[pycurl.Curl] = deque()
        self._unused: deque[pycurl.Curl] = deque()
        self._loop = CallLoop(route.connections)

    def post(self, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        """Send a request once, and wait for the answer.

        Raises:
            BotoCoreError: There is no answer; of the class that botocore would raise.
        """
        curl = self._taken(self._idle)  # the one used last: its connection is surely alive
        head = self._load(curl, headers, body)
        try:
            answer = curl.perform_rb()
        except pycurl.error as error:
            raised = self._explained(curl, *cast("tuple[int, str]", error.args))
            curl.close()
            raise raised from error
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        self._put_back(curl, self._idle)
        return HttpAnswer(status, head, answer)

    def send(
        self,
        headers: Mapping[str, str],
        body: bytes,
        done: Callable[[HttpAnswer | BotoCoreError], None],
    ) -> None:
        """Send a request once, beside others that are under way.

        Args:
            headers: Its headers.
            body: Its body.
            done: Told the answer, or why there is none, on a thread that it must not keep waiting.
        """
        curl = self._taken(self._unused)
        head = self._load(curl, headers, body)
        answer = BytesIO()
        curl.setopt(pycurl.WRITEDATA, answer)

        def ended(error: tuple[int, str] | None) -> None:
            if error is not None:
                raised = self._explained(curl, *error)
                curl.close()
                done(raised)
                return
            status = curl.getinfo(pycurl.RESPONSE_CODE)
            self._put_back(curl, self._unused)
            done(HttpAnswer(status, head, answer.getvalue()))

        self._loop.send(curl, ended)

    def close(self) -> None:
        """Close the connections that are not in use, and those in use as soon as they are not."""
        self._loop.close()
        for handles in (self._idle, self._unused):
            while handles:
                handles.pop().close()

    def _taken(self, handles: deque[pycurl.Curl]) -> pycurl.Curl:
        try:
            return handles.pop()
        except IndexError:
            return self._open()

    def _put_back(self, curl: pycurl.Curl, handles: deque[pycurl.Curl]) -> None:
        if len(handles) < self._route.connections:
            handles.append(curl)
        else:
            curl.close()

    def _load(self, curl: pycurl.Curl, headers: Mapping[str, str], body: bytes) -> list[bytes]:
        """Give a request to a handle; returns where its answer's header lines will be."""
        head: list[bytes] = []
        route = self._route
        patience_seconds = (
            route.connect_timeout_seconds
            + route.read_timeout_seconds
            + len(body) // SLOWEST_BYTES_PER_SECOND
        )
        lines = [f"{name}: {value}" for name, value in headers.items()]
        curl.setopt(pycurl.HTTPHEADER, [*lines, "Expect:"])  # ask nobody before sending
        curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        # What is read cannot be read again. Given as a whole, curl would send it anew when a
        # connection is closed under it, and the service might have done its work by then.
        curl.setopt(pycurl.READFUNCTION, BytesIO(body).read)
        curl.setopt(pycurl.HEADERFUNCTION, head.append)
        curl.setopt(pycurl.TIMEOUT_MS, math.ceil(patience_seconds * 1_000))
        return head

    def _open(self) -> pycurl.Curl:
        route = self._route
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, self._url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)  # signals and threads do not go together
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, math.ceil(route.connect_timeout_seconds * 1_000))
        curl.setopt(pycurl.TCP_KEEPALIVE, int(route.keep_alive))
        curl.setopt(pycurl.PROXY, route.proxy_url or "")  # empty: curl shall find none by itself
        curl.setopt(pycurl.NOPROXY, "")  # botocore has looked at it
        if route.ca_bundle is False:
            curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        else:
            curl.setopt(pycurl.CAINFO, _authorities(route.ca_bundle))
        match route.client_certificate:
            case (certificate, key):
                curl.setopt(pycurl.SSLCERT, certificate)
                curl.setopt(pycurl.SSLKEY, key)
            case str(certificate):
                curl.setopt(pycurl.SSLCERT, certificate)
        return curl

    def _explained(self, curl: pycurl.Curl, code: int, text: str) -> BotoCoreError:
        """What botocore would raise."""
        if code == pycurl.E_OPERATION_TIMEDOUT:
            secure = self._url.startswith("https:")
            connected = curl.getinfo(pycurl.APPCONNECT_TIME if secure else pycurl.CONNECT_TIME)
            kind = ReadTimeoutError if connected else ConnectTimeoutError
            return kind(endpoint_url=self._url, error=text)
        if code in _PROXY or (code in _UNREACHABLE and self._route.proxy_url):
            proxy_url = mask_proxy_url(self._route.proxy_url or "")
            return ProxyConnectionError(proxy_url=proxy_url, error=text)
        if code in _UNREACHABLE:
            return EndpointConnectionError(endpoint_url=self._url, error=text)
        if code in _TLS:
            return SSLError(endpoint_url=self._url, error=pycurl.error(code, text))
        if code in _CLOSED:
            return ConnectionClosedError(endpoint_url=self._url, error=text)
        return HTTPClientError(error=text)


def _authorities(ca_bundle: str | bool) -> str:
    """The file of the authorities that are trusted."""
    return str(get_cert_path(cast("Any", ca_bundle)))


def proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    """The proxy that botocore would take for an address; ``None`` for none."""
    proxy_url = proxies.get(urlsplit(url).scheme)
    if proxy_url is None or "://" in proxy_url:
        return proxy_url
    return f"http://{proxy_url.removeprefix('//')}"
