"""Retinue's detection history: tables, views, migrations, reads and writes.

A worker needs only the names that are exported here, which import neither SQLAlchemy nor Alembic.
Import the rest from its module, such as ``run_query`` from ``retinue_history.analysis.query``. In
SQL, the views are the public interface; see docs/schema.md.
"""

from retinue_history.db.connections import ConnectionPool
from retinue_history.db.errors import (
    HistoryDataError,
    HistoryError,
    HistorySchemaError,
    HistorySetupError,
    HistoryUnavailableError,
    QueryError,
)
from retinue_history.recording.history import History
from retinue_history.recording.hosted_models import HostedModel, ModelSession, ModelSessions
from retinue_history.recording.jobs import Jobs, OpenJob, Slot, StaleJobError
from retinue_history.recording.quotas import QuotaLease, QuotaState, Renewal
from retinue_history.recording.records import (
    NULL_VERSION,
    REPLAY,
    Charge,
    ConfigurationRecord,
    DetectionRecord,
    DetectionSummary,
    DetectorConfiguration,
    ImageRecord,
    JobRecord,
    RemovedObject,
    RunKey,
    RunRecord,
    TaskKey,
    VideoRecord,
    skip_event_id,
)
from retinue_history.recording.spending import MonthTotals, month_of
from retinue_history.schema.version import check_schema

__all__ = [
    "NULL_VERSION",
    "REPLAY",
    "Charge",
    "ConfigurationRecord",
    "ConnectionPool",
    "DetectionRecord",
    "DetectionSummary",
    "DetectorConfiguration",
    "History",
    "HistoryDataError",
    "HistoryError",
    "HistorySchemaError",
    "HistorySetupError",
    "HistoryUnavailableError",
    "HostedModel",
    "ImageRecord",
    "JobRecord",
    "Jobs",
    "ModelSession",
    "ModelSessions",
    "MonthTotals",
    "OpenJob",
    "QueryError",
    "QuotaLease",
    "QuotaState",
    "RemovedObject",
    "Renewal",
    "RunKey",
    "RunRecord",
    "Slot",
    "StaleJobError",
    "TaskKey",
    "VideoRecord",
    "check_schema",
    "month_of",
    "skip_event_id",
]
