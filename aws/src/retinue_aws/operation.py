"""An operation as botocore prepares it, signed for each call."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import get_ident
from typing import Any, cast

from botocore import xform_name
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse, create_request_object
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.model import OperationModel
from yarl import URL

_SIGNED_ALIKE = "AWS4-HMAC-SHA256 Credential="


@dataclass(slots=True)
class Operation:
    """An operation of a client, prepared by botocore: all but its body and its signature.

    Attributes:
        client: The boto3 client.
        model: The operation as botocore describes it.
        request: botocore's request: URL, headers, and the context for its event handlers.
        url: The URL of that.
        service: The service's name in botocore's events.
        signature: The signature of this second.
    """

    client: BaseClient
    model: OperationModel
    request: Mapping[str, Any]
    url: URL = field(init=False)
    service: str = field(init=False)
    signature: "Signature | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.service = self.model.service_model.service_id.hyphenize()
        self.url = URL(self.request["url"], encoded=True)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.request["method"])

    def event(self, name: str) -> str:
        """Return the full name of one of botocore's events."""
        return f"{name}.{self.service}.{self.model.name}"

    def sign(
        self,
        credentials: ReadOnlyCredentials | None,
        *,
        body: bytes = b"",
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AWSRequest:
        """Have botocore sign a call.

        Args:
            credentials: Whose call it is; ``None`` if botocore signs without.
            body: Its body.
            url: Its URL; by default the operation's.
            headers: Headers in addition to the operation's.

        Raises:
            BotoCoreError: It can't be signed.
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
        self.client.meta.events.emit(
            self.event("request-created"), request=request, operation_name=self.model.name
        )
        return request

    def headers(self, credentials: ReadOnlyCredentials | None, body: bytes) -> dict[str, str]:
        """Return the headers of a call at ``url``, signed.

        Raises:
            BotoCoreError: It can't be signed.
        """
        signature, now = self.signature, int(time.time())
        if signature is None or signature.second != now or signature.credentials != credentials:
            request = self.sign(credentials)
            signature = self.signature = Signature.of(request, now, credentials)
        if signature.signer is None:
            return texts(self.sign(credentials, body=body).headers)
        return signature.headers(body)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature by botocore, and what it has in common with others of the same second.

    botocore takes a request apart for each signature, which costs five times what the signature
    does. Of two calls of an operation in the same second, only the bodies' hashes differ: the last
    line of the canonical request. So the rest of it is kept. The algorithm is botocore's.

    Attributes:
        second: When it was made, in seconds since 1970.
        credentials: By whom.
        signer: Signs another body; ``None`` if botocore has signed in another way.
        request: The request.
        canonical: The canonical request without its last line.
        authorization: The header ``Authorization`` without the signature proper.
        others: All other headers.
    """

    second: int
    credentials: ReadOnlyCredentials | None
    signer: Any
    request: AWSRequest
    canonical: str
    authorization: str
    others: Mapping[str, str]

    @classmethod
    def of(
        cls, request: AWSRequest, second: int, credentials: ReadOnlyCredentials | None
    ) -> "Signature":
        """Take botocore's signature of a request without a body.

        What signs other bodies must give the same signature for this one.
        """
        others = texts(request.headers)
        authorization, _, signature = others.pop("Authorization", "").rpartition("=")
        signer: Any = None
        canonical = ""
        if authorization.startswith(_SIGNED_ALIKE) and "X-Amz-Content-SHA256" not in others:
            scope = authorization.removeprefix(_SIGNED_ALIKE).partition(",")[0]
            *_, region, service, _ = scope.split("/")
            signer = _Signer(cast("ReadOnlyCredentials", credentials), service, region)
            plain = AWSRequest(request.method, request.url, headers=others, data=b"")
            plain.context.update(request.context)
            whole = signer.canonical_request(plain)
            if signer.signature(signer.string_to_sign(plain, whole), plain) != signature:
                signer = None
            canonical = whole.rpartition("\n")[0]
            request = plain
        return cls(second, credentials, signer, request, canonical, authorization, others)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return all headers of a call with this body."""
        whole = f"{self.canonical}\n{sha256(body).hexdigest()}"
        text = self.signer.string_to_sign(self.request, whole)
        signature = self.signer.signature(text, self.request)
        return {**self.others, "Authorization": f"{self.authorization}={signature}"}


class _Signer(SigV4Auth):
    """botocore's signer. It derives the key of the day, region and service once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._derived: dict[tuple[bytes, str], bytes] = {}

    def _sign(self, key: bytes, msg: str, hex: bool = False) -> Any:  # noqa: A002
        if hex:
            return super()._sign(key, msg, hex=True)  # type: ignore[misc]
        derived = self._derived.get((key, msg))
        if derived is None:
            derived = self._derived[key, msg] = super()._sign(key, msg)  # type: ignore[misc]
        return derived


def prepare(client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> Operation:
    """Have botocore prepare a call, and send nothing.

    This may take milliseconds, and more where botocore must ask the network first.

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
            return None  # another thread's call, which is to be sent
        found.append(Operation(client, model, params))
        return AWSResponse(params["url"], 200, HTTPHeaders(), None), {}

    events: Any = client.meta.events
    event = f"before-call.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    events.register_last(event, keep)
    try:
        getattr(client, xform_name(operation))(**parameters)
    finally:
        events.unregister(event, keep)
    return found[0]


def texts(headers: Any) -> dict[str, str]:
    """Return botocore's headers as text."""
    return {
        name: value.decode() if isinstance(value, bytes) else str(value)
        for name, value in headers.items()
    }
