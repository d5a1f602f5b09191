"""Signing in at an OpenID provider: authorization code with PKCE, and a cookie for the session."""

import hashlib
import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from html import escape
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from retinue_console.access.identity import Grants, Identity
from retinue_console.page import Page
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.claims import ClaimsError, groups_of, login_of, name_of
from retinue_console.sign_in.provider import Provider
from retinue_console.sign_in.sign_in import Render, SignIn, note_refusal

SIGN_IN_SECONDS = 600
"""How long a person may take to sign in at the provider."""

MAX_PENDING = 8
"""How many sign-ins a browser may have begun, such as one a tab. Load balancers refuse requests
with too many cookies."""

MAX_ADDRESS = 1_000
"""Maximum length of the address to return to. A cookie has room for 4,096 characters."""

START_AGAIN = "Open the console again to start over."

_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class SignedOut:
    """The data of the page after signing out.

    Attributes:
        provider_address: Address to sign out of the identity provider too, if it has one.
    """

    provider_address: str | None


class OidcSignIn(SignIn):
    """An OpenID provider signs people in, and a cookie keeps them signed in for some hours.

    The cookie is encrypted with a key that is derived from the client's secret, so that several
    consoles share it without a store.

    Args:
        settings: They name the provider and the client.
        grants: The rights of logins and groups.
        clock: Returns the time in seconds since 1970.
    """

    advice: ClassVar[str] = "Sign in first: open the console in a browser tab. Then try again."
    sign_out: ClassVar[str] = "/sign-out"

    def __init__(
        self,
        settings: ConsoleSettings,
        grants: Grants,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        secret = (
            ""
            if settings.oidc_client_secret is None
            else (settings.oidc_client_secret.get_secret_value())
        )
        client_id = str(settings.oidc_client_id)
        self._provider = Provider(str(settings.oidc_issuer), client_id, secret, clock=clock)
        self._client_id = client_id
        self._settings = settings
        self._grants = grants
        self._base_path = settings.base_path
        self._redirect_uri = f"{settings.public_url}{settings.base_path}/sign-in/callback"
        self._session = _Cookie("session", secret, settings, settings.session_minutes * 60, clock)
        self._pending = _Cookie("sign-in", secret, settings, SIGN_IN_SECONDS, clock)

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Return the person of the cookie's session, with the rights in the settings."""
        session = self._session.read(request)
        if session is None:
            return None
        return self._grants.identity(session["login"], session["name"], session["groups"])

    def routes(self, render: Render) -> Sequence[Route]:
        """Return the routes to sign in and out."""

        def signed_out(request: Request) -> Response:
            # A page with a link: browsers apply form-action to redirects, and so wouldn't follow
            # one from the form to the provider.
            page = Page("signed_out.html", "Signed out", SignedOut(self._end_session_address()))
            return render(request, page)

        return (
            Route("/sign-in", self._start),
            Route("/sign-in/callback", self._finish),
            Route("/sign-out", self._end, methods=["POST"]),
            Route("/signed-out", signed_out),
        )

    def entrance(self, request: Request) -> str | None:
        """Return the address at which signing in begins, and which leads back here.

        It is ``None`` if that address would be too long, as with a long statement on the page SQL:
        the browser then stays at it.
        """
        here = quote(request.scope["path"])
        if request.url.query:
            here += f"?{request.url.query}"
        if len(here) > MAX_ADDRESS:
            return None
        return f"{self._base_path}/sign-in?{urlencode({'next': here})}"

    def _start(self, request: Request) -> Response:
        """Send the browser to the provider.

        By a page, not a redirect: browsers apply form-action to redirects, so a search after the
        session ended would lead nowhere.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": self._settings.oidc_scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        }
        address = self._provider.metadata().authorization_endpoint
        response = _onward(f"{address}{'&' if '?' in address else '?'}{urlencode(query)}")
        next_ = local_address(request.query_params.get("next", ""), self._base_path)
        pending = {"state": state, "nonce": nonce, "verifier": verifier, "next": next_}
        self._pending.limit(request, response, MAX_PENDING)
        self._pending.write(response, pending, of=state)
        return response

    def _finish(self, request: Request) -> Response:
        """Take the provider's answer, and begin a session."""
        query = request.query_params
        state = query.get("state", "")
        pending = self._pending.read(request, of=state)
        if pending is None or not compare_digest(state.encode(), pending["state"].encode()):
            raise HTTPException(
                400,
                "This sign-in took too long, was begun elsewhere, or is finished already. "
                + START_AGAIN,
                headers=self._pending.deletion(of=state),
            )
        try:
            claims = self._claims(query, pending)
            login = login_of(claims, self._settings.login_claim)
        except ClaimsError as error:
            note_refusal(str(error))
            raise HTTPException(
                403, f"{error} {START_AGAIN}", headers=self._pending.deletion(of=state)
            ) from error
        # Only groups with rights: some people are in hundreds, and a cookie is small.
        groups = [one for one in groups_of(claims, self._settings) if one in self._grants.groups]
        response = _redirect(pending["next"])
        self._session.write(
            response, {"login": login, "name": name_of(claims), "groups": sorted(set(groups))}
        )
        self._pending.delete(response, of=state)
        return response

    def _claims(self, query: Mapping[str, str], pending: Mapping[str, Any]) -> Mapping[str, Any]:
        if query.get("iss", self._settings.oidc_issuer) != self._settings.oidc_issuer:
            raise ClaimsError("The answer is from another identity provider.")
        if "error" in query:
            said = query.get("error_description") or query["error"]
            raise ClaimsError(f"The identity provider refused to sign you in: {said[:200]}.")
        return self._provider.redeem(
            query.get("code", ""), pending["verifier"], self._redirect_uri, pending["nonce"]
        )

    def _end(self, request: Request) -> Response:
        """End the session, also for copies of its cookie."""
        self._session.end(request)
        response = _redirect(f"{self._base_path}/signed-out")
        self._session.delete(response)
        return response

    def _end_session_address(self) -> str | None:
        try:
            address = self._provider.metadata().end_session_endpoint
        except HTTPException:
            return None
        if address is None:
            return None
        query = urlencode(
            {
                "client_id": self._client_id,
                "post_logout_redirect_uri": f"{self._settings.public_url}{self._base_path}/",
            }
        )
        return f"{address}{'&' if '?' in address else '?'}{query}"


def local_address(address: str, base_path: str) -> str:
    """Return an address if it is on the console, and the first page's otherwise.

    Browsers take two slashes, or a slash and a backslash, for the beginning of another site, and
    drop tabs and line ends.
    """
    is_local = (
        len(address) <= MAX_ADDRESS
        and _LOCAL.fullmatch(address) is not None
        and address.startswith(f"{base_path}/")
    )
    return address if is_local else f"{base_path}/"


def _redirect(address: str) -> Response:
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})


def _onward(address: str) -> Response:
    """Return a page that leads to another site by itself."""
    address = quote(address, safe=":/%#?=@[]!$&'()*+,;")
    return HTMLResponse(
        '<!doctype html><html lang="en"><title>Sign in · Retinue</title>'
        f'<p><a href="{escape(address)}">Continue to sign in</a></p></html>',
        headers={"Refresh": f"0; url={address}", "Cache-Control": "no-store"},
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


class _Cookie:
    """An encrypted cookie that expires, or several of one purpose.

    ``of`` tells these apart: tabs that are opened together sign in at the same time.

    Args:
        purpose: Its purpose. A cookie of one purpose isn't read for another.
        secret: Secret from which the key is derived.
        settings: They have the console's address.
        seconds: How long it is good for.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        purpose: str,
        secret: str,
        settings: ConsoleSettings,
        seconds: int,
        clock: Callable[[], float],
    ) -> None:
        # Consoles of other clients or providers don't read it, even with the same secret.
        info = json.dumps(
            ["retinue console", purpose, settings.oidc_issuer, settings.oidc_client_id]
        ).encode()
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret.encode())
        self._fernet = Fernet(urlsafe_b64encode(key))
        self._seconds = seconds
        self._clock = clock
        self._is_secure = str(settings.public_url).startswith("https:")
        self._path = settings.base_path or "/"
        # __Host- keeps other hosts of the same domain from setting it, and requires the path /.
        prefix = "" if not self._is_secure else "__Host-" if self._path == "/" else "__Secure-"
        self._name = f"{prefix}retinue-{purpose}"
        self._ended: dict[bytes, float] = {}  # digests, and when they expire anyway

    def read(self, request: HTTPConnection, of: str = "") -> dict[str, Any] | None:
        """Return the cookie's content; ``None`` if it wasn't written here, or is too old."""
        token = request.cookies.get(self._name_of(of))
        if token is None or _digest(token) in self._ended:
            return None
        try:
            text = self._fernet.decrypt_at_time(token, self._seconds, int(self._clock()))
        except (InvalidToken, ValueError):  # the latter if it isn't ASCII
            return None
        written: dict[str, Any] = json.loads(text)
        return written

    def write(self, response: Response, values: Mapping[str, Any], of: str = "") -> None:
        """Set it."""
        text = json.dumps(values, ensure_ascii=False).encode()
        token = self._fernet.encrypt_at_time(text, int(self._clock())).decode()
        self._set(response, self._name_of(of), token, self._seconds)

    def end(self, request: HTTPConnection) -> None:
        """Reject the cookie of a request from now on, including copies."""
        if self.read(request) is None:
            return
        now = self._clock()
        ended = {digest: until for digest, until in self._ended.items() if until > now}
        ended[_digest(request.cookies[self._name])] = now + self._seconds
        self._ended = ended

    def delete(self, response: Response, of: str = "") -> None:
        """Remove it from the browser."""
        self._set(response, self._name_of(of), "", 0)

    def deletion(self, of: str = "") -> dict[str, str]:
        """Return the header that removes it from the browser."""
        response = Response()
        self.delete(response, of)
        return {"Set-Cookie": response.headers["set-cookie"]}

    def limit(self, request: HTTPConnection, response: Response, most: int) -> None:
        """Make room for another: if the browser has so many of them, remove all."""
        ours = re.compile(rf"{self._name}-[0-9a-f]{{16}}")
        names = [name for name in request.cookies if ours.fullmatch(name)]
        for name in names if len(names) >= most else []:
            self._set(response, name, "", 0)

    def _name_of(self, of: str) -> str:
        return self._name if of == "" else f"{self._name}-{_digest(of).hex()[:16]}"

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=self._path,
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )
