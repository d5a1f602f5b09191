"""Control one hosted model: start it when messages wait, and stop it when none do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from retinue_history import HistoryError, HostedModel, ModelSessions
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    ManagedModel,
    ModelState,
    ModelStatus,
)

from retinue_workers.hosted_models.idle_tracker import IdleTracker
from retinue_workers.intake.errors import QueueUnavailableError
from retinue_workers.settings.hosted_models import CLOSING_SECONDS, ModelPolicy
from retinue_workers.work import QueueDepth

log = structlog.get_logger(__name__)

RECONCILE_SECONDS = 5.0
"""How often a controller reconciles. Two controllers of a model make 0.4 calls of AWS a second;
about 5 are allowed.
"""

LEASE_SECONDS = 30.0
"""Duration of a lease. A dead controller is replaced ``RECONCILE_SECONDS`` later."""

START_VISIBLE_SECONDS = 60.0
"""How long a requested start may be invisible. Then it did not take effect."""

FIRST_PAUSE_SECONDS = 60.0
"""Pause after the first failed start. It doubles with each further failure."""


@dataclass(slots=True)
class _View:
    """The result of one reconcile, which all workers receive."""

    serving: bool
    reason: str
    failures: int
    not_before: float | None
    waiting_since: float | None


class ModelController:
    """Acts on a model while it holds the lease.

    Otherwise it follows the state that the holder recorded.

    ``reconcile`` never waits. It reads the state, takes at most one action, and returns. After a
    crash at any point, the next controller or the reaper continues from the state in AWS.

    Args:
        model: The model.
        sessions: Leases and sessions.
        read_depth: Reads the queue's depth.
        policy: When to start and stop.
        clock: Seconds since the epoch.
        detector: The detector's name.
        options: The detector's options, from which other processes can create it.
        holder: A unique name of this controller, which begins with the queue's ARN and a slash.
    """

    def __init__(
        self,
        model: ManagedModel,
        sessions: ModelSessions,
        *,
        read_depth: Callable[[], QueueDepth],
        policy: ModelPolicy,
        clock: Callable[[], float],
        detector: str,
        options: Mapping[str, Any],
        holder: str,
    ) -> None:
        self._model = model
        self._sessions = sessions
        self._read_depth = read_depth
        self._policy = policy
        self._blocked: str | None = None
        self._reason: str | None = "the model's state is not known yet"
        self._clock = clock
        self._detector = detector
        self._options = options
        self._holder = holder
        self._token = 0
        self._requested_at: float | None = None
        self._is_adopted = False
        self._idle = IdleTracker()

    def reconcile(self, blocked: str | None) -> str | None:
        """Read the model's state and the queue's depth, and take the action that is due.

        Args:
            blocked: Why this worker couldn't work even if the model ran; ``None`` if it could.

        Returns:
            Why the worker must not receive; ``None`` if the model answers calls.
        """
        self._blocked = blocked
        self._reason = self._reconcile()
        return self._reason

    def _reconcile(self) -> str | None:
        try:
            hosted = self._sessions.acquire_lease(
                self._model.name,
                detector=self._detector,
                options=self._options,
                holder=self._holder,
                lease_seconds=LEASE_SECONDS,
            )
        except HistoryError as error:
            return f"the model's lease cannot be renewed: {error}"
        if hosted.holder != self._holder:
            self._token = 0
            return None if hosted.serving else self._why_others_wait(hosted)
        if hosted.token != self._token:  # a new lease: earlier observations are outdated
            self._token, self._requested_at, self._is_adopted = hosted.token, None, False
            self._idle = IdleTracker()
        try:
            return self._act(hosted)
        except (QueueUnavailableError, HistoryError, DetectorError) as error:
            log.warning("model_reconcile_failed", model=self._model.name, reason=str(error))
            return self._reason
        except ConfigurationError as error:
            log.error("model_reconcile_failed", model=self._model.name, reason=str(error))
            return str(error)

    def _why_others_wait(self, hosted: HostedModel) -> str:
        """Return why the model of another holder doesn't serve."""
        reason = f"{hosted.status}: {hosted.reason}"
        queue, is_worker, _ = (hosted.holder or "").partition("/")
        if is_worker and queue != self._holder.partition("/")[0]:
            reason += (
                f". Workers of the queue {queue} control the model, and count only its messages: "
                "use a hosted model in one pool"
            )
        return reason

    def stop(self) -> None:
        """Release the lease, so that another worker can take over immediately."""
        try:
            self._sessions.release_lease(self._model.name, self._holder)
        except HistoryError as error:
            log.warning("model_not_released", model=self._model.name, reason=str(error))

    def _act(self, hosted: HostedModel) -> str | None:
        status, depth, now = self._model.describe(), self._read_depth(), self._clock()
        waiting = hosted.waiting_since if depth.visible else None
        if depth.visible and waiting is None:
            waiting = now
        view = _View(False, "", hosted.failures, hosted.not_before, waiting)
        match status.state:
            case ModelState.RUNNING:
                self._while_running(hosted, view, status, depth, now)
            case ModelState.STARTING:
                self._adopt(status)
                view.reason = "the model is starting"
            case ModelState.STOPPING:
                self._mark("stopping", "found stopping")
                view.reason = "the model is stopping"
            case ModelState.STOPPED | ModelState.FAILED:
                self._while_stopped(hosted, view, status, depth, now)
            case ModelState.PREPARING:
                view.reason = f"the model is not there yet: {status}"
            case ModelState.UNUSABLE:
                self._mark("stopped", str(status))
                view.reason = f"the model will never run: {status}. Name another version of it"
        fresh = self._sessions.record_status(
            self._model.name,
            self._token,
            status=status.provider_status,
            reason=view.reason,
            serving=view.serving,
            waiting_since=view.waiting_since,
            failures=view.failures,
            not_before=view.not_before,
        )
        return None if view.serving and fresh else view.reason or "the lease was lost"

    def _while_running(
        self, hosted: HostedModel, view: _View, status: ModelStatus, depth: QueueDepth, now: float
    ) -> None:
        if not self._is_adopted:
            self._adopt(status)
            self._mark("running")
            self._is_adopted = True
        self._requested_at = None
        blocked, idle = self._blocked, self._idle
        working = bool(depth.total) and blocked is None
        if hosted.keep_until is not None and now < hosted.keep_until:
            idle.keep_running(now, working)
        else:
            idle.observe(now, depth, self._policy, working)
        if idle.worked or not depth.total:  # it started, and the waiting messages were processed
            view.failures, view.not_before = 0, None
        closing_at = idle.closing_at(self._policy)
        if closing_at is None or now < closing_at:
            view.serving = True
            return
        why = blocked or idle.why_stop(now, self._policy)
        view.reason = f"stopping: {why}"
        at_work = bool(depth.in_flight) and blocked is None
        if now >= closing_at + CLOSING_SECONDS and not hosted.serving and not at_work:
            if not self._mark("stopping", why):  # a session is open, so the lease is lost
                return
            log.info("model_stop", model=self._model.name, reason=why)
            self._model.stop()

    def _while_stopped(
        self, hosted: HostedModel, view: _View, status: ModelStatus, depth: QueueDepth, now: float
    ) -> None:
        self._idle, self._is_adopted = IdleTracker(), False
        if self._requested_at is not None and status.state is ModelState.STOPPED:
            if now - self._requested_at < START_VISIBLE_SECONDS:
                view.reason = "a start was requested, and does not show yet"
                return
            self._failed(view, "the start that was requested did not take effect", now)
        ended = self._mark("stopped", str(status))
        if ended and status.state is ModelState.FAILED:
            self._failed(view, f"the start failed: {status}", now)
        if view.failures >= self._policy.max_failures:
            view.reason = (
                f"given up after {view.failures} failed starts; the model says: {status}. When it "
                "is fixed, run `retinue models start`"
            )
            return
        blocked = self._blocked
        wanted = hosted.keep_until is not None and now < hosted.keep_until
        waited = 0.0 if view.waiting_since is None else now - view.waiting_since
        stopped_at = now if ended else hosted.stopped_at
        stopped_seconds = math.inf if stopped_at is None else now - stopped_at
        why = "`retinue models start` asked for it" if wanted else None
        why = why or self._policy.why_start(depth, waited, stopped_seconds, now)
        if why is None:
            view.reason = self._policy.why_wait(depth, stopped_seconds, now)
        elif blocked is not None:
            view.reason = f"not started: {blocked}"
        elif view.not_before is not None and now < view.not_before:
            view.reason = hosted.reason or "a start failed; it is tried again soon"
        else:
            self._start(view, why, self._policy.units(depth), now)

    def _start(self, view: _View, why: str, units: int, now: float) -> None:
        """Record the session, then request the start, so that every running model has a row."""
        begun = self._sessions.begin_session(
            self._model.name,
            self._token,
            units=units,
            usd_per_unit_minute=self._model.usd_per_unit_minute,
            reason=why,
        )
        if not begun:
            view.reason = "the lease was lost"
            return
        log.info("model_start", model=self._model.name, units=units, reason=why)
        self._requested_at = now
        view.reason = f"starting: {why}"
        try:
            self._model.start(units)
        except DetectorNotReadyError as error:  # a quota or a permission: not a fault of the model
            self._requested_at = None
            self._mark("stopped", str(error))
            view.not_before = now + max(FIRST_PAUSE_SECONDS, error.retry_after_seconds or 0.0)
            view.reason = f"not started: {error}"
        except DetectorError as error:  # no answer: the next reconcile shows whether it took effect
            view.reason = f"a start was requested and not answered: {error}"

    def _failed(self, view: _View, why: str, now: float) -> None:
        self._requested_at = None
        view.failures += 1
        view.not_before = now + FIRST_PAUSE_SECONDS * 2.0 ** min(view.failures - 1, 10)
        log.error("model_start_failed", model=self._model.name, failures=view.failures, reason=why)

    def _adopt(self, status: ModelStatus) -> None:
        """Open a session for a running model that has none."""
        self._sessions.begin_session(
            self._model.name,
            self._token,
            units=status.units or 1,
            usd_per_unit_minute=self._model.usd_per_unit_minute,
            reason="found hosted",
        )

    def _mark(self, what: str, reason: str | None = None) -> bool:
        return self._sessions.mark_session(self._model.name, self._token, what, reason)
