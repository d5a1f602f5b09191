"""An OpenID provider, and the key server of a load balancer, on a real socket with real keys."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT_ID = "retinue console"
CLIENT_SECRET = "a secret: of/the client+ümlaut"

SECRET = b"published by mistake, with all keys"

KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP256R1()),
    "other": rsa.generate_private_key(65537, 2048),
}


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(kid: str) -> dict[str, Any]:
    key = KEYS[kid]
    algorithm = jwt.algorithms.ECAlgorithm if kid == "ec" else jwt.algorithms.RSAAlgorithm
    return algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}


def part(value: Mapping[str, Any] | bytes, *, padded: bool = False) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    text = base64.urlsafe_b64encode(data).decode()
    return text if padded else text.rstrip("=")


class IdentityProvider:
    """It signs in whoever asks, as the person whom ``person`` describes.

    Attributes:
        address: Its issuer.
        person: Claims about the person; ``None`` leaves one out.
        keys: Ids of the keys that it publishes.
        kid: The key that it signs with.
        forge: Makes a token of header and claims, instead of signing them.
        refusal: What it answers with instead of a code.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.person: dict[str, Any] = {
            "sub": "17",
            "email": "ann@example.com",
            "email_verified": True,
            "name": "Ann <b>",
            "groups": ["labelling", "unknown"],
        }
        self.keys = ["rsa"]
        self.kid = "rsa"
        self.forge: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
        self.refusal: dict[str, str] | None = None
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def answer(
        self, method: str, path: str, query: dict[str, str], body: dict[str, str], basic: str
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(f"{method} {path}")
        match path:
            case "/.well-known/openid-configuration":
                return self._json(
                    {
                        "issuer": self.address,
                        "authorization_endpoint": f"{self.address}/authorize",
                        "token_endpoint": f"{self.address}/token",
                        "jwks_uri": f"{self.address}/jwks",
                        "end_session_endpoint": f"{self.address}/logout",
                    }
                    | self.metadata
                )
            case "/jwks":
                secret = {"kty": "oct", "kid": "oct", "k": part(SECRET)}
                return self._json({"keys": [*(jwk(kid) for kid in self.keys), secret]})
            case "/authorize":
                assert query["response_type"] == "code"
                assert query["code_challenge_method"] == "S256"
                assert "openid" in query["scope"].split()
                code = secrets.token_urlsafe()
                self._codes[code] = query
                said = self.refusal or {"code": code, "iss": self.address}
                to = f"{query['redirect_uri']}?{urlencode(said | {'state': query['state']})}"
                return 302, {"Location": to}, b""
            case "/token":
                return self._token(body, basic)
            case _ if path.startswith("/keys/") and path.removeprefix("/keys/") in KEYS:
                return 200, {}, pem(KEYS[path.removeprefix("/keys/")])
        return 404, {}, b"{}"

    def _token(self, body: dict[str, str], basic: str) -> tuple[int, dict[str, str], bytes]:
        if basic:
            given = dict(
                parse_qsl("id=" + base64.b64decode(basic).decode().replace(":", "&secret=", 1))
            )
            assert given == {"id": CLIENT_ID, "secret": CLIENT_SECRET}
        else:
            assert (body["client_id"], body["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        asked = self._codes.pop(body["code"], None)
        digest = part(hashlib.sha256(body["code_verifier"].encode()).digest())
        if (
            asked is None
            or asked["code_challenge"] != digest
            or asked["redirect_uri"] != body["redirect_uri"]
        ):
            return self._json({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        } | self.person
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "ES256" if self.kid == "ec" else "RS256", "kid": self.kid}
        if self.forge is not None:
            token = self.forge(header, claims)
        else:
            token = jwt.encode(claims, KEYS[self.kid], header["alg"], header)
        return self._json({"access_token": "a", "token_type": "Bearer", "id_token": token})

    @staticmethod
    def _json(value: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@contextmanager
def running() -> Iterator[IdentityProvider]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, headers, data = provider.answer(
                self.command,
                address.path,
                dict(parse_qsl(address.query)),
                {name: values[0] for name, values in parse_qs(body).items()},
                self.headers.get("Authorization", "").removeprefix("Basic "),
            )
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = IdentityProvider(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
