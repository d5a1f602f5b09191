"""Pacing, as a call of a detector sees it: its clock stands still while it waits."""

from retinue_sdk.pacing import Turn

from retinue_workers.call import Calls
from retinue_workers.pacing.pacer import SharedPacer


class CallPacer:
    """Paces the calls of one lane.

    Waiting is the account's fault and not the detector's, so it counts neither against the
    detector's time nor as the run's duration. When the worker stops, a call that still waits for
    its first turn gives up; one that has begun to ask the service may finish.

    Args:
        pacer: Who paces.
        calls: The lane's calls.
    """

    def __init__(self, pacer: SharedPacer, calls: Calls) -> None:
        """Pace nothing yet."""
        self._pacer = pacer
        self._calls = calls

    def wait(self, quota: str) -> Turn:
        """As ``retinue_sdk.Pacer.wait``."""
        with self._calls.suspended() as call:
            turn = self._pacer.wait(
                quota, lambda: self._calls.closed and call is not None and call.turns == 0
            )
        if call is not None:
            call.turns += 1
        return turn
