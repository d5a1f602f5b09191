"""The hooks that a plugin may implement. Hooks register; objects do the work."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from retinue_sdk.detector import AnyDetector
    from retinue_sdk.run import Run

hookspec = pluggy.HookspecMarker("retinue")
hookimpl = pluggy.HookimplMarker("retinue")


@hookspec
def retinue_register_detectors(register: "Callable[[type[AnyDetector]], None]") -> None:
    """Offer detector classes: call ``register(MyDetector)`` once for each.

    Called once at start, by the worker and by ``retinue plugins``. Registering loads nothing: a
    detector is made only when the settings name it. If it raises, the plugin is left out with a
    warning; but a worker whose settings name a detector that nobody registered refuses to start,
    and says which plugin is at fault.
    """


@hookspec
def retinue_run_finished(run: "Run") -> None:
    """Hear of a run after it is committed: a webhook, a metric, an event bus.

    Called by the worker once for each new run, on a thread that all observers share: be quick, or
    hand over to a thread of your own. If it raises, the error is logged and the other observers are
    still told.
    """
