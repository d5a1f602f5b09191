"""Pacing, as a call of a detector sees it: its clock stands still while it waits."""

from collections.abc import Callable

from retinue_sdk.pacing import Turn

from retinue_workers.detectors.calls import Calls
from retinue_workers.limits.rate_limits.shared_limiter import SharedPacer


class CallPacer:
    """Paces the calls of one lane.

    Waiting is the account's fault and not the detector's, so it counts neither against the
    detector's time nor as the run's duration. When the worker stops, a call that still waits for
    its first turn gives up; one that has begun to ask the service may finish.

    Args:
        pacer: Who paces.
        calls: The lane's calls.
        crowd: How many images wait for the same, where one thread waits for all of them.
    """

    def __init__(
        self, pacer: SharedPacer, calls: Calls, crowd: Callable[[], int] = lambda: 1
    ) -> None:
        """Pace nothing yet."""
        self._pacer = pacer
        self._calls = calls
        self._crowd = crowd

    def wait(self, quota: str) -> Turn:
        """As ``retinue_sdk.Pacer.wait``."""
        with self._calls.suspended() as call:
            turn = self._pacer.wait(
                quota,
                lambda: self._calls.closed and call is not None and call.turns == 0,
                crowd=self._crowd(),
            )
        if call is not None:
            call.turns += 1
        return turn
