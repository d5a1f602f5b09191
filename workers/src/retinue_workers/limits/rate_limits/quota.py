"""One quota as one worker knows it: its permits, its share, and how its calls went."""

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
"""How long throttling says nothing about a new rate: other workers use old shares until they
renew, and a service that counts the calls of the last second still counts the old ones."""

RECENT_CALLS = 100.0
"""How many calls the statistics cover; twice as many are halved."""

IDLE_SECONDS = 5.0
"""A worker that has made no call for so long gives its share back."""

LEASE_SECONDS = 5.0
"""How long a lease holds without renewal; after it, a dead worker's share is the others'."""

DEGRADED = 0.5
"""The part of the last share that is used after the lease expired and could not be renewed."""


class SharedQuota:
    """One quota and this worker's share of it.

    Permits are given out on the event loop. ``renew`` runs on a thread, inside the history's
    transaction.

    Args:
        worker: What tells this worker from all others.
        configured: Calls a second that the account may make.
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
        """Return how often the estimate was lowered, as far as this worker knows."""
        return self._estimate.epoch

    @property
    def share(self) -> float:
        """Calls a second that this worker may make now; 0 while it holds no lease."""
        return self._share

    @property
    def idle(self) -> bool:
        """Return whether no call is wanted, and none was for a while."""
        return not self._waiting and self._clock() - self._used_at >= IDLE_SECONDS

    def wants(self) -> bool:
        """Note that a call is wanted; return whether the lease should be renewed soon for it."""
        now = self._used_at = self._clock()
        if not self._expired and now - self._renewed_at > LEASE_SECONDS:
            self._expired = True
            self._apply_rate()
        return self._share == 0.0 or (bool(self._waiting) and self._demand < self._share)

    def try_acquire(self) -> int | None:
        """Take a permit if one is due and no other call waits.

        Returns:
            The epoch of the estimate that the call is made under; ``None`` if it must wait.
        """
        if self._waiting or self._bucket.due() > self._clock():
            return None
        return self._take()

    async def acquire(self) -> int:
        """Wait for a permit, first come first served; return what ``try_acquire`` returns."""
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
        """Have the first call that waits woken when its permit is due."""
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
        """Count a throttled call that was made under the estimate ``epoch``."""
        with self._lock:
            if epoch == self._estimate.epoch:
                self._stats.record_throttled()

    def renew(
        self, state: QuotaState, others: Sequence[QuotaLease]
    ) -> tuple[QuotaState, "Renewed"]:
        """Return what the quota is now, and this worker's share once the lease is granted.

        Args:
            state: What all workers know of the quota.
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
        """Go on without the other workers, while the database is away; throttling still counts."""
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
        """Hold no share any more."""
        with self._lock:
            self._demand = self._share = 0.0
        self._set_rate(self._configured * FIRST)

    def _demanded(self, now: float) -> float:
        """Calls a second that could be made: those that were, and those that wait now."""
        seconds = max(now - self._renewed_at, 0.1)
        return (self._bucket.taken - self._taken) / seconds + len(self._waiting)

    def _apply_rate(self) -> None:
        """Make calls at the share; once the lease has expired, others may have divided it."""
        if self._share or not self._expired:
            part = DEGRADED if self._expired else 1.0
            self._set_rate(max(self._share * part, self._configured * 1e-6))

    def _set_rate(self, rate: float) -> None:
        self._bucket.set_rate(rate)
        if self._waiting:
            self._schedule()


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease that is about to be granted.

    Attributes:
        estimate: What the quota is believed to be.
        lease: This worker's part.
        taken: How many calls had been made by then.
        at: When that was.
    """

    estimate: RateEstimate
    lease: QuotaLease
    taken: int
    at: float
