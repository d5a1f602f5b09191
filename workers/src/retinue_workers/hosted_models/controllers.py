"""The keepers of a worker: one for each model that the settings name, on a thread of its own."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event, Thread

import structlog
from retinue_sdk import AnyDetector, ConfigurationError

from retinue_workers.hosted_models.controller import TICK_SECONDS, Keeper, Ledger
from retinue_workers.limits.receive_gate import CircuitBreaker
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.work import Backlog

log = structlog.get_logger(__name__)

JOIN_SECONDS = 2.0
"""How long a stop waits for a look that is under way; then the lease expires by itself."""


class Keepers:
    """Keeps models, and opens the circuit breaker while one of them does not serve.

    Args:
        policies: By detector, from the settings.
        detectors: The worker's detectors.
        ledger: Leases and sessions.
        look: Tells what the queue holds.
        breaker: Tripped, as ``model NAME``, while the detector's model does not serve.

    Raises:
        ConfigurationError: A detector has no model that could be kept.
    """

    def __init__(
        self,
        policies: Mapping[str, ModelPolicy],
        detectors: Sequence[AnyDetector],
        *,
        ledger: Ledger | None,
        look: Callable[[], Backlog] | None,
        breaker: CircuitBreaker,
    ) -> None:
        """Look at nothing yet."""
        self._breaker = breaker
        self._stopping = Event()
        self._keepers: dict[str, Keeper] = {}
        holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        for detector in detectors:
            policy = policies.get(detector.name)
            if policy is None:
                continue
            model = detector.managed_model
            if model is None or ledger is None or look is None:
                raise ConfigurationError(
                    f"RETINUE_HOSTED_MODELS[{detector.name}]: this detector has no model to start "
                    "and stop; leave it out"
                )
            self._keepers[detector.name] = Keeper(
                model,
                ledger,
                look=look,
                policy=policy,
                gate=partial(self._gate, detector.name),
                blocked=partial(self._blocked, detector.name),
                clock=time.time,
                detector=detector.name,
                options=detector.options.model_dump(mode="json"),
                holder=holder,
            )
        self._threads = [
            Thread(target=self._run, args=(keeper,), name=f"{name}-keeper", daemon=True)
            for name, keeper in self._keepers.items()
        ]

    def start(self) -> None:
        """Keep from now on; until a model serves, nothing is received."""
        for name in self._keepers:
            self._gate(name, "not looked at the model yet")
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Give the leases back; another worker takes over, or in the end the reaper does."""
        self._stopping.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, keeper: Keeper) -> None:
        while not self._stopping.is_set():
            try:
                keeper.tick()
            except Exception:  # a bug must not end the loop in silence
                log.exception("model_not_kept")
            self._stopping.wait(TICK_SECONDS)
        keeper.stop()

    def _gate(self, name: str, reason: str | None) -> None:
        if reason is None:
            self._breaker.reset(f"model {name}")
        else:
            self._breaker.trip(f"model {name}", reason)

    def _blocked(self, name: str) -> str | None:
        """What else is broken; that the model does not answer is no reason not to start it."""
        own = {f"model {name}", f"detector {name}"}
        return (
            "; ".join(
                f"{cause}: {reason}"
                for cause, reason in self._breaker.causes().items()
                if cause not in own
            )
            or None
        )
