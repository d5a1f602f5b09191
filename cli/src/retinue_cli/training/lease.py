"""Hold a model's lease while a command acts on it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import structlog
from retinue_history import HistoryError, HostedModel, ModelSessions
from retinue_sdk import ManagedModel
from retinue_workers.hosted_models.controller import LEASE_SECONDS

from retinue_cli.training.errors import LeaseError

log = structlog.get_logger(__name__)

TRY_SECONDS = 5.0
"""Seconds between tries for a lease that another process holds."""

PATIENCE_SECONDS = 2 * LEASE_SECONDS
"""Maximum wait for a lease. A dead worker's lease ends in half of this."""


class HeldModel:
    """A model whose lease is held. Meanwhile no controller or reaper acts on it.

    Every write includes the lease's token, as a controller's does.
    """

    def __init__(self, model: ManagedModel, sessions: ModelSessions, token: int) -> None:
        self._model = model
        self._sessions = sessions
        self._token = token

    def begin(self, units: int, reason: str) -> None:
        """Record the start request. Minutes count from now.

        Raises:
            LeaseError: The lease was lost.
        """
        price = self._model.usd_per_unit_minute
        begun = self._sessions.begin_session(
            self._model.name, self._token, units=units, usd_per_unit_minute=price, reason=reason
        )
        if not begun and not self._note("STARTING", serving=False):
            raise LeaseError(f"the lease of {self._model.name} was lost to another controller")

    def running(self) -> None:
        """Record that it runs, so that workers switched to it can receive immediately."""
        self._sessions.mark_session(self._model.name, self._token, "running")
        self._note("RUNNING", serving=True)

    def stopping(self, reason: str) -> None:
        """Record that its stop is about to be requested. Workers receive nothing for it."""
        self._note("RUNNING", serving=False)
        self._sessions.mark_session(self._model.name, self._token, "stopping", reason)

    def stopped(self, reason: str) -> None:
        """Record that it has stopped. Its minutes end here."""
        self._sessions.mark_session(self._model.name, self._token, "stopped", reason)
        self._note("STOPPED", serving=False)

    def _note(self, status: str, *, serving: bool) -> bool:
        return self._sessions.record_status(
            self._model.name,
            self._token,
            status=status,
            reason="" if serving else "a promotion is under way",
            serving=serving,
            waiting_since=None,
            failures=0,
            not_before=None,
        )


class Leases:
    """Acquires leases of models.

    Args:
        sessions: Leases and sessions.
        make: Creates a model for the ARN of its version.
        detector: The detector that calls the models.
        holder: A unique name of this command.
    """

    def __init__(
        self,
        sessions: ModelSessions,
        make: Callable[[str], ManagedModel],
        detector: str,
        holder: str,
    ) -> None:
        self._sessions = sessions
        self._make = make
        self._detector = detector
        self._holder = holder

    @contextmanager
    def hold(self, version_arn: str) -> Iterator[HeldModel]:
        """Hold a version's lease, renewed in the background, until the block ends.

        Raises:
            LeaseError: Another controller doesn't release it.
        """
        waited = 0.0
        while (hosted := self._take(version_arn)).holder != self._holder:
            if waited >= PATIENCE_SECONDS:
                raise LeaseError(f"{version_arn} is controlled by {hosted.holder}")
            time.sleep(TRY_SECONDS)
            waited += TRY_SECONDS
        over = Event()
        renewing = Thread(target=self._renew, args=(version_arn, over), daemon=True)
        renewing.start()
        try:
            yield HeldModel(self._make(version_arn), self._sessions, hosted.token)
        finally:
            over.set()
            renewing.join()
            self._sessions.release_lease(version_arn, self._holder)

    def _take(self, version_arn: str) -> HostedModel:
        return self._sessions.acquire_lease(
            version_arn,
            detector=self._detector,
            options={"project_version_arn": version_arn},
            holder=self._holder,
            lease_seconds=LEASE_SECONDS,
        )

    def _renew(self, version_arn: str, over: Event) -> None:
        while not over.wait(LEASE_SECONDS / 3):
            try:
                self._take(version_arn)
            except HistoryError as error:  # the next try may succeed before the lease ends
                log.warning("lease_not_renewed", model=version_arn, reason=str(error))
