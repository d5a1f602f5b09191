"""Loaded by a worker, makes its keepers look, lease and close within seconds."""

from collections.abc import Callable
from typing import Any

from retinue_sdk import hookimpl
from retinue_workers.hosted_models import controller, controllers, idle_tracker, reaper


class BriskKeeper(controller.Keeper):
    """A keeper whose model needs to be quiet for two seconds only, below what settings allow."""

    def __init__(self, *arguments: Any, policy: Any, **named: Any) -> None:
        brisk = policy.model_copy(update={"quiet_seconds": 2.0})
        super().__init__(*arguments, policy=brisk, **named)


controller.LEASE_SECONDS = 3.0
controllers.TICK_SECONDS = 0.2
controllers.Keeper = BriskKeeper  # type: ignore[misc]
idle_tracker.CLOSING_SECONDS = controller.CLOSING_SECONDS = 1.0
reaper.REAP_SECONDS = 3.0


@hookimpl
def retinue_register_detectors(register: Callable[[Any], None]) -> None:
    """None: a plugin has to have a hook."""
