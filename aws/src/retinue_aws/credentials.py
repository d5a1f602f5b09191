"""Renew a boto3 client's credentials without blocking the event loop."""

import asyncio
import time
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, CredentialRetrievalError

MANDATORY_SECONDS = 600
"""Credentials that expire sooner aren't used while they are renewed; as in botocore."""


class CurrentCredentials:
    """Provides current credentials. Belongs to one event loop.

    botocore requests expiring credentials from the network, and blocks meanwhile. Here a thread
    does it, once for all calls. Meanwhile calls use the previous credentials, as long as botocore's
    rules allow.

    Args:
        credentials: The client's own; ``None`` if it has none.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials
        self._checked: tuple[int, object] | None = None
        self._last: ReadOnlyCredentials | None = None
        self._renewal: asyncio.Task[ReadOnlyCredentials] | None = None

    async def get(self) -> ReadOnlyCredentials | None:
        """Return credentials that are valid now, or ``None`` if the client has none.

        Raises:
            BotoCoreError: They can't be renewed.
        """
        held: Any = self._credentials
        if held is None:
            return None
        # botocore takes 16 µs to compare the expiry with the time, so it is asked once a second.
        checked = int(time.monotonic()), getattr(held, "_expiry_time", None)
        if checked == self._checked:
            return self._last
        if not isinstance(held, RefreshableCredentials) or not held.refresh_needed():
            self._last = held.get_frozen_credentials()
            self._checked = checked
            return self._last
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(self._forget)
        if self._last is None or held.refresh_needed(MANDATORY_SECONDS):
            return await asyncio.shield(self._renewal)
        return self._last

    async def _renew(self) -> ReadOnlyCredentials:
        held: Any = self._credentials
        try:
            renewed: ReadOnlyCredentials = await asyncio.to_thread(held.get_frozen_credentials)
        except BotoCoreError:
            raise
        except Exception as error:  # a source of credentials can raise anything
            raise CredentialRetrievalError(provider=held.method, error_msg=str(error)) from error
        self._last = renewed
        return renewed

    def _forget(self, renewal: "asyncio.Task[ReadOnlyCredentials]") -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # retrieved, even if no call waits for it
