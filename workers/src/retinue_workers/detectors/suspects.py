"""Track images that may be the cause of an error, until other images decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from retinue_sdk import Findings, ObjectRefusedError
from retinue_sdk.errors import format_error

from retinue_workers.detectors.encoding import EncodedFindings
from retinue_workers.detectors.errors import DetectorCrashedError, ShortageError
from retinue_workers.detectors.load_limit import LoadLimit
from retinue_workers.detectors.retry_policy import Answer
from retinue_workers.detectors.shortage import is_shortage
from retinue_workers.limits.receive_gate import ReceiveGate
from retinue_workers.work import Task

TRIES_ALONE = 3
"""How many shortages an image must cause while it is processed alone."""

MOST_BLAMED = 2
"""How many consecutive images may fail for a shortage without another image that succeeds."""

PASSES_PER_SUSPECT = 2
"""If there are more suspects, how many other images must succeed for each."""

LASTING_SECONDS = 120.0
"""How long a detector's shortage may last, while others succeed, before images fail that have it
alone.
"""

LASTING_PAUSE_SECONDS = 5.0
"""Pause after such a failure. It limits how many images fail because of something else."""


@dataclass(slots=True)
class Successes:
    """The number of images that succeeded, of all detectors of a worker together."""

    total: int = 0


class Suspects:
    """The images of one detector whose objects are refused, or that caused a shortage.

    While there are any, the gate allows only probes, but a single shortage doesn't close it. The
    store or the plugin compares refused objects with others. This class compares images that caused
    a shortage.

    Args:
        gate: Closed while there are suspects, except after a single shortage.
        cause: The gate's cause.
        load: Reduced after a shortage.
        pause: Pauses the detector for a number of seconds.
        successes: Shows whether other detectors succeed during a shortage. If none does, everything
            may lack something, and messages wait.
    """

    def __init__(
        self,
        gate: ReceiveGate,
        cause: str,
        load: LoadLimit,
        pause: Callable[[float], None],
        successes: Successes,
    ) -> None:
        self._gate = gate
        self._cause = cause
        self._load = load
        self._pause = pause
        self._successes = successes
        self._reason = ""
        self._suspects: dict[Task, int] = {}  # how many others had succeeded at the first error
        self._passed = 0
        self._blamed = 0
        self._lacking_since: float | None = None  # no image of this detector succeeded since then
        self._total_before: int | None = 0  # successes of all before the first shortage since then

    def note(self, task: Task, answer: Answer) -> Answer:
        """Record an answer for a task's image.

        Returns:
            The answer. An error that means a shortage is replaced by ``ShortageError``.
        """
        value = answer.value
        if isinstance(value, Findings | EncodedFindings):
            self._passed += 1
            self._successes.total += 1
            self._blamed = 0
            self._lacking_since = self._total_before = None
            self._load.record_success()
            if self._suspects:
                self._gate.open(self._cause)
        elif isinstance(value, ObjectRefusedError):
            self._suspect(task, _text(value), closes_gate=True)
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
        return answer

    def acquit(self, task: Task) -> None:
        """Remove a task's image from the suspects."""
        if self._suspects.pop(task, None) is not None and not self._suspects:
            self._lacking_since = None
            self._gate.open(self._cause)

    def _note_shortage(self, task: Task, answer: Answer, reason: str) -> tuple[bool, float]:
        """Return whether the image is the cause, and the detector's pause in seconds."""
        value = answer.value
        if (
            isinstance(value, DetectorCrashedError)
            and value.may_be_leak
            and task not in self._suspects
        ):
            self._suspect(task, reason, closes_gate=False)  # a new process has room
            return False, 0.0
        now = time.monotonic()
        began_at = now - answer.duration_ms * answer.batch_size / 1_000
        # After a single one, others may succeed.
        self._suspect(task, reason, closes_gate=self._lacking_since is not None)
        if self._lacking_since is None:
            self._lacking_since = now
        if self._total_before is None:
            self._total_before = self._successes.total
        if answer.batch_size == 1 and self._load.was_single(began_at):
            task.shortages += 1
            if task.shortages >= TRIES_ALONE and self._others_passed(task):
                self._blamed += 1
                self._load.restore()
                return True, 0.0
            is_lasting = now - self._lacking_since >= LASTING_SECONDS
            if is_lasting and self._successes.total > self._total_before:
                self._pause(LASTING_PAUSE_SECONDS)
                return True, 0.0
        pause_seconds = self._load.reduce(began_at, reason)
        self._pause(pause_seconds)
        return False, pause_seconds

    def _others_passed(self, task: Task) -> bool:
        """Return whether enough other images succeeded to fail this one."""
        if len(self._suspects) + self._blamed <= MOST_BLAMED:
            return self._passed > 0
        return self._passed - self._suspects[task] >= PASSES_PER_SUSPECT * len(self._suspects)

    def _suspect(self, task: Task, reason: str, *, closes_gate: bool) -> None:
        if not self._suspects:
            self._reason = reason  # the first reason: each new one would be logged
        self._suspects.setdefault(task, self._passed)
        if closes_gate:
            self._gate.close(self._cause, self._reason, probe=True)


def _text(error: BaseException) -> str:
    """Return an error's text, even if its class is invalid."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - its text can't be computed
        return format_error(error)
