"""Space calls within a quota, and estimate the quota's real limit."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, TypeVar

from retinue_sdk.errors import RetriableError

HEADROOM = 0.98
"""The share of a quota that is used, so that a slightly early call stays within the limit."""

STEP = 0.03
"""How far below the limit the rate restarts after throttling, as a fraction of the limit."""

CLIMB_SECONDS = 6.0
"""Seconds until the rate reaches the limit again. Then it probes above the limit."""

FLOOR = 0.01
"""The lowest rate, as a fraction of the configured quota."""

CATCH_UP_SECONDS = 0.1
"""Delays up to this long are compensated by shorter gaps. Longer ones are lost."""

_WINDOW_CALLS = 1_000
"""Maximum number of past calls that a bucket remembers."""


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """An estimate of a quota's real limit. It starts from the configured value.

    It decreases multiplicatively and increases along TCP CUBIC's curve (RFC 9438): after throttling
    the rate climbs quickly at first, stays just below the last limit, and then rises with growing
    speed. After the provider lowers a quota, calls rarely exceed it. After the provider raises it,
    the rate follows within a minute.

    Attributes:
        limit: Calls per second at which throttling began; ``None`` if none was throttled.
        lowered_at: When throttling began, in seconds on a monotonic clock.
        epoch: How often the estimate was lowered. Only calls since the last time are informative.
    """

    limit: float | None = None
    lowered_at: float = 0.0
    epoch: int = 0

    def rate(self, now: float, configured: float) -> float:
        """Return the allowed calls per second at a time.

        Args:
            now: The time on the clock of ``lowered_at``.
            configured: The configured quota, which is never exceeded.
        """
        if self.limit is None:
            return configured
        climbed = min((now - self.lowered_at) / CLIMB_SECONDS, 1e6)
        rate = self.limit * (1 + STEP * (climbed - 1) ** 3)
        return max(FLOOR * configured, min(configured, rate))

    def lowered(
        self, now: float, configured: float, *, calls: float, throttled: float
    ) -> "RateEstimate":
        """Return a lower estimate, after some calls were throttled.

        The accepted calls are the best measure of the limit. A few calls measure it badly, so two
        standard deviations (of a Poisson distribution) of the throttled calls are ignored, and one
        step at most halves the limit. Calls that were too close together by chance therefore
        cost little, and a quota that really fell is found in two or three steps.

        Args:
            now: The time on the clock of ``lowered_at``.
            configured: The configured quota.
            calls: Calls made since the last time.
            throttled: Number of throttled calls among them; 1 or more.
        """
        sure = max(throttled - 2 * throttled**0.5, 0.0) / max(calls, 1)
        limit = self.rate(now, configured) * max(0.5, 1 - sure)
        return RateEstimate(max(FLOOR * configured, limit), now, self.epoch + 1)


class ThrottleStats:
    """The calls of a quota since its estimate was last lowered. Not thread-safe.

    A call counts when it is made, because throttled answers arrive sooner than others and would be
    over-represented.

    Args:
        begun: Whether an earlier call was throttled.

    Attributes:
        calls: Calls made.
        throttled: Number of throttled calls among the answered ones.
    """

    def __init__(self, *, begun: bool = False) -> None:
        self._begun = begun
        self.calls = 0
        self.throttled = 0

    def record_throttled(self) -> None:
        """Count a throttled call.

        The first one restarts the count, because earlier calls succeeded.
        """
        if not self._begun:
            self._begun = True
            self.calls = 1
        self.throttled += 1


ENOUGH_CALLS = 20
"""The minimum number of calls, including the first throttled one, for a significant result."""

TOLERATED = 0.01
"""The share of throttled calls that is ignored, because calls sometimes come close together."""


def is_significant(calls: float, throttled: float) -> bool:
    """Return whether this share of throttled calls justifies a lower estimate."""
    return calls >= ENOUGH_CALLS and throttled > 1 and throttled > TOLERATED * calls


class StoppedError(RetriableError):
    """The worker is stopping and makes no more calls."""


class LeakyBucket:
    """Computes evenly spaced times for calls. The caller waits. Not thread-safe.

    Args:
        rate: Calls a second; above 0.
        clock: The time in seconds.

    Attributes:
        taken: Number of calls that have been made.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock()
        self._last = self._next - 1 / rate
        self._made: deque[float] = deque(maxlen=_WINDOW_CALLS)
        self.taken = 0
        self._apply_rate(rate)

    def due(self) -> float:
        """Return when the next call may be made, on the clock.

        Short delays are compensated, but no second has more calls than ``rate / HEADROOM``,
        since a service may count the calls of the last second.
        """
        due = max(self._next, self._last + self._shortest_gap)
        if len(self._made) < self._window_calls:
            return due
        return max(due, self._made[-self._window_calls] + self._window_seconds)

    def take(self) -> None:
        """Record a call at the current time."""
        now = self._clock()
        lost = max(0.0, now - CATCH_UP_SECONDS - self._next)
        self._next += (math.ceil(lost * self._rate) + 1) / self._rate
        self._last = now
        self._made.append(now)
        self.taken += 1

    def set_rate(self, rate: float) -> None:
        """Change the rate.

        Args:
            rate: Calls a second; above 0.
        """
        if rate > 2 * self._rate:  # calls at such a slow pace don't define a second
            self._made.clear()
        if rate > self._rate:  # don't wait for the rest of a slow slot
            self._next = min(self._next, self._last + 1 / rate)
        self._apply_rate(rate)

    def align(self, moment: float) -> None:
        """Shift the calls by at most half a period so that one falls on ``moment``.

        Args:
            moment: A time on the clock, before or after now.
        """
        apart = (moment - self._next) * self._rate
        self._next += (apart - round(apart)) / self._rate

    @property
    def slot(self) -> float:
        """Return the time of one call on the clock. The others are whole periods away."""
        return self._next

    def _apply_rate(self, rate: float) -> None:
        self._rate = rate
        self._shortest_gap = 0.5 / rate
        self._window_calls = min(math.ceil(rate / HEADROOM - 1e-9), _WINDOW_CALLS)
        self._window_seconds = self._window_calls * HEADROOM / rate


class Permit(Protocol):
    """The permission to make one call."""

    def throttled(self) -> None:
        """Report that the service throttled the call."""


class RateLimiter(Protocol):
    """Limits the rate of a detector's calls, per quota."""

    async def acquire(self, quota: str) -> Permit:
        """Wait until a call against ``quota`` is allowed.

        Raises:
            StoppedError: The worker is stopping.
            ValueError: The detector's capabilities do not name this quota.
        """

    def acquire_blocking(self, quota: str) -> Permit:
        """Wait like ``acquire``, on a thread that may block."""


class RateLimited:
    """A context manager around one call. It is entered when the call is allowed.

    A ``RetriableError(throttled=True)`` that leaves the block is reported to the rate limiter.

    Args:
        limiter: The rate limiter.
        quota: The quota that the call counts against.
    """

    __slots__ = ("_limiter", "_permit", "_quota")

    def __init__(self, limiter: RateLimiter, quota: str) -> None:
        self._limiter = limiter
        self._quota = quota

    def __enter__(self) -> None:
        """Wait for a permit; blocks the thread."""
        self._permit = self._limiter.acquire_blocking(self._quota)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Report throttling."""
        if isinstance(error, RetriableError) and error.throttled:
            self._permit.throttled()

    async def __aenter__(self) -> None:
        """Wait for a permit."""
        self._permit = await self._limiter.acquire(self._quota)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Report throttling."""
        if error is not None:
            self.__exit__(kind, error, trace)


QuotaT = TypeVar("QuotaT")


def known_quota(quotas: Mapping[str, QuotaT], quota: str) -> QuotaT:
    """Return the value of a quota.

    Raises:
        ValueError: The detector's capabilities do not name this quota.
    """
    try:
        return quotas[quota]
    except KeyError:
        named = ", ".join(sorted(quotas)) or "none"
        raise ValueError(
            f"no quota {quota!r} in the detector's capabilities; it names {named}"
        ) from None


class LocalRateLimiter:
    """A rate limiter for a detector that is used without a worker. Thread-safe.

    Args:
        quotas: Calls a second by quota.
        clock: The time in seconds.
    """

    def __init__(
        self, quotas: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quotas = {name: _LocalQuota(rate, clock) for name, rate in quotas.items()}

    async def acquire(self, quota: str) -> Permit:
        """Wait until a call against ``quota`` is allowed."""
        local = known_quota(self._quotas, quota)
        while (wait := local.try_take()) > 0:
            await asyncio.sleep(wait)
        return local.permit()

    def acquire_blocking(self, quota: str) -> Permit:
        """Wait like ``acquire``, on a thread that may block."""
        local = known_quota(self._quotas, quota)
        while (wait := local.try_take()) > 0:
            time.sleep(wait)
        return local.permit()


class _LocalQuota:
    """One quota, with an estimate from its own calls."""

    def __init__(self, configured: float, clock: Callable[[], float]) -> None:
        self._usable = configured * HEADROOM
        self._clock = clock
        self._bucket = LeakyBucket(self._usable, clock=clock)
        self._lock = Lock()
        self._estimate = RateEstimate(lowered_at=clock())
        self._stats = ThrottleStats()

    def try_take(self) -> float:
        """Take a permit if one is due. Otherwise return the seconds until one is."""
        with self._lock:
            if self._estimate.limit is not None:
                self._bucket.set_rate(self._estimate.rate(self._clock(), self._usable))
            wait = self._bucket.due() - self._clock()
            if wait <= 0:
                self._bucket.take()
                self._stats.calls += 1
            return max(0.0, wait)

    def permit(self) -> Permit:
        return _LocalPermit(self, self._estimate.epoch)

    def throttled(self, epoch: int) -> None:
        with self._lock:
            if epoch != self._estimate.epoch:
                return
            self._stats.record_throttled()
            stats = self._stats
            if is_significant(stats.calls, stats.throttled):
                self._estimate = self._estimate.lowered(
                    self._clock(), self._usable, calls=stats.calls, throttled=stats.throttled
                )
                self._stats = ThrottleStats()


@dataclass(frozen=True, slots=True)
class _LocalPermit:
    quota: _LocalQuota
    epoch: int

    def throttled(self) -> None:
        self.quota.throttled(self.epoch)
