"""Paces the calls of a worker's detectors, so that all workers together keep to their quotas."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from uuid import uuid4

import structlog
from retinue_history import History, HistoryUnavailableError, QuotaLease, QuotaState, Renewal
from retinue_sdk.pacing import Turn, known

from retinue_workers.limits.rate_limits.quota import LEASE_SECONDS, Renewed, SharedQuota

log = structlog.get_logger(__name__)

RENEW_SECONDS = 1.0
"""How often a lease is renewed while calls are made."""

SOONEST_SECONDS = 0.25
"""How soon it is renewed again when something happens: throttling, or new demand."""


class SharedPacer:
    """Paces calls by shares of quotas that are leased from the history.

    One thread renews the leases of quotas that are in use. No call waits for the database, and
    while it is away the last shares hold.

    Args:
        quotas: Calls a second that the account may make, by quota; at least one.
        history: Where leases are kept.
        clock: The time in seconds.
    """

    def __init__(
        self,
        quotas: Mapping[str, float],
        history: History,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Lease nothing yet."""
        self.worker = str(uuid4())
        self.quotas = {
            name: SharedQuota(self.worker, rate, clock=clock) for name, rate in quotas.items()
        }
        self._history = history
        self._leased: set[str] = set()
        self._changed = Condition()
        self._urgent = False
        self._stopping = False
        self._away = False
        self._thread = Thread(target=self._run, name="pacer", daemon=True)

    def start(self) -> None:
        """Renew leases from now on."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Give everything back."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def wake(self) -> None:
        """Let calls that wait ask whether they are cancelled."""
        for quota in self.quotas.values():
            quota.slots.wake()

    def wait(
        self, quota: str, cancelled: Callable[[], bool] = lambda: False, *, crowd: int = 1
    ) -> Turn:
        """Return when a call may be made.

        Args:
            quota: Which quota it counts against.
            cancelled: Asked after ``wake`` whether to go on waiting.
            crowd: How many calls would be made if they could, where one waits for all of them.

        Raises:
            StoppedError: It was cancelled.
            ValueError: No detector of this worker named the quota.
        """
        shared = known(self.quotas, quota)
        if shared.wants(crowd):
            self._hurry()
        shared.slots.take(cancelled, crowd=crowd)
        return _SharedTurn(shared, shared.called(), self._hurry)

    def renew(self) -> None:
        """Renew the leases of quotas in use, and give back the others.

        Raises:
            HistoryUnavailableError: The database is away; the last shares hold.
        """
        used = {name for name, quota in self.quotas.items() if not quota.idle}
        released = self._leased - used
        if not used and not released:
            return
        renewed: dict[str, Renewed] = {}
        renewals: dict[str, Renewal] = {
            name: partial(_renewal, name, self.quotas[name], renewed) for name in used
        }
        self._history.renew_leases(self.worker, LEASE_SECONDS, renewals, released)
        for name, lease in renewed.items():
            self.quotas[name].adopt(lease)
        for name in released:
            self.quotas[name].give_back()
        self._leased = used

    def _hurry(self) -> None:
        if self._urgent:  # the usual case while calls are throttled, kept free of the lock
            return
        with self._changed:
            self._urgent = True
            self._changed.notify_all()

    def _run(self) -> None:
        while self._rest():
            try:
                self.renew()
            except Exception as error:  # whatever it is, detectors go on at their last shares
                if not self._away:
                    log.warning(
                        "pacing_alone",
                        reason=str(error),
                        exc_info=not isinstance(error, HistoryUnavailableError),
                    )
                self._away = True
                for name in self._leased:
                    self.quotas[name].alone()
            else:
                if self._away:
                    log.info("pacing_together")
                self._away = False
        self._give_back()

    def _rest(self) -> bool:
        """Wait for the next renewal; ``False`` when the worker stops."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, timeout=SOONEST_SECONDS)
            rest = RENEW_SECONDS - SOONEST_SECONDS if self._leased or self._away else None
            self._changed.wait_for(lambda: self._stopping or self._urgent, timeout=rest)
            self._urgent = False
            return not self._stopping

    def _give_back(self) -> None:
        try:
            if self._leased:
                self._history.renew_leases(self.worker, LEASE_SECONDS, {}, self._leased)
        except Exception as error:  # noqa: BLE001 - the leases expire by themselves
            log.warning("leases_not_given_back", reason=str(error))


def _renewal(
    name: str,
    quota: SharedQuota,
    renewed: dict[str, Renewed],
    state: QuotaState,
    others: Sequence[QuotaLease],
) -> tuple[QuotaState, QuotaLease]:
    """Renew one quota inside the history's transaction, and note what to adopt after it."""
    known_state, lease = quota.renew(state, others)
    renewed[name] = lease
    return known_state, lease.lease


@dataclass(frozen=True, slots=True)
class _SharedTurn:
    quota: SharedQuota
    epoch: int
    hurry: Callable[[], None]

    def throttled(self) -> None:
        self.quota.throttled(self.epoch)
        self.hurry()

    def accepted(self) -> None:
        return
