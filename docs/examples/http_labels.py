"""Label images with an HTTP service."""

import json
from io import BytesIO
from typing import Annotated, ClassVar

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from pydantic import Field, SecretStr
from retinue_sdk import (
    AsyncDetector,
    Capabilities,
    Detection,
    DetectorError,
    DetectorNotReadyError,
    DetectorOptions,
    Findings,
    Image,
    Input,
    InvalidImageError,
    Operational,
    RetriableError,
)

MAX_RESPONSE_BYTES = 2**22
"""Maximum size of a response. Without one, a faulty service could fill the worker's memory."""


class HttpLabelsOptions(DetectorOptions):
    """Address and limits of the service."""

    url: Annotated[str, Field(pattern=r"^https?://")]
    """URL to POST images to. The service returns {"labels": [{"name": ..., "score": ...}]}."""

    api_key: Annotated[SecretStr, Operational()] = SecretStr("")
    """Key for the Authorization header; empty for none."""

    timeout_seconds: Annotated[float, Field(gt=0, le=50), Operational()] = 20
    """Timeout of a request. It must be shorter than the worker's timeout of 60 seconds."""

    max_concurrency: Annotated[int, Field(ge=1, le=256), Operational()] = 32
    """Maximum number of concurrent requests."""


class HttpLabels(AsyncDetector[HttpLabelsOptions]):
    """Returns labels from an HTTP service."""

    name: ClassVar[str] = "http-labels"
    version: ClassVar[str] = "1"
    session: ClientSession | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Ask for files, many calls at the same time."""
        return Capabilities(Input.BYTES, max_concurrency=self.options.max_concurrency)

    async def start(self) -> None:
        """Open a session, which reuses connections."""
        key = self.options.api_key.get_secret_value()
        self.session = ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=ClientTimeout(total=self.options.timeout_seconds),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self.session is not None:
            await self.session.close()
            self.session = None

    async def detect(self, image: Image) -> Findings:
        """Send an image to the service."""
        if self.session is None:
            raise DetectorNotReadyError("not started")
        try:
            async with self.session.post(self.options.url, data=BytesIO(image.read())) as response:
                if response.status != 200:
                    raise _error(response)
                body = json.loads(await _read(response))
            labels = [Detection("label", found["name"], found["score"]) for found in body["labels"]]
        except (ClientError, OSError) as error:  # lost connection, timeout
            raise RetriableError(f"the service does not respond: {type(error).__name__}") from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:  # unexpected response
            raise RetriableError(f"unreadable response: {error!r:.200}") from error
        return Findings(tuple(labels), raw_response=body)


async def _read(response: ClientResponse) -> bytes:
    """Return the body of a response."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise RetriableError(f"the response is larger than {MAX_RESPONSE_BYTES:,} bytes")
    return bytes(body)


def _error(response: ClientResponse) -> DetectorError:
    """Return the error for a status code."""
    message = f"the service returned {response.status}"
    match response.status:
        case 400 | 413 | 415 | 422:  # this image is at fault
            return InvalidImageError(message, code="refused_by_service")
        case 401 | 403 | 404:  # every image would fail
            return DetectorNotReadyError(f"{message}: check the options url and api_key")
    after = response.headers.get("Retry-After", "")
    return RetriableError(
        message,
        retry_after_seconds=float(after) if after.isdigit() else None,
        throttled=response.status == 429,
    )
