"""Signing in at a reverse proxy that names the person in headers."""

from collections.abc import Sequence
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address
from typing import ClassVar

from starlette.requests import HTTPConnection

from retinue_console.access.identity import Grants, Identity, is_name
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.sign_in import SignIn, note_refusal

SECRET_HEADER = "X-Retinue-Proxy-Secret"  # noqa: S105 - a header's name
"""The header with which the proxy proves that a request comes through it."""


class ProxySignIn(SignIn):
    """A proxy signs people in, and names them in a header.

    A request counts only if it comes from one of the proxy's addresses and has the secret.
    """

    advice: ClassVar[str] = "Open the console through the proxy that signs people in."

    def __init__(self, settings: ConsoleSettings, grants: Grants) -> None:
        assert settings.proxy_secret is not None  # noqa: S101 - the settings check it
        self._networks = settings.trusted_proxies
        self._secret = settings.proxy_secret.get_secret_value().encode()
        self._login_header = settings.login_header
        self._groups_header = settings.groups_header
        self._grants = grants

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Return the person whom the proxy names."""
        peer = "" if request.client is None else request.client.host
        if not self._is_trusted(peer):
            note_refusal(f"{peer!a} isn't in RETINUE_CONSOLE_TRUSTED_PROXIES")
            return None
        secrets = request.headers.getlist(SECRET_HEADER)
        if len(secrets) != 1 or not compare_digest(secrets[0].encode(), self._secret):
            note_refusal(f"the proxy at {peer} sent no {SECRET_HEADER}, or another one")
            return None
        logins = _texts(request, self._login_header)
        groups = _texts(request, self._groups_header)
        if not logins:
            return None
        if len(logins) != 1 or len(groups) > 1 or not is_name(logins[0]):
            # A proxy that adds its header to a visitor's instead of replacing it sends two.
            note_refusal(f"the proxy at {peer} names several people, or none: {logins!a}")
            return None
        listed = [group.strip() for text in groups for group in text.split(",")]
        return self._grants.identity(logins[0], None, listed)

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _texts(request: HTTPConnection, header: str) -> Sequence[str]:
    """Return the values of a header, in UTF-8 as proxies write them."""
    return [
        value.encode("latin-1").decode("utf-8", errors="replace").strip()
        for value in request.headers.getlist(header)
    ]
