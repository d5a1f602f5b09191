"""Signing in at an Application Load Balancer, which sends a signed token with each request."""

import re
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, ClassVar

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from retinue_console.access.identity import Grants, Identity
from retinue_console.settings import ConsoleSettings
from retinue_console.sign_in.claims import ClaimsError, identity_of
from retinue_console.sign_in.sign_in import SignIn, note_refusal

TOKEN_HEADER = "x-amzn-oidc-data"  # noqa: S105 - a header's name

LEEWAY_SECONDS = 60
"""Maximum difference of clocks."""

MAX_KEYS = 100
"""Maximum number of keys that are kept. Load balancers change theirs now and then."""

_KID = re.compile(r"[0-9a-fA-F-]{36}")


class LoadBalancerSignIn(SignIn):
    """A load balancer signs people in, and sends the identity provider's claims about them.

    Any load balancer of the region signs with keys that the same address has. The token therefore
    counts only if its signer is the console's own.

    Args:
        settings: They name the load balancer, the provider and the client.
        grants: The rights of logins and groups.
        keys_address: Address of the region's public keys; by default AWS's.
        clock: Returns the time in seconds since 1970.
    """

    advice: ClassVar[str] = "Open the console through its load balancer, which signs people in."

    def __init__(
        self,
        settings: ConsoleSettings,
        grants: Grants,
        *,
        keys_address: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        region = str(settings.load_balancer_arn).split(":")[3]
        self._address = keys_address or f"https://public-keys.auth.elb.{region}.amazonaws.com"
        self._said = {
            "signer": settings.load_balancer_arn,
            "iss": settings.oidc_issuer,
            "client": settings.oidc_client_id,
        }
        self._settings = settings
        self._grants = grants
        self._clock = clock
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._fetching = Lock()

    def identify(self, request: HTTPConnection) -> Identity | None:
        """Return the person whom the load balancer's token is about."""
        tokens = request.headers.getlist(TOKEN_HEADER)
        if not tokens:
            return None
        if len(tokens) > 1:
            note_refusal(f"the request has {len(tokens)} headers {TOKEN_HEADER}")
            return None
        try:
            claims = self._verified(tokens[0])
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            note_refusal(f"{TOKEN_HEADER}: {error}")
            return None
        try:
            return identity_of(claims, self._settings, self._grants)
        except ClaimsError as error:
            raise HTTPException(403, str(error)) from error

    def _verified(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token.

        The signed claims are checked before the key is fetched, so that a stranger's token
        causes no request.
        """
        header = jwt.get_unverified_header(token)
        for name, value in self._said.items():
            if header.get(name) != value:
                raise ClaimsError(f"{name} is {header.get(name)!a} and must be {value}")
        expires = header.get("exp")
        if not isinstance(expires, int | float) or expires + LEEWAY_SECONDS < self._clock():
            raise ClaimsError(f"it expired: exp is {expires!a}")
        kid = header.get("kid")
        if not isinstance(kid, str) or not _KID.fullmatch(kid):
            raise ClaimsError(f"kid is {kid!a}")
        # PyJWT accepts the padding that AWS adds to the parts, and verifies the parts as sent.
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key(kid),
            algorithms=["ES256"],
            leeway=LEEWAY_SECONDS,
            options={"verify_aud": False, "verify_iat": False},
        )
        return claims

    def _key(self, kid: str) -> EllipticCurvePublicKey:
        with self._fetching:
            if kid not in self._keys:
                key = self._fetch(kid)
                if len(self._keys) >= MAX_KEYS:
                    self._keys.pop(next(iter(self._keys)))
                self._keys[kid] = key
            return self._keys[kid]

    def _fetch(self, kid: str) -> EllipticCurvePublicKey:
        try:
            answer = httpx2.get(f"{self._address}/{kid}", timeout=5)
        except httpx2.HTTPError as error:
            raise HTTPException(
                503, f"The load balancer's key can't be fetched from {self._address}: {error}"
            ) from error
        if answer.status_code != 200:
            raise ClaimsError(f"there is no key {kid}: {self._address} says {answer.status_code}")
        key = load_pem_public_key(answer.content)
        if not isinstance(key, EllipticCurvePublicKey):
            raise ClaimsError(f"the key {kid} isn't one of ES256")
        return key
