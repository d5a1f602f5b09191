"""How workers divide a quota among themselves. Nothing here knows a clock or a database."""

from collections.abc import Sequence

from retinue_history import QuotaLease

PEERS = 0.1
"""Difference of two shares, as a part of one, up to which workers take turns."""

FIRST = 0.1
"""Part of its fair share that a worker may use at once, before the others have made room."""


def fair(rate: float, mine: float, others: Sequence[float]) -> float:
    """Return this worker's share of a rate by max-min fairness.

    A worker that asks for less than an equal part gets what it asks for. The rest is divided among
    the others in the same way. If all demands are met, the remainder is divided equally, so that a
    growing demand finds room.

    Args:
        rate: Calls a second to divide.
        mine: Calls a second that this worker could make.
        others: Calls a second that each other worker could make.
    """
    rest, workers = rate, len(others) + 1
    for demand in sorted([*others, mine]):
        part = rest / workers
        if demand > part:
            return min(part, mine)
        rest -= demand
        workers -= 1
    return mine + rest / (len(others) + 1)


def share(rate: float, *, demand: float, held: float, others: Sequence[QuotaLease]) -> float:
    """Calls a second that this worker may make from now on.

    It gives up at once what is more than fair. It takes more only from what nobody holds: who holds
    too much makes room at its own next renewal.

    Args:
        rate: Calls a second to divide.
        demand: Calls a second that this worker could make.
        held: Calls a second that it may make until now.
        others: What the others hold.
    """
    part = fair(rate, demand, [other.demand_rps for other in others])
    free = rate - sum(other.share_rps for other in others)
    return min(part, max(held, free, FIRST * part))


def next_slot_seconds(worker: str, share: float, others: Sequence[QuotaLease]) -> float | None:
    """Return when a call is due, in seconds, so that workers with equal shares take turns.

    Calls that are evenly spaced in each worker would still fall together by chance. So of workers
    with about the same share, the first by name goes as it likes, and the others put their calls
    in between its calls, evenly.

    Args:
        worker: This worker.
        share: Calls a second that it may make.
        others: What the others hold.

    Returns:
        Seconds from now, give or take whole periods; ``None`` if the others follow this worker.
    """
    peers = [other for other in others if abs(other.share_rps - share) <= PEERS * share]
    earlier = sorted((peer for peer in peers if peer.worker < worker), key=lambda peer: peer.worker)
    if not earlier:
        return None
    return earlier[0].slot_seconds + len(earlier) / (len(peers) + 1) / share
