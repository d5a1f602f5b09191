"""What botocore would send, learned from botocore itself."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Protocol

from botocore import xform_name
from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.client import BaseClient
from botocore.compat import HTTPHeaders
from botocore.exceptions import NoCredentialsError

from retinue_aws.signing import ALGORITHM, DATE, Signing

_OF_ONE_CALL = frozenset(
    {
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "content-length",
        "x-amz-date",
        "x-amz-security-token",
    }
)
"""Headers that belong to one call alone."""


class Signer(Protocol):
    """botocore's ``RequestSigner``, as far as it is used here."""

    def get_auth_instance(
        self, signing_name: str, region_name: str, signature_version: str
    ) -> SigV4Auth:
        """What signs a request, with the credentials of this moment, renewed if need be."""


class UnsupportedCallError(ValueError):
    """botocore does not send this call as JSON in a POST, signed with Signature Version 4."""


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """An operation as botocore sends it, all but its parameters and its signature.

    Attributes:
        url: Where to: botocore has chosen the endpoint (region, FIPS, dual stack, one of your own).
        headers: What goes with each call.
        signer: Knows the client's own credentials.
        signing_for: Service, region and version to sign for.
        signing: Signs likewise, and faster; ``None`` if botocore itself must do it.
    """

    url: str
    headers: Mapping[str, str]
    signer: Signer
    signing_for: tuple[str, str, str]
    signing: Signing | None

    def signed_headers(self, body: bytes) -> Mapping[str, str]:
        """All headers of a call with this body.

        Raises:
            BotoCoreError: There are no credentials, or they cannot be renewed.
        """
        signer: Any = self.signer.get_auth_instance(*self.signing_for)
        if signer.credentials is None:
            raise NoCredentialsError
        if self.signing is None:
            request = AWSRequest("POST", self.url, headers=self.headers, data=body)
            signer.add_auth(request)
            return dict(request.headers.items())
        moment = time.strftime(SIGV4_TIMESTAMP, time.gmtime())
        return {**self.headers, **self.signing.authorize(signer.credentials, moment, body)}


def prepare(client: BaseClient, operation: str, parameters: Mapping[str, Any]) -> PreparedCall:
    """Have botocore make a call, and keep what it would have sent; nothing is sent.

    Args:
        client: A boto3 client.
        operation: The operation's name in the API, such as ``ReceiveMessage``.
        parameters: Parameters that botocore finds valid.

    Raises:
        BotoCoreError: botocore would not send it: a wrong parameter, no credentials, no region.
        UnsupportedCallError: It would be sent in another way than those that are known here.
    """
    model = client.meta.service_model
    if "jsonVersion" not in model.metadata:
        raise UnsupportedCallError(f"{model.service_name} does not speak JSON")
    here = get_ident()
    signed: dict[str, Any] = {}
    sent: list[AWSPreparedRequest] = []

    def keep_signer(**event: Any) -> None:
        if get_ident() == here:
            signed.update(event)

    def keep_request(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if get_ident() != here:
            return None  # another thread's call, which is to be sent
        sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), _Nothing())

    events: Any = client.meta.events
    service = model.service_id.hyphenize()
    events.register(f"before-sign.{service}.{operation}", keep_signer)
    events.register_first(f"before-send.{service}.{operation}", keep_request)
    try:
        getattr(client, xform_name(operation))(**parameters)
    finally:
        events.unregister(f"before-sign.{service}.{operation}", keep_signer)
        events.unregister(f"before-send.{service}.{operation}", keep_request)
    (request,) = sent
    headers = {name: _text(value) for name, value in request.headers.items()}
    authorization = headers.get("Authorization", "")
    common = {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_CALL}
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signing_for = (signed["signing_name"], signed["region_name"], signed["signature_version"])
    signing = Signing(
        request.url,
        {name: value for name, value in common.items() if name.lower() in names},
        region=signed["region_name"],
        service=signed["signing_name"],
    )
    if not authorization.startswith(ALGORITHM):
        raise UnsupportedCallError(f"{operation} is not signed with Signature Version 4")
    signer: Any = signed["request_signer"]
    credentials = signer.get_auth_instance(*signing_for).credentials
    body: Any = request.body
    ours = signing.authorize(credentials, headers.get(DATE, ""), body)
    same = ours["Authorization"] == authorization
    return PreparedCall(request.url, common, signer, signing_for, signing if same else None)


class _Nothing:
    """An answer's body, without anything in it that an operation could miss."""

    def stream(self) -> list[bytes]:
        """The whole body."""
        return [b"{}"]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
