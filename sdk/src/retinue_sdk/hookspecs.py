"""The hooks that a plugin may implement. Hooks register; objects do the work.

An implementation may leave out arguments that it does not need. So a hook can be given new ones,
and old plugins stay right.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from retinue_sdk.detection import Detection
    from retinue_sdk.detector import AnyDetector
    from retinue_sdk.json_value import Json
    from retinue_sdk.reference import ImageReference
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


@hookspec
def retinue_filter_detections(
    image: "ImageReference", detector: str, detections: "Sequence[Detection]"
) -> "Sequence[Detection] | None":
    """Drop, alter or add detections before anything is recorded: for privacy, or to add attributes.

    Called by the worker for each image at which a detector looked with success, on the thread that
    called the detector, within the detector's time, and possibly on several threads at once. Return
    the detections to record; ``None`` leaves them as they are. The filters of several plugins are
    called in the order of the plugins' names, each with what the one before returned. The raw
    response is dropped where a filter returned anything, since it may hold what was filtered.

    If it raises, or returns what is no detections, the run fails with ``filter_failed``: nothing
    unfiltered is recorded. The names and versions of the distributions with a filter are part of
    the fingerprint, so another filter makes another run key.
    """


@hookspec
def retinue_worker_starting(options: "Mapping[str, Json] | None") -> "bool | None":
    """Get ready, with the plugin's own options from ``RETINUE_PLUGIN_OPTIONS``.

    Called by the worker once, before its detectors start, and by nothing else: neither
    ``retinue plugins`` nor a detector's own process calls it. ``options`` is ``None`` where the
    setting does not name the plugin. Return ``False`` to have nothing to do in this worker: the
    plugin is told of no run then, which spares the worker a part of its time. Raise
    ``ConfigurationError`` to say which option is wrong, and which values are allowed: the worker
    refuses to start. If it raises anything else, a worker that wants the plugin refuses to start:
    one with options for it, with one of its detectors, or any if the plugin filters detections.
    Other workers leave it out with a warning.
    """


@hookspec
def retinue_worker_stopping(timeout_seconds: float) -> None:
    """Finish: send what waits, close connections.

    Called by the worker once, after the last run was told, on a thread of its own. All plugins
    together have ``timeout_seconds``; then the process ends without them. If it raises, the error
    is logged.
    """
