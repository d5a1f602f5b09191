"""Let botocore prepare an operation, and sign each call."""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import get_ident
from typing import Any, TypeAlias

from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse, create_request_object
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.model import OperationModel

from retinue_aws.http import header_lines

_SignBody: TypeAlias = Callable[[bytes], str]
"""Returns all headers of a call with this body."""


@dataclass(slots=True)
class Operation:
    """An operation of a client, prepared by botocore: all but its body and its signature.

    Attributes:
        client: The boto3 client.
        event_suffix: Service and operation in the names of botocore's events.
        model: The operation as botocore describes it.
        request: botocore's request: URL, headers, and the context for its event handlers.
        url: The URL of that.
    """

    client: BaseClient
    event_suffix: str
    model: OperationModel
    request: Mapping[str, Any]
    url: str
    _signed: tuple[int, ReadOnlyCredentials | None] | None = field(default=None, init=False)
    _sign_body: _SignBody | None = field(default=None, init=False)

    def emit(self, event: str, **details: Any) -> Any:
        """Call botocore's event handlers of this operation, and return their answers."""
        return self.client.meta.events.emit(f"{event}.{self.event_suffix}", **details)

    def sign(
        self,
        credentials: ReadOnlyCredentials | None,
        *,
        body: bytes = b"",
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AWSRequest:
        """Let botocore sign a call.

        Args:
            credentials: The caller's credentials; ``None`` if the client has none.
            body: Its body.
            url: Its URL; by default the operation's.
            headers: Headers in addition to the operation's.

        Raises:
            BotoCoreError: It can't be signed, such as without credentials.
        """
        context = dict(self.request["context"])
        if credentials is not None:
            key, secret, token = credentials[:3]
            whose = Credentials(str(key), str(secret), token)
            context["signing"] = {**context.get("signing", {}), "request_credentials": whose}
        request: AWSRequest = create_request_object(
            {
                **self.request,
                "url": url or self.request["url"],
                "headers": {**self.request["headers"], **(headers or {})},
                "body": body,
                "context": context,
            }
        )
        self.emit("request-created", request=request, operation_name=self.model.name)
        return request

    def signed_headers(self, credentials: ReadOnlyCredentials | None, body: bytes) -> str:
        """Return all headers of a call at ``url``. Errors are those of ``sign``."""
        signed = int(time.time()), credentials
        if signed != self._signed:
            self._sign_body = _sign_bodies(self.sign(credentials), credentials)
            self._signed = signed
        if self._sign_body is None:
            return header_lines(texts(self.sign(credentials, body=body).headers))
        return self._sign_body(body)


def _sign_bodies(request: AWSRequest, credentials: ReadOnlyCredentials | None) -> _SignBody | None:
    """Return a function that signs a request for other bodies than its empty one.

    botocore parses a request for each signature, which takes five times as long as the signature.
    Of two calls of an operation in the same second, only the bodies' hashes differ: the last line
    of the canonical request. So the hash of the rest is kept, and the key of the day, region and
    service ("Create a signed AWS API request" in the IAM user guide). For the empty body the result
    must be what botocore made; or else ``None`` is returned.
    """
    others = texts(request.headers)
    made = others.pop("Authorization", "")
    common = made.rpartition("Signature=")[0]
    scope = common.partition(",")[0].split("/")
    if len(scope) != 5 or credentials is None or "X-Amz-Date" not in others:
        return None
    if "X-Amz-Content-SHA256" in others:  # a header that depends on the body
        return None
    signer = SigV4Auth(credentials, scope[3], scope[2])
    plain = AWSRequest(request.method, request.url, headers=others, data=b"")
    plain.context["timestamp"] = others["X-Amz-Date"]
    request_before_body = signer.canonical_request(plain).rpartition("\n")[0] + "\n"
    text_before_request = signer.string_to_sign(plain, "").rpartition("\n")[0] + "\n"
    hashed = sha256(request_before_body.encode())
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (scope[1], scope[2], scope[3], "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    # Unlike `hmac.digest`, a copy doesn't release the interpreter's lock for these few bytes.
    keyed = hmac.new(key, text_before_request.encode(), "sha256")
    lines = header_lines(others)

    def sign(body: bytes) -> str:
        canonical = hashed.copy()
        canonical.update(sha256(body).hexdigest().encode())
        signature = keyed.copy()
        signature.update(canonical.hexdigest().encode())
        return f"{lines}Authorization: {common}Signature={signature.hexdigest()}\r\n"

    return sign if sign(b"") == header_lines({**others, "Authorization": made}) else None


def prepare(client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Operation:
    """Let botocore prepare a call without sending it. This takes milliseconds.

    Args:
        client: A boto3 client.
        operation: The operation's name in the API, such as ``ReceiveMessage``.
        parameters: Parameters that botocore finds valid.

    Raises:
        BotoCoreError: botocore would not send it: a wrong parameter, no region.
    """
    here = get_ident()
    found: list[Operation] = []

    def keep(model: OperationModel, params: dict[str, Any], **_: Any) -> Any:
        if get_ident() != here:
            return None  # another thread's call, which must be sent
        found.append(Operation(client, suffix, model, params, params["url"]))
        return AWSResponse(params["url"], 200, HTTPHeaders(), None), {}

    events: Any = client.meta.events
    suffix = f"{client.meta.service_model.service_id.hyphenize()}.{operation}"
    events.register_last(f"before-call.{suffix}", keep)
    try:
        getattr(client, xform_name(operation))(**parameters)
    finally:
        events.unregister(f"before-call.{suffix}", keep)
    return found[0]


def texts(headers: Any) -> dict[str, str]:
    """Return botocore's headers as text."""
    return {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
    }
