"""Limit the calls of a worker's detectors, so that all workers together respect their quotas."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import structlog
from retinue_history import History, HistoryUnavailableError, QuotaLease, QuotaState, Renewal
from retinue_sdk import Permit
from retinue_sdk.rate_limits import known_quota

from retinue_workers.limits.rate_limits.quota import LEASE_SECONDS, Renewed, SharedQuota
from retinue_workers.limits.threads import DaemonThreads

log = structlog.get_logger(__name__)

RENEW_SECONDS = 1.0
"""Renewal interval of a lease while calls are made."""

SOONEST_SECONDS = 0.25
"""Interval until a renewal after throttling or new demand."""


class SharedRateLimiter:
    """Limits calls to this worker's shares of quotas, which the history leases.

    No call waits for the database. While it is unavailable, the last shares apply.

    Args:
        quotas: Calls per second that the account may make, by quota.
        history: Stores the leases.
        threads: Run calls of the history.
        clock: The time in seconds.
    """

    def __init__(
        self,
        quotas: Mapping[str, float],
        history: History,
        threads: DaemonThreads,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.worker = str(uuid4())
        self.quotas = {
            name: SharedQuota(self.worker, rate, clock=clock) for name, rate in quotas.items()
        }
        self._history = history
        self._threads = threads
        self._leased: set[str] = set()
        self._hurry = asyncio.Event()
        self._is_degraded = False

    def try_acquire(self, quota: str) -> Permit | None:
        """Take a permit if one is due and no other call waits.

        Raises:
            ValueError: No detector of this worker has the quota.
        """
        shared = known_quota(self.quotas, quota)
        if shared.wants():
            self._hurry.set()
        epoch = shared.try_acquire()
        return None if epoch is None else _SharedPermit(shared, epoch, self._hurry)

    async def acquire(self, quota: str) -> Permit:
        """Wait until a call against ``quota`` is allowed.

        Raises:
            ValueError: No detector of this worker has the quota.
        """
        permit = self.try_acquire(quota)
        if permit is not None:
            return permit
        shared = known_quota(self.quotas, quota)
        return _SharedPermit(shared, await shared.acquire(), self._hurry)

    async def keep_leases(self) -> None:
        """Renew the leases of quotas in use until cancelled. Then release them."""
        try:
            while True:
                await self._wait()
                await self._renew()
        finally:
            await self._release_leases()

    async def _wait(self) -> None:
        """Wait until the next renewal is due."""
        await asyncio.sleep(SOONEST_SECONDS)
        is_leasing = bool(self._leased) or self._is_degraded
        try:
            async with asyncio.timeout(RENEW_SECONDS - SOONEST_SECONDS if is_leasing else None):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _renew(self) -> None:
        try:
            await self.renew()
        except Exception as error:  # detectors continue with their last shares after any error
            if not self._is_degraded:
                log.warning(
                    "rate_limit_lease_lost",
                    reason=str(error),
                    exc_info=not isinstance(error, HistoryUnavailableError),
                )
            self._is_degraded = True
            for name in self._leased:
                self.quotas[name].degrade()
        else:
            if self._is_degraded:
                log.info("rate_limit_lease_renewed")
            self._is_degraded = False

    async def renew(self) -> None:
        """Renew the leases of quotas in use, and release the others.

        Raises:
            HistoryUnavailableError: The database is unavailable. The last shares apply.
        """
        used = {name for name, quota in self.quotas.items() if not quota.idle}
        released = self._leased - used
        if not used and not released:
            return
        renewed: dict[str, Renewed] = {}
        renewals: dict[str, Renewal] = {
            name: partial(_renewal, name, self.quotas[name], renewed) for name in used
        }
        await self._threads.run(
            self._history.renew_leases, self.worker, LEASE_SECONDS, renewals, released
        )
        for name, lease in renewed.items():
            self.quotas[name].apply_lease(lease)
        for name in released:
            self.quotas[name].release()
        self._leased = used

    async def _release_leases(self) -> None:
        try:
            if self._leased:
                await self._threads.run(
                    self._history.renew_leases, self.worker, LEASE_SECONDS, {}, self._leased
                )
        except Exception as error:  # noqa: BLE001 - the leases expire by themselves
            log.warning("rate_limit_lease_not_released", reason=str(error))


def _renewal(
    name: str,
    quota: SharedQuota,
    renewed: dict[str, Renewed],
    state: QuotaState,
    others: Sequence[QuotaLease],
) -> tuple[QuotaState, QuotaLease]:
    """Renew one quota inside the history's transaction, and store the lease to apply after it."""
    known_state, lease = quota.renew(state, others)
    renewed[name] = lease
    return known_state, lease.lease


@dataclass(slots=True)
class _SharedPermit:
    quota: SharedQuota
    epoch: int
    hurry: asyncio.Event

    def throttled(self) -> None:
        self.quota.throttled(self.epoch)
        self.hurry.set()
