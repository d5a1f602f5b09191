"""Run a worker's controllers: one for each hosted model in the settings."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog
from retinue_history import ModelSessions
from retinue_sdk import AnyDetector, ConfigurationError
from retinue_sdk.errors import format_error

from retinue_workers.hosted_models.controller import RECONCILE_SECONDS, ModelController
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.limits.threads import DaemonThreads
from retinue_workers.settings.hosted_models import ModelPolicy
from retinue_workers.work import QueueDepth

log = structlog.get_logger(__name__)


class ModelControllers:
    """Runs the controllers, and closes the gate while one of their models doesn't answer calls.

    Args:
        policies: The settings' policies by detector name.
        detectors: The worker's detectors.
        sessions: Leases and sessions of models.
        queue_arn: The queue's ARN.
        queue_depth: Returns the depth of the queue.
        gate: Closed for ``model NAME`` while the detector's model doesn't answer calls.

    Raises:
        ConfigurationError: A detector has no model that can be started and stopped.
    """

    def __init__(
        self,
        policies: Mapping[str, ModelPolicy],
        detectors: Sequence[AnyDetector],
        *,
        sessions: ModelSessions | None,
        queue_arn: str,
        queue_depth: Callable[[], QueueDepth] | None,
        gate: ReceiveGate,
    ) -> None:
        self._gate = gate
        self._controllers: dict[str, ModelController] = {}
        holder = f"{queue_arn}/{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        for detector in detectors:
            policy = policies.get(detector.name)
            if policy is None:
                continue
            try:
                model = detector.managed_model
                options = detector.options.model_dump(mode="json")
            except ConfigurationError as error:
                raise ConfigurationError(f"detector {detector.name}: {error}") from error
            except BaseException as error:  # both may be the plugin's code
                raise ConfigurationError(
                    f"detector {detector.name} cannot start: {format_error(error)}"
                ) from error
            if model is None or sessions is None or queue_depth is None:
                raise ConfigurationError(
                    f"RETINUE_HOSTED_MODELS[{detector.name}]: this detector has no model that is "
                    "started and stopped; leave it out"
                )
            self._controllers[detector.name] = ModelController(
                model,
                sessions,
                read_depth=queue_depth,
                policy=policy,
                clock=time.time,
                detector=detector.name,
                options=options,
                holder=holder,
            )
        self._threads = DaemonThreads("hosted-models", max(1, len(self._controllers)))

    async def run(self) -> None:
        """Reconcile every model until cancelled. Then release the leases.

        Another worker takes over. Without one, the reaper stops the model.
        """
        await asyncio.gather(*(self._run(name) for name in self._controllers))

    async def _run(self, name: str) -> None:
        controller, cause = self._controllers[name], f"model {name}"
        self._gate.close(cause, "the model's state is not known yet")
        try:
            while True:
                try:
                    reason = await self._threads.run(controller.reconcile, self._blocked(name))
                except Exception:  # a bug must not end the loop silently
                    log.exception("model_reconcile_failed")
                else:
                    if reason is None:
                        self._gate.open(cause)
                    else:
                        self._gate.close(cause, reason)
                await asyncio.sleep(RECONCILE_SECONDS)
        finally:
            await self._threads.run(controller.stop)

    def _blocked(self, name: str) -> str | None:
        """Return why the worker can't work. A model that doesn't answer is started anyway."""
        own = {f"model {name}", f"detector {name}"}
        others = [
            f"{cause}: {reason}"
            for cause, reason in self._gate.reasons().items()
            if cause not in own
        ]
        return "; ".join(others) or None
