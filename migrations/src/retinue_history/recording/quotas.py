"""Share a provider's rate limits among workers: one row per quota, one lease per worker."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from retinue_history.db.connections import Connection


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The shared state of a quota.

    Attributes:
        limit_rps: Requests a second at which throttling was met; ``None`` if never.
        lowered_seconds_ago: How long ago that was, in seconds; 0 if never.
        epoch: How often the limit was lowered.
        calls: Calls answered since then, of all workers.
        throttled: Number of throttled calls among them.
    """

    limit_rps: float | None
    lowered_seconds_ago: float
    epoch: int
    calls: float
    throttled: float


@dataclass(frozen=True, slots=True)
class QuotaLease:
    """A worker's part of a quota, until it expires.

    Attributes:
        demand_rps: Requests a second that the worker could make.
        share_rps: Requests a second that it may make.
        slot_seconds: When one of its evenly spaced requests is due, in seconds from now; negative
            if it is past.
        worker: The worker's id.
    """

    demand_rps: float
    share_rps: float
    slot_seconds: float
    worker: str


Renewal: TypeAlias = Callable[[QuotaState, Sequence[QuotaLease]], tuple[QuotaState, QuotaLease]]
"""Takes a quota and the valid leases of other workers, and returns the new state of the quota and
the worker's own lease. Called while the quota's row is locked, so it must not wait."""

# Inserts only new quotas; a plain INSERT would leave a dead row each time.
_ADD = """
    INSERT INTO quotas (quota)
    SELECT wanted FROM unnest(%(quota)s::text[]) AS wanted
    WHERE NOT EXISTS (SELECT FROM quotas WHERE quotas.quota = wanted)
    ORDER BY wanted
    ON CONFLICT DO NOTHING
"""

_LOCK = """
    SELECT quota, limit_rps,
        coalesce(CAST(extract(epoch FROM clock_timestamp() - lowered_at) AS double precision), 0)
            AS lowered_seconds_ago,
        epoch, calls, throttled
    FROM quotas
    WHERE quota = ANY (%(quota)s::text[])
    ORDER BY quota
    FOR UPDATE
"""

_OTHERS = """
    SELECT quota, demand_rps, share_rps,
        CAST(extract(epoch FROM slot_at - clock_timestamp()) AS double precision), worker
    FROM quota_leases
    WHERE quota = ANY (%(quota)s::text[])
        AND worker <> %(worker)s
        AND expires_at > clock_timestamp()
"""

_SAVE = """
    UPDATE quotas SET
        limit_rps = told.limit_rps,
        lowered_at = CASE
            WHEN told.epoch > quotas.epoch THEN clock_timestamp() ELSE quotas.lowered_at
        END,
        epoch = told.epoch,
        calls = told.calls,
        throttled = told.throttled
    FROM unnest(
        %(quota)s::text[], %(limit_rps)s::double precision[], %(epoch)s::bigint[],
        %(calls)s::double precision[], %(throttled)s::double precision[]
    ) AS told (quota, limit_rps, epoch, calls, throttled)
    WHERE quotas.quota = told.quota
"""

_LEASE = """
    INSERT INTO quota_leases AS mine
        (quota, worker, demand_rps, share_rps, slot_at, expires_at)
    SELECT quota, %(worker)s, demand_rps, share_rps,
        clock_timestamp() + make_interval(secs => slot_seconds),
        clock_timestamp() + make_interval(secs => %(lease_seconds)s)
    FROM unnest(
        %(quota)s::text[], %(demand_rps)s::double precision[],
        %(share_rps)s::double precision[], %(slot_seconds)s::double precision[]
    ) AS told (quota, demand_rps, share_rps, slot_seconds)
    ON CONFLICT (quota, worker) DO UPDATE SET
        demand_rps = excluded.demand_rps,
        share_rps = excluded.share_rps,
        slot_at = excluded.slot_at,
        expires_at = excluded.expires_at
"""

_FORGET = """
    DELETE FROM quota_leases
    WHERE (quota = ANY (%(quota)s::text[]) AND expires_at < clock_timestamp())
        OR (worker = %(worker)s AND quota = ANY (%(released)s::text[]))
"""


def renew_leases(
    connection: Connection,
    worker: str,
    lease_seconds: float,
    renewals: Mapping[str, Renewal],
    released: Collection[str] = (),
) -> None:
    """Renew a worker's leases in the transaction of ``connection``.

    Args:
        connection: In a transaction, which should end right after.
        worker: The worker's unique id.
        lease_seconds: How long the leases last, by the database's clock.
        renewals: The renewal of each quota.
        released: Quotas whose leases the worker releases.
    """
    quotas = sorted(renewals)
    if quotas:
        connection.execute(_ADD, {"quota": quotas})
        rows = connection.execute(_LOCK, {"quota": quotas}).fetchall()
        others: dict[str, list[QuotaLease]] = {quota: [] for quota in quotas}
        for quota, *lease in connection.execute(_OTHERS, {"quota": quotas, "worker": worker}):
            others[quota].append(QuotaLease(*lease))
        states: list[QuotaState] = []
        leases: list[QuotaLease] = []
        for quota, *found in rows:
            state, lease = renewals[quota](QuotaState(*found), others[quota])
            states.append(state)
            leases.append(lease)
        known = [quota for quota, *_ in rows]
        connection.execute(  # right away: slot_seconds count from when the others' leases were read
            _LEASE,
            {
                "quota": known,
                "worker": worker,
                "lease_seconds": lease_seconds,
                "demand_rps": [lease.demand_rps for lease in leases],
                "share_rps": [lease.share_rps for lease in leases],
                "slot_seconds": [lease.slot_seconds for lease in leases],
            },
        )
        connection.execute(
            _SAVE,
            {
                "quota": known,
                "limit_rps": [state.limit_rps for state in states],
                "epoch": [state.epoch for state in states],
                "calls": [state.calls for state in states],
                "throttled": [state.throttled for state in states],
            },
        )
    connection.execute(_FORGET, {"quota": quotas, "worker": worker, "released": sorted(released)})
