"""Repeat a call until its service is available."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

import structlog

from retinue_workers.limits.backoff import backoff_seconds
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import NoThreadError

log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")


async def retry_until_available(
    ask: Callable[[], Awaitable[ResultT]],
    *,
    unavailable: type[Exception] | tuple[type[Exception], ...],
    event: str,
    gate: ReceiveGate | None = None,
    cause: str = "",
    failures_before_closing: int = 1,
) -> ResultT:
    """Call ``ask`` until it succeeds, with exponential backoff. Cancellation ends it.

    Args:
        ask: Makes one try.
        unavailable: The errors after which it is called again. It is also called again if no
            thread can be started.
        event: The log event of a failure.
        gate: Closed for ``cause`` while calls fail.
        cause: The gate's cause.
        failures_before_closing: Number of consecutive failures after which the gate closes.

    Raises:
        Exception: Any other error of ``ask``.
    """
    kinds = unavailable if isinstance(unavailable, tuple) else (unavailable,)
    expected: tuple[type[Exception], ...] = (NoThreadError, *kinds)
    for failures in count(1):
        try:
            answer = await ask()
        except expected as error:
            wait_seconds = backoff_seconds(failures - 1)
            log.warning(event, reason=str(error), next_try_seconds=round(wait_seconds, 1))
            if gate is not None and failures >= failures_before_closing:
                gate.close(cause, str(error))
            await asyncio.sleep(wait_seconds)
        else:
            if gate is not None:
                gate.open(cause)
            return answer
    raise AssertionError("count() does not end")
