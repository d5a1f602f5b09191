"""Keeping one model: start it when work waits, stop it when none does, and tell the others."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import structlog
from retinue_history import HistoryError, KeptModel
from retinue_sdk import (
    ConfigurationError,
    DetectorError,
    DetectorNotReadyError,
    ManagedModel,
    ModelState,
    ModelStatus,
)

from retinue_workers.hosted_models.idle_tracker import Use
from retinue_workers.intake.sqs import QueueUnavailableError
from retinue_workers.settings.hosted_models import CLOSING_SECONDS, ModelPolicy
from retinue_workers.work import Backlog

log = structlog.get_logger(__name__)

TICK_SECONDS = 5.0
"""How often a keeper looks. Two keepers a model ask AWS 0.2 times a second, of about 5 allowed."""

LEASE_SECONDS = 30.0
"""How long a lease holds; a dead keeper is replaced this and a tick later, within a minute."""

SETTLE_SECONDS = 60.0
"""How long a start that was requested may not show; then it did not take effect."""

FIRST_PAUSE_SECONDS = 60.0
"""Pause after the first failed start; doubled by each further one."""


class Ledger(Protocol):
    """What a keeper asks of the history; ``retinue_history.ModelLedger`` explains each."""

    def hold(
        self,
        model: str,
        *,
        detector: str,
        options: Mapping[str, Any],
        holder: str,
        lease_seconds: float,
    ) -> KeptModel:
        """Take or renew the lease."""

    def note(
        self,
        model: str,
        token: int,
        *,
        status: str,
        reason: str,
        serving: bool,
        waiting_since: float | None,
        failures: int,
        not_before: float | None,
    ) -> bool:
        """Write down how the model is."""

    def release(self, model: str, holder: str) -> None:
        """Give the lease back."""

    def begin_session(
        self, model: str, token: int, *, units: int, usd_per_unit_minute: Decimal, reason: str
    ) -> bool:
        """Write down that the model is about to be hosted."""

    def mark_session(self, model: str, token: int, what: str, reason: str | None = None) -> bool:
        """Write down how the open session goes on."""


@dataclass(slots=True)
class _View:
    """What becomes of a look at the model: what all workers are told."""

    serving: bool
    reason: str
    failures: int
    not_before: float | None
    waiting_since: float | None


class Keeper:
    """Acts for a model while it has the lease; otherwise follows what the holder has written down.

    Nothing is waited for: ``tick`` looks once, does at most one thing, and returns. So a crash at
    any point leaves a state that the next keeper, or the reaper, finds by looking.

    Args:
        model: The model.
        ledger: Leases and sessions.
        look: Tells what the queue holds.
        policy: When to start and stop.
        gate: Told why nothing may be received; ``None`` when it may.
        blocked: Why this worker could not work even if the model ran; ``None`` if it could.
        clock: Seconds since the epoch.
        detector: The detector's name.
        options: The detector's options, from which others can make it.
        holder: What tells this keeper from all others.
    """

    def __init__(
        self,
        model: ManagedModel,
        ledger: Ledger,
        *,
        look: Callable[[], Backlog],
        policy: ModelPolicy,
        gate: Callable[[str | None], None],
        blocked: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float],
        detector: str,
        options: Mapping[str, Any],
        holder: str,
    ) -> None:
        """Look at nothing yet."""
        self._model = model
        self._ledger = ledger
        self._look = look
        self._policy = policy
        self._gate = gate
        self._blocked = blocked
        self._clock = clock
        self._detector = detector
        self._options = options
        self._holder = holder
        self._token = 0
        self._requested_at: float | None = None
        self._hosted = False
        self._use = Use()

    def tick(self) -> None:
        """Look at the model and the queue, and do what is due."""
        try:
            kept = self._ledger.hold(
                self._model.name,
                detector=self._detector,
                options=self._options,
                holder=self._holder,
                lease_seconds=LEASE_SECONDS,
            )
        except HistoryError as error:
            self._gate(f"the model's lease cannot be renewed: {error}")
            return
        if kept.holder != self._holder:
            self._token = 0
            self._gate(None if kept.serving else f"{kept.status}: {kept.reason}")
            return
        if kept.token != self._token:  # new to it: what was seen before holds no more
            self._token, self._requested_at, self._hosted = kept.token, None, False
            self._use = Use()
        try:
            self._act(kept)
        except (QueueUnavailableError, HistoryError, DetectorError) as error:
            log.warning("model_not_kept", model=self._model.name, reason=str(error))
        except ConfigurationError as error:
            self._gate(str(error))
            log.error("model_not_kept", model=self._model.name, reason=str(error))

    def stop(self) -> None:
        """Give the lease back, for another worker to take over at once."""
        try:
            self._ledger.release(self._model.name, self._holder)
        except HistoryError as error:
            log.warning("model_not_released", model=self._model.name, reason=str(error))

    def _act(self, kept: KeptModel) -> None:
        status, backlog, now = self._model.describe(), self._look(), self._clock()
        waiting = kept.waiting_since if backlog.visible else None
        if backlog.visible and waiting is None:
            waiting = now
        view = _View(False, "", kept.failures, kept.not_before, waiting)
        match status.state:
            case ModelState.RUNNING:
                self._while_running(kept, view, status, backlog, now)
            case ModelState.STARTING:
                self._adopt(status)
                view.reason = "the model is starting"
            case ModelState.STOPPING:
                self._mark("stopping", "found stopping")
                view.reason = "the model is stopping"
            case ModelState.STOPPED | ModelState.FAILED:
                self._while_stopped(kept, view, status, backlog, now)
            case ModelState.PREPARING:
                view.reason = f"the model is not there yet: {status}"
            case ModelState.UNUSABLE:
                self._mark("stopped", str(status))
                view.reason = f"the model will never run: {status}. Name another version of it"
        fresh = self._ledger.note(
            self._model.name,
            self._token,
            status=status.told,
            reason=view.reason,
            serving=view.serving,
            waiting_since=view.waiting_since,
            failures=view.failures,
            not_before=view.not_before,
        )
        self._gate(None if view.serving and fresh else view.reason or "the lease was lost")

    def _while_running(
        self, kept: KeptModel, view: _View, status: ModelStatus, backlog: Backlog, now: float
    ) -> None:
        if not self._hosted:
            self._adopt(status)
            self._mark("running")
            self._hosted = True
        self._requested_at = None
        blocked, use = self._blocked(), self._use
        working = bool(backlog.total) and blocked is None
        if kept.keep_until is not None and now < kept.keep_until:
            use.want(now, working)
        else:
            use.see(now, backlog, self._policy, working)
        if use.worked or not backlog.total:  # it came up, and what waited was worked off
            view.failures, view.not_before = 0, None
        closing_at = use.closing_at(self._policy)
        if closing_at is None or now < closing_at:
            view.serving = True
            return
        why = blocked or use.why_stop(now, self._policy)
        view.reason = f"stopping: {why}"
        at_work = bool(backlog.in_flight) and blocked is None
        if now >= closing_at + CLOSING_SECONDS and not kept.serving and not at_work:
            if not self._mark("stopping", why):  # a session is open, so the lease is lost
                return
            log.info("model_stop", model=self._model.name, reason=why)
            self._model.stop()

    def _while_stopped(
        self, kept: KeptModel, view: _View, status: ModelStatus, backlog: Backlog, now: float
    ) -> None:
        self._use, self._hosted = Use(), False
        if self._requested_at is not None and status.state is ModelState.STOPPED:
            if now - self._requested_at < SETTLE_SECONDS:
                view.reason = "a start was requested, and does not show yet"
                return
            self._failed(view, "the start that was requested did not take effect", now)
        ended = self._mark("stopped", str(status))
        if ended and status.state is ModelState.FAILED:
            self._failed(view, f"the start failed: {status}", now)
        if view.failures >= self._policy.max_failures:
            view.reason = (
                f"given up after {view.failures} failed starts; the model says: {status}. When it "
                "is mended, `retinue models start` begins anew"
            )
            return
        blocked = self._blocked()
        wanted = kept.keep_until is not None and now < kept.keep_until
        waited = 0.0 if view.waiting_since is None else now - view.waiting_since
        stopped_at = now if ended else kept.stopped_at
        rested = math.inf if stopped_at is None else now - stopped_at
        why = "somebody wants it to run" if wanted else None
        why = why or self._policy.why_start(backlog, waited, rested, now)
        if why is None:
            view.reason = self._policy.why_wait(backlog, rested, now)
        elif blocked is not None:
            view.reason = f"not started: {blocked}"
        elif view.not_before is not None and now < view.not_before:
            view.reason = kept.reason or "a start failed; it is tried again soon"
        else:
            self._start(view, why, self._policy.units(backlog), now)

    def _start(self, view: _View, why: str, units: int, now: float) -> None:
        """Write the session down, then ask: a model that runs is never unknown to the history."""
        begun = self._ledger.begin_session(
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
        except DetectorNotReadyError as error:  # a quota, a permission: no fault of the model
            self._requested_at = None
            self._mark("stopped", str(error))
            view.not_before = now + max(FIRST_PAUSE_SECONDS, error.retry_after_seconds or 0.0)
            view.reason = f"not started: {error}"
        except DetectorError as error:  # no answer: the next look tells whether it took effect
            view.reason = f"a start was requested and not answered: {error}"

    def _failed(self, view: _View, why: str, now: float) -> None:
        self._requested_at = None
        view.failures += 1
        view.not_before = now + FIRST_PAUSE_SECONDS * 2.0 ** min(view.failures - 1, 10)
        log.error("model_start_failed", model=self._model.name, failures=view.failures, reason=why)

    def _adopt(self, status: ModelStatus) -> None:
        """A model that costs money has an open session, whoever started it."""
        self._ledger.begin_session(
            self._model.name,
            self._token,
            units=status.units or 1,
            usd_per_unit_minute=self._model.usd_per_unit_minute,
            reason="found hosted",
        )

    def _mark(self, what: str, reason: str | None = None) -> bool:
        return self._ledger.mark_session(self._model.name, self._token, what, reason)
