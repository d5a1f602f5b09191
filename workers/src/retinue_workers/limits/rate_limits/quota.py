"""One worker's view of a quota: its permits, its share, and its throttled calls."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from retinue_history import QuotaLease, QuotaState
from retinue_sdk.rate_limits import (
    HEADROOM,
    LeakyBucket,
    RateEstimate,
    ThrottleStats,
    is_significant,
)

from retinue_workers.limits.rate_limits.fair_share import FIRST, next_slot_seconds, share

STABLE_AFTER_SECONDS = 1.25
"""How long throttling doesn't count against a new rate. Other workers use old shares until they
renew, and a service that counts the last second's calls still counts the old ones.
"""

RECENT_CALLS = 100.0
"""Number of calls in the statistics. At twice as many, they are halved."""

IDLE_SECONDS = 5.0
"""Seconds without a call after which a worker returns its share."""

LEASE_SECONDS = 5.0
"""Duration of a lease without renewal. Then the others get a dead worker's share."""

DEGRADED = 0.5
"""The part of the last share that a worker uses after its lease expired."""


class SharedQuota:
    """A quota and this worker's share of it.

    Permits are issued on the event loop. ``renew`` runs on a thread, inside the history's
    transaction.

    Args:
        worker: A unique name of this worker.
        configured: Calls per second that the account may make.
        clock: The time in seconds.
    """

    def __init__(
        self, worker: str, configured: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker = worker
        self._configured = configured
        self._clock = clock
        self._lock = Lock()
        self._bucket = LeakyBucket(configured * FIRST, clock=clock)  # the others aren't known yet
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._estimate = RateEstimate(lowered_at=clock())
        self._stats = ThrottleStats()
        self._demand = 0.0
        self._share = 0.0
        self._taken = 0
        self._renewed_at = clock()
        self._used_at = clock() - IDLE_SECONDS
        self._expired = False

    @property
    def epoch(self) -> int:
        """Return the number of times that the estimate was lowered, by this worker's last lease."""
        return self._estimate.epoch

    @property
    def share(self) -> float:
        """Return the calls per second that this worker may make; 0 without a lease."""
        return self._share

    @property
    def idle(self) -> bool:
        """Return whether no call waits, and none was made for a while."""
        return not self._waiting and self._clock() - self._used_at >= IDLE_SECONDS

    def wants(self) -> bool:
        """Record that a call waits. Return whether to renew the lease soon for it."""
        now = self._used_at = self._clock()
        if not self._expired and now - self._renewed_at > LEASE_SECONDS:
            self._expired = True
            self._apply_rate()
        return self._share == 0.0 or (bool(self._waiting) and self._demand < self._share)

    def try_acquire(self) -> int | None:
        """Take a permit if one is due and no other call waits.

        Returns:
            The epoch of the estimate for the call; ``None`` if the call must wait.
        """
        if self._waiting or self._bucket.due() > self._clock():
            return None
        return self._take()

    async def acquire(self) -> int:
        """Wait for a permit, first come first served. Return its epoch, as ``try_acquire`` does."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._schedule()
        await future
        return self._take()

    def _take(self) -> int:
        self._bucket.take()
        with self._lock:
            self._stats.calls += 1
            return self._estimate.epoch

    def _schedule(self) -> None:
        """Wake the first waiting call when its permit is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._waiting[0].done():  # cancelled meanwhile
            self._waiting.popleft()
        if self._waiting:
            wait_seconds = max(0.0, self._bucket.due() - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait_seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._waiting and self._bucket.due() <= self._clock():
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
        self._schedule()

    def throttled(self, epoch: int) -> None:
        """Count a throttled call that was made with the estimate ``epoch``."""
        with self._lock:
            if epoch == self._estimate.epoch:
                self._stats.record_throttled()

    def renew(
        self, state: QuotaState, others: Sequence[QuotaLease]
    ) -> tuple[QuotaState, "Renewed"]:
        """Return the new state of the quota, and this worker's share once the lease is granted.

        Args:
            state: The shared state of the quota.
            others: The other workers' leases.
        """
        now = self._clock()
        usable_rps = self._configured * HEADROOM
        estimate = RateEstimate(state.limit_rps, now - state.lowered_seconds_ago, state.epoch)
        with self._lock:
            own, self._stats = self._stats, ThrottleStats(begun=state.throttled > 0)
            current = self._estimate.epoch == state.epoch
        is_stable = state.limit_rps is None or state.lowered_seconds_ago > STABLE_AFTER_SECONDS
        calls, throttled = state.calls, state.throttled
        if is_stable and current and (throttled or own.throttled):
            calls, throttled = calls + own.calls, throttled + own.throttled
        if is_significant(calls, throttled):
            estimate = estimate.lowered(now, usable_rps, calls=calls, throttled=throttled)
            calls = throttled = 0
        elif calls > 2 * RECENT_CALLS:
            calls, throttled = calls / 2, throttled / 2
        demand = self._demanded(now)
        rate = estimate.rate(now, usable_rps)
        part = share(rate, demand=demand, held=self._share, others=others)
        slot_seconds = next_slot_seconds(self._worker, part, others)
        if slot_seconds is None:
            slot_seconds = self._bucket.slot - now
        lease = QuotaLease(demand, part, slot_seconds, self._worker)
        renewed = Renewed(estimate, lease, self._bucket.taken, now)
        known = QuotaState(
            estimate.limit, state.lowered_seconds_ago, estimate.epoch, calls, throttled
        )
        return known, renewed

    def apply_lease(self, renewed: "Renewed") -> None:
        """Use a lease that was granted."""
        with self._lock:
            if renewed.estimate.epoch != self._estimate.epoch:
                self._stats = ThrottleStats()
            self._estimate = renewed.estimate
            self._demand, self._share = renewed.lease.demand_rps, renewed.lease.share_rps
            self._taken, self._renewed_at = renewed.taken, renewed.at
            self._expired = False
        self._bucket.align(renewed.at + renewed.lease.slot_seconds)
        self._apply_rate()

    def degrade(self) -> None:
        """Continue without the other workers while the database is unavailable.

        Throttling still counts.
        """
        now = self._clock()
        with self._lock:
            stats = self._stats
            if is_significant(stats.calls, stats.throttled):
                before = self._estimate.rate(now, self._configured)
                self._estimate = self._estimate.lowered(
                    now, self._configured, calls=stats.calls, throttled=stats.throttled
                )
                self._stats = ThrottleStats()
                self._share *= self._estimate.rate(now, self._configured) / before
        self._apply_rate()

    def release(self) -> None:
        """Release the share."""
        with self._lock:
            self._demand = self._share = 0.0
        self._set_rate(self._configured * FIRST)

    def _demanded(self, now: float) -> float:
        """Return the demand in calls per second: the calls that were made, and those that wait."""
        seconds = max(now - self._renewed_at, 0.1)
        return (self._bucket.taken - self._taken) / seconds + len(self._waiting)

    def _apply_rate(self) -> None:
        """Use the share as the rate. After the lease expired, others may have divided it."""
        if self._share or not self._expired:
            part = DEGRADED if self._expired else 1.0
            self._set_rate(max(self._share * part, self._configured * 1e-6))

    def _set_rate(self, rate: float) -> None:
        self._bucket.set_rate(rate)
        if self._waiting:
            self._schedule()


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease that is to be granted.

    Attributes:
        estimate: The estimate of the quota.
        lease: This worker's lease.
        taken: Number of calls made until then.
        at: The time.
    """

    estimate: RateEstimate
    lease: QuotaLease
    taken: int
    at: float
