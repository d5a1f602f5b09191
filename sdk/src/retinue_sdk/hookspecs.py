"""The hooks that a plugin may implement.

An implementation may omit arguments that it doesn't need. Retinue can therefore add arguments
without breaking old plugins.
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
    """Register detector classes: call ``register(MyDetector)`` once for each.

    Called once at start, by the worker and by ``retinue plugins``. Registering loads nothing: the
    worker creates a detector only if the settings name it. If it raises, Retinue logs a
    warning and skips the plugin. A worker whose settings name an unregistered detector refuses to
    start, and names the plugin at fault.
    """


@hookspec
def retinue_run_finished(run: "Run") -> None:
    """Observe a run after its commit: call a webhook, count it, or publish an event.

    Called by the worker once for each new run, on a thread that all observers share. Return
    quickly, or pass the run to a thread of your own. If it raises, the worker logs the error
    and calls the other observers.
    """


@hookspec
def retinue_filter_detections(
    image: "ImageReference", detector: str, detections: "Sequence[Detection]"
) -> "Sequence[Detection] | None":
    """Remove, change or add detections before anything is recorded.

    Called by the worker for each image that a detector processed successfully, on the thread that
    called the detector, within the detector's timeout, and possibly on several threads
    concurrently. Return the detections to record, or ``None`` to leave them unchanged. The filters
    of several plugins run in the order of the plugins' names. Each receives the result of the one
    before. If a filter returns detections, the raw response isn't recorded, because it may contain
    what was removed.

    If it raises or returns anything but detections, the run fails with ``filter_failed`` and
    nothing unfiltered is recorded. The names and versions of the distributions with a filter are
    part of the fingerprint, so another filter changes the run key.
    """


@hookspec
def retinue_worker_starting(options: "Mapping[str, Json] | None") -> "bool | None":
    """Prepare the plugin, with its own options from ``RETINUE_PLUGIN_OPTIONS``.

    Called by the worker once, before its detectors start. ``retinue plugins`` and a detector's own
    process don't call it. ``options`` is ``None`` if the setting doesn't name the plugin. Return
    ``False`` to receive no runs in this worker, which saves time. Raise ``ConfigurationError`` with
    the wrong option and the allowed values. The worker then refuses to start. If it
    raises anything else, a worker that needs the plugin refuses to start: because its settings
    have options for it, because it uses one of its detectors, or because the plugin filters
    detections. Other workers log a warning and skip the plugin.
    """


@hookspec
def retinue_worker_stopping(timeout_seconds: float) -> None:
    """Finish pending work and close connections.

    Called by the worker once, after the last ``retinue_run_finished``, on a separate thread. All
    plugins together have ``timeout_seconds``; then the process ends. If it raises, the worker
    logs the error.
    """
