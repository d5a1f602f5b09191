"""Images that may be to blame for an error, or not: others decide."""

import time
from collections.abc import Callable
from dataclasses import replace

from retinue_sdk import Findings, ObjectRefusedError
from retinue_sdk.errors import format_error

from retinue_workers.detectors.errors import DetectorCrashedError, ShortageError
from retinue_workers.detectors.load_limit import LoadLimit
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.detectors.shortage import is_shortage
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.work import Task

TRIES_ALONE = 3
"""How often an image must meet a shortage as the only one that is looked at."""

MOST_BLAMED = 2
"""How many images in a row may be blamed for a shortage without another one that passes."""

PASSES_PER_SUSPECT = 2
"""If there are more suspects, how many other images must pass for each of them."""


class Suspects:
    """The images of one detector whose objects are refused, or that met a shortage of resources.

    While there are any, the gate lets only probes pass. The store, or the plugin, compares refused
    objects with others. Images that met a shortage are compared here.

    Args:
        gate: Closed while there are suspects.
        cause: The gate's cause.
        load: Reduced after a shortage.
        pause: Makes the detector pause for so many seconds.
    """

    def __init__(
        self, gate: ReceiveGate, cause: str, load: LoadLimit, pause: Callable[[float], None]
    ) -> None:
        self._gate = gate
        self._cause = cause
        self._load = load
        self._pause = pause
        self._reason = ""
        self._suspects: dict[Task, int] = {}  # how many others had passed at the first error
        self._passed = 0
        self._blamed = 0

    def note(self, task: Task, answer: Answer) -> Answer:
        """Note an answer about a task's image.

        Returns:
            The answer; with a ``ShortageError`` instead of an error that means one.
        """
        value = answer.value
        if isinstance(value, Findings):
            self._passed += 1
            self._blamed = 0
            self._load.record_success()
            if self._suspects:
                self._gate.open(self._cause)
        elif isinstance(value, ObjectRefusedError):
            self._suspect(task, _text(value))
            return answer
        elif is_shortage(value):
            is_images_fault, pause_seconds = self._note_shortage(task, answer, format_error(value))
            crashed = isinstance(value, DetectorCrashedError)
            shortage = ShortageError(
                _text(value) if crashed else format_error(value),
                retry_after_seconds=pause_seconds,
                code="detector_crashed" if crashed else "resources_exhausted",
                is_images_fault=is_images_fault,
            )
            return replace(answer, value=shortage)
        if task in self._suspects:
            self.acquit(task)
        return answer

    def acquit(self, task: Task) -> None:
        """Suspect a task's image no more, if it was."""
        if self._suspects.pop(task, None) is not None and not self._suspects:
            self._gate.open(self._cause)

    def _note_shortage(self, task: Task, answer: Answer, reason: str) -> tuple[bool, float]:
        """Return whether the image is to blame, and how many seconds the detector pauses."""
        took_seconds = answer.duration_ms * answer.batch_size / 1_000
        began_at = time.monotonic() - took_seconds
        self._suspect(task, reason)
        if answer.batch_size == 1 and self._load.was_single(began_at):
            task.shortages += 1
            if task.shortages >= TRIES_ALONE and self._others_passed(task):
                self._blamed += 1
                self.acquit(task)
                self._load.restore()
                return True, 0.0
        pause_seconds = self._load.reduce(began_at, reason)
        self._pause(pause_seconds)
        return False, pause_seconds

    def _others_passed(self, task: Task) -> bool:
        """Return whether enough other images were looked at to blame this one."""
        if len(self._suspects) + self._blamed <= MOST_BLAMED:
            return self._passed > 0
        return self._passed - self._suspects[task] >= PASSES_PER_SUSPECT * len(self._suspects)

    def _suspect(self, task: Task, reason: str) -> None:
        if not self._suspects:
            self._reason = reason  # that of the first: each new one would be logged
        self._gate.close(self._cause, self._reason, probe=True)
        self._suspects.setdefault(task, self._passed)


def _text(error: BaseException) -> str:
    """Return an error's text, even if its class is a plugin's own and broken."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its own text cannot be had
        return format_error(error)
