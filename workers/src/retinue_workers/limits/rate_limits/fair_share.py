"""Divide a quota among workers. This module depends on neither clock nor database."""

from collections.abc import Sequence

from retinue_history import QuotaLease

PEERS = 0.1
"""Relative difference of two shares up to which workers interleave their calls."""

FIRST = 0.1
"""Part of its fair share that a worker may use before the others have made room."""


def fair(rate: float, mine: float, others: Sequence[float]) -> float:
    """Return this worker's share of a rate by max-min fairness.

    A worker that needs less than an equal part gets its demand. The rest is divided among the
    others in the same way. If all demands are met, the remainder is divided equally, so that
    demands can grow.

    Args:
        rate: Calls per second to divide.
        mine: Calls per second that this worker could make.
        others: Calls per second that each other worker could make.
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
    """Return the calls per second that this worker may make.

    The worker immediately gives up the part above its fair share. It takes more only from the free
    part. A worker that holds too much makes room at its next renewal.

    Args:
        rate: Calls per second to divide.
        demand: Calls per second that this worker could make.
        held: Calls per second that it has been allowed.
        others: Calls per second that the others hold.
    """
    part = fair(rate, demand, [other.demand_rps for other in others])
    free = rate - sum(other.share_rps for other in others)
    return min(part, max(held, free, FIRST * part))


def next_slot_seconds(worker: str, share: float, others: Sequence[QuotaLease]) -> float | None:
    """Return when a call is due, in seconds, so that workers with equal shares alternate.

    Evenly spaced calls of several workers may still coincide. Among workers with about the same
    share, the first by name chooses freely, and the others space their calls evenly between its
    calls.

    Args:
        worker: This worker.
        share: Calls per second that it may make.
        others: Calls per second that the others hold.

    Returns:
        Seconds from now, modulo the period; ``None`` if the others follow this worker.
    """
    peers = [other for other in others if abs(other.share_rps - share) <= PEERS * share]
    earlier = sorted((peer for peer in peers if peer.worker < worker), key=lambda peer: peer.worker)
    if not earlier:
        return None
    return earlier[0].slot_seconds + len(earlier) / (len(peers) + 1) / share
