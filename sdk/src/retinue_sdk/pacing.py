"""Not more calls than a quota allows: when the next may be made, and what the quota seems to be."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Protocol, TypeVar

from retinue_sdk.errors import DetectorError, RetriableError

HEADROOM = 0.98
"""Part of a quota that is used, so that a call that is a little late or early breaks no limit."""

STEP = 0.03
"""How far below the limit we start again after throttling, as a part of it."""

CLIMB_SECONDS = 6.0
"""How long the climb back to the limit takes; beyond it, we begin to look for more."""

FLOOR = 0.01
"""Least part of a quota that we go down to."""

CATCH_UP_SECONDS = 0.1
"""A delay up to this long is made up for by shorter gaps; longer ones are lost."""

_WINDOW_CALLS = 1_000
"""Most calls that are looked back on."""

_LONGEST_WAIT_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """What a quota is believed to be: as configured, until throttling teaches better.

    Multiplicative decrease and additive increase, in the form that TCP CUBIC gives them (RFC 9438):
    after throttling the rate climbs quickly at first, lingers just below the limit that was met,
    and then looks for more, faster and faster. So a quota that came down is rarely hit again,
    and one that went up is found within a minute.

    Attributes:
        limit: Calls a second at which throttling was met; ``None`` if never.
        lowered_at: When that was, in seconds of any steady clock.
        epoch: How often it was lowered. Only calls made since the last time tell something new.
    """

    limit: float | None = None
    lowered_at: float = 0.0
    epoch: int = 0

    def rate(self, now: float, configured: float) -> float:
        """Calls a second that may be tried now.

        Args:
            now: On the clock of ``lowered_at``.
            configured: The quota as it is configured, never exceeded.
        """
        if self.limit is None:
            return configured
        climbed = min((now - self.lowered_at) / CLIMB_SECONDS, 1e6)
        rate = self.limit * (1 + STEP * (climbed - 1) ** 3)
        return max(FLOOR * configured, min(configured, rate))

    def lowered(
        self, now: float, configured: float, *, calls: float, throttled: float
    ) -> "RateEstimate":
        """The estimate after some calls were throttled.

        What was let through is the best measure of the limit. Few calls measure badly, so of the
        throttled ones two standard deviations (of a Poisson distribution) are left out, and no
        step goes below half. So calls that came too close together by chance cost no more than
        the climb back, and a quota that really came down is found in two or three steps.

        Args:
            now: On the clock of ``lowered_at``.
            configured: The quota as it is configured.
            calls: Calls made since the last time.
            throttled: How many of them were throttled; 1 or more.
        """
        sure = max(throttled - 2 * throttled**0.5, 0.0) / max(calls, 1)
        limit = self.rate(now, configured) * max(0.5, 1 - sure)
        return RateEstimate(max(FLOOR * configured, limit), now, self.epoch + 1)


class Tally:
    """Calls of a quota since its estimate was last lowered. Not thread-safe.

    A call counts when it is made and not when it is answered: a refusal comes sooner than an
    answer, so of the answers alone too many would be refusals.

    Args:
        begun: Whether an earlier call was refused already.

    Attributes:
        calls: Calls made.
        throttled: How many of them were throttled, as far as they are answered.
    """

    def __init__(self, *, begun: bool = False) -> None:
        """Begin with none."""
        self._begun = begun
        self.calls = 0
        self.throttled = 0

    def refused(self) -> None:
        """Count a refusal. With the very first, counting begins anew: before, all was well."""
        if not self._begun:
            self._begun = True
            self.calls = 1
        self.throttled += 1


ENOUGH_CALLS = 20
"""Calls, the first refused one included, from which a share of throttled ones is believed."""

TOLERATED = 0.01
"""Share of throttled calls that lowers nothing: two calls that came a little close together."""


def telling(calls: float, throttled: float) -> bool:
    """Whether calls say enough to lower an estimate."""
    return calls >= ENOUGH_CALLS and throttled > 1 and throttled > TOLERATED * calls


class StoppedError(RetriableError):
    """The worker stops, so no call is made any more."""


class Slots:
    """Gives out the moments for calls, evenly spaced. Safe to use from any thread.

    Args:
        rate: Calls a second; above 0.
        clock: The time in seconds.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with a free slot."""
        self._clock = clock
        self._turn = Lock()  # so that one of those who wait watches the clock, and not all
        self._changed = Condition()
        self._rate = rate
        self._next = clock()
        self._last = self._next - 1 / rate
        self._made: deque[float] = deque(maxlen=_WINDOW_CALLS)
        self.waiting = 0
        self.taken = 0

    def take(self, cancelled: Callable[[], bool] = lambda: False, *, crowd: int = 1) -> None:
        """Return when the next call may be made.

        Args:
            cancelled: Asked at the beginning and after ``wake`` whether to go on waiting.
            crowd: How many would make a call if they could, where one waits for all of them.

        Raises:
            StoppedError: No call is made any more.
        """
        with self._changed:
            self.waiting += crowd
        try:
            with self._turn, self._changed:
                while (rest := self.due() - self._clock()) > 0 and not cancelled():
                    self._changed.wait(min(rest, _LONGEST_WAIT_SECONDS))
                if cancelled():
                    raise StoppedError
                self.grant()
        finally:
            with self._changed:
                self.waiting -= crowd

    def due(self) -> float:
        """When the next call may be made, on the clock.

        Short delays are made up for, but no second holds more calls than ``rate / HEADROOM``: a
        service may count the calls of the last second.
        """
        number = min(math.ceil(self._rate / HEADROOM - 1e-9), _WINDOW_CALLS)
        full = self._made[-number] if number <= len(self._made) else -math.inf
        return max(self._next, self._last + 0.5 / self._rate, full + number * HEADROOM / self._rate)

    def grant(self) -> None:
        """Note that a call is made now."""
        now = self._clock()
        lost = max(0.0, now - CATCH_UP_SECONDS - self._next)
        self._next += (math.ceil(lost * self._rate) + 1) / self._rate
        self._last = now
        self._made.append(now)
        self.taken += 1

    def set_rate(self, rate: float) -> None:
        """Change the pace, also for those who wait.

        Args:
            rate: Calls a second; above 0.
        """
        with self._changed:
            if rate > 2 * self._rate:  # calls at so slow a pace say nothing about a second
                self._made.clear()
            if rate > self._rate:  # who waits for a slow slot need not wait for all of it
                self._next = min(self._next, self._last + 1 / rate)
            self._rate = rate
            self._changed.notify_all()

    def align(self, moment: float) -> None:
        """Move the slots a little, at most by half of what lies between two, to hit a moment.

        Args:
            moment: When one of the slots should be, on the clock; before or after now.
        """
        with self._changed:
            apart = (moment - self._next) * self._rate
            self._next += (apart - round(apart)) / self._rate
            self._changed.notify_all()

    @property
    def slot(self) -> float:
        """When one of the slots is, on the clock; the others are whole periods apart."""
        return self._next

    def wake(self) -> None:
        """Let everybody who waits ask whether it is cancelled."""
        with self._changed:
            self._changed.notify_all()


class Turn(Protocol):
    """One call that may be made now; told how it went."""

    def throttled(self) -> None:
        """The service refused it because there were too many."""

    def accepted(self) -> None:
        """The service answered, whatever it said."""


class Pacer(Protocol):
    """Paces the calls of a detector, quota by quota."""

    def wait(self, quota: str) -> Turn:
        """Return when a call that counts against ``quota`` may be made.

        Raises:
            StoppedError: The worker stops.
            ValueError: The detector's capabilities do not name this quota.
        """


class Paced:
    """A call at its turn, as a block: entered when it may be made, and told how it ended.

    A ``RetriableError(throttled=True)`` that leaves the block slows the next calls down, any other
    one says nothing, and everything else is an answer. Where a block does not fit, because the
    answer comes on another thread, call ``begin`` and ``ended``.

    Args:
        pacer: Who paces.
        quota: What the call counts against.
    """

    __slots__ = ("_pacer", "_quota", "_turn")

    def __init__(self, pacer: Pacer, quota: str) -> None:
        """Wait for nothing yet."""
        self._pacer = pacer
        self._quota = quota

    def __enter__(self) -> None:
        """Wait for the turn."""
        self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Tell how it went."""
        self.ended(error)

    def begin(self) -> None:
        """As entering the block, where the call's end is told by ``ended``.

        Raises:
            StoppedError: The worker stops.
        """
        self._turn = self._pacer.wait(self._quota)

    def ended(self, error: BaseException | None = None) -> None:
        """The call has ended, well or with an error; on whatever thread."""
        if error is None:
            self._turn.accepted()
        elif isinstance(error, RetriableError):
            if error.throttled:
                self._turn.throttled()
        elif isinstance(error, DetectorError):
            self._turn.accepted()


QuotaT = TypeVar("QuotaT")


def known(quotas: Mapping[str, QuotaT], quota: str) -> QuotaT:
    """What is kept for a quota.

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


class LocalPacer:
    """A pacer of one process, for a detector that is used without a worker.

    Args:
        quotas: Calls a second by quota.
        clock: The time in seconds.
    """

    def __init__(
        self, quotas: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with free slots."""
        self._quotas = {name: _LocalQuota(rate, clock) for name, rate in quotas.items()}

    def wait(self, quota: str) -> Turn:
        """As ``Pacer.wait``."""
        return known(self._quotas, quota).wait()


class _LocalQuota:
    """One quota, believed to be what its own answers say."""

    def __init__(self, configured: float, clock: Callable[[], float]) -> None:
        self._configured = configured
        self._clock = clock
        self._slots = Slots(configured * HEADROOM, clock=clock)
        self._changed = Condition()
        self._estimate = RateEstimate(lowered_at=clock())
        self._tally = Tally()

    def wait(self) -> Turn:
        estimate = self._estimate
        if estimate.limit is not None:
            self._slots.set_rate(estimate.rate(self._clock(), self._configured * HEADROOM))
        self._slots.take()
        with self._changed:
            self._tally.calls += 1
            return _LocalTurn(self, self._estimate.epoch)

    def throttled(self, epoch: int) -> None:
        with self._changed:
            if epoch != self._estimate.epoch:
                return
            self._tally.refused()
            now, tally = self._clock(), self._tally
            if telling(tally.calls, tally.throttled):
                self._estimate = self._estimate.lowered(
                    now,
                    self._configured * HEADROOM,
                    calls=tally.calls,
                    throttled=tally.throttled,
                )
                self._tally = Tally()


@dataclass(frozen=True, slots=True)
class _LocalTurn:
    quota: _LocalQuota
    epoch: int

    def throttled(self) -> None:
        self.quota.throttled(self.epoch)

    def accepted(self) -> None:
        return
