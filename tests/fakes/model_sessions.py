"""Leases and sessions of models in memory, on any clock; a contract holds it to the real one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from retinue_history import HostedModel


@dataclass
class Session:
    """One time that a model was hosted."""

    model: str
    token: int
    units: int
    reason: str
    requested_at: float
    running_at: float | None = None
    stop_requested_at: float | None = None
    stopped_at: float | None = None
    stop_reason: str | None = None


@dataclass
class MemoryModelSessions:
    """An implementation of ``retinue_history.ModelSessions`` without a database."""

    clock: Callable[[], float]
    rows: dict[str, HostedModel] = field(default_factory=dict)
    expires: dict[str, float] = field(default_factory=dict)
    all_sessions: list[Session] = field(default_factory=list)

    def acquire_lease(
        self,
        model: str,
        *,
        detector: str,
        options: Mapping[str, Any],
        holder: str,
        lease_seconds: float,
    ) -> HostedModel:
        """Take or renew the lease."""
        row = self.rows.get(model) or HostedModel(model, detector, dict(options), None, 0)
        live = self.expires.get(model, 0.0) > self.clock()
        if not live or row.holder in (None, holder):
            same = live and row.holder == holder
            row = replace(row, holder=holder, token=row.token + (0 if same else 1))
            row = replace(row, detector=detector, options=dict(options))
            self.expires[model] = self.clock() + lease_seconds
        self.rows[model] = row
        return row

    def record_status(self, model: str, token: int, **told: Any) -> bool:
        """Write down how the model is."""
        if self._fresh(model, token):
            self.rows[model] = replace(self.rows[model], **told)
            return True
        return False

    def keep_running(self, model: str, until: float | None) -> bool:
        """Let it run without work until then, and forget failures."""
        if model not in self.rows:
            return False
        row = replace(self.rows[model], keep_until=until, failures=0, not_before=None)
        self.rows[model] = row
        return True

    def release_lease(self, model: str, holder: str) -> None:
        """Give the lease back."""
        row = self.rows.get(model)
        if row is not None and row.holder == holder:
            self.rows[model] = replace(row, holder=None, serving=False)
            self.expires.pop(model, None)

    def begin_session(
        self, model: str, token: int, *, units: int, usd_per_unit_minute: Decimal, reason: str
    ) -> bool:
        """Write down that the model is about to be hosted."""
        del usd_per_unit_minute
        if not self._fresh(model, token) or self._open(model) is not None:
            return False
        self.all_sessions.append(Session(model, token, units, reason, self.clock()))
        return True

    def mark_session(self, model: str, token: int, what: str, reason: str | None = None) -> bool:
        """Write down how the open session goes on."""
        session = self._open(model)
        if session is None or not self._fresh(model, token):
            return False
        name = {"running": "running_at", "stopping": "stop_requested_at", "stopped": "stopped_at"}
        if getattr(session, name[what]) is None:
            setattr(session, name[what], self.clock())
        if what == "stopped":
            self.rows[model] = replace(self.rows[model], stopped_at=self.clock())
        session.stop_reason = session.stop_reason or reason
        return True

    def list_models(self) -> list[HostedModel]:
        """Return all models that were ever kept."""
        now = self.clock()
        return [
            row if self.expires.get(name, 0.0) > now else replace(row, holder=None)
            for name, row in sorted(self.rows.items())
        ]

    def _open(self, model: str) -> Session | None:
        for session in reversed(self.all_sessions):
            if session.model == model and session.stopped_at is None:
                return session
        return None

    def _fresh(self, model: str, token: int) -> bool:
        row = self.rows.get(model)
        return (
            row is not None and row.token == token and self.expires.get(model, 0.0) > self.clock()
        )
