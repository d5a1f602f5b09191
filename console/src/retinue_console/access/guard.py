"""Checks of every request, and headers of every answer."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names under which a browser on the same machine reaches the console."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # addresses hold keys of objects
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware around everything else.

    It refuses requests under a foreign host name, which DNS rebinding sends, and unsafe requests
    from other sites. It adds the security headers to every answer, errors included.

    Args:
        app: The application.
        hosts: The allowed host names; ``None`` for any, where a proxy or load balancer checks.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        app = self._refusal(scope["method"], Headers(scope=scope)) or self._app
        await app(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> ASGIApp | None:
        host = headers.get("host", "")
        if self._hosts is not None and _hostname(f"//{host}") not in self._hosts:
            return PlainTextResponse(
                f"The host name {host!a} is not allowed. Use http://127.0.0.1 and the port.\n",
                421,
            )
        if method not in SAFE_METHODS and not _is_same_origin(headers, host):
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        return None


def _is_same_origin(headers: Headers, host: str) -> bool:
    """Return whether a request comes from the console's own pages, or from no browser.

    All current browsers send Sec-Fetch-Site; older ones send Origin with unsafe requests. The
    scheme isn't compared, since a proxy may end TLS.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or (origin != "null" and urlsplit(origin).netloc == host)


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
