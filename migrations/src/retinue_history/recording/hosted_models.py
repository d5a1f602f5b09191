"""Leases of hosted models, and each time that one was hosted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString

from retinue_history.db.connections import ConnectionPool
from retinue_history.db.error_mapping import map_errors


@dataclass(frozen=True, slots=True)
class HostedModel:
    """The shared state of a model. Times are seconds since the epoch.

    Attributes:
        model: The provider's name for it.
        detector: The detector that asks it.
        options: That detector's options.
        holder: The controller that acts for it; ``None`` if no lease is in force.
        token: The lease's number; goes up with each holder.
        status: The last known status of the model.
        reason: Why it does not serve.
        serving: Whether messages may be received for it.
        waiting_since: Since when messages wait; ``None`` if none do.
        failures: Starts that failed, one after the other.
        not_before: When it may be started again; ``None``: now.
        keep_until: Until when it runs even without work; ``None`` if only work decides.
        stopped_at: When it was last seen to be stopped; ``None``: it never ran.
    """

    model: str
    detector: str
    options: Mapping[str, Any]
    holder: str | None
    token: int
    status: str = "unknown"
    reason: str = ""
    serving: bool = False
    waiting_since: float | None = None
    failures: int = 0
    not_before: float | None = None
    keep_until: float | None = None
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSession:
    """One time that a model was hosted. Times are seconds since the epoch.

    Attributes:
        model: The provider's name for it.
        detector: The detector that asks it.
        units: Inference units.
        requested_at: When its start was requested.
        running_at: When it was first seen to run.
        stop_requested_at: When its stop was requested.
        stopped_at: When it was seen to be stopped.
        start_reason: Why it was started.
        stop_reason: Why it was stopped.
        unit_minutes: Inference-unit minutes until now.
        price_usd: Their price in US dollars.
    """

    model: str
    detector: str
    units: int
    requested_at: float
    running_at: float | None
    stop_requested_at: float | None
    stopped_at: float | None
    start_reason: str
    stop_reason: str | None
    unit_minutes: Decimal
    price_usd: Decimal


_HOLD = """
    INSERT INTO models AS m (model, detector, options, holder, token, expires_at)
    VALUES (%(model)s, %(detector)s, %(options)s::jsonb, %(holder)s, 1,
        clock_timestamp() + make_interval(secs => %(lease_seconds)s))
    ON CONFLICT (model) DO UPDATE SET
        detector = excluded.detector,
        options = excluded.options,
        token = m.token + CASE
            WHEN m.holder = excluded.holder AND m.expires_at > clock_timestamp() THEN 0 ELSE 1 END,
        holder = excluded.holder,
        expires_at = excluded.expires_at
    WHERE m.holder IS NULL OR m.holder = excluded.holder OR m.expires_at <= clock_timestamp()
"""

_MODELS = """
    SELECT model, detector, options,
        CASE WHEN expires_at > clock_timestamp() THEN holder END AS holder, token, status, reason,
        serving, extract(epoch FROM waiting_since)::float8 AS waiting_since, failures,
        extract(epoch FROM not_before)::float8 AS not_before,
        extract(epoch FROM keep_until)::float8 AS keep_until,
        (SELECT extract(epoch FROM max(stopped_at))::float8 FROM model_sessions
            WHERE model_sessions.model = models.model) AS stopped_at
    FROM models
"""

_LOOK = _MODELS + " WHERE model = %(model)s"
_ALL = _MODELS + " ORDER BY model"

_NOTE = """
    UPDATE models SET
        status = %(status)s, reason = %(reason)s, serving = %(serving)s,
        waiting_since = to_timestamp(%(waiting_since)s), failures = %(failures)s,
        not_before = to_timestamp(%(not_before)s)
    WHERE model = %(model)s AND token = %(token)s AND expires_at > clock_timestamp()
"""

_KEEP_RUNNING = """
    UPDATE models SET keep_until = to_timestamp(%(until)s), failures = 0, not_before = NULL
    WHERE model = %(model)s
"""

_RELEASE = """
    UPDATE models SET holder = NULL, expires_at = NULL, serving = false
    WHERE model = %(model)s AND holder = %(holder)s
"""

_BEGIN = """
    INSERT INTO model_sessions (model, detector, token, units, usd_per_unit_minute, start_reason)
    SELECT model, detector, token, %(units)s, %(usd)s, %(reason)s FROM models
    WHERE model = %(model)s AND token = %(token)s AND expires_at > clock_timestamp()
    FOR UPDATE
    ON CONFLICT DO NOTHING
"""

_MARK = """
    UPDATE model_sessions SET
        running_at = CASE WHEN %(what)s = 'running'
            THEN coalesce(running_at, clock_timestamp()) ELSE running_at END,
        stop_requested_at = CASE WHEN %(what)s = 'stopping'
            THEN coalesce(stop_requested_at, clock_timestamp()) ELSE stop_requested_at END,
        stopped_at = CASE WHEN %(what)s = 'stopped' THEN clock_timestamp() END,
        stop_reason = coalesce(stop_reason, %(reason)s)
    WHERE model = %(model)s AND stopped_at IS NULL
        AND EXISTS (SELECT FROM models WHERE models.model = %(model)s AND models.token = %(token)s
            AND expires_at > clock_timestamp() FOR UPDATE)
"""

_SESSIONS = """
    SELECT model, detector, units, extract(epoch FROM requested_at)::float8 AS requested_at,
        extract(epoch FROM running_at)::float8 AS running_at,
        extract(epoch FROM stop_requested_at)::float8 AS stop_requested_at,
        extract(epoch FROM stopped_at)::float8 AS stopped_at, start_reason, stop_reason,
        unit_minutes, price_usd
    FROM model_costs
    WHERE (%(model)s::text IS NULL OR model = %(model)s)
        AND (NOT %(open)s OR stopped_at IS NULL)
    ORDER BY requested_at DESC
    LIMIT %(limit)s
"""


class ModelSessions:
    """Leases and sessions of models in one database; safe to use from several threads.

    Every write but ``acquire_lease`` and ``keep_running`` names the token of the lease and is
    refused (``False``) once another controller has taken it. Every method raises ``HistoryError``
    as ``History`` does.

    Args:
        pool: Connections to the database.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def acquire_lease(
        self,
        model: str,
        *,
        detector: str,
        options: Mapping[str, Any],
        holder: str,
        lease_seconds: float,
    ) -> HostedModel:
        """Take or renew the lease unless another holder has it. Return the model's new state."""
        given = {
            "model": model,
            "detector": detector,
            "options": json.dumps(dict(options)),
            "holder": holder,
            "lease_seconds": lease_seconds,
        }
        with map_errors(), self._pool.transaction() as connection:
            connection.execute(_HOLD, given)
            (found,) = connection.execute(_LOOK, {"model": model})
            return HostedModel(*found)

    def record_status(
        self,
        model: str,
        token: int,
        *,
        status: str,
        reason: str,
        serving: bool,
        waiting_since: float | None,
        failures: int,
        not_before: float | None,
    ) -> bool:
        """Record the model's status; return ``False`` if the lease is lost."""
        given = {
            "model": model,
            "token": token,
            "status": status,
            "reason": reason,
            "serving": serving,
            "waiting_since": waiting_since,
            "failures": failures,
            "not_before": not_before,
        }
        return self._changed(_NOTE, given)

    def keep_running(self, model: str, until: float | None) -> bool:
        """Keep the model running without work until a time, and forget failed starts.

        Returns:
            ``False`` if the model is unknown.
        """
        return self._changed(_KEEP_RUNNING, {"model": model, "until": until})

    def release_lease(self, model: str, holder: str) -> None:
        """Release the lease."""
        self._changed(_RELEASE, {"model": model, "holder": holder})

    def begin_session(
        self, model: str, token: int, *, units: int, usd_per_unit_minute: Decimal, reason: str
    ) -> bool:
        """Record that the model is about to be hosted.

        Returns:
            ``False`` if the lease is lost, or a session is open already.
        """
        given = {
            "model": model,
            "token": token,
            "units": units,
            "usd": usd_per_unit_minute,
            "reason": reason,
        }
        return self._changed(_BEGIN, given)

    def mark_session(self, model: str, token: int, what: str, reason: str | None = None) -> bool:
        """Record the progress of the open session.

        Args:
            model: The model.
            token: The lease.
            what: ``running``, ``stopping`` or ``stopped``.
            reason: Why it is stopped; the first one stays.

        Returns:
            ``False`` if the lease is lost, or no session is open.
        """
        given = {"model": model, "token": token, "what": what, "reason": reason}
        return self._changed(_MARK, given)

    def list_models(self) -> list[HostedModel]:
        """Return all models that ever had a controller."""
        with map_errors(), self._pool.connection() as connection:
            return [HostedModel(*row) for row in connection.execute(_ALL)]

    def list_sessions(
        self, model: str | None = None, *, only_open: bool = False, limit: int = 1_000
    ) -> Sequence[ModelSession]:
        """Return sessions, the latest first."""
        given = {"model": model, "open": only_open, "limit": limit}
        with map_errors(), self._pool.connection() as connection:
            return [ModelSession(*row) for row in connection.execute(_SESSIONS, given)]

    def _changed(self, statement: LiteralString, given: Mapping[str, Any]) -> bool:
        with map_errors(), self._pool.connection() as connection:
            return bool(connection.execute(statement, given).rowcount)
