"""Measure how much a running model works, and decide when to stop it."""

from dataclasses import dataclass

from retinue_workers.settings.hosted_models import CLOSING_SECONDS, ModelPolicy
from retinue_workers.work import QueueDepth


@dataclass(slots=True)
class IdleTracker:
    """The working and idle time of a running model. Times are seconds since the epoch.

    Attributes:
        worked: Whether there was any work.
    """

    worked: bool = False
    _idle_since: float | None = None
    _idled_out_at: float | None = None
    _idle_seconds: float = 0.0
    _seen_at: float | None = None

    def observe(self, now: float, depth: QueueDepth, policy: ModelPolicy, working: bool) -> None:
        """Count the time since the last call as work or as idle time."""
        passed = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        self.worked = self.worked or working
        if not working:
            self._idle_since = now if self._idle_since is None else self._idle_since
        else:
            self._idle_since = None
        if not working or policy.is_trickle(depth):
            self._idle_seconds += passed
        else:
            self._idle_seconds = max(0.0, self._idle_seconds - passed)
        if policy.is_urgent(depth):
            self._idle_seconds, self._idled_out_at = 0.0, None
        elif self._idled_out_at is None and self._idle_seconds >= policy.max_idle_seconds:
            self._idled_out_at = now

    def keep_running(self, now: float, working: bool) -> None:
        """Keep the model running without work."""
        self.worked = self.worked or working
        self._idle_since = self._idled_out_at = None
        self._idle_seconds, self._seen_at = 0.0, now

    def closing_at(self, policy: ModelPolicy) -> float | None:
        """Return when receiving ends before a stop; ``None`` while the model works.

        An image that arrives cancels the stop, unless the model has idled too much.
        """
        if self._idled_out_at is not None:
            return self._idled_out_at
        if self._idle_since is not None:
            return self._idle_since + policy.idle_timeout_seconds - CLOSING_SECONDS
        return None

    def why_stop(self, now: float, policy: ModelPolicy) -> str:
        """Return the reason for the stop."""
        if self._idle_since is not None:
            return f"the queue has been empty for {now - self._idle_since:.0f} s"
        return f"it idled for {policy.max_idle_seconds:.0f} s more than it worked"
