"""How workers divide a quota among themselves. Nothing here knows a clock or a database."""

from collections.abc import Sequence
from dataclasses import dataclass

FIRST = 0.1
"""Part of its fair share that a worker may use at once, before the others have made room."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker wants of a quota, and what it holds.

    Attributes:
        demand: Calls a second that it could make now.
        share: Calls a second that it may make.
    """

    demand: float
    share: float


def fair(rate: float, mine: float, others: Sequence[float]) -> float:
    """Max-min fairness: nobody gets less than another who asks for as much.

    Who asks for less than an equal part gets what it asks for, and what it leaves is divided in the
    same way. What nobody asks for is divided equally, so that a demand that grows finds room.

    Args:
        rate: Calls a second to divide.
        mine: Calls a second that this worker could make.
        others: The same of each other worker.
    """
    rest, workers = rate, len(others) + 1
    for demand in sorted([*others, mine]):
        part = rest / workers
        if demand > part:
            return min(part, mine)
        rest -= demand
        workers -= 1
    return mine + rest / (len(others) + 1)


def share(rate: float, mine: Claim, others: Sequence[Claim]) -> float:
    """Calls a second that this worker may make from now on.

    It gives up at once what is more than fair. It takes more only from what nobody holds: who holds
    too much makes room at its own next renewal.

    Args:
        rate: Calls a second to divide.
        mine: What this worker wants, and what it holds until now.
        others: The same of the others.
    """
    part = fair(rate, mine.demand, [other.demand for other in others])
    free = rate - sum(other.share for other in others)
    return min(part, max(mine.share, free, FIRST * part))
