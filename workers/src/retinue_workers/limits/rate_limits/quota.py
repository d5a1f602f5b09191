"""One quota, as one worker knows it: its slots, its share, and how its calls went."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from retinue_history import QuotaLease, QuotaState
from retinue_sdk.pacing import HEADROOM, RateEstimate, Slots, Tally, telling

from retinue_workers.limits.rate_limits.fair_share import FIRST, share, turn

SETTLE_SECONDS = 1.25
"""How long refusals say nothing about a new rate: other workers go on at old shares until they
renew, and a service that counts the calls of the last second still counts the old ones."""

RECENT_CALLS = 100.0
"""How many calls are looked back on; twice as many are halved."""

IDLE_SECONDS = 5.0
"""A worker that has made no call for so long gives its share back."""

LEASE_SECONDS = 5.0
"""How long a lease holds without renewal; after it, a dead worker's share is the others'."""

ALONE = 0.5
"""Part of the last share that is used once the lease has expired and could not be renewed."""


class SharedQuota:
    """One quota and this worker's part of it. Safe to use from any thread.

    Args:
        worker: What tells this worker from all others.
        configured: Calls a second that the account may make.
        clock: The time in seconds.
    """

    def __init__(
        self, worker: str, configured: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin carefully: the others have not been asked yet."""
        self._worker = worker
        self._configured = configured
        self._clock = clock
        self._lock = Lock()
        self.slots = Slots(configured * FIRST, clock=clock)
        self._estimate = RateEstimate(lowered_at=clock())
        self._tally = Tally()
        self._demand = 0.0
        self._share = 0.0
        self._taken = 0
        self._renewed_at = clock()
        self._used_at = clock() - IDLE_SECONDS
        self._expired = False

    @property
    def epoch(self) -> int:
        """How often the estimate was lowered, as far as this worker knows."""
        return self._estimate.epoch

    @property
    def share(self) -> float:
        """Calls a second that this worker may make now; 0 while it holds no lease."""
        return self._share

    @property
    def idle(self) -> bool:
        """Whether nobody wants a call, and has not for a while."""
        return not self.slots.waiting and self._clock() - self._used_at >= IDLE_SECONDS

    def wants(self, crowd: int = 1) -> bool:
        """Note that so many want a call; whether the lease should be renewed for it at once."""
        now = self._used_at = self._clock()
        if not self._expired and now - self._renewed_at > LEASE_SECONDS:
            self._expired = True
            self._pace()
        waiting = self.slots.waiting + crowd > 1
        return self._share == 0.0 or (waiting and self._demand < self._share)

    def called(self) -> int:
        """Count a call that is made now; which estimate it is made under."""
        with self._lock:
            self._tally.calls += 1
            return self._estimate.epoch

    def throttled(self, epoch: int) -> None:
        """Count the refusal of a call that was made under the estimate ``epoch``."""
        with self._lock:
            if epoch == self._estimate.epoch:
                self._tally.refused()

    def renew(
        self, state: QuotaState, others: Sequence[QuotaLease]
    ) -> tuple[QuotaState, "Renewed"]:
        """What the quota is now, and what this worker takes of it once the lease is granted.

        Args:
            state: What all workers know of it.
            others: What the others hold.
        """
        now = self._clock()
        usable_rps = self._configured * HEADROOM
        estimate = RateEstimate(state.limit_rps, now - state.lowered_seconds_ago, state.epoch)
        with self._lock:
            told, self._tally = self._tally, Tally(begun=state.throttled > 0)
            current = self._estimate.epoch == state.epoch
        settled = state.limit_rps is None or state.lowered_seconds_ago > SETTLE_SECONDS
        calls, throttled = state.calls, state.throttled
        if settled and current and (throttled or told.throttled):
            calls, throttled = calls + told.calls, throttled + told.throttled
        if telling(calls, throttled):
            estimate = estimate.lowered(now, usable_rps, calls=calls, throttled=throttled)
            calls = throttled = 0
        elif calls > 2 * RECENT_CALLS:
            calls, throttled = calls / 2, throttled / 2
        demand = self._demanded(now)
        rate = estimate.rate(now, usable_rps)
        part = share(rate, demand=demand, held=self._share, others=others)
        slot_seconds = turn(self._worker, part, others)
        if slot_seconds is None:
            slot_seconds = self.slots.slot - now
        lease = QuotaLease(demand, part, slot_seconds, self._worker)
        renewed = Renewed(estimate, lease, self.slots.taken, now)
        known = QuotaState(
            estimate.limit, state.lowered_seconds_ago, estimate.epoch, calls, throttled
        )
        return known, renewed

    def adopt(self, renewed: "Renewed") -> None:
        """Go on with a lease that was granted."""
        with self._lock:
            if renewed.estimate.epoch != self._estimate.epoch:
                self._tally = Tally()
            self._estimate = renewed.estimate
            self._demand, self._share = renewed.lease.demand_rps, renewed.lease.share_rps
            self._taken, self._renewed_at = renewed.taken, renewed.at
            self._expired = False
        self._pace()
        self.slots.align(renewed.at + renewed.lease.slot_seconds)

    def alone(self) -> None:
        """Go on without the others: the database is away. Throttling lowers the share as ever."""
        now = self._clock()
        with self._lock:
            tally = self._tally
            if telling(tally.calls, tally.throttled):
                before = self._estimate.rate(now, self._configured)
                self._estimate = self._estimate.lowered(
                    now, self._configured, calls=tally.calls, throttled=tally.throttled
                )
                self._tally = Tally()
                self._share *= self._estimate.rate(now, self._configured) / before
        self._pace()

    def give_back(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._demand = self._share = 0.0
        self.slots.set_rate(self._configured * FIRST)

    def _demanded(self, now: float) -> float:
        """Calls a second that could be made: those that were, and those that wait now."""
        seconds = max(now - self._renewed_at, 0.1)
        return (self.slots.taken - self._taken) / seconds + self.slots.waiting

    def _pace(self) -> None:
        """Make calls at the share; once the lease has ended, others may have divided it."""
        if self._share or not self._expired:
            part = ALONE if self._expired else 1.0
            self.slots.set_rate(max(self._share * part, self._configured * 1e-6))


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease that is about to be granted.

    Attributes:
        estimate: What the quota is believed to be.
        lease: This worker's part.
        taken: How many slots had been taken by then.
        at: When that was.
    """

    estimate: RateEstimate
    lease: QuotaLease
    taken: int
    at: float
