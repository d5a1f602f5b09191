"""Loaded by a worker, makes its controllers reconcile, lease and close within seconds."""

from collections.abc import Callable
from typing import Any

from retinue_sdk import hookimpl
from retinue_workers.hosted_models import controller, controllers, idle_tracker, reaper


class BriskController(controller.ModelController):
    """A controller with an idle timeout of two seconds, below what settings allow."""

    def __init__(self, *arguments: Any, policy: Any, **named: Any) -> None:
        brisk = policy.model_copy(update={"idle_timeout_seconds": 2.0})
        super().__init__(*arguments, policy=brisk, **named)


controller.LEASE_SECONDS = 3.0
controllers.RECONCILE_SECONDS = 0.2
controllers.ModelController = BriskController  # type: ignore[misc]
idle_tracker.CLOSING_SECONDS = controller.CLOSING_SECONDS = 1.0
reaper.REAP_SECONDS = 3.0


@hookimpl
def retinue_register_detectors(register: Callable[[Any], None]) -> None:
    """None: a plugin has to have a hook."""
