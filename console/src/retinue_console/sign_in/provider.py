"""An OpenID provider: its addresses, its keys, and its tokens."""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx2
import jwt
from starlette.exceptions import HTTPException

from retinue_console.access.guard import LOOPBACK_HOSTS
from retinue_console.sign_in.claims import ClaimsError

ALGORITHMS = ("RS256", "ES256")
"""The accepted signatures. All need a private key: none can be made from public data."""

LEEWAY_SECONDS = 60
"""Maximum difference of clocks."""

METADATA_SECONDS = 3_600
"""How long the provider's addresses and keys are kept. Keys are also read when one is unknown."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The provider's addresses.

    Attributes:
        authorization_endpoint: Address at which people sign in.
        token_endpoint: Address that exchanges a code for a token.
        jwks_uri: Address of the keys.
        end_session_endpoint: Address at which people sign out, if the provider has one.
        has_basic: Whether the client's secret is sent by HTTP Basic, rather than in the form.
        valid_until: When to read them again, in seconds since 1970.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None
    has_basic: bool
    valid_until: float


class Provider:
    """An OpenID provider.

    Args:
        issuer: Its address.
        client_id: The console's id and secret there.
        client_secret: The console's secret at the provider.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._client = httpx2.Client(timeout=5, follow_redirects=False)
        self._metadata: Metadata | None = None
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._reading = Lock()

    def metadata(self) -> Metadata:
        """Return the provider's addresses.

        Raises:
            HTTPException: The provider doesn't answer, or not with its own addresses.
        """
        with self._reading:
            found = self._metadata
            if found is None or found.valid_until < self._clock():
                found = self._discover()
                self._metadata = found
                self._keys = {}  # the provider may have taken some back
            return found

    def redeem(self, code: str, verifier: str, redirect_uri: str, nonce: str) -> Mapping[str, Any]:
        """Exchange a code, and return the verified claims of the ID token.

        Raises:
            ClaimsError: The provider refuses the code, or its token isn't for this sign-in.
            HTTPException: The provider doesn't answer.
        """
        metadata = self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        basic = None
        if metadata.has_basic:
            basic = httpx2.BasicAuth(_quoted(self._client_id), _quoted(self._client_secret))
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        said = self._object("POST", metadata.token_endpoint, data=form, auth=basic)
        token = said.get("id_token")
        if not isinstance(token, str):
            raise ClaimsError("The identity provider sent no ID token. Does the scope have openid?")
        return self._verified(token, nonce)

    def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=list(ALGORITHMS),
                audience=self._client_id,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "nonce"]},
            )
        except jwt.PyJWTError as error:
            raise ClaimsError(f"The identity provider's token isn't valid: {error}.") from error
        if not isinstance(claims["nonce"], str) or not hmac.compare_digest(
            claims["nonce"].encode(), nonce.encode()
        ):
            raise ClaimsError("The identity provider's token is for another sign-in.")
        parties = claims["aud"]
        if claims.get("azp", self._client_id) != self._client_id or (
            isinstance(parties, list) and len(parties) > 1 and "azp" not in claims
        ):
            raise ClaimsError("The identity provider's token is for another client.")
        return claims

    def _key(self, kid: str | None) -> jwt.PyJWK:
        """Return a key. A provider may change its keys at any time, so an unknown one is fetched.

        Tokens come from the provider alone: strangers can't cause requests by unknown keys.
        """
        with self._reading:
            if kid in self._keys:
                return self._keys[kid]
        jwks = self._object("GET", self.metadata().jwks_uri)
        keys = [
            key
            for key in jwt.PyJWKSet.from_dict(dict(jwks)).keys
            if key.public_key_use in (None, "sig")
        ]
        with self._reading:
            self._keys = {key.key_id: key for key in keys}
            if kid is None and len(keys) == 1:  # a provider with one key need not name it
                return keys[0]
            if kid not in self._keys:
                raise ClaimsError(f"The identity provider has no key {kid!a}.")
            return self._keys[kid]

    def _discover(self) -> Metadata:
        address = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            said = self._object("GET", address)
            return self._metadata_of(said, address)
        except ClaimsError as error:
            raise HTTPException(503, str(error)) from error

    def _metadata_of(self, said: Mapping[str, Any], address: str) -> Metadata:
        if said.get("issuer") != self._issuer:
            raise ClaimsError(
                f"{address} names the issuer {said.get('issuer')!a}, but "
                f"RETINUE_CONSOLE_OIDC_ISSUER is {self._issuer}."
            )
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        end_session = said.get("end_session_endpoint")
        return Metadata(
            self._endpoint(said, "authorization_endpoint"),
            self._endpoint(said, "token_endpoint"),
            self._endpoint(said, "jwks_uri"),
            end_session if isinstance(end_session, str) and is_safe(end_session) else None,
            has_basic="client_secret_basic" in methods,
            valid_until=self._clock() + METADATA_SECONDS,
        )

    def _endpoint(self, said: Mapping[str, Any], name: str) -> str:
        address = said.get(name)
        if not isinstance(address, str) or not is_safe(address):
            raise ClaimsError(f"The identity provider's {name} is {address!a}, not https://….")
        return address

    def _object(self, method: str, address: str, **given: Any) -> Mapping[str, Any]:
        """Send a request, and return the object that the provider answers with.

        Raises:
            ClaimsError: It refuses, or answers with something else.
            HTTPException: It doesn't answer.
        """
        try:
            answer = self._client.request(
                method, address, headers={"Accept": "application/json"}, **given
            )
        except httpx2.HTTPError as error:
            raise HTTPException(
                503, f"The identity provider doesn't answer at {address}: {error}. Try again later."
            ) from error
        if answer.status_code >= 500:
            raise HTTPException(
                503,
                f"The identity provider fails at {address}: {answer.status_code}. Try again later.",
            )
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code != 200 or not isinstance(said, dict):
            reason = said.get("error") if isinstance(said, dict) else None
            raise ClaimsError(
                f"The identity provider refuses at {address}: {reason or answer.status_code}."
            )
        return said


def is_safe(address: str) -> bool:
    """Return whether an address is HTTPS, or stays on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)
    )


def _quoted(text: str) -> str:
    """Return a client's id or secret for HTTP Basic by RFC 6749."""
    return quote_plus(text)
